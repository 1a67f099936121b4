"""Ingestion: states of any source, harmonised and validated, block by block into a cube."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from appa_core.config.presets import Preset
from appa_core.errors import AbsentError, DataError, InputError
from appa_core.io.archives import is_cube
from appa_core.io.cube import Block, BlockRecord, Cube, CubeSpec, CubeVariable
from appa_core.io.secrets import redacted
from appa_core.io.sources import SourceReader, SourceSpec, open_source
from appa_core.io.store import ArtifactStore
from appa_core.schema import MASKED, VARIABLES, StateSchema

STATES = "states"


@dataclass(frozen=True)
class IngestJob:
    """What is brought from where.

    Args:
        store: URL of the artifact store.
        source: Where states are read.
        schema: Fields, grid and step that they are brought to.
        block_states: States of a block: a unit of work, and a shard.
    """

    store: str
    source: SourceSpec
    schema: StateSchema
    block_states: int

    def cube(self) -> Cube:
        """The cube of these states, made if it is not there."""
        return Cube.open(self.store, states_spec(self.source.name, self.schema, self.block_states))


def states_spec(source: str, schema: StateSchema, block_states: int) -> CubeSpec:
    """Identity and layout of the cube of a source's states.

    Args:
        source: Name of the source; what its states are read from may move and grow.
        schema: Fields, grid and step.
        block_states: States of a block.
    """
    upper = {c.variable for c in schema.channels if c.level is not None}
    plane = ("latitude", "longitude")
    variables = tuple(
        CubeVariable(
            name,
            ("level", *plane) if name in upper else plane,
            {"units": VARIABLES[name][0], "standard_name": VARIABLES[name][1]},
            may_be_missing=name in MASKED,
        )
        for name in schema.variables
    )
    coordinates = {
        "latitude": np.asarray(schema.grid.latitudes),
        "longitude": np.asarray(schema.grid.longitudes),
    }
    if upper:
        coordinates["level"] = np.asarray(schema.levels, np.int64)
    return CubeSpec(
        step=STATES,
        version=1,
        config={"source": redacted(source), "schema": schema.fingerprint},
        parents={},
        step_hours=schema.step_hours,
        block_states=block_states,
        coordinates=coordinates,
        variables=variables,
    )


def ingested_states(store: str, source: str, preset: Preset) -> Cube:
    """The cube of a source's states on a preset's terms.

    Raises:
        InputError: They have not been ingested.
    """
    spec = states_spec(source, preset.state.build(), preset.data.block_states)
    url = f"{ArtifactStore(store).url}/{spec.step}/{spec.key}"
    if not is_cube(url):
        raise InputError(
            f"{store} holds no states of source {source} for preset {preset.name}; ingest them "
            f"first: python -m flows.ingest --source {source} --preset {preset.name} --end END"
        )
    return Cube.load(url)


def held_period(cube: Cube) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First time of the states that a cube holds, and the time before which they end.

    Raises:
        InputError: It holds none.
    """
    times = cube.times()
    if not len(times):
        raise InputError(f"{cube.url} holds no states; ingest some (python -m flows.ingest)")
    return times[0], times[-1] + pd.Timedelta(hours=cube.spec.step_hours)


@dataclass(frozen=True)
class IngestUnit:
    """One block to read, and why.

    Args:
        job: From where to where.
        block: Which block.
        start: First time.
        end: Time before which the states end.
        reason: `new`, `extended`, `final` (it was preliminary), `changed` (its source did), or
            what is wrong with the block that is there.
        run: Which call of `plan_ingest` it is from.
    """

    job: IngestJob
    block: Block
    start: pd.Timestamp
    end: pd.Timestamp
    reason: str
    run: str

    def __str__(self) -> str:
        return f"{self.block.name} ({self.start:%Y-%m-%d}, {self.reason})"


@lru_cache(maxsize=4)
def _opened(source: SourceSpec, run: str) -> SourceReader:  # noqa: ARG001
    """A source that stays open for the blocks of a run.

    A later run in the same process opens it anew: meanwhile it may have grown.
    """
    return open_source(source)


