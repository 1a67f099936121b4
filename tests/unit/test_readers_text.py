"""Text formats of NOAA's archives: ISD, GHCN-hourly, IGRA."""

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError
from appa_core.io.readers import ghcnh, igra, isd
from appa_core.io.readers.files import RawFile
from appa_core.observations.table import ObservationTable
from appa_core.observe import instruments
from tests.report_files import GHCNH_COLUMNS, ghcnh_line, igra_header, igra_level, isd_line


def read(module, *lines, end="\n"):
    text = "\n".join(lines) + end
    batch = module.read(RawFile("a.txt", text.encode(), ""))
    frame = batch.rows
    if len(frame):
        frame = ObservationTable.of(frame, is_si=True).frame
    return frame, dict(+batch.unreadable)


def values(frame):
    return frame.set_index("quantity")["value"].to_dict()


def reasons(frame):
    return frame.set_index("quantity")["rejected"].to_dict()


def test_a_record_of_isd():
    frame, unreadable = read(isd, isd_line())
    assert unreadable == {}
    assert set(frame["station_id"]) == {"725200-94823"}
    assert set(frame["platform"]) == {"metar"}
    assert set(frame["valid_time"]) == {pd.Timestamp("2005-08-26T00:00")}
    assert frame[["latitude", "longitude"]].iloc[0].tolist() == [40.5, 360 - 80.217]
    found = values(frame)
    assert found["2m_temperature"] == pytest.approx(273.15 + 24.4)
    assert found["10m_u_component_of_wind"] == pytest.approx(5.1)
    assert found["mean_sea_level_pressure"] == pytest.approx(101_820)
    assert found["surface_pressure"] == pytest.approx(97_470), "of MA1, not of the altimeter"
    assert found["total_precipitation_6hr"] == pytest.approx(5e-3), "0050 tenths of mm in 06 h"
    humidity = instruments.humidity_of_dew_point(np.array([273.15 + 13.3]), np.array([97_470.0]))
    assert found["specific_humidity"] == pytest.approx(humidity[0])
    assert (frame["rejected"] == "").all()


def test_what_isd_says_by_codes():
    calm = isd_line(wind="999", wind_type="C", speed="0000")
    frame, _ = read(isd, calm)
    assert values(frame)["10m_u_component_of_wind"] == 0.0
    frame, _ = read(isd, isd_line(wind="999", wind_type="V"))
    assert values(frame)["10m_wind_speed"] == pytest.approx(5.1)
    frame, _ = read(isd, isd_line(quality="3", speed_quality="6"))
    assert reasons(frame)["2m_temperature"] == "file: erroneous"
    assert reasons(frame)["10m_u_component_of_wind"] == "file: suspect"
    missing = {"temperature": "+9999", "dew_point": "+9999", "pressure": "99999"}
    frame, unreadable = read(isd, isd_line(**missing, speed="9999", more=""))
    assert len(frame) == 0
    assert unreadable == {"wind direction without a speed": 1}
    platforms = ("FM-12", "FM-13", "FM-18", "FM-16", "CRN05")
    for kind, platform in zip(platforms, ("synop", "ship", "buoy", "metar", "synop"), strict=True):
        frame, _ = read(isd, isd_line(kind=kind))
        assert set(frame["platform"]) == {platform}


def test_additional_data_of_isd():
    altimeter = "ADDMA1101321999999"
    frame, _ = read(isd, isd_line(more=altimeter))
    expected = instruments.station_pressure(np.array([101_320.0]), np.array([367.0]))[0]
    assert values(frame)["surface_pressure"] == pytest.approx(expected)
    # accumulated over more than its period, another period, and in the remarks only
    for more in ("ADDAA106005041", "ADDAA101005091", "ADDREMMET009AA106005091"):
        frame, _ = read(isd, isd_line(more=more))
        assert "total_precipitation_6hr" not in values(frame)
    frame, _ = read(isd, isd_line(more="ADDAA106005097"))
    assert reasons(frame)["total_precipitation_6hr"] == "file: erroneous"


