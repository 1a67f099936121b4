"""MADIS files: what their variables become, and what their flags and gaps do."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError
from appa_core.io.readers import madis
from appa_core.io.readers.files import RawFile
from appa_core.observations.table import ObservationTable
from appa_core.observe import instruments
from tests.report_files import metar, netcdf, seconds


def read(data):
    batch = madis.read(RawFile("a.nc", data, ""))
    table = ObservationTable.of(batch.rows, is_si=True)
    return table.frame, dict(+batch.unreadable)


def value(frame, quantity, station=None):
    rows = frame[frame["quantity"] == quantity]
    rows = rows if station is None else rows[rows["station_id"] == station]
    (found,) = rows["value"]
    return found


@pytest.fixture(scope="module")
def metars():
    return read(metar())


def test_a_report_becomes_quantities_of_the_state(metars):
    frame, _ = metars
    first = frame[frame["station_id"] == "KDEN"]
    assert set(first["platform"]) == {"metar"}
    assert set(first["valid_time"]) == {pd.Timestamp("2005-08-25T23:53")}
    assert set(first["report_id"]) == {"metar:KDEN@20050825T235300@39.86,-104.67"}
    assert value(first, "2m_temperature") == pytest.approx(300.35, abs=1e-4), "to the tenth"
    assert value(first, "10m_u_component_of_wind") == pytest.approx(10.0)
    assert value(first, "10m_v_component_of_wind") == pytest.approx(0.0, abs=1e-5)
    assert value(first, "mean_sea_level_pressure") == pytest.approx(101_500)
    assert value(first, "total_precipitation_6hr") == pytest.approx(0.005)
    pressure = instruments.station_pressure(np.array([102_000.0]), np.array([1655.0]))[0]
    assert value(first, "surface_pressure") == pytest.approx(pressure, rel=1e-6)
    humid = first[first["quantity"] == "specific_humidity"].iloc[0]
    assert humid["level"] == pytest.approx(pressure / 100, rel=1e-6)
    expected = instruments.humidity_of_dew_point(np.array([280.15]), np.array([pressure]))[0]
    assert humid["value"] == pytest.approx(expected, rel=1e-5)
    assert (first["rejected"] == "").all()


def test_flags_of_the_file_reject(metars):
    frame, _ = metars
    second = frame[frame["station_id"] == "KJFK"].set_index("quantity")["rejected"]
    assert second["2m_temperature"] == "file: failed QC stage 2 or 3"
    assert second["mean_sea_level_pressure"] == "file: failed QC stage 1"
    # its level follows from that pressure
    assert second["specific_humidity"] == "file: failed QC stage 1"


def test_a_wind_without_a_direction_is_a_speed(metars):
    frame, _ = metars
    assert value(frame, "10m_wind_speed", "KJFK") == pytest.approx(2.0)
    calm = frame[(frame["station_id"] == "XX") & frame["quantity"].str.startswith("10m")]
    assert calm["value"].tolist() == [0.0, 0.0]


def test_what_cannot_become_a_row_is_counted(metars):
    _, unreadable = metars
    # the last station has no elevation, so that its altimeter says no pressure
    assert unreadable == {"humidity without a pressure": 1}
    _, unreadable = read(
        metar(latitude=[95.0, None, 10.0], windSpeed=[10.0, np.inf, 0.0], windDir=[400.0, 10.0, 0])
    )
    assert unreadable["report off the planet"] == 1
    assert unreadable["report without a place or a time"] == 1
    frame, unreadable = read(metar(windSpeed=[10.0, np.inf, 0.0], windDir=[400.0, 10.0, 0.0]))
    assert unreadable["wind speed below 0 or direction beyond 0 to 360"] == 1
    assert unreadable["infinite wind speed"] == 1
    assert unreadable["wind direction without a speed"] == 1
    assert (frame["quantity"] == "10m_u_component_of_wind").sum() == 1


def test_ships_buoys_and_the_sea(tmp_path):
    frame, unreadable = read(
        netcdf(
            {
                "stationName": ["DBJM", "46035", "41001", "FGBL1"],
                "dataPlatformType": [1, 0, 1, 0],
                "latitude": [50.0, 57.0, 34.0, 28.0],
                "longitude": [-20.0, -177.0, -72.0, -93.0],
                "elevation": [0.0, 0.0, None, 20.0],
                "timeObs": seconds(*["2005-08-26"] * 4),
                "temperature": [290.0, 281.0, None, None],
                "temperatureDD": ["Z", "V", "Z", "Z"],
                "dewpoint": [285.0, None, None, None],
                "dewpointDD": ["B", "Z", "Z", "Z"],
                "windDir": [None] * 4,
                "windDirDD": ["Z"] * 4,
                "windSpeed": [None] * 4,
                "windSpeedDD": ["Z"] * 4,
                "seaLevelPress": [100_430.0, None, None, None],
                "seaLevelPressDD": ["C", "Z", "Z", "Z"],
                "precip6Hour": [None] * 4,
                "precip6HourDD": ["Z"] * 4,
                "stationPress": [None, None, 101_000.0, 101_500.0],
                "stationPressDD": ["Z", "Z", "C", "C"],
                "seaSurfaceTemp": [290.35, 283.45, 300.0, None],
            }
        )
    )
    platforms = frame.groupby("station_id")["platform"].first().to_dict()
    assert platforms == {"DBJM": "ship", "46035": "buoy", "41001": "buoy", "FGBL1": "buoy"}
    assert value(frame, "sea_surface_temperature", "46035") == pytest.approx(283.45, abs=1e-4)
    assert value(frame, "surface_pressure", "FGBL1") == pytest.approx(101_500)
    assert unreadable == {"station pressure without an elevation": 1}
    humid = frame[frame["quantity"] == "specific_humidity"].iloc[0]
    assert humid["level"] == pytest.approx(1004.3)
    assert humid["rejected"] == "file: on reject list"


def aircraft(**changes):
    texts = {f"{n}DD": ["C", "C", "C"] for n in ("latitude", "longitude", "altitude", "timeObs")}
    return netcdf(
        texts
        | {
            "en_tailNumber": ["FSL1", "FSL2", "FSL3"],
            "latitude": [40.0, 41.0, 42.0],
            "longitude": [-100.0, -101.0, -102.0],
            "altitude": [11_000.0, 5000.0, None],
            "timeObs": seconds("2005-08-26T00:10", "2005-08-26T00:20", "2005-08-26T00:30"),
            "temperature": [220.0, 255.0, 250.0],
            "temperatureDD": ["S", "X", "Z"],
            "dewpoint": [None, 250.0, None],
            "dewpointDD": ["Z", "S", "Z"],
            "windDir": [180.0, 90.0, None],
            "windDirDD": ["C", "C", "Z"],
            "windSpeed": [20.0, 10.0, None],
            "windSpeedDD": ["C", "C", "Z"],
            "rollFlag": ["G", "B", "N"],
        }
        | changes,
        fill=np.float32(99999.0),
    )


def test_aircraft_report_at_a_pressure_altitude():
    frame, unreadable = read(aircraft())
    first = frame[frame["station_id"] == "FSL1"]
    assert set(first["quantity"]) == {"temperature", "u_component_of_wind", "v_component_of_wind"}
    assert first["level"].unique() == pytest.approx(226.32, abs=0.01)
    assert value(first, "v_component_of_wind") == pytest.approx(20.0)
    second = frame[frame["station_id"] == "FSL2"].set_index("quantity")["rejected"]
    assert second["temperature"] == "file: failed QC stage 1"
    assert second["u_component_of_wind"] == "file: roll angle above 5 degrees"
    assert second["specific_humidity"] == ""
    assert unreadable == {"level without a pressure": 1}


def test_a_place_that_failed_rejects_the_whole_report():
    frame, _ = read(aircraft(latitudeDD=["X", "C", "C"]))
    first = frame[frame["station_id"] == "FSL1"]
    assert (first["rejected"] == "file: failed QC stage 1").all()


def sounding(**changes):
    """One sounding: surface, two mandatory levels, a level of each other kind."""
    none = [[None]]
    return netcdf(
        {
            "wmoStaNum": [72520.0],
            "staName": ["PIT"],
            "staLat": [40.5],
            "staLon": [-80.2],
            "staElev": [360.0],
            "synTime": seconds("2005-08-26T00:00"),
            "relTime": seconds("2005-08-25T23:05"),
            "prMan": [[975.0, 850.0, 500.0]],
            "htMan": [[360.0, 1500.0, 5800.0]],
            "tpMan": [[295.0, 288.0, 265.0]],
            "tdMan": [[5.0, 8.0, None]],
            "wdMan": [[180.0, 270.0, 270.0]],
            "wsMan": [[2.0, 10.0, 30.0]],
            "prSigT": [[975.0, 700.0]],
            "tpSigT": [[295.0, 279.0]],
            "tdSigT": [[5.0, 20.0]],
            "htSigW": [[3650.0, 9000.0]],
            "wdSigW": [[270.0, 270.0]],
            "wsSigW": [[20.0, 50.0]],
            "prTrop": [[200.0]],
            "tpTrop": [[215.0]],
            "tdTrop": none,
            "wdTrop": none,
            "wsTrop": none,
            "prMaxW": [[250.0]],
            "wdMaxW": [[260.0]],
            "wsMaxW": [[60.0]],
            **changes,
        },
        fill=np.float32(99999.0),
    )


def test_levels_of_a_sounding():
    frame, unreadable = read(sounding())
    assert set(frame["platform"]) == {"radiosonde"}
    assert set(frame["station_id"]) == {"72520"}
    assert set(frame["valid_time"]) == {pd.Timestamp("2005-08-25T23:05")}, "when it was released"
    assert frame["report_id"].nunique() == 1
    aloft = frame[frame["quantity"] == "temperature"].set_index("level")["value"]
    assert aloft.to_dict() == {850.0: 288.0, 500.0: 265.0, 700.0: 279.0, 200.0: 215.0}
    height = frame[frame["quantity"] == "geopotential"].set_index("level")["value"]
    assert height[500.0] == pytest.approx(9.80665 * 5800)
    humid = frame[frame["quantity"] == "specific_humidity"].set_index("level")["value"]
    expected = instruments.humidity_of_dew_point(np.array([280.0]), np.array([85_000.0]))[0]
    assert humid[850.0] == pytest.approx(expected)
    wind = frame[frame["quantity"] == "u_component_of_wind"].set_index("level")["value"]
    assert wind[850.0] == pytest.approx(10.0)
    assert wind[250.0] == pytest.approx(60 * np.sin(np.deg2rad(80)))
    # half-way between 1500 and 5800 m, so between 850 and 500 hPa in the logarithm
    between = wind[np.isclose(wind.index, np.sqrt(850 * 500))]
    assert between.tolist() == pytest.approx([20.0])
    # the wind at 9000 m is above the highest level whose pressure is known
    assert unreadable == {"level without a pressure": 1}


def test_the_first_level_is_the_surface():
    frame, _ = read(sounding())
    at_surface = frame[frame["level"].isna()]
    assert sorted(at_surface["quantity"]) == [
        "10m_u_component_of_wind",
        "10m_v_component_of_wind",
        "2m_temperature",
        "2m_temperature",  # as the first significant level repeats it
        "surface_pressure",
        "surface_pressure",
    ]
    pressures = at_surface[at_surface["quantity"] == "surface_pressure"]
    assert pressures["value"].tolist() == [97_500.0, 97_500.0]
    assert pressures["elevation_m"].tolist() == [360.0, 360.0]
    assert not ((frame["quantity"] == "temperature") & (frame["level"] == 975.0)).any()


def test_later_files_of_soundings_have_results_of_checks():
    frame, _ = read(sounding(tpManQCR=[[0.0, 2.0, 0.0]]))
    reasons = frame[frame["level"] == 850.0].set_index("quantity")["rejected"]
    assert reasons["temperature"] == "file: failed QC"
    assert reasons["specific_humidity"] == "file: failed QC", "its dew point follows from it"
    assert reasons["u_component_of_wind"] == ""


def test_a_launch_of_the_evening_before_has_the_date_of_the_sounding():
    frame, _ = read(sounding(relTime=seconds("2005-08-26T23:00")))
    assert set(frame["valid_time"]) == {pd.Timestamp("2005-08-25T23:00")}


def test_a_launch_that_is_unknown_was_at_the_synoptic_hour():
    frame, _ = read(sounding(relTime=[None]))
    assert set(frame["valid_time"]) == {pd.Timestamp("2005-08-26T00:00")}


def test_other_netcdf_is_refused():
    with pytest.raises(DataError, match=r"a.nc is NetCDF, but none of MADIS .* it holds t2m"):
        read(netcdf({"t2m": [280.0]}))
