"""Thresholds of events: values, or percentiles of the true states by cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from appa_core.config.evaluation import EventSpec
from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import load_tensors, save_tensors
from appa_core.metrics.events import Event
from appa_core.steps.evaluated import Evaluated
from appa_core.steps.step import run_step

_STATES = 120
_PIECE = 4  # a source may read all levels to give one
_FILE = "threshold.safetensors"


def fit_thresholds(of: Evaluated) -> None:
    """Find the thresholds of events that are percentiles, before units need them."""
    for event in of.request.event_specs:
        if event.of_climatology and event.channel in of.fields().channels and of.known:
            _threshold(of, event)


def _threshold_recipe(of: Evaluated, event: EventSpec) -> tuple[Recipe, pd.DatetimeIndex]:
    assert of.truth is not None
    every = of.truth.open().times
    picks = np.unique(np.linspace(0, len(every) - 1, min(len(every), _STATES)).astype(int))
    times, grid = every[picks], of.fields().grid
    config = {
        "event": event.hashed(),
        "times": [str(times[0]), str(times[-1]), len(times)],
        "cells": [
            [round(float(x), 6) for x in axis] for axis in (grid.latitudes, grid.longitudes)
        ],
    }
    return Recipe("evaluation-threshold", 1, config, {"truth": of.truth.identity(times)}), times


def threshold_key(of: Evaluated, event: EventSpec) -> str:
    """Identity of a threshold that was fitted; empty for values."""
    return _threshold_recipe(of, event)[0].key if event.of_climatology else ""


def _threshold(of: Evaluated, event: EventSpec) -> Artifact:
    """Percentile of the true states by cell, over states evenly spread over all that are known."""
    recipe, times = _threshold_recipe(of, event)

    def build(folder: Path) -> Mapping[str, Any]:
        truth, level = of.truth_fields(), [event.level]
        pieces = [times[low : low + _PIECE] for low in range(0, len(times), _PIECE)]
        parts = [truth.read(event.variable, level, part)[:, 0] for part in pieces]
        states = np.concatenate(parts)
        value = np.quantile(states, event.threshold / 100, axis=0).astype(np.float32)
        save_tensors(folder / _FILE, {"value": torch.from_numpy(value)})
        return {"states": len(times)}

    return run_step(ArtifactStore(of.store), recipe, build)


def event_of(of: Evaluated, spec: EventSpec) -> Event:
    """An event with its threshold."""
    if not spec.of_climatology:
        return Event(spec.name, np.asarray(spec.threshold), spec.is_above)
    with _threshold(of, spec).verify().local() as folder:
        value = load_tensors(folder / _FILE)["value"].numpy()
    return Event(spec.name, value, spec.is_above)
