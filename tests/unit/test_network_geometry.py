"""Where and when the instruments of a simulated network measure."""

import numpy as np
import pandas as pd
import pytest

from appa_core.config.build_network import NetworkData, build_instruments
from appa_core.config.presets import load_preset
from appa_core.errors import InputError
from appa_core.observe.networks import CircularOrbit, seen_cells
from tests.networks import TIMES, like_table, network, rows_of

IDENTITY = ["valid_time", "latitude", "longitude", "level", "quantity", "station_id"]


@pytest.fixture(scope="module")
def schema():
    return load_preset("tiny").state.build()


def test_ascents_are_reports_at_synoptic_hours(schema):
    times = pd.date_range("2012-02-11T06", periods=48, freq="1h")
    frame = rows_of("radiosondes=0.3,six_hourly=0.25", schema, times)
    hours = frame["valid_time"].dt.hour
    main = frame[hours.isin([0, 12])]
    other = frame[hours.isin([6, 18])]
    assert len(main) + len(other) == len(frame)
    assert main["valid_time"].min() == pd.Timestamp("2012-02-11T12")
    assert other["valid_time"].min() == times[0]
    stations, often = main["station_id"].nunique(), other["station_id"].nunique()
    assert often / stations == pytest.approx(0.25, abs=0.1)
    assert set(other["station_id"]) <= set(main["station_id"])
    ascents = frame.groupby("report_id")
    assert (ascents["valid_time"].nunique() == 1).all()
    assert (ascents["station_id"].nunique() == 1).all()
    assert (ascents.size() == 4 * len(schema.levels)).all()


def test_larger_shares_hold_the_stations_of_smaller_ones(schema):
    isd = pd.DataFrame({"station_id": [f"{i}" for i in range(500)], "latitude": 1.0,
                        "longitude": 2.0, "elevation_m": 3.0})  # fmt: skip
    data = NetworkData({"isd": isd, "igra": isd})
    for kind in ("stations", "radiosondes", "isd", "igra"):
        one, two = (
            set(rows_of(f"{kind}={share}", schema, data=data)["station_id"])
            for share in (0.1, 0.3)
        )
        assert one < two
        assert len(two) / len(one) == pytest.approx(3, rel=0.3)


def test_cells_are_drawn_by_area(schema):
    rows = schema.grid.shape[0]
    found = [rows_of(f"stations=0.05,seed={s}", schema, TIMES[:1]) for s in range(200)]
    latitude = pd.concat(found)["latitude"].to_numpy()
    counts = [np.isclose(latitude, row).mean() for row in schema.grid.latitudes]
    np.testing.assert_allclose(counts, schema.grid.area_weights / rows, atol=0.02)


def test_an_orbiter_sees_the_cells_near_its_track_at_the_states_times(schema):
    frame = rows_of("orbiters=1,radius_deg=12,minutes=40,seed=2", schema)
    (orbiter,) = build_instruments(network("orbiters=1,seed=2"), schema, NetworkData())
    for time, rows in frame.groupby("valid_time"):
        fixes = time.to_datetime64() + np.arange(-20, 20) * np.timedelta64(1, "m")
        cells, nearest = seen_cells(schema.grid, orbiter.satellite.track(fixes), 12.0)
        columns = schema.grid.shape[1]
        expected = {
            (schema.grid.latitudes[c // columns], schema.grid.longitudes[c % columns], p)
            for c, p in zip(cells, orbiter.satellite.passes(fixes[nearest]), strict=True)
        }
        found = rows[["latitude", "longitude"]].assign(
            number=rows["report_id"].str.removeprefix("orbiter-1 pass ").astype(int)
        )
        assert set(found.itertuples(index=False, name=None)) == expected
    assert set(frame["level"]) == set(schema.levels)
    assert frame["report_id"].nunique() > 6


def test_orbiters_are_apart(schema):
    instruments = build_instruments(network("orbiters=3"), schema, NetworkData())
    tracks = [i.satellite.track(TIMES.values) for i in instruments]
    assert np.ptp([t[0][0] for t in tracks]) > 1
    assert np.ptp([t[1][0] for t in tracks]) > 1
    orbit = instruments[0].satellite.orbit
    assert isinstance(orbit, CircularOrbit)
    assert (orbit.altitude_km, orbit.inclination_deg) == (800.0, 75.0)


def test_scans_come_at_their_interval_around_the_states(schema):
    options = "orbiters=1,view=swath,minutes=20,scan_seconds=45,fields_of_view=3,footprint_km=80"
    frame = rows_of(options, schema)
    scans = np.unique(frame["valid_time"].to_numpy())
    seconds = scans.astype("datetime64[s]").astype(int)
    assert (seconds % 45 == 0).all()
    offsets = (scans[:, None] - TIMES.values[None]) / np.timedelta64(60, "s")
    nearest = offsets[np.arange(len(scans)), np.abs(offsets).argmin(axis=1)]
    assert (nearest.min(), nearest.max()) == (-9.75, 9.75)
    per_state = np.bincount(np.abs(offsets).argmin(axis=1))
    assert per_state.tolist() == [14, 27, 27, 27, 27, 14]
    assert (frame.groupby("valid_time").size() == 3 * 4 * len(schema.levels)).all()
    assert (frame["footprint_km"] == 80).all()
    always = rows_of("orbiters=1,view=swath,minutes=360", schema)["valid_time"].unique()
    assert len(always) == 30 * 60 + 1


def test_scans_do_not_depend_on_the_period(schema):
    options = "orbiters=1,view=swath,seed=3"
    whole, part = (rows_of(options, schema, times) for times in (TIMES, TIMES[1:4]))
    both = whole.merge(part, on=[*IDENTITY, "report_id"])
    assert len(both) == len(part) > 0


def test_unknown_satellites_are_named(schema):
    with pytest.raises(InputError, match="unknown satellite 'X-1'; there are: , or all"):
        build_instruments(network("satellites=X-1,elements=x.tle"), schema, NetworkData())


def test_reports_that_were_rejected_have_no_likeness(schema):
    table = like_table().reject(np.array([False, True, False]), "black-list")
    frame = rows_of("like=x.csv", schema, data=NetworkData(like=(table,)))
    assert set(frame["platform"]) == {"metar", "aircraft"}
    nothing = table.reject(np.ones(3, bool), "black-list")
    assert rows_of("like=x.csv", schema, data=NetworkData(like=(nothing,))).empty
