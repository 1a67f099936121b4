"""How commands end when something goes wrong: in one line, with a status of its kind."""

from __future__ import annotations

import os
from dataclasses import dataclass

from appa_core.errors import EXIT_STATUS, STOPPED_STATUS, AppaError, StoppedError

#: As a shell has it: 128 and the number of SIGINT.
_INTERRUPTED_STATUS = 130
# what Prefect says of an embedded server that does not start in time
_NOT_STARTED = "ephemeral Prefect API server"


@dataclass(frozen=True)
class Ending:
    """The end of a command.

    Args:
        text: What is said.
        status: Of the process.
    """

    text: str
    status: int


def ending_of(error: BaseException) -> Ending | None:
    """How a command ends with an error; None if that is a fault of the program."""
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted; the same command continues where this one stopped"
        return Ending(text, _INTERRUPTED_STATUS)
    if isinstance(error, StoppedError):
        return Ending(f"stopped: {error}", STOPPED_STATUS)
    if isinstance(error, AppaError):
        return Ending(f"error: {error}", EXIT_STATUS)
    if isinstance(error, OSError):  # a full disk, a store that went away
        text = f"error: {error}; nothing half-written is kept, the same command continues"
        return Ending(text, EXIT_STATUS)
    if _is_of_server(error):
        server = os.environ.get("PREFECT_API_URL", "the embedded one")
        text = (
            f"error: the Prefect server ({server}) does not answer: "
            f"{error or type(error).__name__}; start it (prefect server start), or unset "
            "PREFECT_API_URL; the same command continues"
        )
        return Ending(text, EXIT_STATUS)
    return None


def _is_of_server(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that a server cannot be reached."""
    while error is not None:
        library = type(error).__module__.partition(".")[0]
        is_of_network = library in {"httpx", "httpcore"} and not hasattr(error, "response")
        if is_of_network or _NOT_STARTED in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
