"""Statistics of fields by region: against other packages, brute force and hand-worked cases."""

import numpy as np
import properscoring
import pytest
import scores.continuous
import scores.probability
import xarray as xr

from appa_core.errors import DataError, InputError, NumericalError
from appa_core.metrics import events, multivariate, verification
from appa_core.metrics.ensemble import EnsembleStatistics
from appa_core.metrics.members import sort_members
from appa_core.metrics.regions import REGIONS, Box, RegionWeights, region_of
from appa_core.metrics.scores import ensemble_scores, single_scores
from appa_core.schema import Grid

GRID = Grid.equiangular(12, 24)
LAT, LON = (np.asarray(axis) for axis in (GRID.latitudes, GRID.longitudes))
WEIGHTS = region_of(GRID)
LAGS = multivariate.Lags.of(LAT, LON)
SCORING = verification.Scoring(LAGS)


def draw(members=7, seed=0, grid=GRID):
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(members + 2, *grid.shape)).astype(np.float32) * 3
    return fields[2:] + fields[1], fields[0] + fields[1], fields[1]


def scored(ensemble, truth, base=None, found=(), weights=WEIGHTS, scoring=SCORING):
    sums = verification.verify_ensemble(ensemble, truth, weights, scoring, base, found)
    return ensemble_scores(sums.means, len(ensemble)), sums


def as_arrays(ensemble, truth):
    coords = {"lat": LAT, "lon": LON}
    return (
        xr.DataArray(ensemble.astype(float), coords, ("member", "lat", "lon")),
        xr.DataArray(truth.astype(float), coords, ("lat", "lon")),
    )


@pytest.mark.parametrize("region", list(REGIONS))
def test_agrees_with_the_package_scores(region):
    ensemble, truth, base = draw()
    found, _ = scored(ensemble, truth, base)
    fc, obs = as_arrays(ensemble, truth)
    box = REGIONS[region]
    rows = (box.south <= LAT) & (box.north >= LAT)
    area = xr.DataArray(GRID.area_weights * rows, {"lat": LAT}, ("lat",)).broadcast_like(obs)
    mean = fc.mean("member")
    crps = {
        method: scores.probability.crps_for_ensemble(
            fc, obs, "member", method=method, weights=area
        )
        for method in ("fair", "ecdf")
    }
    bias = scores.continuous.mean_error(mean, obs, weights=area)
    expected = {
        "rmse": scores.continuous.rmse(mean, obs, weights=area),
        "mae": scores.continuous.mae(mean, obs, weights=area),
        "bias": bias,
        "crps": crps["fair"],
        "crps_ensemble": crps["ecdf"],
        "spread": np.sqrt((fc.var("member", ddof=1) * area).sum() / area.sum()),
    }
    place = WEIGHTS.names.index(region)
    for name, value in expected.items():
        assert found[name][place] == pytest.approx(float(value), rel=1e-6), name
    f, o = mean - base, obs - base
    acc = (area * f * o).sum() / np.sqrt((area * f**2).sum() * (area * o**2).sum())
    assert found["acc"][place] == pytest.approx(float(acc), rel=1e-6)


def test_agrees_with_properscoring():
    ensemble, truth, _ = draw(9, 1)
    found, _ = scored(ensemble, truth)
    by_cell = properscoring.crps_ensemble(truth, np.moveaxis(ensemble, 0, -1))
    assert found["crps_ensemble"][0] == pytest.approx(float(WEIGHTS.means(by_cell)[0]), rel=1e-6)
    thresholds = np.array([-1.0, 2.0])
    brier = properscoring.threshold_brier_score(truth, np.moveaxis(ensemble, 0, -1), thresholds)
    for i, threshold in enumerate(thresholds):
        event = events.Event("warm", np.asarray(threshold))
        warm, _ = scored(ensemble, truth, None, [event])
        assert warm["brier:warm"][0] == pytest.approx(
            float(WEIGHTS.means(brier[..., i])[0]), rel=1e-6
        )


