"""What the catalogs have, as a list: for people and for programs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from appa_core.errors import AppaError, InputError
from appa_core.io import cds
from appa_core.io.sources import SourceSpec, open_source
from appa_core.steps.model_scores import ModelScores
from appa_core.steps.models import model_key, read_manifest, read_model_preset
from tasks.catalog import MODELS_CATALOG, STATES_CATALOG, catalog_folder, locate, resolve_source
from tasks.catalog_format import DATATYPES, About, Catalog, Cds, read_catalog, read_weights
from tasks.reach import Place, obstacle, probe


@dataclass(frozen=True)
class Listed:
    """An entry of a catalog.

    Args:
        catalog: Which catalog it is in.
        name: What to call it by.
        kind: zarr, netcdf, grib, cds, nature, csv, text, file, weights.
        about: What it holds.
        url: Where it is; empty if the user has to say, or if it is made on demand.
        parameters: What the user may give, or has to give where `url` is empty.
        reachable: Whether this machine can reach it; None if that is not known.
        note: Why it cannot, or what is missing.
        facts: What else is known, by name: of weights, their size, origin and scores.
    """

    catalog: str
    name: str
    kind: str
    about: About
    url: str = ""
    parameters: tuple[str, ...] = ()
    reachable: bool | None = None
    note: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def list_entries(
    folder: Path | None = None, *, check: bool = False, timeout_seconds: float = 5.0
) -> list[Listed]:
    """Everything in the catalogs.

    Args:
        folder: Where the catalogs are; those of the project if None.
        check: Ask the network as well; else only what this machine knows is said.
        timeout_seconds: How long to wait for all answers together.

    Raises:
        InputError: There is no catalog, or one says what no catalog may say.
    """
    folder = folder or catalog_folder()
    paths = sorted(folder.glob("*.yaml"), key=lambda p: (p.name != STATES_CATALOG, p.name))
    if not paths:
        raise InputError(f"there is no catalog in {folder}; expected {STATES_CATALOG} there")
    rows = [row for path in paths for row in _rows(path)]
    asked = [n for n, row in enumerate(rows) if row.reachable is None and _place(row).url]
    places = [_place(rows[n]) for n in asked]
    problems = probe(places, timeout_seconds) if check else [obstacle(p) for p in places]
    for n, place, problem in zip(asked, places, problems, strict=True):
        if problem or check or place.is_local:
            note = problem or rows[n].note
            rows[n] = replace(rows[n], reachable=not problem, note=note)
    return rows


def _rows(path: Path) -> Iterator[Listed]:
    if path.name == MODELS_CATALOG:
        for name, weights in read_weights(path).items():
            about = About(description=weights.description, licence=weights.licence)
            url = str(path.parent / weights.folder)
            yield _known_weights(Listed(path.stem, name, "weights", about, url))
        return
    catalog = read_catalog(path)
    for name in catalog.entries:
        yield _row(catalog, name, path)
    for name, about in catalog.metadata.on_demand.items():
        if isinstance(about, Cds):
            problem = cds.obstacle()
        else:
            is_here = importlib.util.find_spec("jcm") is not None
            problem = "" if is_here else "needs the simulator: pip install 'appa[simulate]'"
        # the CDS is still to be asked
        reachable = False if problem else (None if isinstance(about, Cds) else True)
        yield Listed(path.stem, name, about.kind, about, reachable=reachable, note=problem)


def _row(catalog: Catalog, name: str, path: Path) -> Listed:
    entry = catalog.entries[name]
    data = catalog.data[entry.data]
    url, _ = locate(catalog, name, {}, path.parent)
    parameters = tuple(data.user_parameters)
    row = Listed(path.stem, name, DATATYPES[data.datatype], entry.metadata, url, parameters)
    if not url:
        return replace(row, note=f"give {', '.join(f'{p}=...' for p in parameters)}")
    if path.name == STATES_CATALOG and Place(url).is_local and not entry.metadata.variables:
        return _measured(row, path.parent)
    return row


def _measured(row: Listed, folder: Path) -> Listed:
    """With what the data on this machine say of themselves."""
    try:
        spec = resolve_source(row.name, folder=folder)
        if not isinstance(spec, SourceSpec):
            return row
        with open_source(spec) as reader:
            times = reader.times
            hours = np.diff(times.values).min() / np.timedelta64(1, "h") if len(times) > 1 else 0
            found = {
                "start": times[0].date(),
                "end": times[-1].date(),
                "grid": " x ".join(map(str, reader.grid.shape[::-1])),
                "step_hours": int(hours) or None,
                "levels_hpa": reader.levels,
                "variables": reader.variables,
            }
    except AppaError as error:
        return replace(row, reachable=False, note=str(error))
    return replace(row, about=row.about.model_copy(update=found), reachable=True)


def _known_weights(row: Listed) -> Listed:
    """With what weights on this machine say of themselves: what they are for, and how good."""
    folder = Path(row.url)
    try:
        preset, manifest = read_model_preset(folder), read_manifest(folder)
        scores = ModelScores.read(folder)
    except AppaError as error:
        return replace(row, reachable=False, note=str(error))
    schema, split = preset.state.build(), preset.split
    found = {
        "grid": " x ".join(map(str, schema.grid.shape[::-1])),
        "step_hours": schema.step_hours,
        "levels_hpa": schema.levels,
        "variables": schema.variables,
    }
    counts = manifest.get("parameters", {})
    facts = {
        "key": model_key(manifest),
        "size": ", ".join(f"{Path(n).stem} {c / 1e6:.1f} M" for n, c in counts.items()),
        "trained_on": f"{manifest.get('trained_on', 'unknown')}, "
        f"{split.train_start} to before {split.validation_start}",
        "scores": scores.summary if scores else "",
    }
    return replace(row, about=row.about.model_copy(update=found), facts=facts)


def _place(row: Listed) -> Place:
    """What to ask for: the data, or else the publisher's page."""
    page = cds.API_URL if row.kind == "cds" else row.about.files_at
    return Place(row.url or page, is_zarr=row.kind == "zarr", is_page=not row.url)
