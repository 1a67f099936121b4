"""A source on a network that fails is read without loss, or not at all: never in part."""

import gzip
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from appa_core.errors import DataError, InputError
from appa_core.io.sources import Retry, SourceSpec, open_source
from appa_core.schema import Grid, StateSchema
from tests.era5_like import chunk_path, era5_like, remove_chunk, write_arco
from tests.flaky_server import FlakyServer, Plan

pytest.importorskip("aiohttp", reason="aiohttp is not installed: no https sources")

SURFACE = ("2m_temperature", "sea_surface_temperature", "total_precipitation_6hr")
UPPER = ("temperature", "geopotential", "specific_humidity")
COARSE = Grid.equiangular(9, 18)
TIMES = pd.date_range("2020-01-01T06", periods=4, freq="6h")
PATIENT = Retry(attempts=4, sleep=lambda _: None)
EVERYTHING = Plan(unavailable=0.15, cut=0.1, short=0.1, slow=0.03, slow_seconds=0.6)


@pytest.fixture(scope="module")
def arco(tmp_path_factory):
    """Two stores of the same states, by zarr format."""
    folder = tmp_path_factory.mktemp("arco")
    for zarr_format in (2, 3):
        states = write_arco(folder / f"v{zarr_format}.zarr", zarr_format)
    return folder, states


@pytest.fixture(scope="module")
def clean(arco):
    """What is read from a disk, by whether it is regridded."""
    with open_source(SourceSpec("arco", "zarr", (f"{arco[0]}/v2.zarr",))) as reader:
        native = reader.grid
        return {grid: reader.read(schema_of(grid), TIMES) for grid in (native, COARSE)}


def schema_of(grid, surface=SURFACE, upper=UPPER):
    return StateSchema.build(surface, upper, (500, 850, 1000), grid, 6)


def remote(server, name, **options):
    return SourceSpec("arco", options.pop("format", "zarr"), (f"{server.url}/{name}",), **options)


def chunks(server):
    """Requests by chunk."""
    return {path: n for path, n in server.requests.items() if path.rsplit("/", 1)[1][0].isdigit()}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost(arco, clean, zarr_format, seed):
    folder, states = arco
    retry = replace(PATIENT, attempts=12, timeout_seconds=0.3)
    with FlakyServer(folder, replace(EVERYTHING, seed=seed)) as server:
        with open_source(remote(server, f"v{zarr_format}.zarr"), retry) as reader:
            for grid, expected in clean.items():
                xr.testing.assert_identical(reader.read(schema_of(grid), TIMES), expected)
        assert min(server.faults[k] for k in ("unavailable", "cut", "short", "slow")) > 0
        # every one was noticed; on a busy machine more answers are late
        assert sum(reader.faults.values()) >= server.faults.total()
        assert set(reader.faults) == {"HTTP 503", "truncated body", "no answer within 0.3 s"}
    native = next(iter(clean.values()))
    at = {"time": TIMES, "level": [500, 850, 1000]}
    written = states["temperature"].sel(at).values[..., ::-1, :]
    np.testing.assert_array_equal(native["temperature"], written)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_only_what_is_needed_is_read_and_once(arco, clean, zarr_format):
    """Of 37 levels a chunk holds all; of the other variables and hours nothing is asked for."""
    folder, _ = arco
    name = f"v{zarr_format}.zarr"
    with FlakyServer(folder) as server:
        with open_source(remote(server, name)) as reader:
            assert not any("temperature" in path for path in chunks(server))
            reader.read(schema_of(COARSE), TIMES)
        hours = [6, 12, 18, 24]
        needed = dict.fromkeys((*SURFACE[:2], *UPPER), hours) | {
            "total_precipitation": range(1, 25)
        }
        paths = Counter()
        for variable, which in needed.items():
            for hour in which:
                chunk = chunk_path(folder / name, variable, hour, zarr_format)
                file = next((p for p in chunk.rglob("*") if p.is_file()), chunk)
                paths[f"/{file.relative_to(folder)}"] += 1
        axes = {"time", "level", "latitude", "longitude"}
        found = {p: n for p, n in chunks(server).items() if p.split("/")[2] not in axes}
        assert found == paths


def test_preliminary_states_are_known_as_such(arco):
    """The axis goes on where there are no states yet."""
    with (
        FlakyServer(arco[0]) as server,
        open_source(remote(server, "v2.zarr"), PATIENT) as reader,
    ):
        assert reader.final_until == pd.Timestamp("2020-01-01T23:00")
        assert reader.times[0] == pd.Timestamp("2020-01-01")
        assert reader.times[-1] == pd.Timestamp("2020-01-02T05:00")
        assert reader.attributes["valid_time_start"] == "2020-01-01"
        with pytest.raises(InputError, match="valid until 2020-01-02T05:00"):
            reader.read(schema_of(COARSE), pd.DatetimeIndex(["2020-01-02T06"]))


