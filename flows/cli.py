"""What all command lines share: environment, error messages, exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from appa_core.errors import EXIT_STATUS, InputError
from appa_core.io.names import absolute_place
from appa_core.io.secrets import redacted
from flows.endings import ending_of

_WATCHING = ("APPA_LOG", "APPA_METRICS")
_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # with pauses that double: a server may be away for two minutes
    "PREFECT_CLIENT_MAX_RETRIES": "6",
    # a fresh home needs longer than Prefect's own 20 s to create its database
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


def store_default(given: str | None = None) -> str:
    """Where artifacts live: as given, else APPA_STORE, else ./appa-store.

    An absolute path, since workers of a Dask cluster have working folders of their own.
    """
    return absolute_place(given or os.environ.get("APPA_STORE", "./appa-store"))


class Parser(argparse.ArgumentParser):
    """A parser that takes `--option=--` for a mistake, of which argparse makes an empty list."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """What was typed, and what is left; a mistake ends the process with status 2."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs is None and [] in _each(getattr(found, action.dest, None), action):
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return found, rest


def _each(value: Any, action: argparse.Action) -> list[Any]:
    return list(value or []) if isinstance(action.default, list) else [value]


def new_parser(name: str, description: str) -> Parser:
    """A parser with the options that every command has."""
    parser = Parser(prog=f"python -m flows.{name}", description=description)
    add_common_options(parser)
    return parser


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Options that every command has, or each of the commands of one module."""
    parser.add_argument(
        "--store",
        type=absolute_place,
        default=store_default(),
        metavar="URL",
        help="where artifacts live (default: APPA_STORE, else ./appa-store)",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands that work on ingested states."""
    add = parser.add_argument
    add("--preset", default="small", help="preset, by name or YAML file (default: %(default)s)")
    add("--source", default="nature", help="catalog entry, path or URL (default: %(default)s)")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands that work on blocks in parallel."""
    add = parser.add_argument
    add("--dask-address", metavar="URL", help="scheduler of a running Dask cluster")
    add(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes of the embedded cluster; 0: this process (default: %(default)s)",
    )
    add("--worker-memory", default="auto", help="memory of each of them, such as 4GiB")


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands that train."""
    add = parser.add_argument
    add(
        "--nproc",
        type=int,
        default=1,
        help="training processes of this machine; 0: this process (default: %(default)s)",
    )
    add("--nodes", type=int, default=1, help="machines; run the same command on each")
    add("--rendezvous", metavar="HOST:PORT", help="where several machines meet")
    add("--device", default="cpu", help="cpu, or cuda: a GPU a process (default: %(default)s)")
    add("--micro-batch", type=int, help="samples that a process handles at once")
    add(
        "--sharding",
        choices=["ddp", "fsdp"],
        default="ddp",
        help="all weights in every process, or shared out among them (default: %(default)s)",
    )
    add("--recompute", action="store_true", help="less memory: recompute activations")
    add("--compile", action="store_true", help="compile networks with torch.compile")
    add("--loader-workers", type=int, default=0, help="processes that read ahead (0: none)")
    add("--keep-checkpoints", type=int, default=2, help="of each training (default: %(default)s)")
    add("--stall-seconds", type=float, default=1800.0, help="give up without a step for so long")
    add(
        "--logs",
        type=local_folder,
        metavar="DIR",
        help="TensorBoard files (default: results/training-<preset>)",
    )


def local_folder(text: str) -> str:
    """Type of options that name a folder of this machine; `file://` is taken off.

    Raises:
        argparse.ArgumentTypeError: It is a URL of another kind.
    """
    protocol, _, path = text.rpartition("://")
    if protocol not in {"", "file", "local"}:
        raise argparse.ArgumentTypeError(
            f"expected a folder on this machine, got {text}; write here and copy it there"
        )
    return path


