"""WMO BUFR: reports from the surface and soundings, one or many in a message."""

import importlib

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError, InputError
from appa_core.io.readers import bufr
from appa_core.io.readers.files import RawFile
from appa_core.observations.table import ObservationTable
from appa_core.observe import instruments
from tests.bufr_messages import ELEMENTS, PLAIN, SYNOP, TEMP, WITH_CONFIDENCE, encode, place

pytest.importorskip("eccodes", reason="eccodes is not installed: no BUFR")


def read(*messages):
    batch = bufr.read(RawFile("a.bufr", b"".join(messages), ""))
    frame = batch.rows
    if len(frame):
        frame = ObservationTable.of(frame, is_si=True).frame
    return frame, dict(+batch.unreadable)


def values(frame, station=None):
    rows = frame if station is None else frame[frame["station_id"] == station]
    return rows.set_index("quantity")["value"].to_dict()


def synop():
    return encode(
        SYNOP,
        place()
        | {
            "#1#heightOfStationGroundAboveMeanSeaLevel": 36.0,
            "#1#nonCoordinatePressure": 100_500.0,
            "#1#pressureReducedToMeanSeaLevel": 101_000.0,
            "#1#airTemperature": 275.2,
            "#1#dewpointTemperature": 272.1,
            "#1#windDirection": 90,
            "#1#windSpeed": 4.0,
        },
        replications={"inputDelayedDescriptorReplicationFactor": [0, 0]},
    )


def test_a_surface_report():
    frame, unreadable = read(synop())
    assert set(frame["platform"]) == {"synop"}
    assert set(frame["station_id"]) == {"10384"}
    assert set(frame["valid_time"]) == {pd.Timestamp("2024-01-02T12:30")}
    assert frame["elevation_m"].unique().tolist() == [36.0]
    found = values(frame)
    humidity = instruments.humidity_of_dew_point(np.array([272.1]), np.array([100_500.0]))[0]
    assert found == pytest.approx(
        {
            "2m_temperature": 275.2,
            "10m_u_component_of_wind": -4.0,
            "10m_v_component_of_wind": 0.0,
            "mean_sea_level_pressure": 101_000.0,
            "surface_pressure": 100_500.0,
            "specific_humidity": humidity,
        },
        abs=1e-6,
    )
    assert unreadable == {}


def test_bulletin_headings_between_messages_are_passed_over():
    heading = b"\x01\r\r\n123\r\r\nISMI01 EDZW 021200\r\r\n"
    frame, _ = read(heading, synop(), b"\r\r\n\x03", heading, synop())
    assert len(frame) == 12


TWO = {"airTemperature": (280.0, 290.0), "latitude": (50.0, -20.0), "stationNumber": (1, 2)}


def test_reports_of_one_message():
    each = {f"#{i + 1}#{name}": pair[i] for name, pair in TWO.items() for i in (0, 1)}
    apart = encode(PLAIN, place(1) | place(2) | each, subsets=2)
    both = {f"#1#{name}": list(pair) for name, pair in TWO.items()}
    shared = {key: [value, value] for key, value in place().items()}
    together = encode(PLAIN, shared | both, subsets=2, compressed=True)
    for message in (apart, together):
        frame, _ = read(message)
        assert frame["station_id"].tolist() == ["10001", "10002"]
        assert frame["latitude"].tolist() == pytest.approx([50.0, -20.0])
        assert frame["value"].tolist() == pytest.approx([280.0, 290.0])
        assert set(frame["quantity"]) == {"2m_temperature"}


def test_doubted_values_are_rejected():
    message = encode(
        WITH_CONFIDENCE,
        place()
        | {"#1#airTemperature": 280.0, "#1#windDirection": 270, "#1#windSpeed": 349.0}
        | {"#1#airTemperature->percentConfidence": 70}
        | {"#1#windSpeed->percentConfidence": 10},
        replications={"inputDataPresentIndicator": [0] * ELEMENTS},
    )
    frame, _ = read(message)
    reasons = frame.set_index("quantity")["rejected"].to_dict()
    doubted = "file: confidence below 50 %"
    assert reasons == {
        "2m_temperature": "",
        "10m_u_component_of_wind": doubted,
        "10m_v_component_of_wind": doubted,
    }


