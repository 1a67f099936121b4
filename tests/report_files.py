"""Small files of observations, written as their formats' documents say."""

import io

import numpy as np
import pandas as pd
import scipy.io

EPOCH = pd.Timestamp("1970-01-01")
HOUR = pd.Timestamp("2005-08-26T00:00")
FILL = np.float32(3.4028235e38)


def seconds(*times):
    return [(pd.Timestamp(t) - EPOCH).total_seconds() for t in times]


def netcdf(variables, fill=FILL):
    """Bytes of a NetCDF 3 file; variables of one dimension of records, or of two.

    Texts become arrays of characters; `None` among numbers is the fill value.
    """
    out = io.BytesIO()
    with scipy.io.netcdf_file(out, "w") as dataset:
        for name, values in variables.items():
            if isinstance(values, bytes) or isinstance(values[0], str):
                _texts(dataset, name, values)
            else:
                _numbers(dataset, name, values, fill)
        dataset.flush()
        return out.getvalue()


def _dimension(dataset, size, name):
    if name not in dataset.dimensions:
        dataset.createDimension(name, size)
    return name


def _numbers(dataset, name, values, fill):
    filled = np.array(
        [
            [fill if v is None else v for v in np.atleast_1d(np.array(row, object))]
            for row in values
        ]
    )
    kind = "d" if name.startswith(("time", "rel", "syn")) else "f"
    dimensions = (_dimension(dataset, len(values), f"rec{len(values)}"),)
    if np.ndim(values[0]) == 1:
        dimensions += (_dimension(dataset, filled.shape[1], f"level{filled.shape[1]}"),)
    else:
        filled = filled[:, 0]
    variable = dataset.createVariable(name, kind, dimensions)
    variable[:] = filled.astype(kind)
    variable._FillValue = np.array(fill, kind)[()]


def _texts(dataset, name, values):
    width = max(len(text) for text in values)
    padded = np.array([[c.encode() for c in text.ljust(width, "\0")] for text in values], "S1")
    dimensions = (_dimension(dataset, len(values), f"rec{len(values)}"),)
    if width > 1:
        dimensions += (_dimension(dataset, width, f"text{width}"),)
    else:
        padded = padded[:, 0]
    variable = dataset.createVariable(name, "c", dimensions)
    variable[:] = padded


def metar(**changes):
    """Three METAR: one complete, one flagged, one with little in it."""
    return netcdf(
        {
            "stationName": ["KDEN", "KJFK", "XX"],
            "latitude": [39.86, 40.64, 10.0],
            "longitude": [-104.67, -73.76, 20.0],
            "elevation": [1655.0, 4.0, None],
            "timeObs": seconds("2005-08-25T23:53", "2005-08-25T23:51", "2005-08-26T00:00"),
            "temperature": [300.15, 295.15, None],
            "tempFromTenths": [300.35, None, None],
            "temperatureDD": ["V", "Q", "Z"],
            "dewpoint": [280.15, 290.15, 285.15],
            "dpFromTenths": [None, None, None],
            "dewpointDD": ["V", "V", "Z"],
            "windDir": [270.0, None, None],
            "windDirDD": ["V", "Z", "Z"],
            "windSpeed": [10.0, 2.0, 0.0],
            "windSpeedDD": ["V", "V", "Z"],
            "seaLevelPress": [101_500.0, 101_600.0, None],
            "seaLevelPressDD": ["V", "X", "Z"],
            "altimeter": [102_000.0, None, 101_325.0],
            "altimeterDD": ["V", "Z", "V"],
            "precip6Hour": [0.005, None, None],
            "precip6HourDD": ["C", "Z", "Z"],
            "rawMETAR": ["METAR", "METAR", "METAR"],
            **changes,
        }
    )


def isd_line(station="72520094823", when="200508260000", **changes):
    """A record of ISD: control data, mandatory data, additional data."""
    control = (
        f"{station}{when}4{changes.get('latitude', '+40500')}{changes.get('longitude', '-080217')}"
        f"{changes.get('kind', 'FM-15')}{changes.get('elevation', '+0367')}99999V030"
    )
    mandatory = (
        f"{changes.get('wind', '270')}1{changes.get('wind_type', 'N')}"
        f"{changes.get('speed', '0051')}{changes.get('speed_quality', '1')}"
        "220001CN"
        "016093199"
        f"{changes.get('temperature', '+0244')}{changes.get('quality', '1')}"
        f"{changes.get('dew_point', '+0133')}1"
        f"{changes.get('pressure', '10182')}1"
    )
    more = changes.get("more", "ADDAA106005091MA1101761097471REMMET104METAR KPIT MA1999999999999")
    return f"{len(more):04d}{control}{mandatory}{more}"


GHCNH_COLUMNS = (
    "STATION|Station_name|DATE|LATITUDE|LONGITUDE|ELEVATION"
    "|temperature|temperature_Measurement_Code|temperature_Quality_Code|temperature_Report_Type"
    "|dew_point_temperature|dew_point_temperature_Quality_Code"
    "|station_level_pressure|station_level_pressure_Quality_Code"
    "|sea_level_pressure|sea_level_pressure_Quality_Code"
    "|wind_direction|wind_direction_Quality_Code|wind_speed|wind_speed_Quality_Code"
    "|altimeter|altimeter_Quality_Code"
    "|precipitation_6_hour|precipitation_6_hour_Measurement_Code|precipitation_6_hour_Quality_Code"
)


def ghcnh_line(**changes):
    """A line of GHCN-hourly, by the columns above."""
    values = {
        "STATION": "USW00094823",
        "Station_name": "PITTSBURGH INTL AP",
        "DATE": "2024-01-01T00:00:00",
        "LATITUDE": "40.4846",
        "LONGITUDE": "-80.2144",
        "ELEVATION": "366.7",
        "temperature": "1.7",
        "temperature_Quality_Code": "5",
        "temperature_Report_Type": "FM15",
        "dew_point_temperature": "-1.1",
        "dew_point_temperature_Quality_Code": "5",
        "sea_level_pressure": "1015.0",
        "sea_level_pressure_Quality_Code": "5",
        "wind_direction": "290",
        "wind_direction_Quality_Code": "5",
        "wind_speed": "4.1",
        "wind_speed_Quality_Code": "5",
        "altimeter": "1014.9",
        "altimeter_Quality_Code": "5",
    } | changes
    return "|".join(values.get(name, "") for name in GHCNH_COLUMNS.split("|"))


def igra_header(levels, hour="00", release="2315", place=" 406000  -802000"):
    """A header of a sounding: columns 1-71."""
    return f"#USM00072520 2005 08 26 {hour} {release} {levels:4d} ncdc6301 ncdc6301{place}"


def igra_level(kind="10", elapsed=-9999, pressure=-9999, height=-9999, temperature=-9999,
               humidity=-9999, depression=-9999, direction=-9999, speed=-9999):  # fmt: skip
    """A level of a sounding: columns 1-51, in the archive's units."""
    return (
        f"{kind} {elapsed:5d} {pressure:6d}B{height:5d}B{temperature:5d}B{humidity:5d} "
        f"{depression:5d} {direction:5d} {speed:5d} "
    )