def add_ensemble_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands that draw an ensemble and write its fields."""
    add = parser.add_argument
    add("--members", type=int, default=8, help="size of the ensemble (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the ensemble (default: %(default)s)")
    add("--model", default="small", help="name of registered weights (default: %(default)s)")
    add("--device", default="cpu", help="cpu, cuda, mps (default: %(default)s)")
    add("--dtype", default="float32", help="float32 or bfloat16 (default: %(default)s)")
    add("--variables", nargs="+", metavar="NAME", help="variables to write (default: all)")
    add("--levels", nargs="+", type=int, metavar="HPA", help="levels to write (default: all)")
    add("--region", metavar="SOUTH,NORTH,WEST,EAST", help="box to write (default: the globe)")
    add("--output", metavar="DIR", help="folder (default: below ./results)")
    add("--recompute", action="store_true", help="make every step again")


def add_observation_options(
    parser: argparse._ActionsContainer,
    *,
    required: bool = True,
    method: str = "mmps",
) -> None:
    """Options of commands that draw from observations, by default by this method."""
    add = parser.add_argument
    add(
        "--observations",
        metavar="SPEC",
        required=required,
        help="simulated:stations=0.01,orbiters=1 and the like, a catalog entry, or files",
    )
    add(
        "--method",
        default=method,
        help="mmps, reanalysis, sda, dps, pigdm, repaint, latent-3dvar, latent-4dvar, 4dvar, "
        "es-mda, twisted-particles, reference, optimal-interpolation, or a YAML file "
        "(default: %(default)s)",
    )
    add(
        "--withhold",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="whole stations and passes to keep from the analysis, to verify with",
    )
    add(
        "--operator",
        default="",
        metavar="MODULE:FUNCTION",
        help="your own operator, for rows whose quantity is `own` (all rows if none is)",
    )
    add("--stretch-states", type=int, help="states drawn at once (default: a blanket)")
    add("--ahead-states", type=int, help="states that a stretch looks ahead")


def add_series_options(parser: argparse.ArgumentParser) -> None:
    """Options of a series of days."""
    add = parser.add_argument
    add(
        "--first-day",
        metavar="DAY",
        help="of the series (default: that of the series in the store with these settings, else "
        "--start)",
    )
    add(
        "--overlap-hours",
        type=int,
        help="after a day, drawn with it and again by the next (default: as far as a stretch "
        "looks ahead)",
    )
    add(
        "--stream-days",
        type=int,
        default=0,
        help="start anew every so many days, so that streams can be made side by side "
        "(default: one stream)",
    )
    add(
        "--spin-up-days",
        type=int,
        default=1,
        help="days before a stream, drawn and not kept (default: %(default)s)",
    )
    add(
        "--late",
        choices=["renew", "leave"],
        default="renew",
        help="days after one that is made again: make them again, or leave them "
        "(default: %(default)s)",
    )


def add_truth_option(parser: argparse.ArgumentParser) -> None:
    """The option of commands that score against known states."""
    parser.add_argument(
        "--truth",
        default="",
        metavar="ENTRY",
        help="catalog entry of known states: what simulated networks observe (default: sample), "
        "and what is scored against",
    )


def add_member_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Options of commands whose batches of members can be drawn in parallel."""
    add = parser.add_argument
    add("--dask-address", metavar="URL", help="scheduler of a running Dask cluster")
    add(
        "--workers",
        type=int,
        default=0,
        help="processes that draw batches of members side by side; 0: this one "
        "(default: %(default)s)",
    )
    add("--worker-memory", default="auto", help="memory of each of them, such as 4GiB")


def named_values(pairs: list[str]) -> dict[str, str]:
    """Options such as NAME=VALUE by name.

    Raises:
        InputError: There is no `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"expected NAME=VALUE, got {pair!r}")
    return dict(pair.split("=", 1) for pair in pairs)


def prepare_environment(*, verbose: bool) -> None:
    """Settings of Prefect that a command needs; what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        if not (verbose and name == "PREFECT_LOGGING_LEVEL"):
            os.environ.setdefault(name, value)


def watch_if_asked() -> None:
    """Begin to log and to count, if the environment asks for it."""
    if any(name.startswith(_WATCHING) and value for name, value in os.environ.items()):
        importlib.import_module("tasks.watching.setting_up").watch()


def run_command(
    command: Callable[[argparse.Namespace], None], arguments: argparse.Namespace
) -> None:
    """Run a command and end the process: one message and status 2 for errors of use."""
    try:
        watch_if_asked()
        command(arguments)
    except (Exception, KeyboardInterrupt) as error:
        ending = ending_of(error)
        if ending is None or (arguments.traceback and ending.status == EXIT_STATUS):
            raise
        print(redacted(ending.text), file=sys.stderr)
        sys.exit(ending.status)
