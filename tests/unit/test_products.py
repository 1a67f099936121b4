"""Values at points, probabilities and quantiles against numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.config.products import parse_event, parse_place, parse_quantiles, unique_places
from appa_core.errors import InputError
from appa_core.io.ensembles import OpenResult
from appa_core.io.store import ArtifactStore
from appa_core.products import Event, PointWeights, quantiles
from appa_core.report.content import Place
from appa_core.schema import Channel, Grid
from appa_core.steps.products import ProductOrder, point_table, probability_table, write_products
from tests.finished import write_result


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return OpenResult.of(write_result(tmp_path_factory.mktemp("r") / "a"))


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """Rows 37.5 to 82.5 N, columns 15 degrees apart from 45 W to 45 E."""
    folder = tmp_path_factory.mktemp("r") / "b"
    write_result(folder, rows=range(8, 12), columns=[0, 1, 2, 3, 21, 22, 23])
    return OpenResult.of(folder)


def test_probability_counts_members():
    members = np.array([[271.0, 273.15, np.nan], [274.0, 273.15, 1.0], [275.0, 280.0, 1.0]])
    above, at_least = (Event("2m_temperature", None, sign, 273.15) for sign in (">", ">="))
    np.testing.assert_allclose(above.probability(members), [2 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(at_least.probability(members), [2 / 3, 1.0, np.nan])
    below, at_most = (Event("2m_temperature", None, sign, 273.15) for sign in ("<", "<="))
    whole = [1, 1, np.nan]
    np.testing.assert_allclose(below.probability(members) + at_least.probability(members), whole)
    np.testing.assert_allclose(at_most.probability(members) + above.probability(members), whole)


def test_quantiles_lie_between_order_statistics():
    members = np.array([4.0, 1.0, 3.0, 2.0, 10.0])[:, None]
    # positions 0, 1, 2 and 3.6 of 1 2 3 4 10
    np.testing.assert_allclose(quantiles(members, [0, 0.25, 0.5, 0.9])[:, 0], [1, 2, 3, 7.6])


def test_a_point_between_four_cells():
    grid = Grid((0.0, 10.0), (0.0, 10.0, 20.0))
    weights = PointWeights.of(grid, 2.5, 15.0, is_global=False)
    field = np.array([[0.0, 10.0, 20.0], [100.0, 110.0, 120.0]])
    cells = field[weights.row, weights.column]
    assert weights.values(cells, turns=False) == pytest.approx(15 + 25)


def test_a_region_across_greenwich():
    grid = Grid((50.0, 60.0), (0.0, 10.0, 340.0, 350.0))
    weights = PointWeights.of(grid, 50.0, -5.0, is_global=False)
    field = np.array([[0.0, 10.0, -20.0, -10.0]] * 2)  # degrees east
    assert weights.values(field[weights.row, weights.column], turns=False) == pytest.approx(-5)
    with pytest.raises(InputError, match=r"lies outside the result's region.*340 to 10"):
        PointWeights.of(grid, 50.0, 11.0, is_global=False)


def test_around_the_globe_and_across_a_pole():
    grid = Grid.equiangular(4, 8)  # rows at -67.5 ... 67.5
    east = np.cos(np.deg2rad(grid.longitudes))[None] * np.ones((4, 1))
    weights = PointWeights.of(grid, 22.5, 337.5, is_global=True)
    between = (np.cos(np.pi / 4) + 1) / 2
    assert weights.values(east[weights.row, weights.column], turns=False) == pytest.approx(between)
    pole = PointWeights.of(grid, 90.0, 0.0, is_global=True)
    # opposite cells cancel; those of a wind, which points the other way there, do not
    assert pole.values(east[pole.row, pole.column], turns=False) == pytest.approx(0, abs=1e-12)
    assert pole.values(east[pole.row, pole.column], turns=True) == pytest.approx(1)


def test_the_table_of_points_holds_members_and_their_moments(result):
    cell = Place("a", float(result.fields.grid.latitudes[5]), 30.0)
    table = point_table(result.fields, [cell], [0.5])
    assert len(table) == len(result.fields.channels) * 4
    rows = table[(table["variable"] == "temperature") & (table["level"] == 850)]
    own = result.fields.read(Channel("temperature", 850))[:, :, 5, 2].astype(float)
    members = rows[["member_0", "member_1", "member_2"]].to_numpy().T
    np.testing.assert_allclose(members, own, rtol=1e-6)
    np.testing.assert_allclose(rows["mean"], own.mean(0), rtol=1e-6)
    np.testing.assert_allclose(rows["spread"], own.std(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(rows["q0.5"], np.sort(own, axis=0)[1], rtol=1e-6)
    assert rows["valid_time"].tolist()[0] == "2024-01-01T06:00"
    assert rows["lead_hours"].tolist() == [6, 12, 18, 24]


def test_the_spread_at_points_is_that_of_pairs_and_shares_count_all_members(tmp_path):
    """By hand, 1, 3 and 4, 8 have the variance 8 of the pairs' means plus (1 + 4) / 2."""
    folder = write_result(tmp_path / "a", kind="reanalysis", members=4, paired=True)
    result = OpenResult.of(folder)
    data = result.fields.dataset
    numbers = xr.DataArray([1.0, 3.0, 4.0, 8.0], {"member": data["member"]})
    data["2m_temperature"] = 0 * data["2m_temperature"] + numbers
    here = Place("here", 10.0, 20.0)
    order = ProductOrder((here,), (parse_event("2m_temperature>3.5"),), (0.5,))
    with write_products(ArtifactStore(tmp_path / "store"), result, order).local() as made:
        points = pd.read_csv(made / "points.csv")
        chances = pd.read_csv(made / "probabilities.csv")
    rows = points[points["variable"] == "2m_temperature"]
    np.testing.assert_allclose(rows["spread"], np.sqrt(8 + 2.5), rtol=1e-5)
    np.testing.assert_allclose(rows["mean"], 4)
    np.testing.assert_allclose(rows["q0.5"], 3.5)
    np.testing.assert_allclose(chances["probability"], 0.5)
    alone = point_table(result.fields, [here])
    rows = alone[alone["variable"] == "2m_temperature"]
    np.testing.assert_allclose(rows["spread"], np.sqrt(26 / 3))


