"""The sample that ships: a stretch of the nature run, packed small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from zarr.codecs import BloscCodec

from appa_core.errors import InputError, IntegrityError
from appa_core.io.datasets import StateArchive, write_zarr
from appa_core.io.hashing import file_sha256, tree_checksums, tree_digest
from appa_core.io.names import require_inside
from appa_core.io.places import require_replaceable
from appa_core.io.store import MANIFEST, Artifact, write_atomically
from appa_core.steps.simulate import STATES

#: Smallest difference that the sample keeps, by variable, in SI units: about a hundredth of
#: the spread of the weather at the level where it varies least.
QUANTA = {
    "temperature": 0.02,
    "u_component_of_wind": 0.04,
    "v_component_of_wind": 0.04,
    "geopotential": 4.0,
    "specific_humidity": 5e-7,
    "2m_temperature": 0.02,
    "10m_u_component_of_wind": 0.04,
    "10m_v_component_of_wind": 0.04,
    "mean_sea_level_pressure": 4.0,
    "total_precipitation_6hr": 5e-6,
}
_STATES_PER_CHUNK = 31


def pack_sample(
    folder: Path, chunks: Sequence[Artifact], start: pd.Timestamp, end: pd.Timestamp
) -> None:
    """Write the states of [start, end) as 16-bit integers, with a manifest of checksums."""
    archive = StateArchive([chunk.locate(STATES) for chunk in chunks])
    times = archive.times[(archive.times >= start) & (archive.times < end)]
    dataset = archive.read(times)
    codec = BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle")
    encoding: dict[str, Any] = {}
    for name in dataset.data_vars:
        array = dataset[name]
        settings: dict[str, Any] = {"compressors": (codec,)}
        if "time" in array.dims:
            settings["chunks"] = (_STATES_PER_CHUNK, *array.shape[1:])
        if name in QUANTA:
            middle = float((array.max() + array.min()) / 2)
            settings |= {
                "dtype": "int16",
                "scale_factor": np.float32(QUANTA[str(name)]),
                "add_offset": np.float32(middle),
                "_FillValue": -32768,
            }
            if float(array.max() - array.min()) / QUANTA[str(name)] > 65000:
                raise InputError(f"{name} spans too much for 16 bits at {QUANTA[str(name)]}")
        encoding[str(name)] = settings
    require_replaceable(folder, "--pack", "packed sample", frozenset({"made_from", "span"}))
    scratch = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    write_zarr(dataset, scratch / "states.zarr", encoding)
    checksums = tree_checksums(scratch)
    manifest = {
        "files": checksums,
        "digest": tree_digest(checksums),
        "made_from": {"step": "simulate", "last_chunk": chunks[-1].key},
        "span": [str(start), str(end)],
    }
    write_atomically(scratch / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


def verify_sample(folder: Path) -> Mapping[str, Any]:
    """The manifest of a packed sample, after comparing every file with its checksum.

    Raises:
        IntegrityError: A file is missing or damaged.
    """
    place = folder / MANIFEST
    try:
        manifest: Mapping[str, Any] = json.loads(place.read_text("utf-8"))
        files = dict(manifest["files"])
        _ = str(manifest["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{place} is damaged ({error}); restore it") from error
    for name, expected in files.items():
        path = folder / require_inside(name, str(place))
        if not path.is_file() or file_sha256(path) != expected:
            state = "damaged" if path.is_file() else "missing"
            raise IntegrityError(f"{path} is {state}; restore it from the distribution")
    return manifest
