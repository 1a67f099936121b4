"""Costs of presets in words: a table of one, and the costed recipes of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pandas as pd

from appa_core.config.build import compression, latent_shape
from appa_core.config.networks import AutoencoderConfig, DenoiserConfig
from appa_core.config.presets import Preset, load_preset, preset_names
from appa_core.steps.footprint import Footprint, NetworkFootprint, measure_footprint

_Name = Literal["autoencoder", "denoiser"]
_GPU = "H100 (80 GiB, 990 TFLOP/s dense in bfloat16)"
_GPU_FLOPS, _GPU_BYTES = 990e12, 80 << 30
_UTILISATION = 0.4
_GPUS, _FEW = 8, 4
_NAMES: tuple[_Name, ...] = ("autoencoder", "denoiser")
_SOURCES = {
    "tiny": "sample",
    "small": "nature",
    "era5-5.625deg": "era5-wb2-64x32",
    "era5-1.5deg": "era5-wb2-240x121",
    "appa-565m": "era5-arco",
    "appa-1.5b": "era5-arco",
}


def describe(
    preset: Preset,
    *,
    memory: int,
    processes: int,
    sharding: Literal["ddp", "fsdp"],
    micro_batch: int,
    recompute: bool,
) -> str:
    """Costs of a preset's networks on so many GPUs of so much memory, as text."""
    footprint = measure_footprint(preset, recompute=recompute)
    c, h, w = footprint.latent_shape
    title = (
        f"preset {preset.name}: latents {c} x {h} x {w}, compression {compression(preset):.1f}, "
        f"{footprint.tokens} tokens a blanket of {preset.denoiser.states} states"
    )
    lines = [title]
    parts = (("autoencoder", footprint.autoencoder), ("denoiser", footprint.denoiser))
    for name, network in parts:
        lines += ["", f"{name}: {network.parameters:,} parameters"]
        lines += [f"  {what}: {_flops(n)}" for what, n in network.flops.items()]
        lines.append(f"  train on one sample: {_flops(network.training_flops)}")
        held = network.fixed(processes, sharding)
        held["activations"] = micro_batch * network.activations
        lines += [f"  memory, {what}: {_bytes(n)}" for what, n in held.items()]
        total = sum(held.values())
        lines.append(f"  memory of a GPU: {_bytes(total)} of {_bytes(memory)}")
        largest = network.largest_micro_batch(memory, processes, sharding)
        lines.append(
            f"  largest micro-batch: {largest}"
            if largest
            else "  does not fit: use --recompute, or --sharding fsdp with more GPUs"
        )
    return "\n".join(lines)


def recipes() -> str:
    """Costs of all presets as Markdown, with the commands that train them."""
    head = (
        "# Recipes\n\n"
        "Made by `python -m flows.size --recipes > docs/recipes.md`: computed from the networks "
        "and the presets, not measured. An assumption turns operations into hours: one "
        f"{_GPU} at {_UTILISATION:.0%} of its peak. Workspaces of kernels and fragmentation of "
        "memory come on top. `flows.train denoiser` encodes the states before it trains.\n"
    )
    return head + "\n".join(_recipe(load_preset(name)) for name in preset_names())


def _recipe(preset: Preset) -> str:
    costs = _Costs(preset)
    split = preset.split
    step = pd.Timedelta(hours=preset.state.step_hours)
    count = (pd.Timestamp(split.test_start) - pd.Timestamp(split.train_start)) // step
    values = len(preset.state.build().channels) * preset.state.latitudes * preset.state.longitudes
    c, h, w = latent_shape(preset)
    volume = (
        f"{count:,} states from {split.train_start} to {split.test_start}: "
        f"{_bytes(4 * values * count)} before compression; latents "
        f"{_bytes(2 * c * h * w * count)} ({compression(preset):.1f} values for one)."
    )
    rows = [
        "| | autoencoder | denoiser |",
        "|---|---|---|",
        *(_row(label, costs, text) for label, text in _ROWS.items()),
    ]
    lines = [f"\n## {preset.name}\n", volume, "", *rows, "\n```", *_commands(costs), "```"]
    return "\n".join(lines)


@dataclass(frozen=True)
class _Costs:
    """What a preset costs, with activations kept and recomputed."""

    preset: Preset

    @cached_property
    def plain(self) -> Footprint:
        return measure_footprint(self.preset)

    @cached_property
    def thrifty(self) -> Footprint:
        return measure_footprint(self.preset, recompute=True)

    def batch(self, name: _Name) -> int:
        return _part(self.preset, name).training.batch

    def samples(self, name: _Name) -> int:
        return _part(self.preset, name).training.iterations * self.batch(name)

    def hours(self, name: _Name) -> float:
        cost: NetworkFootprint = getattr(self.plain, name)
        return self.samples(name) * cost.training_flops / (_UTILISATION * _GPU_FLOPS) / 3600

    def largest(self, name: _Name, *, thrifty: bool) -> int:
        cost: NetworkFootprint = getattr(self.thrifty if thrifty else self.plain, name)
        if thrifty:
            return cost.largest_micro_batch(_GPU_BYTES, _GPUS, "fsdp")
        return cost.largest_micro_batch(_GPU_BYTES, 1, "ddp")

    def options(self, name: _Name) -> str:
        """Options with which a training fits a node of GPUs: plain, if half of its share does."""
        share = self.batch(name) // _GPUS
        thrifty = self.largest(name, thrifty=False) < min(share, _FEW)
        fits = self.largest(name, thrifty=thrifty)
        micro = max(m for m in range(1, share + 1) if share % m == 0 and m <= fits)
        options = f" --device cuda --nproc {_GPUS}"
        options += " --sharding fsdp --recompute" if thrifty else ""
        return options + (f" --micro-batch {micro}" if micro < share else "")


def _part(preset: Preset, name: _Name) -> AutoencoderConfig | DenoiserConfig:
    return preset.autoencoder if name == "autoencoder" else preset.denoiser


def _fit(largest: int) -> str:
    return f"{largest:,}" if largest else "does not fit"


_ROWS: dict[str, Callable[[_Costs, _Name], str]] = {
    "parameters": lambda c, n: f"{getattr(c.plain, n).parameters:,}",
    "operations of training on a sample": lambda c, n: _flops(getattr(c.plain, n).training_flops),
    "samples": lambda c, n: f"{c.samples(n):,}",
    "GPU-hours": lambda c, n: f"{c.hours(n):,.3g}",
    "largest micro-batch, ddp": lambda c, n: _fit(c.largest(n, thrifty=False)),
    "with fsdp on 8 GPUs and --recompute": lambda c, n: _fit(c.largest(n, thrifty=True)),
}


def _commands(costs: _Costs) -> list[str]:
    preset = costs.preset
    source = _SOURCES.get(preset.name, "SOURCE")
    options = f"--preset {preset.name} --source {source}"
    small = preset.nature is not None  # a laptop does
    split = preset.split
    trainings = [
        f"python -m flows.train {name} {options}{'' if small else costs.options(name)}"
        for name in _NAMES
    ]
    period = f"--start {split.train_start} --end {split.test_start}"
    model = f"--model models/{preset.name} --source {source}"
    return [
        f"python -m flows.ingest {options} {period}",
        f"python -m flows.normalize {options}",
        *trainings,
        f"python -m flows.forecast {model} --start {split.test_start}",
    ]


def _row(label: str, costs: _Costs, text: Callable[[_Costs, _Name], str]) -> str:
    return f"| {label} | " + " | ".join(text(costs, name) for name in _NAMES) + " |"


def _flops(count: int) -> str:
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} FLOP"


def _bytes(count: int) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"
