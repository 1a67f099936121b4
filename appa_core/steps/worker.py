"""One process of a training that `torch.distributed.run` started: `python -m ... ORDER.json`.

It tells its launcher how it goes by files of a folder that both know: `progress.jsonl`, a line an
iteration; `warnings.jsonl`, a line a warning; `error-<rank>.json`, when something is wrong that a
message explains; and it looks for a file `stop`, at which it writes a checkpoint and ends.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from appa_core import errors
from appa_core.config.presets import Preset
from appa_core.errors import EXIT_STATUS, AppaError
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps.train_autoencoder import autoencoder_job
from appa_core.steps.train_denoiser import denoiser_job
from appa_core.steps.training import Progress, TrainingJob, run_training
from appa_core.training.parallel import Processes
from appa_core.training.settings import RunSettings

PROGRESS = "progress.jsonl"
WARNINGS = "warnings.jsonl"
STOP = "stop"
PARENT = "APPA_PARENT"
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class TrainingOrder:
    """Which network to train on what.

    Args:
        network: `autoencoder` or `denoiser`.
        store: Where checkpoints and weights are kept.
        preset: Sizes, periods, optimiser.
        data: URL of the cube of states, or of latents.
        statistics: The normalisation, or the statistics of latents: an artifact of the store.
        seed: Seed of initial weights, batches and noise.
        coder: Key of the autoencoder that latents must be of; None: any.
    """

    network: Literal["autoencoder", "denoiser"]
    store: str
    preset: Preset
    data: str
    statistics: Artifact
    seed: int = 0
    coder: str | None = None

    def job(self) -> TrainingJob:
        """The training that is ordered.

        Raises:
            InputError: The data do not fit the preset, or the autoencoder.
        """
        data = Cube.load(self.data)
        if self.network == "autoencoder":
            return autoencoder_job(self.preset, data, self.statistics, self.seed)
        return denoiser_job(self.preset, data, self.statistics, self.seed, self.coder)

    def write(self, path: Path, run: RunSettings, device: str) -> None:
        """Write the order, and what to train on, for `main`."""
        manifest = self.statistics.manifest
        content = {
            **{k: getattr(self, k) for k in ("network", "store", "data", "seed", "coder")},
            "preset": self.preset.hashed(),
            "statistics": [manifest["step"], manifest["key"]],
            "run": dataclasses.asdict(run),
            "device": device,
        }
        path.write_text(json.dumps(content), "utf-8")

    @classmethod
    def read(cls, path: Path) -> tuple[TrainingOrder, RunSettings, str]:
        """What `write` wrote."""
        content = json.loads(path.read_text("utf-8"))
        statistics = ArtifactStore(content["store"]).get(*content["statistics"])
        order = cls(
            network=content["network"],
            store=content["store"],
            preset=Preset.model_validate(content["preset"], strict=False),
            data=content["data"],
            statistics=statistics,
            seed=content["seed"],
            coder=content["coder"],
        )
        return order, RunSettings(**content["run"]), content["device"]


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux; elsewhere nothing).

    The parent's number is in the environment, for it may have died before this is called.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ.get(PARENT, os.getppid())):
            os.kill(os.getpid(), signal.SIGKILL)
    os.environ[PARENT] = str(os.getpid())


class _Reporter(logging.Handler):
    """Tells the launcher of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self._folder = folder
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        if self._speaks:
            logging.getLogger("appa_core").addHandler(self)

    @property
    def _speaks(self) -> bool:
        """Whether this is the first process of its machine, which speaks for the others."""
        return os.environ.get("LOCAL_RANK", "0") == "0"

    def _append(self, name: str, content: Any) -> None:
        with (self._folder / name).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(content) + "\n")

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def should_stop(self) -> bool:
        """Whether the launcher or a signal asks for it."""
        return self._asked or (self._folder / STOP).exists()

    def progress(self, progress: Progress) -> None:
        """Write a line about an iteration."""
        if self._speaks:
            self._append(PROGRESS, dataclasses.asdict(progress))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line about a warning."""
        self._append(WARNINGS, record.getMessage())

    def error(self, error: AppaError) -> None:
        """Write what is wrong."""
        content = {"kind": type(error).__name__, "message": str(error)}
        path = self._folder / f"error-{os.environ.get('RANK', '0')}.json"
        path.write_text(json.dumps(content), "utf-8")


def reported_error(folder: Path) -> AppaError | None:
    """The first error that a process of the training wrote, if any."""
    for path in sorted(folder.glob("error-*.json")):
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        kind = getattr(errors, content["kind"], AppaError)
        return kind(content["message"])
    return None


def main(path: Path) -> None:
    """Train as the order says; the process ends with status 2 where a message explains why."""
    die_with_parent()
    reporter = _Reporter(path.parent)
    try:
        order, run, device = TrainingOrder.read(path)
        processes = Processes.join(device, int(os.environ["LOCAL_RANK"]))
        run_training(
            ArtifactStore(order.store),
            order.job(),
            run=run,
            processes=processes,
            observe=reporter.progress,
            should_stop=reporter.should_stop,
        )
        processes.leave()
    except AppaError as error:
        reporter.error(error)
        sys.exit(EXIT_STATUS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