def plan_ingest(
    job: IngestJob, start: pd.Timestamp, end: pd.Timestamp, *, verify: bool = True
) -> list[IngestUnit]:
    """Blocks of [start, end) that must be read.

    Args:
        job: From where to where.
        start: First time wanted.
        end: Time before which the states end.
        verify: Compare the checksums of blocks that are there.

    Raises:
        InputError: The period is empty.
        AbsentError: The source does not cover it.
    """
    if not start < end:
        raise InputError(f"expected a start before the end, got {start} and {end}")
    cube, run = job.cube(), uuid.uuid4().hex
    reader = _opened(job.source, run)
    units, blocks = [], cube.blocks(start, end)
    # damaged metadata would make every block of their year look damaged
    cube.prepare([block for block in blocks if cube.record(block) is not None])
    for block in blocks:
        times = cube.times_of(block)
        wanted = times[(times >= start) & (times < end)]
        found = _task(job, cube, block, wanted, reader, verify=verify)
        if found is not None:
            units.append(IngestUnit(job, block, *found, run))
    _require(reader, units, job)
    return units


def _task(
    job: IngestJob,
    cube: Cube,
    block: Block,
    wanted: pd.DatetimeIndex,
    reader: SourceReader,
    *,
    verify: bool,
) -> tuple[pd.Timestamp, pd.Timestamp, str] | None:
    """Start, end and reason of what must be done for a block, if anything."""
    record = cube.record(block)
    step = pd.Timedelta(hours=job.schema.step_hours)
    first, last = wanted[0], wanted[-1]
    if record is None:
        return first, last + step, "new"
    whole = min(first, record.first), max(last, record.last) + step
    if (whole[0], whole[1] - step) != (record.first, record.last):
        return *whole, "extended"
    final = reader.final_until
    if record.preliminary and (final is None or record.last <= final):
        return *whole, "final"
    held = pd.DatetimeIndex(record.times(job.schema.step_hours))
    fingerprint = reader.fingerprint(job.schema, held)
    # a source that has these times no more says nothing about them
    if fingerprint and fingerprint != record.provenance.get("source_fingerprint"):
        return *whole, "changed"
    damage = cube.check(block) if verify else None
    return None if damage is None else (*whole, damage)


def _require(reader: SourceReader, units: Sequence[IngestUnit], job: IngestJob) -> None:
    """Refuse a period that the source does not cover, before anything is written."""
    if not units:
        return
    held, step = reader.available(job.schema), f"{job.schema.step_hours}h"
    for unit in units:
        times = pd.date_range(unit.start, unit.end, freq=step, inclusive="left")
        absent = times[~times.isin(held)]
        if len(absent):
            raise AbsentError(
                f"source {job.source.name} has no state at {absent[0]:%Y-%m-%dT%H:%M} "
                f"({len(absent)} of {len(times)} states of block {unit.block.name}); "
                f"{_span(held)}; choose a period within it with --start and --end"
            )


def _span(times: pd.DatetimeIndex) -> str:
    if not len(times):
        return "no time has all that the preset needs"
    return f"it holds {times[0]:%Y-%m-%dT%H:%M} to {times[-1]:%Y-%m-%dT%H:%M}"


def ingest_unit(unit: IngestUnit) -> BlockRecord:
    """Read, harmonise, validate and commit one block.

    Raises:
        DataError: The states do not have the content that they should; nothing is committed.
    """
    job = unit.job
    cube, reader = job.cube(), _opened(job.source, unit.run)
    times = pd.date_range(unit.start, unit.end, freq=f"{job.schema.step_hours}h", inclusive="left")
    cube.begin(unit.block)
    states = reader.read(job.schema, times)
    if [str(v) for v in states.data_vars] != list(job.schema.variables):
        raise DataError(
            f"source {job.source.name} gave {list(states.data_vars)}, expected "
            f"{list(job.schema.variables)}"
        )
    final = reader.final_until
    return cube.commit(
        unit.block,
        states,
        {
            "source": job.source.name,
            "source_fingerprint": reader.fingerprint(job.schema, times),
            "notice": str(reader.attributes.get("source", "")),
        },
        preliminary=final is not None and bool(times[-1] > final),
    )
