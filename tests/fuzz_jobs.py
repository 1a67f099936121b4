"""What commands are fuzzed from: a small job of each, and what it is pointed at."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class World:
    """What commands are pointed at: things that make sense, and a folder of odd ones."""

    model: Path
    sample: Path
    store: Path
    preset: Path
    reports: Path
    odd: Path
    result: Path

    @property
    def places(self) -> tuple[str, ...]:
        """Things that exist and are mostly not what is asked for."""
        names = ("empty", "file.txt", "binary.zarr", "binary.nc", "binary.grib", "binary.parquet",
                 "binary.yaml", "loop", "bad.csv")  # fmt: skip
        others = [str(self.odd / name) for name in names]
        whole = (self.model, self.sample, self.preset, self.reports, self.result)
        return (*map(str, whole), *others)


def command_names() -> list[str]:
    """Every module of flows that is a command."""
    paths = sorted((ROOT / "flows").glob("*.py"))
    return [p.stem for p in paths if "__main__" in p.read_text("utf-8")]


def actions_of(name: str, words: list[str]) -> list[argparse.Action]:
    """Options and arguments of a command, or of the one of several that some words name."""
    parser = parser_of(name)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words:
            return [action, *action.choices[words[0]]._actions]
    return parser._actions


def parser_of(name: str) -> argparse.ArgumentParser:
    """The grammar of a command."""
    module = importlib.import_module(f"flows.{name}")
    found: list[argparse.ArgumentParser] = []

    class FoundError(Exception):
        pass

    def remember(self: argparse.ArgumentParser, *_: Any) -> None:
        found.append(self)
        raise FoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", remember)
        with contextlib.suppress(FoundError):
            module._parse([])
    return found[0]


def base(name: str, world: World) -> list[str]:
    """A small job of a command; for one that is not known here, nothing."""
    model, sample, preset = map(str, (world.model, world.sample, world.preset))
    drawn = ["--model", model, "--members", "1", "--output", "out"]
    observed = ["--observations", "simulated:stations=0.05", "--truth", sample, *drawn]
    known = {
        "backfill": ["reanalysis", "--start", "2012-02-05", "--end", "2012-02-06", *observed],
        "catalog": ["--no-check"],
        "cleanup": ["--dry-run"],
        "denial": ["--start", "2012-02-05", "--hours", "12", "--lead-hours", "0",
                   "--deny", "quantity=2m_temperature", *observed],
        "deploy": ["--pool", "process"],
        "encode": ["--preset", preset, "--model", model, "--workers", "0",
                   "--start", "2012-02-01", "--end", "2012-02-03"],
        "evaluate": [str(world.result), "--truth", sample, "--resamples", "10", "--output", "out"],
        "export": [str(world.result), "--output", "out.nc"],
        "filtering": ["--start", "2012-02-05", "--cycles", "1", *observed],
        "forecast": ["--start", "2012-02-10", "--lead-hours", "6", "--source", sample, *drawn],
        "import_checkpoint": ["--autoencoder", model, "--denoiser", model, "--stats",
                              str(world.odd / "file.txt"), "--register", "out"],
        "ingest": ["--source", sample, "--preset", preset, "--start", "2012-02-02",
                   "--end", "2012-02-03", "--workers", "0"],
        "nightly": ["reanalysis", "--day", "2012-02-05", "--wait-hours", "0", *observed],
        "normalize": ["--preset", preset, "--workers", "0"],
        "observations": [str(world.reports), "--output", "out.parquet"],
        "pipeline": ["--preset", preset, "--source", "nature", "--nproc", "0", "--workers", "0",
                     "--register", "out", "--logs", "logs"],
        "reanalysis": ["--start", "2012-02-05", "--end", "2012-02-06", *observed],
        "report": [str(world.result), "--truth", sample, "--output", "page.html"],
        "size": ["--preset", "tiny"],
        "train": ["--preset", preset, "--nproc", "0", "--workers", "0", "--register", "out",
                  "--logs", "logs"],
    }  # fmt: skip
    words = known.get(name, [])
    takes_store = any("--store" in action.option_strings for action in actions_of(name, words))
    return [*words, *(["--store", str(world.store)] if takes_store else [])]
