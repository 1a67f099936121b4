"""Bring states into the store: simulate the nature run, and pack stretches of it.

`python -m flows.ingest --preset small` simulates chunk by chunk; stop it and start it again at
will. With `--pack DIR --pack-start 2023-12-15 --pack-end 2024-02-15` it also writes a packed
sample like the one that ships.
"""

from __future__ import annotations

import argparse

from flows.cli import new_parser, prepare_environment, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("ingest", "Simulate the nature run into the store.")
    add = parser.add_argument
    add("--preset", default="small", help="preset, by name or YAML file (default: %(default)s)")
    add("--end", help="simulate until this time (default: the preset's)")
    add("--pack", metavar="DIR", help="also pack a stretch of states into this folder")
    add("--pack-start", help="first time to pack")
    add("--pack-end", help="time before which the packed states end")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.presets import Preset, load_preset  # noqa: E402
from appa_core.config.requests import parse_time  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.io.store import Artifact  # noqa: E402
from tasks import learning  # noqa: E402


@flow(name="ingest", validate_parameters=False)
def ingest(
    preset: Preset,
    store: str,
    end: pd.Timestamp | None = None,
    pack: tuple[str, pd.Timestamp, pd.Timestamp] | None = None,
) -> list[Artifact]:
    """Simulate; pack if asked to.

    Args:
        preset: What to simulate.
        store: Artifact store.
        end: Time before which the nature run ends; the preset's if None.
        pack: Folder, first time, and end of a stretch to pack.

    Returns:
        Chunks of the nature run in order of time.
    """
    chunks = learning.simulate(store, preset, end or pd.Timestamp(preset.nature.end))
    if pack is not None:
        learning.pack_sample(pack[0], chunks, pack[1], pack[2])
    return chunks


def _main(arguments: argparse.Namespace) -> None:
    preset = load_preset(arguments.preset)
    pack = None
    if arguments.pack:
        if not (arguments.pack_start and arguments.pack_end):
            raise InputError("--pack needs --pack-start and --pack-end")
        pack = (
            arguments.pack,
            parse_time(arguments.pack_start),
            parse_time(arguments.pack_end),
        )
    end = parse_time(arguments.end) if arguments.end else None
    chunks = ingest(preset, arguments.store, end, pack)
    print(f"{len(chunks)} chunks, the last one {chunks[-1].url}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
