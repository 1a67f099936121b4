"""Observations from files, patterns, folders and URLs; tables as CSV and Parquet."""

import functools
import gzip
import http.server
import io
import logging
import threading
import zipfile

import fsspec
import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError, InputError
from appa_core.io.readers.files import find_files
from appa_core.io.readers.reading import READERS, read_files, read_observations
from appa_core.io.readers.tables import write_observations
from appa_core.observations.table import ObservationTable
from tests.report_files import (
    GHCNH_COLUMNS,
    ghcnh_line,
    igra_header,
    igra_level,
    isd_line,
    metar,
)

ROW = {
    "valid_time": "2024-01-01T00:00",
    "latitude": 10.0,
    "longitude": 20.0,
    "level": 500.0,
    "quantity": "temperature",
    "value": 250.0,
    "error_std": 1.0,
    "platform": "radiosonde",
    "station_id": "01001",
}


def frame(*changes):
    return pd.DataFrame([ROW | change for change in changes or ({},)])


def csv(path, *changes, drop=()):
    frame(*changes).drop(columns=list(drop)).to_csv(path, index=False)
    return str(path)


SAMPLES = {
    "madis": metar(),
    "isd": f"{isd_line()}\n".encode(),
    "ghcnh": f"{GHCNH_COLUMNS}\n{ghcnh_line()}\n".encode(),
    "igra": "\n".join([igra_header(1), igra_level("10", 0, 85_000, 1500, 150), ""]).encode(),
    "csv": frame().to_csv(index=False).encode(),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_formats_are_told_by_content(name, tmp_path):
    (tmp_path / "data").write_bytes(SAMPLES[name])
    found = read_files(str(tmp_path / "data"))
    assert list(found.formats.values()) == [name]
    assert len(found.table)


def test_compressed_files_are_the_same(tmp_path):
    plain, packed, zipped = (tmp_path / n for n in ("a", "a.gz", "a.zip"))
    plain.write_bytes(SAMPLES["igra"])
    packed.write_bytes(gzip.compress(SAMPLES["igra"]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("USM00072520-data.txt", SAMPLES["igra"])
    zipped.write_bytes(out.getvalue())
    tables = [read_observations(str(path)).frame for path in (plain, packed, zipped)]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(other, tables[0])


def test_folders_and_patterns(tmp_path, caplog):
    for name in ("isd", "igra"):
        (tmp_path / name).write_bytes(SAMPLES[name])
    (tmp_path / "README").write_text("what this is")
    (tmp_path / ".hidden").write_text("nothing")
    (tmp_path / "deeper").mkdir()
    found = read_files(str(tmp_path))
    assert sorted(found.formats.values()) == ["igra", "isd"]
    assert set(found.table.frame["platform"]) == {"metar", "radiosonde"}
    (unknown,) = found.unreadable
    assert unknown[0].endswith("README")
    with caplog.at_level(logging.WARNING):
        assert len(read_observations(str(tmp_path / "i*"))) == len(found.table)
    assert not caplog.records
    read_observations(str(tmp_path))
    assert "README: file that holds no observations of a known format" in caplog.text


def test_urls(tmp_path):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/reports/a.txt", SAMPLES["isd"])
    fs.pipe_file("/reports/b.txt", SAMPLES["isd"])
    assert find_files("memory://reports/*.txt") == [
        "memory:///reports/a.txt",
        "memory:///reports/b.txt",
    ]
    one = read_observations("memory://reports/a.txt")
    assert len(read_observations("memory://reports")) == 2 * len(one)
    write_observations(one, "memory://reports/table.parquet")
    table = read_observations("memory://reports/table.parquet")
    pd.testing.assert_frame_equal(table.frame, one.frame)


@pytest.fixture
def server(tmp_path):
    """A web server of a folder, and what was asked of it."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(f"{self.command} {self.path}")

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", asked
        web.shutdown()


def test_web_servers(server, tmp_path):
    url, asked = server
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(SAMPLES["isd"])
    one = read_observations(f"{url}/a.txt")
    assert asked.count("GET /a.txt") == 1, "a file is fetched once"
    assert len(read_observations(f"{url}/")) == 2 * len(one)
    with pytest.raises(DataError, match=r"nothing\.txt: 1 of 6 attempts failed"):
        read_observations(f"{url}/nothing.txt")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nowhere/at/all.nc", "there is no file at nowhere/at/all.nc; check the path"),
        ("nowhere/*.nc", "there is no file at nowhere"),
        ("reference://a", "cannot be read; expected a path, or a URL of"),
        ("simplecache::http://x/a", "cannot be read"),
    ],
)
def test_places_that_are_none(location, message):
    with pytest.raises(InputError, match=message):
        read_observations(location)


def test_an_unknown_format(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("no observations\n")
    with pytest.raises(InputError, match=r"a\.txt: no observations of a known format"):
        read_observations(str(path))
    with pytest.raises(InputError, match="unknown format 'grib'; there are: auto, parquet, madis"):
        read_observations(str(path), "grib")


@pytest.mark.parametrize("name", ["madis", "parquet", "bufr"])
def test_a_format_that_it_is_not(name, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(SAMPLES["isd"])
    if name == "bufr":
        assert len(read_observations(str(path), name)) == 0
        return
    with pytest.raises(DataError, match=r"a.txt cannot be read as"):
        read_observations(str(path), name)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_files(tmp_path, share):
    table = ObservationTable.of(frame(*({"value": 250 + 0.01 * n} for n in range(500))))
    write_observations(table, str(tmp_path / "table.parquet"))
    files = {
        "a.nc": SAMPLES["madis"],
        "a.nc.gz": gzip.compress(SAMPLES["madis"]),
        "a.parquet": (tmp_path / "table.parquet").read_bytes(),
    }
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(DataError, match=name):
            read_observations(str(path))


def test_identifiers_are_texts(tmp_path):
    path = csv(tmp_path / "a.csv", {}, {"platform": "NA", "station_id": "nan"})
    found = read_observations(path).frame
    assert found["station_id"].tolist() == ["01001", "nan"]
    assert found["platform"].tolist() == ["radiosonde", "NA"]


GRAVITY = 9.80665


@pytest.mark.parametrize(
    ("quantity", "units", "value", "error", "si", "si_error"),
    [
        ("temperature", "degC", -20.0, 1.0, 253.15, 1.0),
        ("temperature", "K", 253.0, 1.0, 253.0, 1.0),
        ("temperature", "degF", 32.0, 1.8, 273.15, 1.0),
        ("temperature", "", 253.0, 1.0, 253.0, 1.0),
        ("u_component_of_wind", "knots", 36.0, 3.6, 18.52, 1.852),
        ("u_component_of_wind", "km/h", 36.0, 3.6, 10.0, 1.0),
        ("geopotential", "m", 5500.0, 10.0, GRAVITY * 5500, GRAVITY * 10),
        ("geopotential", "gpm", 5500.0, 10.0, GRAVITY * 5500, GRAVITY * 10),
        ("specific_humidity", "g/kg", 8.0, 1.0, 8e-3, 1e-3),
        ("relative_humidity", "%", 80.0, 10.0, 0.8, 0.1),
        ("mean_sea_level_pressure", "hPa", 1013.0, 1.0, 101_300.0, 100.0),
        ("total_precipitation_6hr", "mm", 12.0, 1.0, 0.012, 1e-3),
        ("total_column_water_vapour", "mm", 12.0, 1.0, 12.0, 1.0),
        ("wind_direction", "degrees", 270.0, 10.0, 270.0, 10.0),
    ],
)
def test_units_of_rows(tmp_path, quantity, units, value, error, si, si_error):
    row = {"quantity": quantity, "units": units, "value": value, "error_std": error}
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        rows = frame(row, row | {"error_std": np.nan})
        rows.to_csv(path, index=False) if path.suffix == ".csv" else rows.to_parquet(path)
        found = read_observations(str(path)).frame
        assert found["value"].tolist() == pytest.approx([si, si])
        assert found["error_std"][0] == pytest.approx(si_error)
        assert np.isnan(found["error_std"][1])


def test_units_differ_from_row_to_row(tmp_path):
    rows = (
        {"units": "degC", "value": -20.0},
        {"units": "K", "value": 250.0},
        {"units": "gpm", "quantity": "geopotential", "value": 5500.0},
    )
    found = read_observations(csv(tmp_path / "a.csv", *rows)).frame
    assert found["value"].tolist() == pytest.approx([253.15, 250.0, GRAVITY * 5500])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "snow"}, r"a\.csv: unknown quantity 'snow'; there are: 10m_u"),
        ({"units": "furlong"}, r"a\.csv: temperature has units 'furlong'; expected one of k, c"),
        ({"units": "m/s"}, "has units 'm/s'; expected one of"),
        ({"value": -20.0}, r"a\.csv: 1 of 1 values of temperature are not plausible"),
        ({"value": np.nan}, r"a\.csv: expected a value; found nan in row 0"),
        ({"value": "warm"}, r"a\.csv: column value must hold numbers"),
        ({"units": "K", "value": "warm"}, r"a\.csv: column value must hold numbers"),
        (
            {"latitude": 95.0},
            r"a\.csv: expected latitude of -90 to 90 degrees; found 95.0 in row 0",
        ),
        ({"longitude": -500.0}, r"a\.csv: expected longitude of"),
        ({"level": 50_000.0}, r"a\.csv: expected a level in hPa; found 50000"),
        ({"level": np.nan}, "temperature needs level in every row"),
        ({"valid_time": "noon"}, r"a\.csv: valid_time must be UTC times"),
    ],
)
def test_tables_that_are_refused(tmp_path, change, message):
    with pytest.raises((InputError, DataError), match=message):
        read_observations(csv(tmp_path / "a.csv", change))


def test_a_column_that_is_missing_is_named(tmp_path):
    path = csv(tmp_path / "a.csv", drop=["value", "error_std"])
    with pytest.raises(InputError, match=r"a\.csv lacks columns value, error_std; it has valid"):
        read_observations(path)


def test_what_was_written_is_not_judged_again(tmp_path):
    """Values that control is still to reject, all of one quantity."""
    table = ObservationTable.of(frame({"value": 999.0}), is_si=True)
    path = str(tmp_path / "deep" / "table.parquet")
    write_observations(table, path)
    pd.testing.assert_frame_equal(read_observations(path).frame, table.frame)
    table.frame.to_parquet(path)  # by someone else
    with pytest.raises(InputError, match="not plausible"):
        read_observations(path)


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    table = ObservationTable.of(frame())
    with pytest.raises(InputError, match="cannot write observations to"):
        write_observations(table, str(tmp_path / "file" / "table.parquet"))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_every_reader_has_a_title():
    assert len({reader.title for reader in READERS.values()}) == len(READERS)