def test_a_pressure_that_cannot_be_is_left_to_quality_control_and_is_no_level():
    frame, unreadable = read(isd, isd_line(more="ADDMA1999999130001"))
    assert values(frame)["surface_pressure"] == pytest.approx(130_000)
    assert "specific_humidity" not in values(frame)
    assert unreadable == {"pressure that cannot be": 1, "humidity without a pressure": 1}


def test_damaged_records_of_isd():
    frame, unreadable = read(isd, isd_line(), isd_line()[:-3], "", isd_line(station="A" * 11))
    problem = "record that is not of the documented length or layout"
    assert unreadable == {problem: 2}
    assert frame["station_id"].unique().tolist() == ["725200-94823"]
    with pytest.raises(DataError, match=r"a\.txt ends within the record of line 2: it is"):
        read(isd, isd_line(), isd_line()[:60], end="")
    _, unreadable = read(isd, isd_line(when="200513260000"), isd_line(latitude="+99999"))
    assert unreadable == {"report without a place or a time": 2}


def test_a_line_of_ghcnh():
    frame, unreadable = read(ghcnh, GHCNH_COLUMNS, ghcnh_line())
    assert unreadable == {}
    assert set(frame["station_id"]) == {"USW00094823"}
    assert set(frame["platform"]) == {"metar"}
    assert set(frame["valid_time"]) == {pd.Timestamp("2024-01-01")}
    found = values(frame)
    assert found["2m_temperature"] == pytest.approx(274.85)
    assert found["mean_sea_level_pressure"] == pytest.approx(101_500)
    expected = instruments.station_pressure(np.array([101_490.0]), np.array([366.7]))[0]
    assert found["surface_pressure"] == pytest.approx(expected), "from its altimeter"
    speed = np.hypot(found["10m_u_component_of_wind"], found["10m_v_component_of_wind"])
    assert speed == pytest.approx(4.1)
    assert (frame["rejected"] == "").all()


def test_codes_of_ghcnh():
    rain = {"precipitation_6_hour": "2.5"}
    codes = {
        "temperature_Quality_Code": "L",
        "wind_speed_Quality_Code": "7",
        "sea_level_pressure_Quality_Code": "2",
        "dew_point_temperature_Quality_Code": "",
    }
    line = ghcnh_line(**rain, **codes, station_level_pressure="970.5")
    frame, _ = read(ghcnh, GHCNH_COLUMNS, line)
    assert values(frame)["surface_pressure"] == pytest.approx(97_050)
    assert values(frame)["total_precipitation_6hr"] == pytest.approx(2.5e-3)
    assert reasons(frame) == {
        "2m_temperature": "file: failed a check",
        "10m_u_component_of_wind": "file: erroneous",
        "10m_v_component_of_wind": "file: erroneous",
        "mean_sea_level_pressure": "file: suspect",
        "surface_pressure": "",
        "specific_humidity": "",
        "total_precipitation_6hr": "",
    }
    accumulated = ghcnh_line(**rain, precipitation_6_hour_Measurement_Code="4")
    frame, _ = read(ghcnh, GHCNH_COLUMNS, accumulated)
    assert reasons(frame)["total_precipitation_6hr"] == "file: amount of another period"


def test_the_older_header_of_ghcnh():
    place = "LATITUDE|LONGITUDE|ELEVATION"
    newer = f"STATION|Station_name|DATE|{place}"
    older = f"Station_ID|Station_name|Year|Month|Day|Hour|Minute|{place.title()}"
    names = GHCNH_COLUMNS.replace(newer, older)
    line = ghcnh_line().replace("2024-01-01T00:00:00", "2024|01|01|06|30")
    assert ghcnh.recognises(names.encode())
    frame, _ = read(ghcnh, names, line)
    assert set(frame["valid_time"]) == {pd.Timestamp("2024-01-01T06:30")}


