"""Statistics and latents of ingested states: right, of the training period alone, and kept."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.climatology import Normalisation, SeasonalClimatology
from appa_core.errors import InputError, IntegrityError
from appa_core.io.cube import Cube
from appa_core.io.datasets import write_zarr
from appa_core.io.sources import SourceSpec
from appa_core.io.store import ArtifactStore
from appa_core.io.tensors import load_tensors
from appa_core.posterior.background import Background
from appa_core.steps.coder import Coder, RegisteredCoder
from appa_core.steps.encode import (
    EncodeJob,
    EncodeUnit,
    encode_unit,
    encoded_states,
    plan_encode,
    reconstruction_errors,
    reconstruction_table,
)
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest
from appa_core.steps.latents import (
    LATENT_STATISTICS,
    fit_background,
    fit_latent_statistics,
    load_background,
    standardised_latents,
)
from appa_core.steps.models import load_model
from appa_core.steps.statistics import (
    NORMALISATION,
    load_normalisation,
    merge_statistics,
    missing_parts,
    statistics_parts,
    sum_part,
)
from tests.era5_like import era5_like
from tests.synthetic import synthetic_states, tiny_preset

START, BORDER, END = (pd.Timestamp(t) for t in ("2011-12-22", "2012-01-11", "2012-01-21"))
PRESET = tiny_preset().model_copy(
    update={
        "split": tiny_preset().split.model_copy(
            update={
                "train_start": START.date(),
                "validation_start": BORDER.date(),
                "test_start": END.date(),
            }
        )
    }
)
SCHEMA = PRESET.state.build()


@dataclass
class World:
    """Thirty days of waves over a turn of the year, and where they are ingested."""

    store: Path
    states: object
    source: SourceSpec

    def cube(self, name="store", block_states=8) -> Cube:
        job = IngestJob(str(self.store / name), self.source, SCHEMA, block_states)
        for unit in plan_ingest(job, START, END):
            ingest_unit(unit)
        return job.cube()

    def statistics(self, cube):
        store = cube.url.rsplit("/", 2)[0]
        parts = statistics_parts(store, PRESET, cube.url)
        for part in missing_parts(parts):
            sum_part(part)
        return merge_statistics(parts)


@pytest.fixture
def world(tmp_path):
    states = synthetic_states(SCHEMA, str(START), 30)
    write_zarr(states, tmp_path / "waves.zarr")
    source = SourceSpec("waves", "zarr", (str(tmp_path / "waves.zarr"),), fingerprint="a")
    return World(tmp_path, states, source)


def normalisation_of(artifact):
    with artifact.verify().local() as folder:
        return load_normalisation(folder / NORMALISATION)


def test_statistics_are_those_of_the_training_period(world):
    normalisation = normalisation_of(world.statistics(world.cube()))
    training = SCHEMA.stack(world.states.sel(time=slice(START, BORDER - pd.Timedelta("1h"))))
    times = pd.date_range(START, BORDER, freq="6h", inclusive="left").values
    departures = training - normalisation.base.at(times)
    weights = SCHEMA.grid.area_weights[:, None]
    direct = np.sqrt((departures**2 * weights).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(normalisation.std, direct, rtol=2e-3)


def test_blocks_do_not_change_the_statistics(world):
    one, other = (normalisation_of(world.statistics(world.cube(f"store{n}", n))) for n in (8, 40))
    np.testing.assert_allclose(one.base.coefficients, other.base.coefficients, rtol=1e-6)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-5)


def test_a_year_is_a_part_and_is_summed_once(world):
    cube = world.cube()
    parts = statistics_parts(cube.url.rsplit("/", 2)[0], PRESET, cube.url)
    assert [(p.start, p.end) for p in parts] == [
        (START, pd.Timestamp("2012-01-01")),
        (pd.Timestamp("2012-01-01"), BORDER),
    ]
    first = world.statistics(cube)
    assert not missing_parts(parts)
    assert world.statistics(cube).digest == first.digest


def test_a_changed_block_is_summed_again_and_nothing_else(world):
    cube = world.cube()
    world.statistics(cube)
    block = cube.blocks(START, END)[0]
    record = cube.record(block)
    times = cube.times_of(block)
    times = times[(times >= record.first) & (times <= record.last)]
    warmer = cube.read(times)
    warmer["temperature"] = warmer["temperature"] + np.float32(1)
    cube.commit(block, warmer, {})
    parts = statistics_parts(cube.url.rsplit("/", 2)[0], PRESET, cube.url)
    assert missing_parts(parts) == parts[:1]


def test_land_stays_empty_from_the_source_to_standardised_states(tmp_path):
    """Sea surface temperature: NaN in the cube, left out of the statistics, 0 for networks."""
    state = PRESET.state.model_copy(
        update={"surface": ("2m_temperature", "sea_surface_temperature"), "upper_air": ()}
    )
    preset = PRESET.model_copy(update={"state": state})
    schema = preset.state.build()
    times = pd.date_range(START, END, freq="6h", inclusive="left")
    states = era5_like(times, schema.variables, shape=(33, 64))
    states.to_zarr(tmp_path / "sea.zarr", zarr_format=3, consolidated=False)
    job = IngestJob(
        str(tmp_path / "store"),
        SourceSpec("sea", "zarr", (str(tmp_path / "sea.zarr"),), fingerprint="a"),
        schema,
        8,
    )
    for unit in plan_ingest(job, START, END):
        ingest_unit(unit)
    cube = job.cube()
    sea = cube.read(times)["sea_surface_temperature"].values
    land = np.isnan(sea[0])
    assert 0.1 < land.mean() < 0.6
    assert (np.isnan(sea) == land).all()
    parts = statistics_parts(job.store, preset, cube.url)
    for part in parts:
        sum_part(part)
    fitted = normalisation_of(merge_statistics(parts))
    assert (fitted.missing == np.stack([np.zeros_like(land), land])).all()
    training = sea[times < BORDER]
    departures = np.nan_to_num(training - fitted.base.at(times[times < BORDER].values)[:, 1])
    area = np.broadcast_to(schema.grid.area_weights[:, None], land.shape) * ~land
    direct = np.sqrt((departures**2 * area).sum() / area.sum() / len(training))
    assert fitted.std[1] == pytest.approx(direct, rel=2e-3)
    coder = Coder(schema, fitted, torch.nn.Identity(), "cpu")
    standard = coder.standardised(cube, times[:3]).numpy()
    assert (standard[:, 1][:, land] == 0).all()
    assert np.abs(standard[:, 1][:, ~land]).max() > 0.5
    restored = fitted.restore(standard, times[:3].values)[:, 1]
    np.testing.assert_allclose(restored, sea[:3], rtol=1e-6)


def test_states_that_are_absent_are_named(world):
    cube = world.cube()
    cube.discard(cube.blocks(START, END)[1])
    with pytest.raises(InputError, match=r"1 gaps, the first from 2011-12-2.*flows\.ingest"):
        world.statistics(cube)


@pytest.fixture
def job(world, tiny_world):
    return EncodeJob(
        str(world.store / "store"), world.cube().url, RegisteredCoder.of(tiny_world.model)
    )


def encoded(job):
    units = plan_encode(job, START, END)
    for unit in units:
        encode_unit(unit)
    return {unit.block.name: unit.reason for unit in units}


def test_latents_are_those_of_the_autoencoder_and_are_kept(job, world, tiny_world):
    assert set(encoded(job).values()) == {"new"}
    assert not encoded(job)
    model, latents = load_model(tiny_world.model), job.cube()
    times = latents.times()[30:34]
    states = SCHEMA.stack(world.states.sel(time=times))
    standard = model.normalisation.standardise(states, times.values)
    expected = model.autoencoder.encode(torch.from_numpy(standard)).detach().half()
    found = torch.from_numpy(latents.read(times)["latent"].values)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_states_are_standardised_in_the_memory_that_is_given(job, world, tiny_world):
    """Also where the order of channels is not that of the cube's variables."""
    coder, cube = job.coder.load("cpu"), Cube.load(job.states)
    times = cube.times()[3:8]
    expected = coder.normalisation.standardise(SCHEMA.stack(cube.read(times)), times.values)
    memory = np.empty(expected.shape, np.float32)
    for threads in (None, 1):
        memory[:] = np.nan
        standard = coder.standardised(cube, times, memory, threads=threads)
        assert standard.data_ptr() == memory.ctypes.data
        np.testing.assert_array_equal(memory, expected)
    order = np.random.default_rng(0).permutation(len(SCHEMA.channels))
    shuffled = replace(SCHEMA, channels=tuple(SCHEMA.channels[i] for i in order))
    assert shuffled.views(memory) is None
    normalisation = Normalisation(
        SeasonalClimatology(coder.normalisation.base.coefficients[:, :, order]),
        coder.normalisation.std[order],
    )
    other = replace(coder, schema=shuffled, normalisation=normalisation)
    np.testing.assert_array_equal(other.standardised(cube, times).numpy(), expected[:, order])


