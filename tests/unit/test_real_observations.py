"""Real reports: every file is read, controlled and summarised, and the counts are these."""

import numpy as np
import pandas as pd
import pytest

from appa_core.config.control import ControlConfig, load_control
from appa_core.io.readers.reading import read_files
from appa_core.observations.control.check import Evidence
from appa_core.observations.table import ObservationTable
from appa_core.steps.control import control_table

U10, V10 = "10m_u_component_of_wind", "10m_v_component_of_wind"
U, V = "u_component_of_wind", "v_component_of_wind"

#: Rows, and those that are used after the default control, by file, platform and quantity.
COUNTS = {
    "2005082600_metar.nc.gz": {
        ("metar", U10): (3200, 3126),
        ("metar", V10): (3200, 3126),
        ("metar", "10m_wind_speed"): (82, 82),
        ("metar", "2m_temperature"): (3274, 3197),
        ("metar", "mean_sea_level_pressure"): (1376, 1337),
        ("metar", "specific_humidity"): (3151, 3033),
        ("metar", "surface_pressure"): (3101, 1830),
        ("metar", "total_precipitation_6hr"): (222, 220),
    },
    "2005082600_marine.nc.gz": {
        ("buoy", U10): (285, 276),
        ("buoy", V10): (285, 276),
        ("buoy", "10m_wind_speed"): (9, 9),
        ("buoy", "2m_temperature"): (341, 332),
        ("buoy", "mean_sea_level_pressure"): (626, 604),
        ("buoy", "sea_surface_temperature"): (1269, 1255),
        ("buoy", "specific_humidity"): (99, 92),
        ("buoy", "surface_pressure"): (400, 4),
        ("ship", U10): (373, 367),
        ("ship", V10): (373, 367),
        ("ship", "2m_temperature"): (372, 370),
        ("ship", "mean_sea_level_pressure"): (371, 361),
        ("ship", "sea_surface_temperature"): (295, 293),
        ("ship", "specific_humidity"): (252, 248),
        ("ship", "surface_pressure"): (4, 0),
    },
    "2005082600_acars.nc.gz": {
        ("aircraft", "specific_humidity"): (956, 925),
        ("aircraft", "temperature"): (8777, 8522),
        ("aircraft", U): (8592, 7936),
        ("aircraft", V): (8592, 7936),
    },
    "2005082600_rawin.nc.gz": {
        ("radiosonde", U10): (532, 525),
        ("radiosonde", V10): (532, 525),
        ("radiosonde", "2m_temperature"): (969, 526),
        ("radiosonde", "geopotential"): (7353, 7351),
        ("radiosonde", "specific_humidity"): (12157, 11538),
        ("radiosonde", "surface_pressure"): (973, 526),
        ("radiosonde", "temperature"): (12714, 12574),
        ("radiosonde", U): (11889, 11840),
        ("radiosonde", V): (11889, 11840),
    },
    "synop_20181102T12.bufr": {
        ("synop", U10): (7611, 7571),
        ("synop", V10): (7611, 7571),
        ("synop", "2m_temperature"): (7803, 7761),
        ("synop", "mean_sea_level_pressure"): (6314, 6291),
        ("synop", "specific_humidity"): (7136, 7094),
        ("synop", "surface_pressure"): (6628, 913),
        ("synop", "total_precipitation_6hr"): (4284, 4264),
    },
}
#: Rows by reason.
REASONS = {
    "2005082600_metar.nc.gz": {
        "file: failed QC stage 2 or 3": 415,
        "duplicate": 42,
        "mean_sea_level_pressure is used instead": 1189,
        "buddy check": 9,
    },
    "2005082600_marine.nc.gz": {
        "file: failed QC stage 2 or 3": 78,
        "duplicate": 38,
        "mean_sea_level_pressure is used instead": 376,
        "buddy check": 7,
        "other component rejected": 1,
    },
    "2005082600_acars.nc.gz": {
        "file: failed QC stage 1": 392,
        "file: failed QC stage 2 or 3": 309,
        "file: roll angle above 5 degrees": 840,
        "duplicate": 37,
        "buddy check": 18,
        "other component rejected": 2,
    },
    "2005082600_rawin.nc.gz": {
        "physical range": 4,
        "duplicate": 1660,
        "buddy check": 70,
        "other component rejected": 29,
    },
    "synop_20181102T12.bufr": {
        "file: confidence below 50 %": 55,
        "duplicate": 164,
        "mean_sea_level_pressure is used instead": 5680,
        "buddy check": 21,
        "other component rejected": 2,
    },
}
#: What no row could be made of.
UNREADABLE = {
    "2005082600_metar.nc.gz": {"humidity without a pressure": 51},
    "2005082600_marine.nc.gz": {
        "wind speed below 0 or direction beyond 0 to 360": 3,
        "wind direction without a speed": 1,
        "station pressure without an elevation": 15,
        "humidity without a pressure": 21,
    },
    "2005082600_acars.nc.gz": {
        "level without a pressure": 527,
        "infinite wind speed": 24,
        "wind speed below 0 or direction beyond 0 to 360": 24,
        "wind direction without a speed": 11,
    },
    "2005082600_rawin.nc.gz": {
        "level without a pressure": 287,
        "wind speed below 0 or direction beyond 0 to 360": 6,
    },
    "synop_20181102T12.bufr": {
        "BUFR message without an element that is read": 7912,
        "station pressure without an elevation": 21,
        "humidity without a pressure": 570,
    },
}


