"""Whether what a step reads is all there, and fits its preset and the rest that it reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from appa_core.config.build import latent_shape
from appa_core.config.presets import Preset
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import Artifact
from appa_core.schema import StateSchema


def require_states(cube: Cube, start: pd.Timestamp, end: pd.Timestamp) -> None:
    """Raise InputError if any state of [start, end) is absent."""
    gaps = cube.gaps(start, end)
    if gaps:
        first = f"{gaps[0][0]:%Y-%m-%dT%H:%M} to {gaps[0][1]:%Y-%m-%dT%H:%M}"
        raise InputError(
            f"{cube.url} lacks states of {start:%Y-%m-%d} to {end:%Y-%m-%d}: {len(gaps)} gaps, "
            f"the first from {first}; ingest that period first (python -m flows.ingest)"
        )


def require_schema(cube: Cube, preset: Preset) -> None:
    """Raise InputError if a cube of states has other fields, grid or step than a preset."""
    schema = preset.state.build()
    if cube.spec.config.get("schema") != schema.fingerprint:
        differences = "; ".join(_differences(cube, schema)) or "order or thresholds of channels"
        raise InputError(
            f"preset {preset.name} does not fit the states in {cube.url}: {differences}. Ingest "
            f"them for this preset (python -m flows.ingest --preset {preset.name}), or take the "
            "preset that they were ingested for"
        )


def require_own_statistics(statistics: Artifact, preset: Preset) -> None:
    """Raise InputError if a normalisation was fitted to other channels than a preset has."""
    fitted, names = set(statistics.summary["std"]), set(preset.state.build().names)
    if fitted != names:
        raise InputError(
            f"the normalisation {statistics.key} does not fit preset {preset.name}: it lacks "
            f"{sorted(names - fitted) or 'nothing'} and has {sorted(fitted - names) or 'nothing'} "
            f"more; fit it first (python -m flows.normalize --preset {preset.name})"
        )


def require_latents(
    cube: Cube,
    statistics: Artifact,
    preset: Preset,
    period: tuple[pd.Timestamp, pd.Timestamp],
    coder: str | None = None,
) -> None:
    """Raise InputError if latents are not a preset's, of another autoencoder, or not the fitted.

    Args:
        cube: Latents.
        statistics: What `fit_latent_statistics` gave.
        preset: Sizes of the networks.
        period: The training period, which the statistics are of.
        coder: Key of the autoencoder that they must be of; None: any.
    """
    expected, found = latent_shape(preset), cube.spec.shape(cube.spec.variables[0])
    if found != expected:
        raise InputError(
            f"preset {preset.name} does not fit the latents in {cube.url}: expected (channels, "
            f"rows, columns) {expected}, found {found}; they are of another autoencoder: encode "
            f"the states with this one (python -m flows.encode --preset {preset.name})"
        )
    encoded_by = cube.spec.parents.get("coder")
    if coder is not None and encoded_by != coder:
        raise InputError(
            f"the latents in {cube.url} are of another autoencoder: expected {coder}, found "
            f"{encoded_by}; encode the states with this one (python -m flows.encode --preset "
            f"{preset.name})"
        )
    made_from = statistics.manifest["parents"].get("latents")
    if made_from != (digest := cube.digest(*period)):
        raise InputError(
            f"the latents in {cube.url}, encoded by {encoded_by}, have digest {digest} over the "
            f"training period; their statistics {statistics.key} are of {made_from}: of another "
            "autoencoder, or of before latents were added or replaced; "
            "fit the statistics to these latents"
        )


def _differences(cube: Cube, schema: StateSchema) -> Iterator[str]:
    spec = cube.spec
    found, expected = {v.name for v in spec.variables}, set(schema.variables)
    if missing := sorted(expected - found):
        yield f"missing fields {', '.join(missing)}"
    if surplus := sorted(found - expected):
        yield f"fields that it does not know {', '.join(surplus)}"
    levels = tuple(int(x) for x in spec.coordinates.get("level", ()))
    if levels != schema.levels:
        yield f"expected levels {list(schema.levels)} hPa, found {list(levels)}"
    for name in ("latitude", "longitude"):
        here, there = (
            np.asarray(x) for x in (getattr(schema.grid, f"{name}s"), spec.coordinates[name])
        )
        if here.shape != there.shape or not np.allclose(here, there):
            yield (
                f"expected {len(here)} {name}s from {here[0]:g} to {here[-1]:g}, found "
                f"{len(there)} from {there[0]:g} to {there[-1]:g}"
            )
    if spec.step_hours != schema.step_hours:
        yield f"expected a state every {schema.step_hours} h, found every {spec.step_hours} h"
