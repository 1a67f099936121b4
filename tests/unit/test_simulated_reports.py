"""Simulated networks read the known states, with the errors that they declare."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from appa_core.config.build_network import NetworkData
from appa_core.config.observation_errors import load_error_table
from appa_core.config.observing import parse_observations
from appa_core.errors import InputError
from appa_core.io.cube import Cube
from appa_core.io.store import ArtifactStore
from appa_core.observations.table import ObservationTable
from appa_core.steps import observing
from appa_core.steps.forecast import StateSource
from appa_core.steps.models import load_model
from appa_core.steps.observing import kept_observations, observe
from appa_core.steps.reported import reject_unusable, report_observation
from appa_core.steps.simulated_reports import Truth, simulated_reports
from tests.networks import ELEMENTS, IGRA, ISD, TIMES, like_table, network

ERRORS = load_error_table().build()
IDENTITY = ["valid_time", "latitude", "longitude", "level", "quantity", "station_id"]


@pytest.fixture(scope="module")
def model(tiny_world):
    return load_model(tiny_world.model)


@pytest.fixture(scope="module")
def truth(tiny_world, model):
    source = StateSource("tiny", tiny_world.states, "")
    return Truth(source, model.preset.state.build(), model.normalisation, model.key)


def simulated(options, truth, times=TIMES, data=None):
    return simulated_reports(network(options), data or NetworkData(), truth, times, ERRORS)


def exact(options, truth, **more):
    """Values without errors, to rounding."""
    return simulated(f"{options},error=1e-9", truth, **more)


def standard_errors(options, truth, **more):
    """Added errors in units of what is declared."""
    noisy, true = simulated(options, truth, **more), exact(options, truth, **more)
    difference = noisy.frame["value"] - true.frame["value"]
    return (difference / noisy.frame["error_std"]).to_numpy(), noisy


def test_stations_read_the_states_themselves(truth, tiny_world):
    frame = exact("stations=0.1", truth).frame
    assert set(frame["platform"]) == {"station"}
    states = Cube.load(tiny_world.states).read(TIMES)
    for name, rows in frame.groupby("quantity"):
        places = (rows[n].to_xarray() for n in ("valid_time", "latitude", "longitude"))
        at = dict(zip(("time", "latitude", "longitude"), places, strict=True))
        expected = states[name].sel(at).values
        np.testing.assert_allclose(rows["value"], expected, rtol=1e-5, atol=1e-7)
    cells = np.prod(truth.schema.grid.shape)
    assert frame["station_id"].nunique() == round(0.1 * cells)
    assert len(frame) == round(0.1 * cells) * frame["quantity"].nunique() * len(TIMES)


def test_errors_are_declared_in_units_of_the_spread(truth, model):
    frame = simulated("stations=0.02,orbiters=1,error=2", truth).frame
    for (name, level), rows in frame.groupby(["quantity", "level"], dropna=False):
        channel = truth.schema.index(name, None if np.isnan(level) else int(level))
        declared = 0.01 if np.isnan(level) else 0.1
        expected = 2 * declared * model.normalisation.std[channel]
        np.testing.assert_allclose(rows["error_std"], expected, rtol=1e-5)


def test_the_declared_error_is_added(truth):
    errors, table = standard_errors("stations=0.5,orbiters=1,radiosondes=0.1,seed=4", truth)
    assert set(table.frame["platform"]) == {"station", "orbiter", "radiosonde"}
    for _, rows in table.frame.groupby(["platform", "quantity"]):
        own = errors[rows.index]
        assert own.mean() == pytest.approx(0, abs=4 / len(own) ** 0.5)
        assert own.std() == pytest.approx(1, abs=4 / (2 * len(own)) ** 0.5)
    picks = np.random.default_rng(0).choice(len(errors), 5000, replace=False)
    assert stats.kstest(errors[picks], "norm").pvalue > 0.01


def test_errors_are_independent_of_each_other(truth):
    errors, table = standard_errors("stations=0.5", truth)
    frame = table.frame.assign(error=errors)
    by_time = frame.pivot_table(
        index=["station_id", "quantity"], columns="valid_time", values="error"
    )
    by_quantity = frame.pivot_table(
        index=["station_id", "valid_time"], columns="quantity", values="error"
    )
    for wide in (by_time, by_quantity):
        correlation = np.corrcoef(wide.to_numpy(), rowvar=False)
        off = correlation[~np.eye(len(correlation), dtype=bool)]
        assert np.abs(off).max() < 4.5 / len(wide) ** 0.5


def test_a_row_has_its_error_whatever_else_there_is(truth):
    few = simulated("stations=0.05,seed=7", truth).frame
    many = simulated("stations=0.2,orbiters=2,radiosondes=0.1,seed=7", truth).frame
    longer = simulated("stations=0.05,seed=7", truth, times=TIMES[2:]).frame
    for other, common in ((many, len(few)), (longer, len(few) * 4 // 6)):
        both = few.merge(other, on=IDENTITY)
        assert len(both) == common
        np.testing.assert_allclose(both["value_x"], both["value_y"], rtol=1e-6)
    seed = few.merge(simulated("stations=0.05,seed=8", truth).frame, on=IDENTITY)
    assert len(seed) < len(few)


def test_the_error_of_another_size_is_the_same_draw(truth):
    one, _ = standard_errors("stations=0.05", truth)
    table = simulated("stations=0.05,error=30", truth).frame
    two = (table["value"] - exact("stations=0.05", truth).frame["value"]) / table["error_std"]
    np.testing.assert_allclose(one, two, atol=0.02)


def test_errors_of_ascents_are_correlated_as_the_table_says(truth):
    errors, table = standard_errors("radiosondes=0.5,errors=standard", truth)
    frame = table.frame.assign(error=errors)
    assert (frame["correlation_ln_p"] == 0.25).all()
    wide = frame.pivot_table(index=["report_id", "quantity"], columns="level", values="error")
    found = np.corrcoef(wide.to_numpy(), rowvar=False)
    height = np.log(wide.columns.to_numpy(float))
    expected = 0.9 * np.exp(-np.abs(height[:, None] - height[None]) / 0.25)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(found, expected, atol=5 / len(wide) ** 0.5)


def test_independent_errors_stay_so_when_errors_are_assigned(truth):
    frame = simulated("radiosondes=0.05,orbiters=1", truth).frame
    assert (frame[["correlation_ln_p", "correlation_km"]] == 0).all(axis=None)


def test_real_stations_are_where_they_are(truth):
    places = pd.DataFrame(
        {
            "station_id": ["A", "B"],
            "latitude": [10.1, -33.3],
            "longitude": [-7.7, 100.0],
            "elevation_m": [12.0, 900.0],
        }
    )
    frame = exact("isd=1", truth, data=NetworkData({"isd": places})).frame
    one = frame[frame["station_id"] == "A"]
    assert one[["latitude", "longitude", "elevation_m"]].drop_duplicates().values.tolist() == [
        [10.1, 352.3, 12.0]
    ]
    assert len(frame) == 2 * len(TIMES) * one["quantity"].nunique()


def test_radiances_peak_within_the_models_levels(truth):
    frame = exact("orbiters=1,sounder=radiance", truth).frame
    assert set(frame["quantity"]) == {"brightness_temperature"}
    levels = truth.schema.levels
    assert frame["level"].between(levels[0], levels[-1]).all()
    assert frame["level"].nunique() >= 3
    assert frame["value"].between(180, 320).all()


def test_reports_like_real_ones(truth):
    data = NetworkData(like=(like_table(),))
    frame = simulated("like=x.parquet", truth, data=data).frame
    assert frame["valid_time"].tolist() == list(
        pd.to_datetime(["2012-02-11T00:00", "2012-02-11T00:20"])
    )  # the first is half an hour before the period
    assert frame["platform"].tolist() == ["radiosonde", "aircraft"]
    assert frame["value"].between(0, 360).all()
    assert frame["value"][1] != 230.0
    assert (frame["error_std"] > 0).all()
    again = simulated("like=x.parquet,like_every_hours=6", truth, data=data).frame
    assert (again["platform"] == "metar").sum() == 5
    assert again[again["platform"] == "metar"]["error_std"].unique().tolist() == [0.7]
    assert again[again["platform"] == "radiosonde"]["report_id"].nunique() == 6
    assert again["valid_time"].between(TIMES[0], TIMES[-1]).all()


def test_errors_may_leave_what_is_plausible(truth, tmp_path):
    """Rain below zero: cut off, errors would no longer be those that were declared."""
    count = 60
    rain = (
        like_table()
        .rows(np.zeros(count, np.int64))
        .frame.assign(
            valid_time=pd.Timestamp("2005-08-26T12"),
            quantity="total_precipitation_6hr",
            value=0.0,
            error_std=5.0,
            latitude=np.linspace(-80, 80, count),
        )
    )
    kept = observe(
        ArtifactStore(tmp_path),
        network("like=x.csv"),
        TIMES,
        lambda _: ObservationTable.of(rain),
        truth,
    )
    value = kept_observations(kept).frame["value"]
    assert len(value) == count
    assert value.std() == pytest.approx(5.0, rel=0.3)
    assert 0.3 < (value < 0).mean() < 0.7


def test_there_may_be_nothing_to_see(truth):
    assert len(simulated("stations=0", truth)) == 0
    assert len(simulated("radiosondes=0.1,six_hourly=0", truth, times=TIMES[1:2])) == 0


def test_one_state_and_many_read_alike(truth):
    whole = exact("stations=0.05", truth).frame
    one = exact("stations=0.05", truth, times=TIMES[3:4]).frame
    same = whole[whole["valid_time"] == TIMES[3]]
    np.testing.assert_allclose(one["value"], same["value"], rtol=1e-6)


def test_states_are_read_in_pieces(truth, monkeypatch):
    options = "stations=0.05,orbiters=1,view=swath"
    whole = simulated(options, truth).frame
    for size in (1, 2):
        monkeypatch.setattr("appa_core.steps.simulated_reports._STATES_AT_ONCE", size)
        pieces = simulated(options, truth).frame
        np.testing.assert_allclose(pieces["value"], whole["value"], rtol=1e-6)


def no_reader(spec):
    raise AssertionError(spec)


def test_a_network_is_kept_by_what_determines_it(truth, tmp_path):
    store = ArtifactStore(tmp_path)
    kept = observe(store, network("stations=0.05"), TIMES, no_reader, truth)
    expected = simulated("stations=0.05", truth).frame
    pd.testing.assert_frame_equal(kept_observations(kept).frame, expected, check_exact=True)
    assert observe(store, network("stations=0.05"), TIMES, no_reader, truth).key == kept.key
    others = [
        observe(store, network("stations=0.05,seed=1"), TIMES, no_reader, truth),
        observe(store, network("stations=0.05"), TIMES[1:], no_reader, truth),
        observe(store, network("stations=0.05,errors=standard"), TIMES, no_reader, truth),
        observe(store, network("stations=0.05,withhold=0.5"), TIMES, no_reader, truth),
        observe(
            store, network("like=a.csv,like_every_hours=6"), TIMES, lambda _: like_table(), truth
        ),
        observe(
            store,
            network("like=a.csv,like_every_hours=6"),
            TIMES,
            lambda _: like_table(error_std=3.0),
            truth,
        ),
    ]
    assert len({a.key for a in (kept, *others)}) == 7


def test_satellites_are_kept_by_their_elements(truth, tmp_path):
    pytest.importorskip("sgp4", reason="sgp4 is not installed: no two-line elements")
    store, keys = ArtifactStore(tmp_path / "store"), []
    moved = ELEMENTS.replace(" 315.0000 ", " 325.0000 ")
    assert moved != ELEMENTS
    for i, text in enumerate((ELEMENTS, ELEMENTS, moved)):
        path = tmp_path / f"{i}.tle"
        path.write_text(text)
        spec = network(f"satellites=AM-1,elements={path}")
        kept = observe(store, spec, TIMES, no_reader, truth)
        keys.append(kept.key)
        assert set(kept_observations(kept).frame["station_id"]) == {"AM-1"}
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(("name", "text"), [("isd", ISD), ("igra", IGRA)])
def test_real_stations_are_kept_by_their_list(name, text, truth, tmp_path):
    store, keys = ArtifactStore(tmp_path / "store"), []
    for i, content in enumerate((text, text, text.replace("12.500", "13.500"))):
        path = tmp_path / f"{i}.txt"
        path.write_text(content)
        kept = observe(store, network(f"{name}=1,{name}_list={path}"), TIMES, no_reader, truth)
        keys.append(kept.key)
        frame = kept_observations(kept).frame
        assert frame["station_id"].nunique() == 2
        assert sorted(set(frame["latitude"])) == [-60.25, 13.5 if i == 2 else 12.5]
    assert keys[0] == keys[1] != keys[2]


def test_a_list_that_is_not_there_names_its_option(truth, tmp_path):
    spec = network(f"isd=1,isd_list={tmp_path / 'none.csv'}")
    with pytest.raises(
        InputError, match=r"cannot read .*none\.csv: .* local copy as isd_list=PATH"
    ):
        observe(ArtifactStore(tmp_path), spec, TIMES, no_reader, truth)


def test_withheld_stations_are_never_used(truth, model, tmp_path):
    options = "stations=0.3,orbiters=1,withhold=0.3,seed=5"
    kept = observe(ArtifactStore(tmp_path), network(options), TIMES, no_reader, truth)
    table = reject_unusable(kept_observations(kept), model, TIMES)
    withheld = table.frame["rejected"] == observing.WITHHELD
    assert 0.15 < withheld.mean() < 0.45
    fixed = table.frame["platform"] == "station"
    unit = table.frame["station_id"].where(fixed, table.frame["report_id"])
    assert not set(unit[withheld]) & set(unit[~withheld])
    observation = report_observation(model, table, TIMES)
    assert observation.y.shape[1] == (~withheld).sum()
    lied = table.frame["value"].where(~withheld, 333.0)
    other = report_observation(model, ObservationTable(table.frame.assign(value=lied)), TIMES)
    assert torch.equal(observation.y, other.y)
    x = torch.zeros(1, len(TIMES), *model.autoencoder.latent_shape)
    assert torch.equal(observation.predict(x), other.predict(x))


def test_real_reports_are_kept_as_they_are_read(tmp_path):
    spec = parse_observations("a.csv")
    asked = []
    kept = observe(ArtifactStore(tmp_path), spec, TIMES, lambda s: asked.append(s) or like_table())
    assert asked == [spec]
    pd.testing.assert_frame_equal(kept_observations(kept).frame, like_table().frame)


def test_a_network_needs_states_to_observe(tmp_path):
    with pytest.raises(InputError, match="observes known states: give their source"):
        observe(ArtifactStore(tmp_path), network("stations=0.1"), TIMES, no_reader)


def test_states_must_be_there(truth, tmp_path):
    times = TIMES + pd.DateOffset(years=30)
    with pytest.raises(InputError, match="there is no state at 2042"):
        observe(ArtifactStore(tmp_path), network("stations=0.1"), times, no_reader, truth)
