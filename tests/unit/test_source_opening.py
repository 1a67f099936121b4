"""What a source is made of, where it is, and what is refused before anything is read."""

import contextlib
import importlib.util
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from appa_core.errors import DataError, InputError
from appa_core.io.sources import SourceSpec, open_source
from appa_core.schema import Grid, StateSchema
from tests.era5_like import era5_like, spec_of, written

TIMES = pd.date_range("2020-01-01", periods=20, freq="h")
SHAPE = (9, 12)
NATIVE = Grid(tuple(np.linspace(-90, 90, 9)), tuple(np.arange(12) * 30.0))
SPEC = SourceSpec("era5", "zarr", ("a.zarr",), (("token", "anon"),))


@pytest.fixture(scope="module")
def hourly():
    return era5_like(TIMES, ("temperature", "2m_temperature"), (200, 500, 850), SHAPE)


def schema_of(surface=()):
    return StateSchema.build(surface, ("temperature",), (500, 850), NATIVE, 6)


def temperature(dataset, times):
    return dataset["temperature"].sel(time=times, level=[500, 850]).values[..., ::-1, :]


def test_netcdf_holds_the_same(hourly, tmp_path):
    """Version 3 (scipy) and, packed as integers, version 4 (h5netcdf)."""
    schema = schema_of(("2m_temperature",))
    hourly.to_netcdf(tmp_path / "three.nc", engine="scipy", format="NETCDF3_64BIT")
    with open_source(spec_of(tmp_path / "three.nc", format="netcdf")) as reader:
        states = reader.read(schema, TIMES[[2, 7]])
        first = reader.fingerprint(schema, TIMES)
    np.testing.assert_array_equal(
        states["temperature"],
        temperature(hourly, TIMES[[2, 7]]),
    )
    pytest.importorskip("h5netcdf")
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -32767}
    hourly.to_netcdf(tmp_path / "four.nc", engine="h5netcdf", encoding={"2m_temperature": packing})
    with open_source(spec_of(tmp_path / "four.nc", format="netcdf")) as reader:
        packed = reader.read(schema, TIMES[[2, 7]])
        assert reader.fingerprint(schema, TIMES) != first
    np.testing.assert_array_equal(packed["temperature"], states["temperature"])
    np.testing.assert_allclose(packed["2m_temperature"], states["2m_temperature"], atol=0.006)


@pytest.mark.parametrize("format_", ["netcdf", "grib"])
def test_damaged_files_are_refused(hourly, tmp_path, format_):
    path = tmp_path / "damaged"
    path.write_bytes(b"nothing of use")
    with pytest.raises(DataError, match="is not a"):
        open_source(spec_of(path, format=format_))
    if format_ == "netcdf":
        pytest.importorskip("h5netcdf")
        hourly.to_netcdf(path, engine="h5netcdf")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match="1 of 1 attempts failed"):
            open_source(spec_of(path, format=format_))


@pytest.mark.parametrize("format_", ["zarr", "netcdf", "grib"])
def test_what_is_not_there_is_said(tmp_path, format_):
    with pytest.raises(InputError, match=r"there is no .*nowhere.*check the path"):
        open_source(spec_of(tmp_path / "nowhere", format=format_))


def test_addresses_of_one_store(hourly, tmp_path):
    """A path, a file URL, and memory."""
    path = written(hourly, tmp_path / "a.zarr")
    hourly.to_zarr("memory://sources/a.zarr", zarr_format=2, consolidated=True)
    for url in (path, f"file://{path}", "memory://sources/a.zarr"):
        with open_source(spec_of(url)) as reader:
            found = reader.read(schema_of(), TIMES[:2])["temperature"]
        np.testing.assert_array_equal(found, temperature(hourly, TIMES[:2]))


def test_a_missing_package_is_named():
    if importlib.util.find_spec("adlfs") is not None:
        pytest.skip("adlfs is installed")
    with pytest.raises(InputError, match=r"a package to read abfs://x/a.zarr is missing.*adlfs"):
        open_source(spec_of("abfs://x/a.zarr"))


@pytest.mark.parametrize("text", ["[]", '{"metadata": 3}', '{"metadata": {"a/.zarray": []}}'])
def test_metadata_of_something_else_are_refused(hourly, tmp_path, text):
    hourly.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    (tmp_path / "a.zarr" / ".zmetadata").write_text(text)
    with pytest.raises(DataError, match="zmetadata is no metadata of zarr"):
        open_source(spec_of(tmp_path / "a.zarr"))


