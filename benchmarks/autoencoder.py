"""Reconstruction error on the test period, against patch PCA at the same compression.

`python -m benchmarks.autoencoder --model small` needs the nature run in the store
(`python -m flows.ingest --preset small`). Errors are area-weighted RMSE in units of the standard
deviation of departures from climatology over the training period: the weather, not the contrast
between equator and pole.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from appa_core.climatology import Normalisation
from appa_core.config.build import compression
from appa_core.config.presets import Preset
from appa_core.steps.ingest import ingested_states
from appa_core.steps.inputs import require_states
from appa_core.steps.models import load_model
from appa_core.steps.simulate import NATURE
from benchmarks.shown import show
from benchmarks.tables import MeasuredTable, changed_options, today
from flows.cli import store_default
from tasks.catalog import model_folder

HEADLINE = ("Z500", "T850", "U850", "T2m", "U10", "Q850", "TP6h")
_PATCH = 8


def standardised(
    preset: Preset, normalisation: Normalisation, store: str, start: str, end: str, every: int
) -> Tensor:
    """Standardised states of a period, (T, C, H, W)."""
    cube = ingested_states(store, NATURE, preset)
    require_states(cube, pd.Timestamp(start), pd.Timestamp(end))
    step = f"{preset.state.step_hours}h"
    times = pd.date_range(start, end, freq=step, inclusive="left")[::every]
    parts = []
    for low in range(0, len(times), 100):
        some = times[low : low + 100]
        states = preset.state.build().stack(cube.read(some))
        parts.append(normalisation.standardise(states, some.values).astype(np.float32))
    return torch.from_numpy(np.concatenate(parts))


def patch_pca(training: Tensor, test: Tensor, kept: int) -> Tensor:
    """Reconstruction from the leading principal components of 8 x 8 patches."""
    flat = F.pixel_unshuffle(training, _PATCH).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = flat.mean(0)
    _, vectors = torch.linalg.eigh((flat - mean).mT @ (flat - mean) / len(flat))
    basis = vectors[:, -kept:]
    patches = F.pixel_unshuffle(test, _PATCH).permute(0, 2, 3, 1).double()
    back = (patches - mean) @ basis @ basis.mT + mean
    return F.pixel_shuffle(back.permute(0, 3, 1, 2), _PATCH).float()


def main() -> None:
    """Parse, run, print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--store", default=store_default())
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="such as docs/scores")
    arguments = parser.parse_args()
    model = load_model(model_folder(arguments.model))
    preset, schema = model.preset, model.preset.state.build()
    split, end = preset.split, str(preset.simulated().end)

    def states(start: str, stop: str, every: int) -> Tensor:
        normalisation = model.normalisation
        return standardised(preset, normalisation, arguments.store, start, stop, every)

    test = states(str(split.test_start), end, 7)
    training = states(str(split.train_start), str(split.validation_start), 11)
    ratio = compression(preset)
    kept = int(len(schema.channels) * _PATCH**2 / ratio)
    area = torch.from_numpy(schema.grid.area_weights).float()[:, None]
    errors = {}
    with torch.no_grad():
        ours = torch.cat([model.decode(model.encode(x)) for x in torch.split(test, 50)])
    for name, back in (("autoencoder", ours), ("patch PCA", patch_pca(training, test, kept))):
        mean_square = ((back - test).square() * area).mean(dim=(0, 2, 3))
        errors[name] = dict(
            zip((c.short for c in schema.channels), mean_square.sqrt().tolist(), strict=True)
        )
    rows = [
        {"codec": name, "mean": np.mean(list(by_channel.values()))}
        | {label: by_channel[label] for label in HEADLINE}
        for name, by_channel in errors.items()
    ]
    about = {
        "command": "python -m benchmarks.autoencoder"
        + changed_options(parser, arguments, ["model"]),
        "date": today(),
        "weights": model.key,
        "seed": str(model.manifest["parts"]["autoencoder"]["seed"]),
        "states": f"{len(test)} from {split.test_start}",
        "compression": f"{ratio:.2f}",
        "channels": str(len(schema.channels)),
    }
    table = MeasuredTable(about, pd.DataFrame(rows))
    sys.stdout.write(f"{table.caption}\n\n{show('autoencoder', table.rows)}\n")
    if arguments.write_tables:
        table.write(arguments.write_tables / "autoencoder.csv")


if __name__ == "__main__":
    main()
