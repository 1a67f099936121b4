"""The exception family of the project.

Every error that a user can cause or repair is an `AppaError`; its message says what was
expected, what came, where, and what to do. Command lines print it without a traceback and
exit with `EXIT_STATUS`.
"""

EXIT_STATUS = 2
#: Of a command that stopped when asked to: 128 and the number of SIGTERM.
STOPPED_STATUS = 143


class AppaError(Exception):
    """Base class: a problem that its message explains to the user."""


class InputError(AppaError):
    """A request that cannot be met: a bad date, an unknown name, a value out of range."""


class AbsentError(InputError):
    """What was asked for is not there, and may come."""


class BusyError(InputError):
    """Someone else is at it: wait until they have ended."""


class DataError(AppaError):
    """Data that do not have the content that they should: channels, grid, times, NaN."""


class IntegrityError(AppaError):
    """Stored bytes that are not the bytes that were written."""


class NumericalError(AppaError):
    """A computation that left the finite numbers."""


class StalledError(NumericalError):
    """Linear solves that made no progress.

    Args:
        rows: Which, of a batch.
        solver: The method.
    """

    def __init__(self, rows: list[int], solver: str) -> None:
        super().__init__(f"{solver} made no progress for rows {rows} of the batch")
        self.rows, self.solver = rows, solver


class StoppedError(AppaError):
    """Work that was asked to stop and did so at a point from which it continues."""


class ResourceError(AppaError):
    """A machine that does not suffice: memory, processes, time."""