@pytest.mark.parametrize(
    ("plan", "failure", "attempts"),
    [
        (Plan(unavailable=1.0), "4 of 4 attempts failed: HTTP 503 .4 times.", 4),
        (Plan(cut=1.0), "4 of 4 attempts failed: truncated body .4 times.", 4),
        (Plan(short=1.0), "4 of 4 attempts failed: truncated body .4 times.", 4),
        (Plan(slow=1.0, slow_seconds=5.0), "4 of 4 attempts failed: no answer within 0.3 s", 4),
        (Plan(refused=1.0), "1 of 4 attempts failed: HTTP 403", 1),
    ],
)
def test_what_keeps_failing_is_an_error(arco, plan, failure, attempts):
    """After a bounded number of attempts, with growing pauses, and nothing goes on behind."""
    pauses = []
    retry = replace(PATIENT, timeout_seconds=0.3 if plan.slow else 60.0, sleep=pauses.append)
    plan = replace(plan, in_a_row=10**6, only=r"/temperature/(c/)?12\b")
    with FlakyServer(arco[0], plan) as server:
        with open_source(remote(server, "v2.zarr"), retry) as reader:
            with pytest.raises(DataError, match=failure) as error:
                reader.read(schema_of(COARSE), TIMES)
            before = server.requests.total()
            reader.read(schema_of(COARSE), TIMES[[0]])
        assert "/v2.zarr/temperature/12.0.0.0" in str(error.value)
        assert server.requests["/v2.zarr/temperature/12.0.0.0"] == attempts
        assert server.requests.total() - before == len((*SURFACE[:2], *UPPER)) + 6
    assert len(pauses) == attempts - 1
    bounds = [(0.25, 0.5), (0.5, 1.0), (1.0, 2.0)]
    assert all(low <= p <= high for p, (low, high) in zip(pauses, bounds, strict=False))


@dataclass(frozen=True)
class OneRefused(Plan):
    """The first hour at once, the others late."""

    def fault(self, path, _):
        if "/2m_temperature/" not in path:
            return ""
        return "refused" if path.endswith("/0.0.0") else "slow"


def test_what_has_failed_is_not_read_to_its_end(arco):
    """Zarr by itself goes on to fetch what nobody waits for."""
    hours = pd.date_range("2020-01-01", periods=30, freq="h")
    schema = StateSchema.build(("2m_temperature",), (), (), COARSE, 1)
    with FlakyServer(arco[0], OneRefused(slow_seconds=0.2)) as server:
        with open_source(remote(server, "v2.zarr"), PATIENT) as reader:
            with pytest.raises(DataError, match="HTTP 403"):
                reader.read(schema, hours)
            time.sleep(0.7)
        assert sum("/2m_temperature/" in p for p in server.requests) < 20


@pytest.mark.parametrize("bytes_less", [1, 20, 1000])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_that_lacks_its_end_is_not_read(tmp_path, zarr_format, bytes_less):
    """Blosc's lz4 frames without their last bytes are decoded, wrongly, without an error."""
    write_arco(tmp_path / "a.zarr", zarr_format, hours=2, final_hours=1, empty_hours=0)
    chunk = chunk_path(tmp_path / "a.zarr", "temperature", 1, zarr_format)
    file = next((p for p in chunk.rglob("*") if p.is_file()), chunk)
    file.write_bytes(file.read_bytes()[:-bytes_less])
    schema = schema_of(COARSE, (), ("temperature",))
    times = pd.DatetimeIndex(["2020-01-01T01"])
    with FlakyServer(tmp_path) as server, open_source(remote(server, "a.zarr"), PATIENT) as reader:
        with pytest.raises(DataError, match="4 of 4 attempts failed: truncated body"):
            reader.read(schema, times)
        reader.read(schema, times - pd.Timedelta(hours=1))
    spec = SourceSpec("arco", "zarr", (f"{tmp_path}/a.zarr",))
    with open_source(spec) as near, pytest.raises(DataError, match="1 of 1 attempts failed"):
        near.read(schema, times)


def test_bytes_that_cannot_be_decoded_are_read_again(tmp_path):
    """What only the decoder notices: the whole block is asked for again."""
    path = tmp_path / "a.zarr"
    dataset = era5_like(pd.date_range("2020-01-01", periods=3, freq="h"), ("2m_temperature",))
    numcodecs = pytest.importorskip("numcodecs")
    encoding = {"2m_temperature": {"chunks": (1, 19, 36), "compressors": numcodecs.GZip()}}
    dataset.to_zarr(path, zarr_format=2, encoding=encoding)
    schema = schema_of(COARSE, ("2m_temperature",), ())
    with open_source(SourceSpec("arco", "zarr", (str(path),))) as reader:
        expected = reader.read(schema, dataset.indexes["time"])
    assert gzip.decompress((path / "2m_temperature" / "1.0.0").read_bytes())
    plan = Plan(short=1.0, in_a_row=2, only="1.0.0")
    with (
        FlakyServer(tmp_path, plan) as server,
        open_source(remote(server, "a.zarr"), PATIENT) as r,
    ):
        states = r.read(schema, dataset.indexes["time"])
        assert r.faults == {"EOFError": 2}
    np.testing.assert_array_equal(states["2m_temperature"], expected["2m_temperature"])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("variable", ["temperature", "sea_surface_temperature"])
