"""A user's own operator: what it is given, what it may return, and how it fails."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from appa_core.errors import DataError, InputError
from appa_core.io.cube import Cube
from appa_core.observations.table import ObservationTable
from appa_core.steps.models import load_model
from appa_core.steps.own_operator import OwnReference, try_operator
from appa_core.steps.reported import report_observation, report_operator, table_operator

TIMES = pd.date_range("2012-02-11", periods=6, freq="6h")
HERE = "tests.own_operators"


@pytest.fixture(scope="module")
def model(tiny_world):
    return load_model(tiny_world.model)


@pytest.fixture(scope="module")
def truth(tiny_world, model):
    """Standardised latents, (1, L, c, h, w)."""
    states = model.preset.state.build().stack(Cube.load(tiny_world.states).read(TIMES))
    standard = model.normalisation.standardise(states, TIMES.values)
    return model.encode(torch.from_numpy(standard))[None]


def table(count=12, quantity="own", **changes):
    rng = np.random.default_rng(0)
    columns = {
        "valid_time": TIMES[0] + pd.to_timedelta(rng.uniform(0, 30, count), "h"),
        "latitude": rng.uniform(-85, 85, count),
        "longitude": rng.uniform(0, 360, count),
        "level": rng.uniform(250, 900, count),
        "quantity": quantity,
        "value": rng.normal(260, 5, count),
        "error_std": 0.5,
        "platform": "own",
        "station_id": [f"S{i}" for i in range(count)],
    }
    return ObservationTable.of(pd.DataFrame(columns | changes))


def reading(name, rows):
    return OwnReference.find(f"{HERE}:{name}", rows).reading()


def test_it_reads_what_the_operator_of_the_project_reads(model, truth):
    rows, same = table(), table(quantity="temperature")
    own = table_operator(model, rows, TIMES, reading("temperature", rows))
    built_in = report_operator(model, same, TIMES)
    torch.testing.assert_close(
        own(truth) * own.scale, built_in(truth) * built_in.scale, rtol=1e-5, atol=1e-3
    )


def test_it_goes_beside_the_others_in_the_order_of_the_table(model, truth):
    kinds = ["own", "temperature"] * 6
    rows = table(quantity=kinds)
    both = table_operator(model, rows, TIMES, reading("temperature", rows))
    alone = report_operator(model, table(quantity="temperature"), TIMES)
    torch.testing.assert_close(
        both(truth) * both.scale, alone(truth) * alone.scale, rtol=1e-5, atol=1e-3
    )


def test_it_reads_all_rows_where_none_is_its_own(model, truth):
    rows = table(quantity="temperature")
    found = OwnReference.find(f"{HERE}:global_mean", rows)
    assert found.reads_all
    operator = table_operator(model, rows, TIMES, found.reading())
    read = operator(truth) * operator.scale
    assert read.shape == (1, 12)
    assert float(read.std()) == pytest.approx(0, abs=1e-4)
    assert 250 < float(read.mean()) < 310
    assert not OwnReference.find(f"{HERE}:global_mean", table()).reads_all


@pytest.mark.parametrize(("first", "stop"), [(0, 6), (1, 4), (3, 6)])
def test_a_window_reads_the_rows_within_it(model, truth, first, stop):
    rows = table(40, quantity=["own", "temperature"] * 20)
    whole = table_operator(model, rows, TIMES, reading("temperature", rows))
    part, inside = whole.window(first, stop)
    position = ((rows.frame["valid_time"] - TIMES[0]) / pd.Timedelta(hours=6)).to_numpy()
    expected = (np.floor(position) >= first) & (np.ceil(position) < stop)
    assert inside[0].tolist() == expected.tolist()
    read, all_read = part(truth[:, first:stop]), whole(truth)
    torch.testing.assert_close(read[:, inside[0]], all_read[:, inside[0]], rtol=1e-5, atol=1e-4)
    assert not read[:, ~inside[0]].any()


def test_its_jacobian_is_adjoint(model, truth):
    rows = table()
    observation = report_observation(model, rows, TIMES, reading("warmth_of_the_wind", rows))
    at = observation.linearise(truth)
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(truth.shape, generator=generator)
    v = torch.randn(1, 12, generator=generator)
    one, other = (at.jvp(u) * v).sum(), (u * at.vjp(v)).sum()
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_its_errors_hold_what_the_autoencoder_loses(model):
    """For temperature as it is for the operator of the project."""
    rows, same = table(), table(quantity="temperature")
    own = report_observation(model, rows, TIMES, reading("temperature", rows))
    built_in = report_observation(model, same, TIMES)
    variances = [o.cov_y.variance(o.y) * o.A.scale.square() for o in (own, built_in)]
    torch.testing.assert_close(*variances, rtol=1e-3, atol=1e-4)
    assert (variances[0] > 0.5**2 + 5e-5).all()


def test_fields_go_by_name(model, truth):
    rows, seen = table(), {}

    def look(fields, given):
        seen.update(fields=fields, rows=given)
        return fields.at("temperature", given)

    operator = table_operator(
        model, rows, TIMES, replace(reading("temperature", rows), function=look)
    )
    operator(truth.expand(2, *truth.shape[1:]))
    fields = seen["fields"]
    assert set(fields) == set(model.preset.state.build().variables)
    assert len(fields) == 10
    assert fields["2m_temperature"].shape == (2, 6, 32, 64)
    assert fields["geopotential"].shape == (2, 6, 6, 32, 64)
    assert fields.levels.tolist() == [200, 300, 500, 700, 850, 925]
    assert (fields.latitudes[0], fields.longitudes[-1]) == (-87.1875, 354.375)
    assert list(fields.times) == list(TIMES.values)
    assert 150 < float(fields["temperature"].mean()) < 330
    # geopotential falls with pressure
    assert (fields["geopotential"].mean(dim=(0, 1, 3, 4)).diff() < 0).all()
    assert seen["rows"].state.tolist() == pytest.approx(
        ((rows.frame["valid_time"] - TIMES[0]) / pd.Timedelta(hours=6)).tolist()
    )


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("transposed", InputError, r"returned shape \(12, 1\); expected .* = \(1, 12\)"),
        ("of_one_row", InputError, r"returned shape \(1, 11\); expected .* = \(1, 12\)"),
        ("not_a_number", InputError, "not finite for 12 of 12 rows"),
        ("text", InputError, "returned a str; expected a tensor"),
        ("failing", InputError, "no field 'cloud_cover'; there are: 2m_temperature"),
        ("wrong_with_itself", InputError, "fails: ZeroDivisionError"),
        ("through_numpy", DataError, "write it with torch functions or use the method es-mda"),
        ("rounded", InputError, "gradient that is zero everywhere; write it with torch"),
    ],
)
def test_what_is_wrong_with_it_is_found_at_once(model, name, error, message):
    rows = table()
    with pytest.raises(error, match=message):
        try_operator(model, rows, TIMES, reading(name, rows), needs_gradient=True)


@pytest.mark.parametrize("name", ["through_numpy", "rounded", "temperature"])
def test_methods_that_need_no_gradient_take_any(model, name):
    rows = table()
    try_operator(model, rows, TIMES, reading(name, rows), needs_gradient=False)


def test_a_good_one_passes(model):
    rows = table()
    for name in ("temperature", "warmth_of_the_wind", "global_mean"):
        try_operator(model, rows, TIMES, reading(name, rows), needs_gradient=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_operators.temperature", "expected package.module:function"),
        ("tests.nonesuch:temperature", "cannot import tests.nonesuch"),
        (f"{HERE}:nonesuch", "has no function nonesuch; it has: .*temperature"),
        (f"{HERE}:NOT_A_FUNCTION", "has no function NOT_A_FUNCTION"),
        ("math:sqrt", "the source of its module cannot be read"),
    ],
)
def test_one_that_is_not_there_is_named(name, message):
    with pytest.raises(InputError, match=message):
        OwnReference.find(name, table())


def test_it_is_found_in_the_folder_of_the_command(tmp_path, monkeypatch):
    (tmp_path / "my_readings.py").write_text("def one(fields, rows):\n    return 1\n")
    monkeypatch.chdir(tmp_path)
    first = OwnReference.find("my_readings:one", table())
    assert str(tmp_path) not in sys.path
    monkeypatch.delitem(sys.modules, "my_readings")
    (tmp_path / "my_readings.py").write_text("def one(fields, rows):\n    return 22\n")
    assert OwnReference.find("my_readings:one", table()).source != first.source


def test_rows_of_its_own_need_an_operator(model):
    with pytest.raises(InputError, match=r"12 observations are of quantity 'own'.*--operator"):
        report_observation(model, table(), TIMES)
