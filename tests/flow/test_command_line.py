"""What a user types, and what comes back when it is wrong."""

import shutil
import subprocess
import sys

import pytest

from appa_core.config.requests import Region, forecast_request, parse_time
from appa_core.errors import InputError, IntegrityError
from flows.forecast import forecast


def call(tiny_world, **changes):
    settings = {
        "start": "2012-02-10",
        "model": str(tiny_world.model),
        "source": str(tiny_world.sample),
    }
    return forecast(**settings | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "2012-13-01"}, "is no date"),
        ({"start": "2030-01-01"}, "the data hold 2012-02-01T00:00 to 2012-02-19T18:00 UTC"),
        ({"start": "2012-02-10T05"}, "every 6 h"),
        ({"start": "2012-02-01"}, "needs the 2 states up to that time"),
        ({"lead_hours": 7}, "positive multiple of the model's step, 6 h"),
        ({"lead_hours": 0}, "positive multiple"),
        ({"members": 0}, "at least 1 member, got 0"),
        ({"seed": -1}, "seed of 0 or more"),
        ({"dtype": "float8"}, "float32 or bfloat16"),
        ({"device": "cuda:99"}, "cannot use device"),
        ({"model": "nonesuch"}, "unknown model 'nonesuch'"),
        ({"source": "nonesuch"}, "unknown source 'nonesuch'"),
        ({"variables": ("snow",)}, "unknown variable 'snow'"),
        ({"levels": (123,)}, "unknown level 123"),
        ({"region": "1,2,3"}, "is no region"),
        ({"region": "50,20,0,10"}, "SOUTH must be below NORTH"),
        ({"region": "0.1,0.2,0.1,0.2"}, "0 x 0 cells"),
    ],
)
def test_bad_requests_are_explained_and_write_nothing(tiny_world, tmp_path, changes, message):
    store, output = tmp_path / "store", tmp_path / "out"
    with pytest.raises(InputError, match=message):
        call(tiny_world, store=str(store), output=str(output), **changes)
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written(tiny_world, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        call(tiny_world, output=str(tmp_path / "file"), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match="not empty and holds no forecast"):
        call(tiny_world, output=str(tmp_path), store=str(tmp_path / "store"))
    with pytest.raises(InputError, match="cannot write"):
        call(tiny_world, output="/proc/forecast", store=str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["denoiser.safetensors", "autoencoder.safetensors"])
def test_a_damaged_weight_file_is_named(tiny_world, tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(tiny_world.model, model)
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 1
    (model / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        call(tiny_world, model=str(model), store=str(tmp_path / "store"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_data_chunk_is_named(tiny_world, tmp_path, damage):
    sample = tmp_path / "sample"
    shutil.copytree(tiny_world.sample, sample)
    chunk = next(p for p in (sample / "states.zarr" / "temperature").rglob("0") if p.is_file())
    content = bytearray(chunk.read_bytes())
    if damage == "remove":
        chunk.unlink()
    elif damage == "truncate":
        chunk.write_bytes(content[:-10])
    else:
        content[-1] ^= 1
        chunk.write_bytes(content)
    with pytest.raises(IntegrityError, match="temperature"):
        call(tiny_world, source=str(sample), store=str(tmp_path / "store"))


def run_module(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "flows.forecast", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_errors_are_one_line_with_status_2(tmp_path):
    done = run_module("--start", "soon", "--store", str(tmp_path / "store"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'soon' is no date")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_traceback_on_request(tmp_path):
    done = run_module("--start", "soon", "--traceback", "--store", str(tmp_path / "store"))
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("module", ["forecast", "ingest", "train"])
def test_help_is_answered_before_slow_imports(module):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{module}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('flows.{module}', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "assert not {'torch', 'prefect', 'xarray'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: python -m flows." in done.stdout


def test_times_are_utc():
    assert str(parse_time("2024-01-01T12")) == "2024-01-01 12:00:00"
    assert str(parse_time("2024-01-01T12:00+02:00")) == "2024-01-01 10:00:00"


def test_a_region_across_the_date_line():
    region = Region.parse("-10,10,170,-170")
    assert (region.west, region.east) == (170.0, -170.0)


def test_unknown_fields_of_a_request_are_refused():
    with pytest.raises(InputError, match="colour"):
        forecast_request(start="2024-01-01", colour="red")