@pytest.fixture(scope="session")
def read(shared_data):
    """Files by name, each read once."""
    folder = shared_data / "data" / "observations"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    known = {}

    def once(name):
        if name.endswith("bufr"):
            pytest.importorskip("eccodes", reason="eccodes is not installed: no BUFR")
        if name not in known:
            known[name] = read_files(str(folder / name))
        return known[name]

    return once


def controlled(found, control=None):
    control = control or load_control("default")
    return control_table(found.table, control, Evidence())[0]


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_a_file(read, name):
    found = read(name)
    assert {why: count for (_, why), count in found.unreadable.items()} == UNREADABLE[name]
    table = controlled(found)
    counts = table.counts()
    rows = {key: (int(c["rows"]), int(c["used"])) for key, c in counts.iterrows()}
    assert rows == COUNTS[name]
    reasons = table.frame["rejected"].value_counts().to_dict()
    assert reasons.pop("") == sum(used for _, used in COUNTS[name].values())
    assert reasons == REASONS[name]


def test_the_wind_of_349_metres_per_second_goes(read):
    found = read("synop_20181102T12.bufr")
    frame = found.table.frame.set_index("quantity")
    speed = np.hypot(frame.loc[U10, "value"].to_numpy(), frame.loc[V10, "value"].to_numpy())
    fastest = frame.loc[U10].iloc[speed.argmax()]
    assert speed.max() == pytest.approx(349.0)
    assert fastest["station_id"] == "89666"
    assert (fastest["latitude"], fastest["longitude"]) == pytest.approx((-76.72, 162.97))
    assert fastest["rejected"] == "file: confidence below 50 %"
    used = controlled(found).used.frame
    assert used.loc[used["quantity"].isin([U10, V10]), "value"].abs().max() < 50
    # whatever the file says of it
    flags = {"kind": "file-flags", "honour": False}
    deaf = ControlConfig(checks=[flags, {"kind": "physical-range"}])
    again = controlled(found, deaf).frame
    is_it = (again["station_id"] == "89666") & again["quantity"].isin([U10, V10])
    assert again.loc[is_it, "rejected"].tolist() == ["physical range"] * 2


def test_soundings_are_hydrostatic(read):
    """Thickness between mandatory levels is that of their mean virtual temperature."""
    used = controlled(read("2005082600_rawin.nc.gz")).used.frame
    used = used[used["level"].isin([850.0, 700.0])]
    by = used.pivot_table(index="report_id", columns=["quantity", "level"], values="value")
    height, temperature, humidity = (
        by[n] for n in ("geopotential", "temperature", "specific_humidity")
    )
    virtual = temperature * (1 + 0.608 * humidity)
    expected = 287.05 * 0.5 * (virtual[850.0] + virtual[700.0]) * np.log(850 / 700)
    ratio = ((height[700.0] - height[850.0]) / expected).dropna()
    assert len(ratio) > 400
    assert abs(ratio.median() - 1) < 0.002
    assert (abs(ratio - 1) < 0.01).mean() > 0.95


def test_pressures_at_stations_are_those_at_sea_level_reduced(read):
    """Near the sea both are one reading, from the altimeter and from its own group."""
    frame = read("2005082600_metar.nc.gz").table.used.frame
    frame = frame[frame["elevation_m"] < 20].drop_duplicates(["report_id", "quantity"])
    by = frame.pivot_table(index="report_id", columns="quantity", values="value")
    height = frame.groupby("report_id")["elevation_m"].first()
    scale = 287.05 * by["2m_temperature"] / 9.80665
    reduced = by["surface_pressure"] * np.exp(height / scale)
    difference = (reduced - by["mean_sea_level_pressure"]).dropna()
    assert len(difference) > 100
    assert abs(difference.median()) < 20
    assert (abs(difference) < 100).mean() > 0.95


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("2005082600_metar.nc.gz", "2005-08-25T23:45", "2005-08-26T00:44"),
        ("2005082600_acars.nc.gz", "2005-08-26T00:00", "2005-08-26T00:59:58"),
        ("2005082600_rawin.nc.gz", "2005-08-25T23:00", "2005-08-26T00:00"),
        ("synop_20181102T12.bufr", "2018-11-02T12:00", "2018-11-02T12:00"),
    ],
)
def test_times_are_those_of_the_files(read, name, first, last):
    times = read(name).table.frame["valid_time"]
    assert (times.min(), times.max()) == (pd.Timestamp(first), pd.Timestamp(last))


def test_a_whole_folder(read, shared_data):
    names = sorted(n for n in COUNTS if n.startswith("2005"))
    whole = read_files(str(shared_data / "data" / "observations" / "2005*"))
    assert [url.rpartition("/")[2] for url in whole.formats] == names
    parts = ObservationTable.concatenate([read(name).table for name in names])
    pd.testing.assert_frame_equal(whole.table.frame, parts.frame)
