"""Backfills that are killed, and several at once: every day is made once, with the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.from_observations import contents, options

START, END = "2012-02-05", "2012-02-09"
DAYS = ["2012-02-05", "2012-02-06", "2012-02-07", "2012-02-08"]


def command(tiny_world, folder, *more):
    words = options(tiny_world, folder, members=2, stream_days=2)
    days = ["--start", START, "--end", END]
    return [sys.executable, "-m", "flows.backfill", "reanalysis", *days, *words, *more]


def start(tiny_world, folder, *more):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        command(tiny_world, folder, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def made(process):
    """Days that a command says it made, once it has ended well."""
    output, _ = process.communicate(timeout=1500)
    assert process.returncode == 0
    return [line.split()[0] for line in output.splitlines() if line.split()[1:2] == ["made"]]


def records(folder):
    return sorted(folder.glob("store/reanalysis-series/*/ledger/2012/[0-9]*.json"))


def killed_when(process, is_time, how):
    deadline = time.monotonic() + 1200
    while process.poll() is None and not is_time():
        assert time.monotonic() < deadline, "the moment to kill never came"
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it was killed"
    os.killpg(process.pid, how)
    process.wait()


@pytest.fixture(scope="module")
def undisturbed(tiny_world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert made(start(tiny_world, folder)) == DAYS
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_backfill_that_is_killed_goes_on(tiny_world, tmp_path, undisturbed, how):
    killed_when(start(tiny_world, tmp_path), lambda: len(records(tmp_path)) >= 2, how)
    kept = {p: p.stat().st_mtime_ns for p in records(tmp_path)}
    again = made(start(tiny_world, tmp_path))
    assert len(again) == len(DAYS) - len(kept)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    assert contents(tmp_path / "out") == contents(undisturbed / "out")


@pytest.mark.slow
def test_two_at_once_make_every_day_once(tiny_world, tmp_path, undisturbed):
    both = [start(tiny_world, tmp_path) for _ in range(2)]
    shares = [made(process) for process in both]
    assert sorted(shares[0] + shares[1]) == DAYS
    assert contents(tmp_path / "out") == contents(undisturbed / "out")