def test_agrees_with_the_sums_over_dates():
    """Both ways to score an ensemble that the project has."""
    ensemble, truth, _ = draw(5, 2)
    found, sums = scored(ensemble, truth)
    other = EnsembleStatistics.of(ensemble[:, None, None], truth[None, None], GRID.area_weights)
    for name, value in {
        "rmse": other.rmse, "mae": other.mae, "bias": other.bias, "crps": other.crps_fair,
        "crps_ensemble": other.crps, "spread": other.spread, "ssr": other.spread_skill_ratio,
    }.items():  # fmt: skip
        assert found[name][0] == pytest.approx(value[0, 0], rel=1e-12), name
    np.testing.assert_allclose(sums.ranks[0], other.rank_counts[0, 0])


def brute_energy(ensemble, truth, area):
    def norm(d):
        return np.sqrt((area * d**2).sum() / area.sum())

    error = np.mean([norm(x - truth) for x in ensemble])
    distance = [[norm(a - b) for a in ensemble] for b in ensemble]
    count = len(ensemble)
    return error - np.sum(distance) / 2 / count**2, error - np.sum(distance) / 2 / (
        count * (count - 1)
    )


def test_energy_score_by_brute_force():
    ensemble, truth, _ = (x.astype(float) for x in draw(6, 3))
    found, _ = scored(ensemble, truth)
    area = np.broadcast_to(GRID.area_weights[:, None], GRID.shape)
    classical, fair = brute_energy(ensemble, truth, area)
    assert found["energy_ensemble"][0] == pytest.approx(classical, rel=1e-6)
    assert found["energy"][0] == pytest.approx(fair, rel=1e-6)
    south = LAT <= -20
    classical, fair = brute_energy(ensemble[:, south], truth[south], area[south])
    place = WEIGHTS.names.index("southern-extratropics")
    assert found["energy"][place] == pytest.approx(fair, rel=1e-6)


@pytest.mark.parametrize("is_periodic", [True, False])
def test_variogram_score_by_brute_force(is_periodic):
    ensemble, truth, _ = (x.astype(float) for x in draw(4, 4))
    lags = multivariate.Lags(2, 3, is_periodic)
    rows, columns = GRID.shape
    total = weight = 0.0
    for i in range(rows):
        for j in range(columns):
            ends = [(i + 2, j)] if i + 2 < rows else []
            if is_periodic or j + 3 < columns:
                ends.append((i, (j + 3) % columns))
            for end in ends:
                seen = abs(truth[i, j] - truth[end]) ** 0.5
                told = np.mean([abs(x[i, j] - x[end]) ** 0.5 for x in ensemble])
                total += GRID.area_weights[i] * (seen - told) ** 2
                weight += GRID.area_weights[i]
    found, _ = scored(ensemble, truth, scoring=verification.Scoring(lags))
    assert found["variogram"][0] == pytest.approx(total / weight, rel=1e-6)


def test_pairs_go_round_a_globe_and_not_round_a_box():
    assert multivariate.Lags.of(LAT, LON) == multivariate.Lags(1, 1, True)
    assert multivariate.Lags.of(LAT, LON, 40) == multivariate.Lags(3, 3, True)
    assert not multivariate.Lags.of(LAT, LON[:10]).is_periodic


