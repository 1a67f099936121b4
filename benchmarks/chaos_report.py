"""What runs that were disturbed left, as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.chaos_jobs import JOBS

_HOW = (
    "Each run began with an empty store. What died was started again, as a service manager would; "
    "a command that had failed was typed again."
)
_WHAT = (
    "Same data: the digest over all artifacts and blocks equals that of an undisturbed run; "
    "checkpoints, of which the last few stay, are left out. Units are artifacts, blocks and "
    "intervals between checkpoints; done again are those that were begun more than once, by the "
    "log of events."
)
_HEADINGS = ("job", "runs", "kills", "restarts", "units", "done again", "same data", "seconds")


@dataclass
class Round:
    """One run of a job from an empty store, with what disturbed it.

    Args:
        job: Its place among `JOBS`.
        kills: What was killed, in order.
        restarts: How often its command was started again.
        repeated: Units of work that were done again.
        committed: Units that there are.
        seconds: From its start to its end.
        is_same: Whether its store holds what the undisturbed one holds.
    """

    job: int
    kills: list[str] = field(default_factory=list)
    restarts: int = 0
    repeated: int = 0
    committed: int = 0
    seconds: float = 0.0
    is_same: bool = False


def faults(rounds: Sequence[Round]) -> list[str]:
    """What is not as it must be, in words."""
    found = []
    for number, r in enumerate(rounds, 1):
        if not r.is_same:
            found.append(f"round {number} ({JOBS[r.job].label}) left other data")
        if r.repeated > len(r.kills):
            found.append(f"round {number} repeated {r.repeated} units for {len(r.kills)} kills")
    return found


def report(rounds: Sequence[Round], command: str) -> str:
    """A page in Markdown."""
    killed = Counter(kind for r in rounds for kind in r.kills)
    count = f"`{command}`: {killed.total()} times `kill -9` in {len(rounds)} runs."
    kinds = [(kind, str(times)) for kind, times in sorted(killed.items())]
    jobs = [_row(n, [r for r in rounds if r.job == n]) for n in range(len(JOBS))]
    wrong = "; ".join(faults(rounds)) or "nothing"
    parts = (
        "# Processes killed at random",
        f"{count} {_HOW}",
        table(("killed", "times"), kinds),
        table(_HEADINGS, [row for row in jobs if row]),
        _WHAT,
        f"Not as it must be: {wrong}.",
    )
    return "\n\n".join(parts) + "\n"


def _row(number: int, own: Sequence[Round]) -> tuple[str, ...]:
    if not own:
        return ()
    return (
        JOBS[number].label,
        str(len(own)),
        str(sum(len(r.kills) for r in own)),
        str(sum(r.restarts for r in own)),
        str(own[0].committed),
        str(sum(r.repeated for r in own)),
        f"{sum(r.is_same for r in own)} of {len(own)}",
        f"{min(r.seconds for r in own):.0f} to {max(r.seconds for r in own):.0f}",
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