def temp(month=1):
    levels = {
        "pressure": (100_500.0, 85_000.0, 50_000.0, 30_000.0),
        "extendedVerticalSoundingSignificance": (131_072, 65_536, 65_536, 0),
        "nonCoordinateGeopotentialHeight": (36, 1450, 5600, 9200),
        "airTemperature": (283.0, 275.0, 253.0, 225.0),
        "dewpointTemperature": (280.0, 270.0, 240.0, None),
        "windDirection": (90, 180, 270, 270),
        "windSpeed": (3.0, 10.0, 25.0, 40.0),
        "timePeriod": (0, 300, 1200, 2400),
        "latitudeDisplacement": (0.0, 0.01, 0.1, 0.2),
        "longitudeDisplacement": (0.0, 0.02, 0.3, 0.6),
    }
    return encode(
        TEMP,
        place(month=month)
        | {"#1#second": 0, "#1#heightOfStationGroundAboveMeanSeaLevel": 36.0}
        | {
            f"#{i + 1}#{name}": value
            for name, column in levels.items()
            for i, value in enumerate(column)
            if value is not None
        },
        category=2,
        replications={
            "inputExtendedDelayedDescriptorReplicationFactor": [4],
            "inputDelayedDescriptorReplicationFactor": [1],
        },
    )


def test_a_sounding_drifts_as_it_rises():
    frame, unreadable = read(temp())
    assert unreadable == {}
    assert set(frame["platform"]) == {"radiosonde"}
    assert frame["report_id"].nunique() == 1
    aloft = frame[frame["quantity"] == "temperature"].set_index("level")
    assert aloft["value"].to_dict() == pytest.approx({850.0: 275.0, 500.0: 253.0, 300.0: 225.0})
    middle = aloft.loc[500.0]
    assert middle["latitude"] == pytest.approx(52.6)
    assert middle["longitude"] == pytest.approx(13.7)
    assert middle["valid_time"] == pd.Timestamp("2024-01-02T12:50")
    height = frame[frame["quantity"] == "geopotential"].set_index("level")["value"]
    assert height[500.0] == pytest.approx(9.80665 * 5600)
    humid = frame[frame["quantity"] == "specific_humidity"]
    assert sorted(humid["level"]) == [500.0, 850.0, 1005.0]
    ground = frame[frame["level"].isna()].set_index("quantity")["value"]
    assert ground["2m_temperature"] == pytest.approx(283.0)
    assert ground["surface_pressure"] == pytest.approx(100_500.0)
    assert ground["10m_u_component_of_wind"] == pytest.approx(-3.0)


def test_what_is_not_read_is_counted():
    nothing = encode([1001, 1002, 301011, 301012, 301021, 13023], place())
    satellite = encode(PLAIN, place() | {"#1#airTemperature": 280.0}, category=3)
    whole = encode(PLAIN, place() | {"#1#airTemperature": 280.0})
    damaged = bytearray(whole)
    # a descriptor that no table has
    damaged[22 + 8 : 22 + 10] = b"\xff\xff"
    frame, unreadable = read(nothing, satellite, bytes(damaged), whole)
    assert len(frame) == 1
    assert unreadable["BUFR message without an element that is read"] == 2
    assert unreadable["BUFR message that cannot be decoded"] == 1
    frame, unreadable = read(encode(PLAIN, place(month=13) | {"#1#airTemperature": 280.0}))
    assert unreadable == {"report without a place or a time": 1}
    assert len(frame) == 0
    frame, unreadable = read(temp(month=13))
    assert unreadable == {"report without a place or a time": 4}
    assert len(frame) == 0


def test_a_file_that_ends_early_is_refused():
    with pytest.raises(DataError, match=r"a.bufr: the BUFR message at byte \d+ is truncated"):
        read(synop(), synop()[:-30])


def test_without_the_library_it_is_named(monkeypatch):
    genuine = importlib.import_module

    def absent(name, *rest):
        if name == "eccodes":
            raise ModuleNotFoundError(name)
        return genuine(name, *rest)

    message = synop()
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"not installed .*: pip install 'appa\[bufr\]'"):
        read(message)
