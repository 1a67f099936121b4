"""What runs that a server starts may do: less than a person at a command line, who said so."""

from __future__ import annotations

import os
from collections.abc import Mapping

from appa_core.errors import InputError

#: Modules whose functions may be operators of such runs: names with commas between them.
OPERATORS = "APPA_OPERATORS"
# which Prefect's workers set for the process of a run
_RUN = "PREFECT__FLOW_RUN_ID"


def require_allowed_operator(name: str, environment: Mapping[str, str] | None = None) -> None:
    """Make sure that a user's own operator, which is code, may be run.

    On a command line, `--operator` is the consent. In a run of a deployment anybody who reaches
    the server may name one: there its module must be listed in `APPA_OPERATORS` (job variables,
    `infra/prefect.yaml`), which is read on a command line too if it is set.

    Args:
        name: `package.module:function`; none if empty.
        environment: Of this process if None.

    Raises:
        InputError: It may not.
    """
    known = os.environ if environment is None else environment
    if not name or (OPERATORS not in known and _RUN not in known):
        return
    allowed = [part.strip() for part in known.get(OPERATORS, "").split(",") if part.strip()]
    if name.partition(":")[0] not in allowed:
        raise InputError(
            f"operator {name!r} is not allowed here; {OPERATORS} in the environment (of a "
            f"deployment: its job variables) lists modules of operators: "
            f"{', '.join(allowed) or 'none'}"
        )
