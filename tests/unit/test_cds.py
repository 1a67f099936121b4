"""ERA5 from the Climate Data Store, by a client that is not it."""

import hashlib
import os
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from appa_core.errors import DataError, InputError
from appa_core.io import cds
from appa_core.io.cds import CdsRequest, CdsSource, fetch
from appa_core.io.grib import count_messages
from appa_core.io.retry import Retry, TruncatedError
from appa_core.schema import Grid, StateSchema

UPPER = ("temperature", "geopotential")
QUICK = Retry(attempts=3, sleep=lambda _: None)
GRID = Grid(tuple(np.linspace(-90, 90, 7)), tuple(np.arange(12) * 30.0))


def message(content=b"field", edition=2):
    if edition == 2:
        size = 16 + len(content) + 4
        return b"GRIB\0\0\0\2" + size.to_bytes(8, "big") + content + b"7777"
    size = 8 + len(content) + 4
    return b"GRIB" + size.to_bytes(3, "big") + b"\1" + content + b"7777"


def hours_of(body):
    for day, time in product(body["day"], body["time"]):
        yield pd.Timestamp(f"{body['year'][0]}-{body['month'][0]}-{day}T{time}")


class FakeClient:
    """Delivers a message for each field; the first answers may be something else."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def retrieve(self, name, request, target):
        self.requests.append((name, request))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        fields = product(
            request["variable"], request.get("pressure_level", [""]), hours_of(request)
        )
        content = b"".join(message(repr(field).encode()) for field in fields)
        Path(target).write_bytes(answer(content) if answer else content)


def schema_of(surface=("2m_temperature",), upper=UPPER, levels=(500, 850), step=6):
    return StateSchema.build(surface, upper, levels, GRID, step)


def request_of(days=("2020-01-30", "2020-01-31"), **changes):
    settings = {"variables": ("2m_temperature",), "hours": (0, 12), "levels": ()} | changes
    return CdsRequest("single", days=tuple(map(pd.Timestamp, days)), **settings)


def test_a_request_as_the_cds_takes_it():
    request = request_of(variables=("temperature", "geopotential"), levels=(500, 850))
    assert request.body == {
        "product_type": ["reanalysis"],
        "variable": ["temperature", "geopotential"],
        "year": ["2020"],
        "month": ["01"],
        "day": ["30", "31"],
        "time": ["00:00", "12:00"],
        "pressure_level": ["500", "850"],
        "data_format": "grib",
        "download_format": "unarchived",
    }
    assert request.fields == 16
    assert "pressure_level" not in request_of().body
    assert request_of().path.startswith("single/2020/20200130-20200131-")
    paths = {request_of(hours=(0,)).path, request_of().path, request_of(("2020-01-30",)).path}
    assert len(paths) == 3


@pytest.mark.parametrize(("split", "pieces"), [("month", [3, 2]), ("day", [1] * 5)])
def test_requests_are_split(split, pieces):
    times = pd.date_range("2020-01-29", "2020-02-02T18", freq="6h")
    source = CdsSource("era5", "single", "levels", split)
    surface = [r for r in source.requests(schema_of(), times) if r.dataset == "single"]
    upper = [r for r in source.requests(schema_of(), times) if r.dataset == "levels"]
    assert [len(r.days) for r in surface] == [len(r.days) for r in upper] == pieces
    assert all(len({(d.year, d.month) for d in r.days}) == 1 for r in surface)
    for part, levels, variables in (
        (surface, (), ("2m_temperature",)),
        (upper, (500, 850), UPPER),
    ):
        assert {r.levels for r in part} == {levels}
        assert {r.variables for r in part} == {variables}
        asked = sorted(t for r in part for t in hours_of(r.body))
        assert asked == list(times)


@pytest.mark.parametrize(
    ("name", "step", "first"),
    [
        ("total_precipitation_6hr", 6, "2020-01-31"),
        ("total_precipitation", 1, "2020-02-01"),
        ("total_precipitation", 24, "2020-01-31"),
    ],
)
def test_sums_of_rain_need_the_hours_before(name, step, first):
    times = pd.DatetimeIndex(["2020-02-01", "2020-02-02"])
    requests = CdsSource("era5").requests(schema_of((name,), (), (), step), times)
    assert {r.variables for r in requests} == {("total_precipitation",)}
    asked = sorted(t for r in requests for t in hours_of(r.body))
    assert asked == list(pd.date_range(first, "2020-02-02T23", freq="h"))


def test_files_are_kept_with_their_checksums(tmp_path):
    client = FakeClient()
    requests = [request_of(), request_of(("2020-02-01",))]
    files = fetch(requests, tmp_path, client)
    assert [path for path, _ in files] == [tmp_path / r.path for r in requests]
    assert client.requests == [("single", r.body) for r in requests]
    for path, digest in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        beside = path.with_name(f"{path.name}.sha256")
        assert beside.read_text() == f"{digest}  {path.name}\n"  # as sha256sum -c reads it
        assert len(list(path.parent.iterdir())) == 4
    assert fetch(requests, f"file://{tmp_path}", FakeClient(OSError("not asked"))) == files


def cut_file(path):
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        cut_file,
        flip_a_bit,
        lambda path: path.unlink(),
        lambda path: path.with_name(f"{path.name}.sha256").unlink(),
        lambda path: path.with_name(f"{path.name}.sha256").write_text(""),
    ],
)
def test_what_is_not_whole_is_fetched_again(tmp_path, damage):
    requests = [request_of(), request_of(("2020-02-01",))]
    files = fetch(requests, tmp_path, FakeClient())
    damage(files[0][0])
    client = FakeClient()
    assert fetch(requests, tmp_path, client) == files
    assert client.requests == [("single", requests[0].body)]
    assert count_messages(files[0][0]) == 4


@pytest.mark.parametrize(
    "answer",
    [
        lambda content: content[:-3],
        lambda content: content[: len(content) // 2 + 1],
        lambda _: b"",
        ConnectionResetError("gone"),
        Exception("Download failed: downloaded 1 byte(s) out of 2"),  # as cdsapi raises it
    ],
)
def test_failed_downloads_are_tried_again_and_leave_nothing(tmp_path, answer):
    client = FakeClient(answer, answer)
    ((path, _),) = fetch([request_of()], tmp_path, client, QUICK)
    assert len(client.requests) == 3
    assert count_messages(path) == 4
    path.unlink()
    with pytest.raises(DataError, match="2m_temperature of 2020-01-30 from the CDS: 3 of 3"):
        fetch([request_of()], tmp_path, FakeClient(answer, answer, answer), QUICK)
    assert [p.name for p in path.parent.iterdir()] == [f"{path.name}.sha256"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda _: message() * 3, "delivered 3 fields of 2m_temperature.*2020-01-31, expected 4"),
        (lambda content: content + message(), "delivered 5 fields"),
        (lambda _: b"<html>" * 9, "sent b'<html><h' at byte 0, expected GRIB"),
        (lambda content: content + b"PK\3\4" * 5, "sent b'PK.*expected GRIB"),
    ],
)
def test_other_content_is_refused(tmp_path, answer, text):
    with pytest.raises(DataError, match=text):
        fetch([request_of()], tmp_path, FakeClient(answer, answer, answer), QUICK)
    assert not list((tmp_path / "single/2020").iterdir())


def test_a_killed_download_is_cleared_away(tmp_path):
    ((path, _),) = fetch([request_of()], tmp_path, FakeClient())
    old, recent = (path.with_name(f".{name}.part") for name in ("old", "recent"))
    for leftover in (old, recent):
        leftover.write_bytes(b"GRIB")
    os.utime(old, (0, 0))
    fetch([request_of(("2020-01-01",))], tmp_path, FakeClient())
    assert not old.exists()
    assert recent.exists()


@pytest.mark.parametrize("edition", [1, 2])
def test_messages_are_counted(tmp_path, edition):
    path = tmp_path / "x.grib"
    path.write_bytes(message(b"a" * 300, edition) + message(b"b" * 20, edition))
    assert count_messages(path) == 2
    for size in (0, 1, 3, 7, 8, 15, 200, 311, 313, 325, 335):
        path.write_bytes((message(b"a" * 300, edition) + message(b"b" * 20, edition))[:size])
        with pytest.raises(TruncatedError):
            count_messages(path)
    path.write_bytes(message(b"a", edition) + b"GRIB\0\0\0\1" + b"\0" * 20)
    with pytest.raises(TruncatedError):
        count_messages(path)


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("CDSAPI_KEY", raising=False)
    monkeypatch.delenv("CDSAPI_URL", raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "cdsapirc"))
    module = SimpleNamespace(Client=SimpleNamespace)
    module.__spec__ = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "cdsapi", module)
    return module


def test_a_key_is_needed(no_key, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"your key in ~/\.cdsapirc.*https://cds.*how-to-api"):
        fetch([request_of()], tmp_path)
    monkeypatch.setenv("CDSAPI_KEY", "x")
    assert not cds.obstacle()
    assert cds._default_client().url == cds.API_URL
    monkeypatch.delenv("CDSAPI_KEY")
    (tmp_path / "cdsapirc").write_text("key: x")
    assert cds._default_client().url is None

    def incomplete(**_):
        raise Exception("Missing/incomplete configuration file")

    no_key.Client = incomplete
    with pytest.raises(InputError, match="cdsapi cannot be used: Missing/incomplete"):
        fetch([request_of()], tmp_path)


def test_the_package_is_needed_only_to_fetch(monkeypatch, tmp_path):
    files = fetch([request_of()], tmp_path, FakeClient())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert fetch([request_of()], tmp_path) == files
    with pytest.raises(InputError, match="needs the package cdsapi: pip install cdsapi"):
        fetch([request_of(hours=(6,))], tmp_path)


def test_what_cannot_be_asked(tmp_path):
    with pytest.raises(InputError, match="GRIB cannot be kept at s3://bucket; give a folder"):
        fetch([request_of()], "s3://bucket", FakeClient())
    with pytest.raises(InputError, match="no times of source era5"):
        CdsSource("era5").fetch(schema_of(), pd.DatetimeIndex([]), tmp_path, FakeClient())
