"""Encoding a cube of states into a cube of latents, block by block, and what it loses."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
import pandas as pd
import torch

from appa_core.config.build import latent_shape
from appa_core.errors import InputError, IntegrityError
from appa_core.io.archives import is_cube
from appa_core.io.cube import Block, BlockRecord, Cube, CubeSpec, CubeVariable
from appa_core.io.store import ArtifactStore
from appa_core.steps.coder import CoderReference
from appa_core.steps.inputs import require_states
from appa_core.steps.latents import LATENT

#: Most states that are read and encoded at once, and how many such pieces are in work at a time.
_PIECE = 32
_LANES = 2


@dataclass(frozen=True)
class EncodeJob:
    """What is encoded with what.

    Args:
        store: URL of the artifact store.
        states: URL of the cube of states.
        coder: Which networks.
        device: Where they run.
    """

    store: str
    states: str
    coder: CoderReference
    device: str = "cpu"

    def cube(self) -> Cube:
        """The cube of these latents, made if it is not there."""
        return Cube.open(self.store, self.spec())

    def spec(self) -> CubeSpec:
        """Identity and layout of these latents."""
        states = Cube.load(self.states)
        channels, rows, columns = latent_shape(self.coder.preset)
        return CubeSpec(
            step="latents",
            version=1,
            config={},
            parents={"states": states.key, "coder": self.coder.key},
            step_hours=states.spec.step_hours,
            block_states=states.spec.block_states,
            coordinates={
                "channel": np.arange(channels),
                "row": np.arange(rows),
                "column": np.arange(columns),
            },
            variables=(CubeVariable(LATENT, ("channel", "row", "column"), {"units": "1"}),),
            dtype="float16",
        )


def encoded_states(job: EncodeJob) -> Cube:
    """The cube of latents that a job makes.

    Raises:
        InputError: Nothing has been encoded.
    """
    spec = job.spec()
    url = f"{ArtifactStore(job.store).url}/{spec.step}/{spec.key}"
    if not is_cube(url):
        raise InputError(
            f"{job.store} holds no latents of {job.states} by {job.coder.key}; encode them first: "
            "python -m flows.encode"
        )
    return Cube.load(url)


@dataclass(frozen=True)
class EncodeUnit:
    """One block to encode.

    Args:
        job: With what.
        block: Which block.
        reason: Why it must be done.
    """

    job: EncodeJob
    block: Block
    reason: str

    def __str__(self) -> str:
        return f"{self.block.name} ({self.reason})"


def plan_encode(
    job: EncodeJob, start: pd.Timestamp, end: pd.Timestamp, *, verify: bool = True
) -> list[EncodeUnit]:
    """Blocks of [start, end) whose latents are absent, damaged, or of other states.

    Raises:
        InputError: States of the period are absent.
    """
    states, latents = Cube.load(job.states), job.cube()
    require_states(states, start, end)
    units = []
    for block in states.blocks(start, end):
        record = latents.record(block)
        if record is None:
            reason: str | None = "new"
        elif record.provenance.get("states") != _source(states, block).digest:
            reason = "changed"
        else:
            reason = latents.check(block) if verify else None
        if reason:
            units.append(EncodeUnit(job, block, reason))
    return units


def _source(states: Cube, block: Block) -> BlockRecord:
    record = states.record(block)
    if record is None:
        raise IntegrityError(f"{states.url} lost block {block.name}; ingest its period again")
    return record


def _times(states: Cube, block: Block) -> pd.DatetimeIndex:
    """Times of a block that hold states."""
    record, times = _source(states, block), states.times_of(block)
    return times[(times >= record.first) & (times <= record.last)]


def encode_unit(unit: EncodeUnit) -> BlockRecord:
    """Encode the states of one block and commit their latents."""
    job = unit.job
    states, latents = Cube.load(job.states), job.cube()
    coder = job.coder.load(job.device)
    latents.begin(unit.block)
    times = _times(states, unit.block)
    count = _LANES * -(-len(times) // (_LANES * _PIECE))  # the same work for each lane
    parts = [part for part in np.array_split(np.arange(len(times)), count) if part.size]
    piece = (len(parts[0]), len(coder.schema.channels), *coder.schema.grid.shape)
    # as many as lanes, used again and again: new memory would have to be mapped page by page
    buffers: SimpleQueue[np.ndarray] = SimpleQueue()
    for _ in range(_LANES):
        buffers.put(np.empty(piece, np.float32))
    shape = latents.spec.shape(latents.spec.variables[0])
    values = torch.empty((len(times), *shape), dtype=torch.float16)

    def encode(part: np.ndarray) -> None:
        buffer = buffers.get()
        try:
            standard = coder.standardised(states, times[part], buffer[: part.size], threads=1)
            values[part[0] : part[-1] + 1] = coder.encode(standard)
        finally:
            buffers.put(buffer)

    with _lanes() as lanes:
        list(lanes.map(encode, parts))
    provenance = {"states": _source(states, unit.block).digest}
    return latents.commit(unit.block, {LATENT: values.numpy()}, provenance, times=times)


@contextmanager
def _lanes() -> Iterator[ThreadPoolExecutor]:
    """Threads that share the cores: while one reads states, another has the network at work."""
    cores = torch.get_num_threads()
    torch.set_num_threads(max(1, cores // _LANES))  # counts for threads that begin from now on
    try:
        with ThreadPoolExecutor(_LANES) as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)


@dataclass(frozen=True)
class ChannelErrors:
    """Squared errors of decoded states, sums over states by channel.

    Args:
        squares: Area-weighted, in standard deviations, (C,).
        states: How many states.
    """

    squares: np.ndarray
    states: int


def reconstruction_errors(unit: EncodeUnit) -> ChannelErrors:
    """Errors of the states of a block, decoded from their latents."""
    job = unit.job
    states, latents = Cube.load(job.states), job.cube()
    coder = job.coder.load(job.device)
    times = _times(states, unit.block)
    latent = torch.from_numpy(latents.read(times)[LATENT].values).float()
    error = coder.decode(latent) - coder.standardised(states, times)
    by_row = error.double().square().mean(dim=3).sum(dim=0).numpy()
    return ChannelErrors((by_row * coder.schema.grid.area_weights).mean(axis=1), len(times))


def reconstruction_table(job: EncodeJob, errors: list[ChannelErrors]) -> pd.DataFrame:
    """RMSE by channel, in standard deviations of the weather and in physical units."""
    coder = job.coder.load(job.device)
    states = sum(e.states for e in errors)
    rmse = np.sqrt(np.sum([e.squares for e in errors], axis=0) / states)
    return pd.DataFrame(
        {
            "channel": coder.schema.names,
            "rmse_std": rmse,
            "rmse": rmse * coder.normalisation.std,
            "units": [c.units for c in coder.schema.channels],
        }
    )
