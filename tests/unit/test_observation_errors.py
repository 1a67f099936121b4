"""Errors by quantity and platform, scaled to the grid; what rows of a report share."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.config.observation_errors import ErrorTableConfig, load_error_table
from appa_core.errors import InputError
from appa_core.observations.correlation import (
    INDEPENDENT_SHARE,
    LARGEST_BLOCK,
    correlated,
    error_blocks,
)
from appa_core.observations.errors import assign_errors, grid_spacing_km
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import OWN, QUANTITIES
from appa_core.schema import Grid

ROW = {
    "valid_time": "2024-01-01T00:00",
    "latitude": 10.0,
    "longitude": 20.0,
    "level": 500.0,
    "quantity": "temperature",
    "value": 250.0,
    "error_std": np.nan,
    "platform": "radiosonde",
    "station_id": "A",
    "report_id": "A1",
}
TABLE = {
    "reference_km": 100,
    "break_km": 400,
    "representativeness": {"temperature": 0.5, "wind_speed": 1.0},
    "platforms": {
        "any": {"instrument": {"temperature": 3.0, "wind_speed": 2.0, "geopotential": 70.0}},
        "radiosonde": {
            "correlation_ln_p": 0.5,
            "instrument": {"temperature": {100: 2.0, 1000: 1.0}},
        },
        "orbiter": {"representativeness": 0.0, "correlation_km": 200.0, "instrument": {}},
    },
}
ERRORS = ErrorTableConfig.model_validate(TABLE).build()


def table(*changes):
    return ObservationTable.of(pd.DataFrame([ROW | change for change in changes or ({},)]))


def errors_of(*changes, spacing=100.0, **options):
    return assign_errors(table(*changes), ERRORS, spacing, **options).frame["error_std"].tolist()


def test_an_instrument_and_the_grid_err_independently():
    half_way = {"level": np.sqrt(100.0 * 1000.0)}
    assert errors_of({"level": 1000.0}, half_way, {"level": 50.0}) == pytest.approx(
        [np.hypot(1.0, 0.5), np.hypot(1.5, 0.5), np.hypot(2.0, 0.5)]
    )


def test_platforms_without_their_own_error_have_the_general_one():
    rows = [
        {"platform": "kite"},
        {"quantity": "wind_speed", "value": 5.0},
        {"quantity": "geopotential", "value": 5e4},
        {"platform": "orbiter"},
    ]
    assert errors_of(*rows) == pytest.approx([np.hypot(3, 0.5), np.hypot(2, 1), 70.0, 3.0])


@pytest.mark.parametrize(
    ("spacing", "factor"),
    [
        (100.0, 1.0),
        (12.5, 0.5),
        (800 / 27, 2 / 3),
        (400.0, 4 ** (1 / 3)),
        (800.0, 2 * 4 ** (1 / 3)),
    ],
)
def test_a_coarser_grid_holds_less(spacing, factor):
    (error,) = errors_of({"platform": "kite"}, spacing=spacing)
    assert error == pytest.approx(np.hypot(3.0, 0.5 * factor))


def test_given_errors_stay_and_inflation_serves_all():
    assert errors_of({"error_std": 7.0}, {"platform": "kite"}) == pytest.approx(
        [7.0, np.hypot(3, 0.5)]
    )
    assert errors_of({"error_std": 7.0}, inflation=1.5) == pytest.approx([10.5])
    with pytest.raises(InputError, match="inflation of errors above 0, got 0"):
        errors_of(inflation=0.0)


def test_correlation_lengths_come_with_the_platform_unless_given():
    rows = [{}, {"correlation_ln_p": 0.0}, {"platform": "orbiter"}, {"platform": "kite"}]
    frame = assign_errors(table(*rows), ERRORS, 100.0).frame
    assert frame["correlation_ln_p"].tolist() == [0.5, 0.0, 0.0, 0.0]
    assert frame["correlation_km"].tolist() == [0.0, 0.0, 200.0, 0.0]


def test_assigning_twice_changes_nothing():
    once = assign_errors(table({}, {"platform": "kite"}), ERRORS, 300.0)
    pd.testing.assert_frame_equal(assign_errors(once, ERRORS, 300.0).frame, once.frame)


def test_a_quantity_without_an_error_is_named():
    with pytest.raises(InputError, match="no error of layer_thickness is known; add it"):
        errors_of({"quantity": "layer_thickness", "top_level": 300.0, "value": 1e3})


def test_the_table_that_ships_serves_every_quantity_but_own_ones():
    shipped = load_error_table()
    assert set(shipped.platforms["any"].instrument) == set(QUANTITIES) - {OWN}
    assert set(shipped.representativeness) == set(QUANTITIES) - {OWN}
    for errors in shipped.build().platforms.values():
        for name, error in errors.instrument.items():
            spread = QUANTITIES[name].spread
            assert (error.at(np.array([300.0, 850.0, np.nan])) <= 1.5 * spread).all(), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"platforms": {"ship": {"instrument": {}}}}, "platform 'any', which serves"),
        ({"representativeness": {"snow": 1.0}}, "unknown quantities snow; there are: 10m"),
        ({"platforms": {"any": {"instrument": {"snow": 1.0}}}}, "unknown quantities snow"),
        ({"platforms": {"any": {"instrument": {"temperature": -1.0}}}}, "greater than 0"),
        ({"platforms": {"any": {"instrument": {"temperature": {}}}}}, "at least one by level"),
        ({"reference": 100}, "Extra inputs are not permitted"),
    ],
)
def test_what_a_table_of_errors_cannot_be(change, message, tmp_path):
    import yaml

    path = tmp_path / "errors.yaml"
    path.write_text(yaml.safe_dump(TABLE | change))
    with pytest.raises(InputError, match=message):
        load_error_table(str(path))


def test_the_spacing_of_a_grid():
    assert grid_spacing_km(Grid.equiangular(180, 360)) == pytest.approx(111.19, abs=0.01)
    assert grid_spacing_km(Grid.with_poles(721, 1440)) == pytest.approx(27.8, abs=0.01)


def test_a_sounding_is_correlated_in_ln_p_and_in_nothing_else():
    """Two quantities, two ascents and a row on its own, by hand."""
    levels = {"correlation_ln_p": 0.5, "correlation_km": 0.0}
    wind = {"quantity": "wind_speed", "value": 5.0}
    rows = [
        levels | {"level": 1000.0},
        levels | {"level": 500.0} | wind,
        levels | {"level": 500.0},
        levels | {"level": 1000.0, "report_id": "A2"},
        levels | {"level": 250.0},
        levels | {"level": 250.0, "report_id": ""},
        levels | {"level": 250.0} | wind,
        {"level": 400.0},
    ]
    blocks = error_blocks(table(*rows))
    assert [b.rows.tolist() for b in blocks] == [[4, 2, 0], [6, 1]]
    near = (1 - INDEPENDENT_SHARE) * 0.5 ** (1 / 0.5)  # a factor of two is ln 2 in ln p
    far = (1 - INDEPENDENT_SHARE) * 0.25 ** (1 / 0.5)
    expected = [[1, near, far], [near, 1, near], [far, near, 1]]
    np.testing.assert_allclose(blocks[0].correlation, expected, rtol=1e-12)
    np.testing.assert_allclose(blocks[1].correlation, [[1, near], [near, 1]], rtol=1e-12)


def test_a_swath_is_correlated_in_distance_level_by_level():
    seen = {"correlation_km": 200.0, "platform": "orbiter"}
    rows = [seen | {"latitude": lat, "level": p} for lat in (89.0, 90.0) for p in (500.0, 300.0)]
    rows.append(seen | {"latitude": 89.0, "longitude": 200.0, "level": 500.0})  # over the pole
    first, second = error_blocks(table(*rows))
    assert (first.rows.tolist(), second.rows.tolist()) == ([1, 3], [0, 4, 2])
    degree = 6371.0 * np.pi / 180
    share = lambda d: (1 - INDEPENDENT_SHARE) * np.exp(-d * degree / 200.0)
    expected = [[1, share(2), share(1)], [share(2), 1, share(1)], [share(1), share(1), 1]]
    np.testing.assert_allclose(second.correlation, expected, rtol=1e-9)


def test_columns_below_one_another_are_correlated_in_both():
    both = {"correlation_km": 200.0, "correlation_ln_p": 0.5}
    rows = [both | {"latitude": lat, "level": p} for lat in (10.0, 11.0) for p in (1000.0, 500.0)]
    (block,) = error_blocks(table(*rows))
    order = {row: i for i, row in enumerate(block.rows.tolist())}
    degree = np.exp(-6371.0 * np.pi / 180 / 200.0)
    found = block.correlation[order[0], order[3]] / (1 - INDEPENDENT_SHARE)
    assert found == pytest.approx(degree * 0.25, rel=1e-9)


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(0, 359), st.floats(1, 1000)), min_size=2),
    st.floats(1, 2e4),
    st.floats(0.01, 5),
)
def test_blocks_are_positive_definite_wherever_rows_lie(points, km, ln_p):
    rows = [
        {"latitude": a, "longitude": b, "level": p, "correlation_km": km, "correlation_ln_p": ln_p}
        for a, b, p in points
    ]
    for block in error_blocks(table(*rows, rows[0])):
        assert (block.correlation == block.correlation.T).all()
        assert (block.correlation.diagonal() == 1).all()
        low = np.linalg.eigvalsh(block.correlation)[0]
        assert low > 0.99 * INDEPENDENT_SHARE


def test_long_reports_are_cut_into_blocks_of_bounded_size():
    count = 3 * LARGEST_BLOCK + 1  # the last row is a block of its own
    rows = [{"level": 1000.0 - i, "correlation_ln_p": 1.0} for i in range(count)]
    blocks = error_blocks(table(*rows))
    assert [len(b.rows) for b in blocks] == [LARGEST_BLOCK] * 3
    together = np.concatenate([b.rows for b in blocks])
    assert len(np.unique(together)) == len(together) == count - 1


def test_a_report_is_cut_at_the_times_of_states():
    """Before, at and after a state: what is read of each uses other states."""
    hours = ["03:00", "01:00", "02:00", "03:00", "04:00", "05:00", "09:00", "10:00", "10:30"]
    rows = [
        {"valid_time": f"2024-01-01T{h}", "latitude": 10.0 + 0.01 * i, "correlation_km": 200.0}
        for i, h in enumerate(hours)
    ]
    times = np.array(["2024-01-01T03:00", "2024-01-01T09:00"], "datetime64[ns]")
    cut = error_blocks(table(*rows), times)
    # the row at the second state is alone there and has independent errors
    assert sorted(b.rows.tolist() for b in cut) == [[0, 3], [1, 2], [4, 5], [7, 8]]
    (whole,) = error_blocks(table(*rows))
    assert whole.rows.tolist() == [1, 2, 0, 3, 4, 5, 6, 7, 8]
    for block in cut:
        place = [whole.rows.tolist().index(row) for row in block.rows]
        np.testing.assert_array_equal(block.correlation, whole.correlation[np.ix_(place, place)])


def test_noise_has_the_correlation_and_a_row_alone_keeps_its_own():
    rows = [{"level": p, "correlation_ln_p": 0.5} for p in (1000.0, 500.0, 250.0)]
    rows = [*rows, {"level": 500.0, "report_id": ""}]
    blocks = error_blocks(table(*rows))
    unit = np.random.default_rng(0).standard_normal((4, 200_000))
    noise = correlated(unit, blocks)
    (block,) = blocks
    np.testing.assert_allclose(np.cov(noise[block.rows]), block.correlation, atol=0.012)
    assert (noise[3] == unit[3]).all()
