"""Simulated networks for tests."""

import numpy as np
import pandas as pd

from appa_core.config.build_network import NetworkData, build_instruments
from appa_core.config.observing import parse_observations
from appa_core.observations.simulated import network_rows
from appa_core.observations.table import ObservationTable

TIMES = pd.date_range("2012-02-11", periods=6, freq="6h")


def network(options):
    return parse_observations(f"simulated:{options}")


def rows_of(options, schema, times=TIMES, data=None):
    return network_rows(build_instruments(network(options), schema, data or NetworkData()), times)


ISD_HEADER = (
    '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"'
)
_ISD_ROWS = {
    "110010": '"99999","FIRST","AA","","","+12.500","-034.750","+0021.0","19500101","20240620"',
    "110012": '"99999","NOT OF THE WMO","AA","","","+12.5","-34.7","+9","19500101","20240620"',
    "110020": '"99999","BOGUS PLACE","AA","","","+12.5","-034.7","+9","19500101","20240620"',
    "110030": '"99999","CLOSED","AA","","","+44.0","+055.5","+0012.0","19500101","20200101"',
    "110040": '"99999","NEW","AA","","","+44.0","+055.5","+0012.0","20200101","20240620"',
    "110050": '"99999","NOWHERE","AA","","","","","","19500101","20240620"',
    "110060": '"99999","NULL","AA","","","+00.000","+000.000","+0000.0","19500101","20240620"',
    "110070": '"99999","NO HEIGHT","AA","","","+12.5","-034.7","-0999.9","19500101","20240620"',
    "999990": '"01234","NO NUMBER","AA","","","+33.0","-100.0","+1500.0","19500101","20240620"',
    "220000": '"99999","SECOND","BB","","","-60.250","+120.125","+0100.5","19500101","20240601"',
}
#: `isd-history.csv` with invented stations, two of which serve.
ISD = "\n".join([ISD_HEADER, *(f'"{k}",{v}' for k, v in _ISD_ROWS.items())])
#: `igra2-station-list.txt` likewise: closed, active, a ship, active in the year before the last.
IGRA = """\
AAM00011001  44.0000   55.5000   12.0    CLOSED PLACE                   1950 1993  12345
AAM00011002  12.5000  -34.7500   21.0    FIRST PLACE                    1950 2024  23456
ZZV000ABCDE -98.8888 -998.8888 -998.8    A SHIP                         1950 2024   3456
BBM00022001 -60.2500  120.1250 2800.0    SECOND PLACE                   1950 2023  34567
"""


def two_lines(name, number, epoch, tilt, node, perigee, anomaly, revolutions):
    """An invented satellite: its name and two lines in the columns of the format.

    Angles in degrees, eccentricity 0.001; both lines end in the sum of their digits, in which a
    minus counts 1, modulo 10.
    """
    angles = f"{tilt:8.4f} {node:8.4f} 0010000 {perigee:8.4f} {anomaly:8.4f}"
    lines = [
        f"1 {number:05d}U 24001A   {epoch:14.8f}  .00000000  00000-0  00000-0 0  999",
        f"2 {number:05d} {angles} {revolutions:11.8f}    1",
    ]
    sums = [sum(1 if c == "-" else int(c) for c in s if c in "-0123456789") % 10 for s in lines]
    return "\n".join([name, *(f"{line}{total}" for line, total in zip(lines, sums, strict=True))])


#: Two that keep to the sun, northwards in the afternoon and in the morning, and one that does not.
ELEMENTS = "\n".join(
    two_lines(*orbit)
    for orbit in (
        ("PM-1", 90001, 24080.0, 98.7, 30.0, 100.0, 10.0, 14.2),
        ("AM-1", 90002, 24080.25, 98.7, 315.0, 10.0, 200.0, 14.2),
        ("LOW-1", 90003, 24081.5, 65.0, 120.0, 250.0, 300.0, 15.0),
    )
)


def like_table(**changes):
    columns = {
        "valid_time": pd.to_datetime(["2005-08-25T23:30", "2005-08-26T00:00", "2005-08-26T00:20"]),
        "latitude": [10.0, 20.0, 30.0],
        "longitude": [0.0, 120.0, 240.0],
        "level": [np.nan, 500.0, 300.0],
        "quantity": ["2m_temperature", "wind_direction", "temperature"],
        "value": [290.0, 350.0, 230.0],
        "error_std": [0.7, np.nan, np.nan],
        "platform": ["metar", "radiosonde", "aircraft"],
        "station_id": ["A", "B", "C"],
        "report_id": ["", "B1", ""],
    }
    return ObservationTable.of(pd.DataFrame(columns | changes))
