"""Prefect artifacts of a training: loss curve, maps of samples, spectra against the truth."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import httpx
import numpy as np
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from appa_core.config.build import tells_known
from appa_core.config.presets import Preset
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.report.figures import embedded, loss_curve, maps, spectra
from appa_core.report.units import display_of
from appa_core.steps import diagnose
from appa_core.steps.coder import TrainedCoder
from appa_core.steps.training import Progress

_log = logging.getLogger(__name__)


def training_page(diagnosis: diagnose.Diagnosis, losses: np.ndarray, heading: str) -> str:
    """Loss curve, maps and spectra as Markdown that carries its images."""
    names = [c.short for c in diagnosis.channels]
    displays = [display_of(c.units) for c in diagnosis.channels]
    figures = {
        f"Loss of {heading}": loss_curve(losses, heading),
        f"{diagnosis.title} and truth": maps(
            diagnosis.made[0], diagnosis.truth[0], names, displays
        ),
        f"Spectra of {diagnosis.title.lower()} and of the truth": spectra(
            diagnosis.made_power, diagnosis.truth_power, names, diagnosis.title.lower()
        ),
    }
    parts = [f"## {title}\n\n{embedded(figure, title)}" for title, figure in figures.items()]
    return "\n\n".join([f"# {heading}", *parts])


class LiveCurve:
    """Keeps the Prefect artifact of a training up to date while it runs: curve and scores.

    Args:
        heading: What is trained.
        seconds: Least time from one update to the next, which come with validations.
    """

    def __init__(self, heading: str, seconds: float = 60.0) -> None:
        self._heading, self._seconds = heading, seconds
        self._losses: list[float] = []
        self._updated = -math.inf

    def __call__(self, p: Progress) -> None:
        """Take note of an iteration; the curve starts with the first that is told."""
        self._losses.append(p.loss)
        if p.scores and time.monotonic() - self._updated >= self._seconds:
            try:
                _create(self._page(p), self._heading)
            except (OSError, httpx.HTTPError, PrefectException) as error:
                _log.warning("the curve of the %s is not shown: %s", self._heading, error)
            self._updated = time.monotonic()

    def _page(self, p: Progress) -> str:
        first = p.iteration + 1 - len(self._losses)
        figure = loss_curve(np.asarray(self._losses), self._heading, first)
        rows = [f"| {name} | {score:.4f} |" for name, score in p.scores.items()]
        state = f"{p.iteration} of {p.total} iterations, {p.samples_per_second:.3g} samples/s"
        table = "\n".join(["| validation | |", "|---|---|", *rows])
        return f"# {self._heading}\n\n{state}\n\n{table}\n\n{embedded(figure, 'Loss')}"


@task(cache_policy=NO_CACHE)
def show_autoencoder(coder: TrainedCoder, states: str) -> None:
    """Show how a trained autoencoder learned, and what it makes of held-out states."""
    preset = coder.preset
    seen = diagnose.diagnose_autoencoder(preset, coder.load("cpu"), Cube.load(states))
    _publish(f"autoencoder of {preset.name}", seen, coder.autoencoder)


@task(cache_policy=NO_CACHE)
def show_denoiser(store: str, folder: str, preset: Preset, states: str, trained: Artifact) -> None:
    """Show how a trained denoiser learned, and what it draws from held-out states.

    A network that is not told of known states draws nothing from them: its curve is all.
    """
    heading = f"denoiser of {preset.name}"
    if not tells_known(preset):
        figure = loss_curve(diagnose.losses(trained), heading)
        _create(f"# {heading}\n\n{embedded(figure, heading)}", heading)
        return
    seen = diagnose.diagnose_denoiser(
        ArtifactStore(store), Path(folder), preset, Cube.load(states)
    )
    _publish(heading, seen, trained)


def _publish(heading: str, seen: diagnose.Diagnosis, trained: Artifact) -> None:
    _create(training_page(seen, diagnose.losses(trained), heading), heading)


def _create(page: str, heading: str) -> None:
    key = "training-" + "".join(c if c.isalnum() else "-" for c in heading.lower())
    create_markdown_artifact(page, key=key, description=f"Training of the {heading}")
