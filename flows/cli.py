"""What all command lines share: environment, error messages, exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from appa_core.errors import EXIT_STATUS, AppaError, InputError

_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # a fresh home needs longer than Prefect's own 20 s to create its database
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


def store_default() -> str:
    """Where artifacts live unless --store says otherwise."""
    return os.environ.get("APPA_STORE", "./appa-store")


def new_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that every command has."""
    parser = argparse.ArgumentParser(prog=f"python -m flows.{name}", description=description)
    parser.add_argument(
        "--store",
        default=store_default(),
        metavar="URL",
        help="where artifacts live (default: APPA_STORE, else ./appa-store)",
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    return parser


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


def run_command(
    command: Callable[[argparse.Namespace], None], arguments: argparse.Namespace
) -> None:
    """Run a command and end the process: one message and status 2 for errors of use."""
    try:
        command(arguments)
    except AppaError as error:
        if arguments.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_STATUS)
    except OSError as error:  # a full disk, a store that went away
        if arguments.traceback:
            raise
        print(
            f"error: {error}; nothing half-written is kept, the same command continues",
            file=sys.stderr,
        )
        sys.exit(EXIT_STATUS)
    except KeyboardInterrupt:
        print("interrupted; the same command continues where this one stopped", file=sys.stderr)
        sys.exit(130)
