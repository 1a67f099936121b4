"""What is disturbed: jobs as command lines, what they leave, and how much work they repeat."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appa_core.io.census import children
from appa_core.io.cube import Cube
from appa_core.io.day_ledger import SERIES, all_series
from appa_core.io.events import BEGUN, COMMITTED, TRAINED
from appa_core.io.hashing import content_key
from appa_core.io.store import ArtifactStore

#: Of the preset `tiny`: what a training does again is counted in these.
CHECKPOINT_ITERATIONS = 10
_NOT_DATA = ("-checkpoint",)
_REGISTER = "--register"
STORE = "store"
_FIVE_DAYS = (
    "reanalysis", "--start", "2023-12-20", "--end", "2023-12-25",
    "--observations", "simulated:stations=0.05,orbiters=1", "--truth", "sample",
    "--withhold", "0.1", "--members", "4",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A command.

    Args:
        name: Of its module in `flows`.
        arguments: Of its command line, besides the store and where it writes.
        writes: Options that name folders of results.
        victims: Kinds of processes that are killed while it runs.
        draws: Whether it draws with the networks that the first job, undisturbed, has trained.
        deployed: Whether a Prefect worker runs it.
    """

    name: str
    arguments: tuple[str, ...]
    writes: tuple[str, ...]
    victims: tuple[str, ...]
    draws: bool = False
    deployed: bool = False

    @property
    def label(self) -> str:
        """What to call it."""
        return f"{self.name}, deployed" if self.deployed else self.name

    def argv(self, dask: str) -> list[str]:
        """Its command line, in a folder beside those of undisturbed runs.

        Paths are relative, since results name the model as the command did.
        """
        words = [*self.arguments, "--store", STORE, "--dask-address", dask]
        for option in self.writes:
            words += [option, option.strip("-")]
        trained = calm_folder(Path(".."), 0) / _REGISTER.strip("-")
        return words + (["--model", str(trained)] if self.draws else [])


def calm_folder(folder: Path, number: int) -> Path:
    """Where what a job left undisturbed is kept."""
    return folder / f"calm-{number}"


FLOW, RANK = "flow process", "torchrun rank"
DASK_WORKER, DASK_SCHEDULER = "Dask worker", "Dask scheduler"
SERVER, WORKER = "Prefect server", "Prefect worker"
_EVERYWHERE = (FLOW, DASK_WORKER, DASK_SCHEDULER, SERVER)

#: What is disturbed.
JOBS = (
    Job(
        "pipeline",
        ("--preset", "tiny", "--nproc", "2"),
        (_REGISTER, "--output", "--logs"),
        (*_EVERYWHERE, RANK),
    ),
    Job("backfill", _FIVE_DAYS, ("--output",), _EVERYWHERE, draws=True),
    Job("backfill", _FIVE_DAYS, ("--output",), (*_EVERYWHERE, WORKER), draws=True, deployed=True),
)


def store_digest(folder: str | Path) -> str:
    """Hash of all data in a store: which artifacts, blocks and days, and their content.

    Checkpoints are left out: which of them are kept depends on where a training was resumed.
    """
    store = ArtifactStore(folder)
    return content_key(dict(_digests(store)))


def _digests(store: ArtifactStore) -> Iterator[tuple[str, str]]:
    for series in all_series(store):
        for day in series.days():
            record = series.find(day)
            content = "damaged" if record is None else content_key([record.key, record.digest])
            yield f"{SERIES}/{series.key}/{day:%Y-%m-%d}", content
    for step in children(store, ""):
        if step == SERIES or step.endswith(_NOT_DATA):
            continue
        for artifact in store.artifacts(step) if not _holds_cubes(store, step) else ():
            yield f"{step}/{artifact.key}", artifact.verify().digest
        for key in children(store, step) if _holds_cubes(store, step) else ():
            yield f"{step}/{key}", Cube.load(f"{store.url}/{step}/{key}").digest()


def _holds_cubes(store: ArtifactStore, step: str) -> bool:
    return any("ledger" in children(store, f"{step}/{key}") for key in children(store, step))


@dataclass(frozen=True)
class Work:
    """What was done, as the log of events tells.

    Args:
        committed: Units (artifacts, blocks) that are there.
        repeated: Starts of units beyond the first of each.
        iterations: Iterations of trainings that were done again.
    """

    committed: int
    repeated: int
    iterations: int

    @property
    def units(self) -> int:
        """Units of work that were repeated, an interval between checkpoints being one."""
        return self.repeated + math.ceil(self.iterations / CHECKPOINT_ITERATIONS)

    @classmethod
    def read(cls, path: Path, start: int = 0) -> Work:
        """From a file of JSON lines, from a position on."""
        begun: Counter[tuple[Any, ...]] = Counter()
        trained: Counter[tuple[Any, ...]] = Counter()
        committed = set()
        for facts in events(path, start):
            unit = facts.get("step"), facts.get("key"), facts.get("block")
            if facts["event"] == BEGUN:
                begun[unit] += 1
            elif facts["event"] == COMMITTED:
                committed.add(unit)
            elif facts["event"] == TRAINED:
                trained[(*unit, facts["iteration"])] += 1
        return cls(
            len(committed),
            sum(begun.values()) - len(begun),
            sum(trained.values()) - len(trained),
        )


def events(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """Events of a log of JSON lines, in order; a line that a kill cut short is passed over."""
    if not path.is_file():
        return
    with path.open("rb") as handle:
        handle.seek(start)
        lines = handle.read().decode("utf-8", "replace").splitlines()
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and "event" in content:
            yield content
