"""A forecast that is killed, wherever it is, ends with the same bytes when it is run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def command(tiny_world, folder):
    return [
        sys.executable, "-m", "flows.forecast", "--start", "2012-02-10", "--lead-hours", "72",
        "--members", "10", "--model", str(tiny_world.model), "--source", str(tiny_world.sample),
        "--store", str(folder / "store"), "--output", str(folder / "out"),
    ]  # fmt: skip


def run(tiny_world, folder):
    folder.mkdir(exist_ok=True)
    subprocess.run(command(tiny_world, folder), check=True, capture_output=True)


def killed_when(tiny_world, folder, is_time):
    """Start the command and kill its whole process group once `is_time` says so."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        command(tiny_world, folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and not is_time():
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(0.01)
    was_running = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def committed(folder, step="*"):
    return sorted(folder.glob(f"store/{step}/*/manifest.json"))


def contents(folder: Path):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tiny_world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(tiny_world, folder)
    return folder


@pytest.mark.parametrize("blankets", [1, 4])
def test_killed_while_sampling(tiny_world, tmp_path, undisturbed, blankets):
    def is_time():
        return len(committed(tmp_path, "forecast-blanket")) >= blankets

    assert killed_when(tiny_world, tmp_path, is_time)
    kept = {p: p.stat().st_mtime_ns for p in committed(tmp_path)}
    assert not (tmp_path / "out").exists()
    run(tiny_world, tmp_path)
    assert contents(tmp_path / "out") == contents(undisturbed / "out")
    # what was committed before the kill was not made again
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())


def test_killed_while_exporting(tiny_world, tmp_path, undisturbed):
    def is_time():
        return bool(committed(tmp_path, "report"))

    killed_when(tiny_world, tmp_path, is_time)
    run(tiny_world, tmp_path)
    assert contents(tmp_path / "out") == contents(undisturbed / "out")