def test_a_source_of_nothing_known_is_refused(tmp_path):
    dataset = era5_like(TIMES, ("2m_temperature",), shape=SHAPE).rename(
        {"2m_temperature": "ozone"}
    )
    with pytest.raises(DataError, match="none of its variables is known"):
        open_source(spec_of(written(dataset, tmp_path / "a.zarr")))


def test_a_specification_travels():
    again = pickle.loads(pickle.dumps(SPEC))
    assert again == SPEC
    assert hash(again) == hash(SPEC)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "hdf"},
        {"accumulation": "daily"},
        {"urls": ()},
        {"urls": "one.zarr"},
        {"urls": ["one.zarr"]},
        {"urls": ("reference://x.json",)},
        {"urls": ("simplecache::https://x/y.zarr",)},
        {"urls": ("github://a:b@c/d",)},
        {"urls": ("memory://a.zarr::reference://b.json",)},
    ],
)
def test_a_specification_is_checked(change):
    with pytest.raises(InputError, match="source era5: "):
        replace(SPEC, **change)


def test_a_fingerprint_tells_sources_apart_but_not_their_growth(hourly, tmp_path):
    def fingerprint(dataset, name, **options):
        path = written(dataset, tmp_path / f"{name}.zarr")
        with open_source(spec_of(path, **options)) as reader:
            return reader.fingerprint(schema_of(), TIMES[:5])

    first = fingerprint(hourly.isel(time=slice(5)), "a")
    assert fingerprint(hourly, "b") == first
    assert fingerprint(hourly[["temperature"]], "c") != first
    assert fingerprint(hourly.sel(level=[500]), "d") != first
    assert fingerprint(hourly, "e", fingerprint="known") == "known"


@pytest.mark.parametrize("format_", ["netcdf", "zarr"])
def test_a_fingerprint_is_that_of_the_files_which_have_the_times(hourly, tmp_path, format_):
    """Or every file that a folder gains would make all that was read before look outdated."""
    days = [slice(0, 6), slice(6, 12), slice(12, 18)]
    urls = [tmp_path / f"{n}.{format_}" for n in range(3)]
    for url, hours in zip(urls, days, strict=True):
        part = hourly[["2m_temperature"]].assign(total_precipitation=hourly["2m_temperature"] * 0)
        part["total_precipitation"].attrs["units"] = "m"
        part = part.isel(time=hours)
        part.to_netcdf(url) if format_ == "netcdf" else written(part, url)
    plain = StateSchema.build(("2m_temperature",), (), (), NATIVE, 6)
    rainy = StateSchema.build(("total_precipitation_6hr",), (), (), NATIVE, 6)

    def fingerprints(count, schema):
        with open_source(spec_of(*urls[:count], format=format_)) as reader:
            return [reader.fingerprint(schema, TIMES[[hour]]) for hour in (5, 6, 12)]

    two, three = fingerprints(2, plain), fingerprints(3, plain)
    assert two == [*three[:2], ""]
    assert len(set(three)) == 3
    # a sum that ends in the second file needs the first one
    assert len(set(fingerprints(3, rainy))) == 3
    assert fingerprints(3, rainy)[0] == three[0]
    assert fingerprints(3, rainy)[1] != three[1]


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def pickled_coordinate(path, trace):
    """A zarr 2 store whose latitudes run code, past what zarr itself refuses."""
    numcodecs = pytest.importorskip("numcodecs")
    zarr.open_group(path, mode="w", zarr_format=2)
    chunk = numcodecs.Pickle().encode(np.asarray([Payload(trace)] * 2, dtype=object))
    folder = path / "latitude"
    folder.mkdir()
    (folder / ".zarray").write_text(
        '{"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "|O", "fill_value": "", '
        '"order": "C", "compressor": null, '
        '"filters": [{"id": "vlen-utf8"}, {"id": "p\\u0069ckle", "protocol": 5}]}'
    )
    (folder / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["latitude"]}')
    (folder / "0").write_bytes(bytes(chunk))


def test_no_pickle_is_read_from_zarr(tmp_path, monkeypatch):
    """Even where numcodecs is told to allow it."""
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True)
    path, trace = tmp_path / "a.zarr", tmp_path / "trace"
    pickled_coordinate(path, trace)
    with pytest.raises(DataError, match="encoded with pickle"):
        open_source(spec_of(path))
    assert not trace.exists()
    # the trap works: xarray alone runs it
    with contextlib.suppress(Exception):
        xr.open_zarr(path, consolidated=False, chunks=None)
    assert trace.exists()