def test_slabs_are_no_part_of_the_answer(monkeypatch):
    ensemble, truth, base = draw(5, 5)
    event = events.Event("e", np.where(np.arange(12)[:, None] > 5, 0.5, -0.5) + 0 * truth)
    whole, one = scored(ensemble, truth, base, [event])
    monkeypatch.setattr(verification, "_SLAB_BYTES", 8 * 5 * 24)  # a row
    pieces, many = scored(ensemble, truth, base, [event])
    for name, values in whole.items():
        np.testing.assert_allclose(pieces[name], values, rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(many.ranks, one.ranks)
    np.testing.assert_allclose(many.reliability["e"], one.reliability["e"])


def test_hand_worked_two_members():
    ensemble = np.array([1.0, 3.0])[:, None, None] * np.ones((1, *GRID.shape))
    found, sums = scored(ensemble, np.zeros(GRID.shape), np.full(GRID.shape, -1.0))
    expected = {
        "rmse": 2, "bias": 2, "mae": 2, "spread": 2**0.5, "ssr": 1.5**0.5 * 2**0.5 / 2,
        "crps_ensemble": 1.5, "crps": 1.0, "energy_ensemble": 1.5, "energy": 1.0,
        "acc": 1.0, "variogram": 0.0, "coverage:33": 0.0,
    }  # fmt: skip
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name
    assert set(found) == set(expected)
    np.testing.assert_allclose(sums.ranks[0], [GRID.shape[0] * GRID.shape[1], 0, 0])


def test_intervals_that_members_can_tell():
    assert verification.intervals_of(19, (0.5, 0.9)) == {5.0: 0.5, 1.0: pytest.approx(0.9)}
    # eight members have nothing beyond 7/9, which is their range
    assert verification.intervals_of(8, (0.5, 0.9)) == {2.25: 0.5, 1.0: 7 / 9}
    assert verification.intervals_of(1, (0.5, 0.9)) == {}


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(6)
    draws = rng.normal(size=(12, 180, 360))
    grid = Grid.equiangular(180, 360)
    weights = region_of(grid, ("global",))
    scoring = verification.Scoring(multivariate.Lags(0, 0, True), (0.5, 0.8))
    with np.errstate(invalid="ignore"):
        found, _ = scored(draws[1:], draws[0], weights=weights, scoring=scoring)
    assert found["coverage:50"][0] == pytest.approx(0.5, abs=0.006)
    assert found["coverage:80"][0] == pytest.approx(0.8, abs=0.006)
    assert found["coverage:83"][0] == pytest.approx(10 / 12, abs=0.006)


def test_reliability_counts_cells_by_what_was_said():
    ensemble = np.zeros((2, *GRID.shape))
    ensemble[:, :, :6], ensemble[0, :, 6:12] = 1.0, 1.0
    truth = np.zeros(GRID.shape)
    truth[:, :9] = 1.0
    event = events.Event("wet", np.asarray(0.5))
    _, sums = scored(ensemble, truth, None, [event])
    weight, forecast, happened, cells = np.moveaxis(sums.reliability["wet"][0], -1, 0)
    np.testing.assert_array_equal(cells, [144, 72, 72])
    np.testing.assert_allclose(forecast / weight, [0, 0.5, 1])
    np.testing.assert_allclose(happened / weight, [0, 0.5, 1])
    parts = events.brier_parts(sums.reliability["wet"][0])
    assert parts["reliability"] == pytest.approx(0)
    assert parts["uncertainty"] == pytest.approx(9 / 24 * 15 / 24)
    whole = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert sums.means["brier:wet"][0] == pytest.approx(whole)


def test_many_members_share_bins():
    assert events.bins_of(4).tolist() == [0, 1, 2, 3, 4]
    assert events.bins_of(50)[[0, 2, 3, 25, 48, 50]].tolist() == [0, 0, 1, 5, 10, 10]


def test_an_event_below_a_threshold():
    event = events.Event("cold", np.asarray(1.0), is_above=False)
    assert event.happens(np.array([0.5, 1.0, 1.5])).tolist() == [True, False, False]


def test_sorting_members_by_exchanges():
    rng = np.random.default_rng(7)
    for members in (*range(1, 18), 50):
        values = rng.integers(0, 9, (members, 40)).astype(float)
        expected = np.sort(values, axis=0)
        sort_members(values)
        np.testing.assert_array_equal(values, expected)


def test_regions_weigh_rows_by_area():
    assert WEIGHTS.sizes[0] == pytest.approx(GRID.shape[0] * GRID.shape[1])
    np.testing.assert_allclose(WEIGHTS.rows[0], GRID.area_weights)
    north = WEIGHTS.means(np.broadcast_to(LAT[:, None] > 0, GRID.shape).astype(float))
    assert dict(zip(WEIGHTS.names, north, strict=True)) == {
        "global": pytest.approx(0.5), "tropics": pytest.approx(0.5),
        "northern-extratropics": 1.0, "southern-extratropics": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("grid", [Grid.with_poles(7, 12), Grid.equiangular(6, 12)])
def test_rows_next_to_a_pole_are_closed_by_it(grid):
    np.testing.assert_allclose(region_of(grid, ("global",)).rows[0], grid.area_weights)


def test_a_box_across_the_date_line():
    weights = RegionWeights.of({"box": Box(0, 40, 170, -170)}, LAT, LON)
    assert LON[np.flatnonzero(weights.columns[0])].tolist() == [180.0]
    assert weights.rows[0][LAT < 0].sum() == 0
    with pytest.raises(InputError, match="no cell"):
        RegionWeights.of({"box": Box(0, 1, 1, 2)}, LAT, LON)


def test_a_single_forecast_scores_as_one_member():
    ensemble, truth, base = draw(1, 8)
    alone = single_scores(verification.verify_single(ensemble[0], truth, WEIGHTS, base).means)
    found, _ = scored(ensemble, truth, base)
    for name, values in alone.items():
        np.testing.assert_allclose(values, found[name], rtol=1e-12)
    assert np.isnan(found["crps"]).all()
    np.testing.assert_allclose(found["crps_ensemble"], found["mae"])


def test_climatology_has_no_anomaly():
    _, truth, base = draw()
    sums = verification.verify_single(base, truth, WEIGHTS, base)
    np.testing.assert_array_equal(sums.means["acc"], 0)


def test_shapes_and_sizes_are_checked():
    ensemble, truth, _ = draw()
    with pytest.raises(DataError, match="expected members"):
        scored(ensemble[:, :-1], truth)
    with (
        pytest.raises(NumericalError, match="too large"),
        np.errstate(over="ignore", invalid="ignore"),
    ):
        scored(np.full(ensemble.shape, 1e200), truth)


def test_cells_without_values_do_not_count():
    ensemble, truth, base = draw(5, 9)
    sea = np.random.default_rng(9).random(GRID.shape) > 0.4
    event = events.Event("e", np.asarray(0.0))
    weights = WEIGHTS.masked(sea)
    found, sums = scored(
        np.where(sea, ensemble, np.nan), np.where(sea, truth, np.nan), base, [event], weights
    )
    other, _ = scored(
        np.where(sea, ensemble, np.nan), np.where(sea, truth, np.nan), np.where(sea, base, np.nan),
        [event], weights,
    )  # fmt: skip
    area = sea * GRID.area_weights[:, None]
    error = ensemble.astype(float).mean(axis=0) - truth
    assert found["rmse"][0] == pytest.approx(np.sqrt((area * error**2).sum() / area.sum()))
    _, fair = brute_energy(ensemble.astype(float), truth, area)
    assert found["energy"][0] == pytest.approx(fair, rel=1e-6)
    assert sums.ranks[0].sum() == pytest.approx(sea.sum())
    assert sums.reliability["e"][0, :, 3].sum() == sea.sum()
    for name, values in found.items():
        np.testing.assert_array_equal(other[name], values)
    # of one column of sea, pairs along the meridian are left
    column = np.zeros(GRID.shape, bool)
    column[:, 3] = True
    alone, _ = scored(
        np.where(column, ensemble, np.nan), np.where(column, truth, np.nan), None, (),
        WEIGHTS.masked(column),
    )  # fmt: skip
    gaps = np.abs(np.diff(truth[:, 3].astype(float))) ** 0.5
    gaps -= (np.abs(np.diff(ensemble[:, :, 3].astype(float), axis=1)) ** 0.5).mean(axis=0)
    expected = np.average(gaps**2, weights=GRID.area_weights[:-1])
    assert alone["variogram"][0] == pytest.approx(expected, rel=1e-6)
    assert WEIGHTS.masked(np.broadcast_to(LAT[:, None] > 30, GRID.shape)).names == (
        "global", "northern-extratropics",
    )  # fmt: skip


def test_pairs_are_scored_as_pairs():
    """Hand-worked: 1, 3 and 4, 8 over a truth of 0 are pairs with means 2, 6 and halves 1, 2."""
    ensemble = np.ones((4, *GRID.shape)) * np.array([1.0, 3.0, 4.0, 8.0])[:, None, None]
    scoring = verification.Scoring(LAGS, paired=True)
    by_score, found = scored(ensemble, np.zeros(GRID.shape), scoring=scoring)
    got = {name: float(values[0]) for name, values in by_score.items()}
    assert got["spread"] == pytest.approx(np.sqrt(8 + 2.5))
    assert got["ssr"] == pytest.approx(np.sqrt(8 + 2.5 + 4) / 4)
    # |1 - 4|, |1 - 8|, |3 - 4|, |3 - 8|
    assert got["crps"] == pytest.approx(4 - (3 + 7 + 1 + 5) / 4 / 2)
    assert got["energy"] == pytest.approx(got["crps"])
    # one of each pair is ranked, and the truth is below both
    assert found.ranks.shape[1] == 3
    assert found.ranks[0, 0] == np.prod(GRID.shape)
    assert not found.ranks[:, 1:].any()
