"""Remove what nothing needs any more: `python -m flows.cleanup --older-than-days 30 --dry-run`.

What stays: whatever is younger; the days of a reanalysis; trainings and ingested states; and all
that any of these was made from. What goes can be made again by the commands that made it.
"""

from __future__ import annotations

import argparse

from flows.cli import new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("cleanup", "Remove what nothing needs any more.")
    add = parser.add_argument
    add(
        "--older-than-days",
        type=float,
        default=30.0,
        help="what was made since stays; 1 or more, so that nothing goes that a running command "
        "has just found (default: %(default)s)",
    )
    add("--steps", nargs="+", metavar="STEP", help="of these steps alone (default: all drawn)")
    add("--dry-run", action="store_true", help="say what would be removed")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from collections import Counter  # noqa: E402
from datetime import UTC, datetime  # noqa: E402

import pandas as pd  # noqa: E402

from appa_core.errors import InputError  # noqa: E402
from appa_core.io.cleanup import DISPOSABLE, Cleanup, clean_up, plan_cleanup  # noqa: E402
from appa_core.io.store import ArtifactStore  # noqa: E402
from flows.status import size_text  # noqa: E402

_MOST_DAYS = 36500


def cleanup(
    store: str,
    older_than_days: float = 30.0,
    steps: list[str] | None = None,
    *,
    dry_run: bool = False,
) -> Cleanup:
    """Remove what nothing needs any more.

    Args:
        store: Artifact store.
        older_than_days: What was made since stays.
        steps: Of these steps alone; of all whose artifacts are drawn or derived if None.
        dry_run: Only say what would go.

    Returns:
        What went, or would.

    Raises:
        InputError: The age is below a day, or a step is not one whose artifacts may go.
        IntegrityError: A manifest is damaged.
        BusyError: Someone is at work in the store.
    """
    if not 1 <= older_than_days <= _MOST_DAYS:
        raise InputError(
            f"--older-than-days {older_than_days:g}: expected 1 or more, to {_MOST_DAYS}"
        )
    chosen = DISPOSABLE if steps is None else frozenset(steps)
    if unknown := sorted(chosen - DISPOSABLE):
        raise InputError(
            f"--steps {', '.join(unknown)}: expected some of {', '.join(sorted(DISPOSABLE))}; "
            "other steps are expensive to make, and stay"
        )
    now = pd.Timestamp(datetime.now(UTC)).tz_convert(None)
    before = now - pd.Timedelta(days=older_than_days)
    act = plan_cleanup if dry_run else clean_up
    return act(ArtifactStore(store), before, chosen)


def _main(arguments: argparse.Namespace) -> None:
    plan = cleanup(
        arguments.store,
        arguments.older_than_days,
        arguments.steps,
        dry_run=arguments.dry_run,
    )
    for step, count in sorted(Counter(h.step for h in plan.remove).items()):
        print(f"{step:24}  {count:6}")
    verb = "would be removed" if arguments.dry_run else "removed"
    print(f"\n{len(plan.remove)} {verb}, {size_text(plan.bytes)}; {plan.kept} stay")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
