"""Lists of real stations: what is taken of the archives' lists."""

import gzip
import re

import pandas as pd
import pytest
import yaml

from appa_core.config.observing import IGRA_LIST, ISD_LIST
from appa_core.errors import DataError, InputError
from appa_core.io.stations import (
    sounding_stations,
    station_list,
    surface_stations,
)
from tasks.catalog import catalog_folder
from tests.networks import IGRA, ISD, ISD_HEADER


def test_surface_stations_are_active_placed_and_numbered():
    frame = surface_stations(ISD, "isd")
    assert frame["station_id"].tolist() == ["110010", "220000"]
    assert frame.loc[0].tolist() == ["110010", 12.5, -34.75, 21.0]


def test_radiosondes_of_the_last_two_years_that_stay_in_place():
    frame = sounding_stations(IGRA, "igra")
    assert frame["station_id"].tolist() == ["AAM00011002", "BBM00022001"]
    assert frame.loc[0].tolist() == ["AAM00011002", 12.5, -34.75, 21.0]


@pytest.mark.parametrize("text", ["A,B\n1,2\n", f"{ISD_HEADER}\n{'x,' * 10}x\n"])
def test_other_texts_are_no_lists_of_surface_stations(text):
    with pytest.raises(DataError, match=r"x\.csv is no isd-history\.csv of NOAA"):
        surface_stations(text, "x.csv")


def test_other_texts_are_no_lists_of_radiosondes():
    with pytest.raises(DataError, match=r"x\.txt is no igra2-station-list\.txt of NOAA"):
        sounding_stations(
            "some words that stand where no number is, and more of them\n" * 3, "x.txt"
        )


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [("isd", "isd-history.csv.gz", 8985), ("igra", "igra2-station-list.txt.gz", 891)],
)
def test_the_real_lists_cover_the_globe(name, file, count, shared_data):
    path = shared_data / "data" / "stations" / file
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    frame = station_list(name, str(path))
    assert len(frame) == frame["station_id"].nunique() == count
    assert frame["latitude"].between(-90, 90).all()
    assert frame["longitude"].between(-180, 180).all()
    assert frame["elevation_m"].between(-450, 6000).all()
    for low, high in ((-90, -60), (-60, 0), (0, 60), (60, 90)):
        assert frame["latitude"].between(low, high).sum() > 10


@pytest.mark.parametrize(("name", "text"), [("isd", ISD), ("igra", IGRA)])
def test_a_compressed_list_is_the_same(name, text, tmp_path):
    plain, packed = tmp_path / "list.txt", tmp_path / "list.txt.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    lists = [station_list(name, str(path)) for path in (plain, packed)]
    pd.testing.assert_frame_equal(*lists)
    assert len(lists[0]) == 2


@pytest.mark.parametrize("location", ["none.csv", "http://127.0.0.1:9/none.csv"])
def test_a_list_that_is_not_there(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = f"cannot read {re.escape(location)}: .+ or give a local copy as igra_list=PATH"
    with pytest.raises(InputError, match=message):
        station_list("igra", location)


def test_the_publishers_lists_are_those_of_the_catalog():
    entries = yaml.safe_load((catalog_folder() / "observations.yaml").read_text())["entries"]
    found = {
        name: entries[f"{name}-stations"]["user_parameters"]["location"]["default"]
        for name in ("isd", "igra")
    }
    assert found == {"isd": ISD_LIST, "igra": IGRA_LIST}
