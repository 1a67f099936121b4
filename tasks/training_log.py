"""Showing a training as it goes: a progress bar, and files that TensorBoard reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tensorboardX import SummaryWriter
from tqdm import tqdm

from appa_core.steps.training import Observer, Progress


@contextmanager
def shown(label: str, folder: Path) -> Iterator[Observer]:
    """What shows the progress of a training, for as long as the context lasts.

    Args:
        label: What is trained.
        folder: Where event files go. A training that is continued adds a file; TensorBoard then
            drops what the earlier one has beyond the checkpoint.
    """
    shows: list[_Show] = []

    def show(progress: Progress) -> None:
        if not shows:
            shows.append(_Show(label, folder, progress))
        shows[0].add(progress)

    try:
        yield show
    finally:
        for each in shows:
            each.close()


class _Show:
    def __init__(self, label: str, folder: Path, first: Progress) -> None:
        done = first.iteration - 1
        self._bar = tqdm(total=first.total, initial=done, desc=label, unit="it", mininterval=2)
        start = first.iteration
        # event files of one second would have one name
        self._writer = SummaryWriter(str(folder), purge_step=start, filename_suffix=f".{start}")

    def add(self, p: Progress) -> None:
        self._bar.update()
        scores = {k: f"{v:.4f}" for k, v in p.scores.items()}
        rate = f"{p.samples_per_second:.3g}"
        shown = {"loss": f"{p.loss:.4f}", "samples/s": rate, **scores}
        self._bar.set_postfix(shown, refresh=bool(scores))
        _write(self._writer, p)

    def close(self) -> None:
        self._bar.close()
        self._writer.close()


def _write(writer: SummaryWriter, p: Progress) -> None:
    values = {
        "loss": p.loss,
        "gradient_norm": p.norm,
        "rate_share": p.rate,
        "samples_per_second": p.samples_per_second,
    }
    for name, value in values.items():
        writer.add_scalar(f"train/{name}", value, p.iteration)
    for name, value in p.scores.items():
        writer.add_scalar(f"validation/{name}", value, p.iteration)
