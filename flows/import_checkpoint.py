"""Make a published checkpoint a model of ours: `python -m flows.import_checkpoint --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.cli import local_folder, new_parser, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("import_checkpoint", "Make a published checkpoint a model of ours.")
    add = parser.add_argument
    add("--autoencoder", required=True, metavar="DIR", help="config.yaml and model*.pth")
    add("--denoiser", required=True, metavar="DIR", help="config.yaml and model_best.pth")
    add("--stats", required=True, metavar="FILE", help="mean and std of latents (stats.pth)")
    add("--preset", default="appa-565m", help="fields and grid (default: %(default)s)")
    add(
        "--normalisation",
        metavar="PATH",
        help="of physical states: what flows.normalize made, or mean and std by channel",
    )
    add(
        "--register",
        type=local_folder,
        metavar="DIR",
        help="write the model here (default: models/<preset>)",
    )
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None

from appa_core.config.presets import load_preset  # noqa: E402
from appa_core.steps.import_checkpoint import (  # noqa: E402
    PublishedCheckpoint,
    import_checkpoint,
)
from appa_core.steps.models import check_model_folder  # noqa: E402


def _main(arguments: argparse.Namespace) -> None:
    preset = load_preset(arguments.preset)
    folder = Path(arguments.register or f"models/{preset.name}-imported")
    check_model_folder(folder)
    source = PublishedCheckpoint(
        Path(arguments.autoencoder),
        Path(arguments.denoiser),
        Path(arguments.stats),
        Path(arguments.normalisation) if arguments.normalisation else None,
    )
    key = import_checkpoint(folder, preset, source)
    print(f"model {key} in {folder}; use it with --model {folder}")
    if source.normalisation is None:
        print("without --normalisation it works on latents alone; physical states are refused")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