def test_latents_need_to_be_encoded_first(job):
    with pytest.raises(InputError, match=r"holds no latents of .*python -m flows\.encode"):
        encoded_states(job)
    encoded(job)
    assert encoded_states(job).key == job.cube().key


def test_only_changed_or_damaged_blocks_are_encoded_again(job):
    encoded(job)
    states, latents = Cube.load(job.states), job.cube()
    whole = latents.digest()
    first, second = states.blocks(START, END)[3:5]
    times = states.times_of(first)
    colder = states.read(times)
    kept = colder["temperature"].copy()
    colder["temperature"] = kept - np.float32(1)
    states.commit(first, colder, {})
    path = Path(latents.url) / next(iter(latents.record(second).files))
    path.write_bytes(path.read_bytes()[:-3])
    assert list(encoded(job)) == [first.name, second.name]
    assert latents.digest() != whole
    colder["temperature"] = kept
    states.commit(first, colder, {})
    assert encoded(job) == {first.name: "changed"}
    assert latents.digest() == whole


def test_states_that_cannot_be_read_end_the_block_and_not_in_silence(job):
    """Damage in every piece of a block: no thread waits for another."""
    states = Cube.load(job.states)
    (block,) = states.blocks(START, START + pd.Timedelta("6h"))
    path = Path(states.url) / next(iter(states.record(block).files))
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(IntegrityError, match=r"flows\.ingest"):
        encode_unit(EncodeUnit(job, block, "new"))
    assert job.cube().record(block) is None