def test_damaged_lines_of_ghcnh():
    odd = ghcnh_line(temperature="warm", DATE="yesterday")
    frame, unreadable = read(ghcnh, GHCNH_COLUMNS, ghcnh_line(), "USW|only", odd)
    assert unreadable == {
        "line with other columns than the header": 1,
        "value that is no number": 1,
        "report without a place or a time": 1,
    }
    assert len(frame) == 6
    with pytest.raises(DataError, match="ends within its last line"):
        read(ghcnh, GHCNH_COLUMNS, ghcnh_line()[:40], end="")
    names = GHCNH_COLUMNS.replace("ELEVATION", "HEIGHT")
    with pytest.raises(DataError, match="lacks the columns elevation of GHCNh"):
        read(ghcnh, names, ghcnh_line())


LEVELS = (
    igra_level("21", 0, 97_500, 360, 248, depression=50, direction=180, speed=21),
    igra_level("10", 430, 85_000, 1500, 150, depression=80, direction=270, speed=100),
    igra_level("20", 1200, 70_000, -9999, 60, humidity=500, direction=-9999, speed=-8888),
    igra_level("10", 2500, 50_000, 5800, -81, -9999, -9999, 270, 300),
    igra_level("30", -9999, -9999, 3650, direction=270, speed=200),
    igra_level("30", -9999, -9999, 9000, direction=270, speed=500),
)


def sounding(**header):
    return igra_header(len(LEVELS), **header), *LEVELS


def test_a_sounding_of_igra():
    frame, unreadable = read(igra, *sounding())
    assert set(frame["platform"]) == {"radiosonde"}
    assert set(frame["station_id"]) == {"USM00072520"}
    assert frame["report_id"].nunique() == 1
    assert frame["elevation_m"].unique().tolist() == [360.0], "of its lowest level"
    aloft = frame[frame["quantity"] == "temperature"].set_index("level")
    temperatures = {850.0: 288.15, 700.0: 279.15, 500.0: 265.05}
    assert aloft["value"].to_dict() == pytest.approx(temperatures)
    # released at 23:15 the day before, 25 min earlier than at 500 hPa
    assert aloft.loc[500.0, "valid_time"] == pd.Timestamp("2005-08-25T23:40")
    assert aloft.loc[850.0, "valid_time"] == pd.Timestamp("2005-08-25T23:19:30")
    wind = frame[frame["quantity"] == "u_component_of_wind"].set_index("level")["value"]
    assert wind[850.0] == pytest.approx(10.0)
    between = wind[np.isclose(wind.index, np.sqrt(850 * 500))]
    assert between.tolist() == pytest.approx([20.0]), "half-way up between two levels"
    humid = frame[frame["quantity"] == "specific_humidity"].set_index("level")["value"]
    pressure, temperature = np.array([70_000.0]), np.array([279.15])
    expected = instruments.humidity_of_relative(np.array([0.5]), temperature, pressure)
    assert humid[700.0] == pytest.approx(expected[0])
    ground = values(frame[frame["level"].isna()])
    assert ground["surface_pressure"] == pytest.approx(97_500)
    assert ground["2m_temperature"] == pytest.approx(297.95)
    assert unreadable == {"value removed by the archive": 1, "level without a pressure": 1}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"release": "9999"}, "2005-08-26T00:00"),
        ({"release": "2399"}, "2005-08-26T00:00"),
        ({"hour": "12", "release": "1107"}, "2005-08-26T11:07"),
        ({"hour": "99", "release": "1107"}, "2005-08-26T11:07"),
    ],
)
def test_when_a_sonde_left(header, expected):
    frame, _ = read(igra, *sounding(**header))
    assert frame["valid_time"].min() == pd.Timestamp(expected)


def test_soundings_without_a_time_or_a_place():
    _, unreadable = read(igra, *sounding(hour="99", release="9999"))
    assert unreadable["report without a place or a time"] == len(LEVELS)
    _, unreadable = read(igra, *sounding(place="-988888 -9988888"))
    assert unreadable["report without a place or a time"] == len(LEVELS)


def test_truncated_soundings():
    with pytest.raises(DataError, match="sounding of line 8 has fewer levels than the 6"):
        read(igra, *sounding(), *sounding()[:4])
    with pytest.raises(DataError, match="sounding of line 1 has fewer levels"):
        read(igra, *sounding()[:3], *sounding())
    with pytest.raises(DataError, match="expected the header of a sounding in line 8"):
        read(igra, *sounding(), LEVELS[0])
