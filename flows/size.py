"""What a preset needs before it is trained: `python -m flows.size --preset appa-565m`.

Parameters, arithmetic, memory of a GPU and the largest micro-batch, from the networks themselves,
built without memory. `--recipes` prints docs/recipes.md.
"""

from __future__ import annotations

import argparse

from flows.cli import new_parser, run_command


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("size", "What a preset needs: parameters, arithmetic, memory.")
    add = parser.add_argument
    add("--preset", default="small", help="preset, by name or YAML file (default: %(default)s)")
    add("--device-memory", default="80GiB", help="of a GPU (default: %(default)s)")
    add("--nproc", type=int, default=1, help="GPUs (default: %(default)s)")
    add("--sharding", choices=["ddp", "fsdp"], default="ddp", help="(default: %(default)s)")
    add("--micro-batch", type=int, default=1, help="samples of a GPU at once")
    add("--recompute", action="store_true", help="recompute activations")
    add("--recipes", action="store_true", help="print the costs of all presets as Markdown")
    return parser.parse_args(argv)


_ARGUMENTS = _parse() if __name__ == "__main__" else None

from appa_core.config.presets import load_preset  # noqa: E402
from appa_core.steps.footprint import parse_memory  # noqa: E402
from appa_core.steps.recipes import describe, recipes  # noqa: E402


def _main(arguments: argparse.Namespace) -> None:
    if arguments.recipes:
        print(recipes())
        return
    print(
        describe(
            load_preset(arguments.preset),
            memory=parse_memory(arguments.device_memory),
            processes=arguments.nproc,
            sharding=arguments.sharding,
            micro_batch=arguments.micro_batch,
            recompute=arguments.recompute,
        )
    )


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