def test_other_weights_have_latents_of_their_own(job):
    other = replace(job, coder=replace(job.coder, key="another"))
    assert other.cube().url != job.cube().url


def test_the_report_is_the_error_of_decoded_states(job, world, tiny_world):
    encoded(job)
    units = [EncodeUnit(job, b, "") for b in job.cube().blocks(START, END)]
    table = reconstruction_table(job, [reconstruction_errors(u) for u in units])
    model = load_model(tiny_world.model)
    states = SCHEMA.stack(world.states)
    times = world.states["time"].values
    standard = torch.from_numpy(model.normalisation.standardise(states, times))
    error = model.autoencoder.decode(model.autoencoder.encode(standard)) - standard
    area = torch.from_numpy(SCHEMA.grid.area_weights)[:, None]
    direct = (error.detach().double().square() * area).mean(dim=(0, 2, 3)).sqrt()
    assert tuple(table["channel"]) == SCHEMA.names
    np.testing.assert_allclose(table["rmse_std"], direct.numpy(), rtol=2e-3)
    np.testing.assert_allclose(
        table["rmse"], table["rmse_std"] * model.normalisation.std, rtol=1e-6
    )


def test_latents_are_standardised_over_the_training_period(job):
    encoded(job)
    store, latents = ArtifactStore(job.store), job.cube()
    fitted = fit_latent_statistics(store, PRESET, latents)
    times = latents.spec.states_between(START, BORDER)
    values = standardised_latents(latents, fitted, times)
    assert len(values) == len(times) == 80
    moments = values.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(moments.mean(1), torch.zeros(24).double(), atol=2e-3, rtol=0)
    torch.testing.assert_close(moments.std(1), torch.ones(24).double(), atol=2e-3, rtol=0)
    with fitted.local() as folder:
        assert load_tensors(folder / LATENT_STATISTICS)["std"].shape == (24,)
    background = load_background(
        fit_background(store, PRESET, latents, fitted, states=6, rank=4, trajectories=20)
    )
    assert background.mean.shape == (1, 6, 24, 8, 16)
    assert background.patterns.shape == (4, 24, 8, 16)
    # of trajectories that are spread over the period, its ends included
    starts = torch.linspace(0, 74, 20).long().tolist()
    expected = Background.estimate(torch.stack([values[i : i + 6].float() for i in starts]), 4)
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(background, name), value)
