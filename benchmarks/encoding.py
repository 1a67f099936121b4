"""Speed of encoding: from store to store, on workers, against the network on data in memory."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from appa_core.config.build import build_autoencoder
from appa_core.config.presets import Preset
from appa_core.steps.coder import Coder, CoderReference, RegisteredCoder
from appa_core.steps.encode import EncodeJob, encode_unit, plan_encode
from appa_core.steps.ingest import IngestJob
from benchmarks.stores import ingest_all, seconds, write_source
from tasks.cluster import ClusterSettings, open_client, run_on

_BLOCK = 160


@dataclass(frozen=True)
class WideCoder:
    """The registered coder with a wider, untrained autoencoder: more arithmetic for each byte."""

    registered: RegisteredCoder
    hidden: int = 512
    blocks: int = 4

    @property
    def key(self) -> str:
        """Identity."""
        return f"{self.registered.key}-{self.hidden}-{self.blocks}"

    @property
    def preset(self) -> Preset:
        """The registered model's, with other sizes."""
        preset = self.registered.preset
        sizes = {"hidden_channels": self.hidden, "blocks": self.blocks}
        wide = preset.autoencoder.model_copy(update=sizes)
        return preset.model_copy(update={"autoencoder": wide})

    def load(self, device: str) -> Coder:
        """The networks."""
        return _wide(self, device)


@lru_cache
def _wide(reference: WideCoder, device: str) -> Coder:
    autoencoder = build_autoencoder(reference.preset).to(device).eval()
    return replace(reference.registered.load(device), autoencoder=autoencoder)


@dataclass(frozen=True)
class EncodingRates:
    """States a second.

    Args:
        alone: The network on data in memory, batch after batch, with all cores for each.
        side_by_side: The same with as many batches at a time as cores, a core for each.
        encode: From a store of states to one of latents, on as many workers as cores.
    """

    alone: float
    side_by_side: float
    encode: float


def measure_encoding(
    folder: Path, coder: CoderReference, states: int, rounds: int
) -> EncodingRates:
    """Rates of the network and of encoding, medians of rounds that take turns.

    Workers run already and have their networks: starting them takes some seconds, once.
    """
    store, cores = folder / "encode", os.cpu_count() or 1
    schema = coder.preset.state.build()
    shutil.rmtree(store, ignore_errors=True)
    source = write_source(store / "source.zarr", schema, states)
    block = min(_BLOCK, -(-states // (4 * cores)))
    cube = ingest_all(IngestJob(str(store), source, schema, block), states)
    times = cube.times()
    network = coder.load("cpu")
    memory = network.standardised(cube, times)
    with open_client(ClusterSettings(workers=cores)) as client:

        def encode() -> None:
            shutil.rmtree(store / "latents", ignore_errors=True)
            job = EncodeJob(str(store), cube.url, coder)
            units = plan_encode(job, times[0], times[-1] + pd.Timedelta(hours=1))
            run_on(client, encode_unit, units)

        calls: tuple[Callable[[], object], ...] = (
            lambda: network.encode(memory),
            lambda: _side_by_side(network, memory, cores),
            encode,
        )
        spent = [[seconds(call) for call in calls] for _ in range(rounds + 1)][1:]
    return EncodingRates(
        *(states / statistics.median(values) for values in zip(*spent, strict=True))
    )


def _side_by_side(network: Coder, memory: Tensor, cores: int) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # counts for threads that begin from now on
    try:
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(network.encode, torch.split(memory, network.batch)))
    finally:
        torch.set_num_threads(threads)
