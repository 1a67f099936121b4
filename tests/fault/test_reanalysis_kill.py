"""A reanalysis that is killed, wherever it is, ends with the same bytes when it is run again."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.from_observations import contents, options

START, END = "2012-02-05", "2012-02-08"


def command(tiny_world, folder):
    arguments = options(tiny_world, folder, members=5, withhold=0.1, method="mmps")
    return [sys.executable, "-m", "flows.reanalysis", "--start", START, "--end", END, *arguments]


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
    deadline = time.monotonic() + 600
    while process.poll() is None and not is_time():
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(0.01)
    was_running = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def committed(folder, step="*"):
    return sorted(folder.glob(f"store/{step}/*/manifest.json"))


@pytest.fixture(scope="module")
def undisturbed(tiny_world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(tiny_world, folder)
    return folder


@pytest.mark.parametrize("stretches", [3, 13])
def test_killed_while_drawing(tiny_world, tmp_path, undisturbed, stretches):
    def is_time():
        return len(committed(tmp_path, "analysis-stretch")) >= stretches

    assert killed_when(tiny_world, tmp_path, is_time)
    kept = {p: p.stat().st_mtime_ns for p in committed(tmp_path)}
    assert not (tmp_path / "out").exists()
    run(tiny_world, tmp_path)
    assert contents(tmp_path / "out") == contents(undisturbed / "out")
    # what was committed before the kill was not made again
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())


def test_killed_while_writing(tiny_world, tmp_path, undisturbed):
    def is_time():
        return any(tmp_path.glob("store/.staging/*/reanalysis.zarr"))

    killed_when(tiny_world, tmp_path, is_time)
    run(tiny_world, tmp_path)
    assert contents(tmp_path / "out") == contents(undisturbed / "out")