def test_a_chunk_that_is_absent_is_an_error(tmp_path, zarr_format, variable):
    """Not missing values, not zeros, and not land."""
    write_arco(tmp_path / "a.zarr", zarr_format, hours=3, final_hours=1, empty_hours=0)
    remove_chunk(tmp_path / "a.zarr", variable, 1, zarr_format)
    upper = (variable,) if variable == "temperature" else ()
    schema = schema_of(COARSE, () if upper else (variable,), upper)
    times = pd.date_range("2020-01-01", periods=3, freq="h")
    with FlakyServer(tmp_path) as server, open_source(remote(server, "a.zarr"), PATIENT) as reader:
        with pytest.raises(DataError, match=f"chunks are absent, such as {variable}/"):
            reader.read(schema, times)
        reader.read(schema, times[[0, 2]])


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_shards_are_read_in_part(tmp_path):
    """By ranges of bytes, which are checked, too."""
    path = tmp_path / "a.zarr"
    times = pd.date_range("2020-01-01", periods=8, freq="h")
    dataset = era5_like(times, ("temperature",), (500, 850, 1000))
    encoding = {"temperature": {"chunks": (1, 3, 19, 36), "shards": (8, 3, 19, 36)}}
    dataset.to_zarr(path, zarr_format=3, encoding=encoding, consolidated=True)
    schema = schema_of(COARSE, (), ("temperature",))
    with open_source(SourceSpec("arco", "zarr", (str(path),))) as reader:
        expected = reader.read(schema, times[2:5])
    with (
        FlakyServer(tmp_path, Plan(4, short=0.4, cut=0.4, only="/temperature/c/")) as server,
        open_source(remote(server, "a.zarr"), replace(PATIENT, attempts=9)) as reader,
    ):
        xr.testing.assert_identical(reader.read(schema, times[2:5]), expected)
        assert min(server.faults["short"], server.faults["cut"]) > 0
        assert set(reader.faults) <= {"HTTP 503", "truncated body"}, "a decoder was asked"


def test_files_are_copied_whole(tmp_path):
    times = pd.date_range("2020-01-01", periods=3, freq="h")
    dataset = era5_like(times, ("2m_temperature",))
    dataset.to_netcdf(tmp_path / "a.nc", engine="scipy")
    schema = schema_of(COARSE, ("2m_temperature",), ())
    with open_source(SourceSpec("arco", "netcdf", (f"{tmp_path}/a.nc",))) as reader:
        expected = reader.read(schema, times)
    plan = Plan(cut=0.4, short=0.3, unavailable=0.3)
    with FlakyServer(tmp_path, plan) as server:
        spec = SourceSpec("arco", "netcdf", (f"{server.url}/a.nc",))
        with open_source(spec, PATIENT) as reader:
            xr.testing.assert_identical(reader.read(schema, times), expected)
            assert server.requests["/a.nc"] == 3
            assert sum(reader.faults.values()) == 2
        with pytest.raises(InputError, match="there is no netcdf data"):
            open_source(replace(spec, urls=(f"{server.url}/b.nc",)), PATIENT)


def test_what_is_not_there_is_said_at_once(tmp_path):
    with FlakyServer(tmp_path) as server:
        with pytest.raises(InputError, match=r"there is no zarr data at http.*nothing.zarr"):
            open_source(remote(server, "nothing.zarr"), PATIENT)
        # with consolidated metadata and without
        assert max(server.requests.values()) == 2


def test_nobody_there(tmp_path):
    with FlakyServer(tmp_path) as server:
        spec = remote(server, "a.zarr")
    with pytest.raises(DataError, match=r"4 of 4 attempts failed: ClientConnectorError \(4 times"):
        open_source(spec, PATIENT)


def test_nothing_stays_open(arco):
    """Neither threads nor connections: a worker opens many sources."""
    with FlakyServer(arco[0]) as server:
        before = threading.active_count()
        for _ in range(3):
            with open_source(remote(server, "v2.zarr"), PATIENT) as reader:
                reader.read(schema_of(COARSE), TIMES[:1])
        # each open connection has a thread of the server
        for _ in range(100):
            if threading.active_count() <= before + 1:
                break
            time.sleep(0.02)
        assert threading.active_count() <= before + 1
