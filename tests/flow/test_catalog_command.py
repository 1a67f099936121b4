"""The listing of catalogs, as a user sees it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appa_core.errors import InputError
from flows.catalog import _main, _parse, as_json, as_paragraphs, as_table
from tasks.catalog import catalog_folder
from tasks.listing import list_entries


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def rows():
    return list_entries()


def test_a_table_for_people(rows):
    table = as_table(rows)
    lines = {line.split()[0]: line for line in table.splitlines() if line}
    assert {"STATES", "OBSERVATIONS", "MODELS"} <= lines.keys()
    for expected in ("zarr", "1959-01-01 to 2023-01-10", "64 x 32", "6 h", "13", "CC-BY-4.0"):
        assert expected in lines["era5-wb2-64x32"]
    assert "1940-01-01 to now" in lines["era5-arco"]
    assert lines["sample"].endswith("yes")
    assert "give location=..." in lines["local-grib"]
    assert "T U V Z Q T2m U10 V10 MSLP SST TP: era5-arco, era5-cds" in table
    # columns stand under each other
    start = table.splitlines()[1].index("licence")
    assert lines["sample"][start:].startswith("CC-BY-4.0")
    assert max(map(len, table.splitlines())) < 140


def test_json_for_programs(rows):
    facts = {row["name"]: row for row in json.loads(as_json(rows))}
    assert facts["sample"]["reachable"] is True
    assert facts["local-zarr"]["reachable"] is None
    assert facts["local-zarr"]["parameters"] == ["location"]
    assert facts["local-zarr"]["url"] is None
    assert facts["era5-arco"]["start"] == "1940-01-01"
    assert facts["era5-arco"]["end"] is None
    assert facts["era5-arco"]["levels_hpa"][-1] == 1000
    assert "sea_surface_temperature" in facts["era5-arco"]["variables"]
    assert facts["small"]["kind"] == "weights"


def test_all_about_an_entry(rows):
    row = next(r for r in rows if r.name == "era5-arco")
    text = as_paragraphs([replace(row, reachable=False, note="HTTP 503")])
    assert text.startswith("era5-arco\n")
    assert "gs://gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3" in text
    assert "geopotential" in text
    assert "no: HTTP 503" in text
    assert max(map(len, text.splitlines())) < 100


def test_the_command(capsys):
    _main(_parse(["--no-check", "--json", "sample"]))
    (sample,) = json.loads(capsys.readouterr().out)
    assert sample["grid"] == "64 x 32"
    _main(_parse(["--no-check"]))
    assert "a NAME says all" in capsys.readouterr().out
    _main(_parse(["--no-check", "era5-wb2-64x32", "sample"]))
    assert "total_precipitation_6hr" in capsys.readouterr().out
    with pytest.raises(InputError, match="no entry 'era6'; there are: sample, era5-arco"):
        _main(_parse(["--no-check", "era6"]))


def test_without_a_network_the_list_says_so_in_seconds(capsys, monkeypatch):
    """Names are not resolved, as behind a firewall: neither an error nor a minute of silence."""
    leave = threading.Event()

    def never(*_, **__):
        leave.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    monkeypatch.setattr("tasks.reach.importlib.util.find_spec", lambda name: name)
    began = time.monotonic()
    _main(_parse(["--timeout", "0.3"]))
    assert time.monotonic() - began < 5
    leave.set()
    lines = {row.split()[0]: row for row in capsys.readouterr().out.splitlines() if row}
    assert lines["era5-arco"].endswith("no: no answer within 0.3 s")
    assert lines["igra-stations"].endswith("no: no answer within 0.3 s")
    assert lines["sample"].endswith("yes")


def test_a_forbidden_reader_is_an_error_before_intake(tmp_path):
    text = (catalog_folder() / "states.yaml").read_text()
    evil = text.replace("intake.readers.readers:XArrayDatasetReader", "evil_reader:Reader", 1)
    assert evil != text
    (tmp_path / "states.yaml").write_text(evil)
    (tmp_path / "evil_reader.py").write_text("raise SystemExit('it ran')")
    shutil.copy(catalog_folder() / "models.yaml", tmp_path)
    arguments = ("-X", "importtime", "-m", "flows.catalog", "--catalogs", str(tmp_path))
    done = run(*arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{Path.cwd()}")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    imported = {line.rsplit("|")[-1].strip() for line in lines if line.startswith("import time:")}
    assert "pydantic" in imported
    assert not any(name.partition(".")[0] in {"intake", "evil_reader"} for name in imported)
    (message,) = (line for line in lines if line.startswith("error:"))
    assert f"catalog {tmp_path / 'states.yaml'} is not valid: entries.sample.reader" in message
    assert "'evil_reader:Reader' is not allowed; expected one of intake.readers" in message