def test_a_single_member_has_no_spread(tmp_path):
    result = OpenResult.of(write_result(tmp_path / "a", members=1, paired=True))
    table = point_table(result.fields, [Place("here", 10.0, 20.0)], paired=result.result.paired)
    assert table["spread"].isna().all()
    np.testing.assert_array_equal(table["mean"], table["member_0"])


def test_products_are_small_files_that_open(result, tmp_path):
    order = ProductOrder(
        (Place("here", 10.0, 20.0),),
        (parse_event("2m_temperature>280"), parse_event("geopotential@500<50000")),
        (0.1, 0.9),
        ("2m_temperature",),
    )
    made = write_products(ArtifactStore(tmp_path), result, order)
    with made.local() as folder:
        chances = xr.open_dataset(folder / "probabilities.nc")["probability"].load()
        levels = xr.open_dataset(folder / "quantiles.nc")["2m_temperature"].load()
        points = pd.read_csv(folder / "points.csv")
        at_points = pd.read_csv(folder / "probabilities.csv")
    own = result.fields.read(Channel("geopotential", 500))
    np.testing.assert_allclose(chances[1], (own < 50000).mean(0), atol=1e-6)
    assert list(chances["event"].values) == ["2m_temperature>280", "geopotential@500<50000"]
    assert chances.dims == ("event", "lead_time", "latitude", "longitude")
    warm = result.fields.read(Channel("2m_temperature"))
    np.testing.assert_allclose(levels, np.quantile(warm, [0.1, 0.9], axis=0), rtol=1e-6)
    assert levels.attrs["units"] == "K"
    assert set(points["place"]) == {"here"}
    table = probability_table(result.fields, order.events, order.places)
    np.testing.assert_allclose(at_points["probability"], table["probability"], atol=1e-6)
    assert write_products(ArtifactStore(tmp_path), result, order).digest == made.digest


def test_what_a_result_does_not_have_is_refused_before_anything_is_written(region, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    with pytest.raises(InputError, match="no field 'rainfall'; it has: 2m_temperature"):
        write_products(store, region, ProductOrder(events=(parse_event("rainfall>1"),)))
    with pytest.raises(InputError, match="0,0 lies outside the result's region"):
        write_products(store, region, ProductOrder((Place("x", 0.0, 0.0),)))
    inside = ProductOrder((parse_place("50,-10"),))
    write_products(store, region, inside)
    assert len(list((tmp_path / "store").iterdir())) == 2  # staging, and the one product


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("2m_temperature>273.15", Event("2m_temperature", None, ">", 273.15)),
        (" temperature@850 <= -1e2 ", Event("temperature", 850, "<=", -100.0)),
        ("temperature_850>=250", Event("temperature", 850, ">=", 250.0)),
    ],
)
def test_events_are_read(text, event):
    assert parse_event(text) == event
    assert parse_event(event.text) == event


@pytest.mark.parametrize("text", ["2m_temperature", "a=3", "a>b", ">3", "a>>3", "a>1<2"])
def test_what_is_no_event_is_refused(text):
    with pytest.raises(InputError, match="is no event; expected a field"):
        parse_event(text)


def test_a_percentile_is_no_event_of_a_page():
    with pytest.raises(InputError, match="percentiles of the true states are events of"):
        parse_event("2m_temperature>q90")


def test_places_and_quantiles_are_read():
    assert parse_place("Berlin=52.5,13.4") == Place("Berlin", 52.5, 13.4)
    assert parse_place("-33.9,151") == Place("-33.9,151", -33.9, 151.0)
    assert parse_quantiles("0.9,0.1,0.5") == (0.1, 0.5, 0.9)
    for text in ("52.5", "a,b", "1,2,3"):
        with pytest.raises(InputError, match="is no place; expected LAT,LON"):
            parse_place(text)
    with pytest.raises(InputError, match="latitude from -90 to 90"):
        parse_place("91,0")
    with pytest.raises(InputError, match="are no quantiles"):
        parse_quantiles("median")
    with pytest.raises(InputError, match="from 0 to 1"):
        parse_quantiles("10,90")
    with pytest.raises(InputError, match="places repeat: a"):
        unique_places([parse_place("a=1,2"), parse_place("a=3,4")])
