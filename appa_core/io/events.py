"""What happens to artifacts and blocks, told to whoever listens: logs, metrics, tests.

Events are records of the standard library's logging at level INFO: without a handler they cost
next to nothing and are seen by nobody.
"""

from __future__ import annotations

import logging
from typing import Any

#: Name of the logger; a record's attribute `facts` holds what is known, by name.
EVENTS = "appa.events"
FOUND, BEGUN, COMMITTED, FAILED = "found", "begun", "committed", "failed"
OBSERVED, QUEUED, TRAINED = "observed", "queued", "trained"

_log = logging.getLogger(EVENTS)


def tell(event: str, **facts: Any) -> None:
    """Tell of an event.

    Args:
        event: Such as `committed`.
        **facts: JSON-compatible: of a step `step`, `key`, `members`, `seconds`; of a block also
            `block` and `states`.
    """
    if _log.isEnabledFor(logging.INFO):
        known = {"event": event, **{k: v for k, v in facts.items() if v is not None}}
        words = " ".join(f"{k} {v}" for k, v in known.items())
        _log.info("%s", words, extra={"facts": known})
