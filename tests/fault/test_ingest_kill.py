"""Ingestion that is killed at any moment ends with the same bytes when it is run again."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from appa_core.io.cube import Cube
from appa_core.io.datasets import write_zarr
from tests.synthetic import synthetic_states, tiny_preset

DAYS, BLOCK = 30, 2


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A source and a preset with many small blocks."""
    folder = tmp_path_factory.mktemp("ingest")
    preset = tiny_preset()
    write_zarr(synthetic_states(preset.state.build(), "2012-01-01", DAYS), folder / "waves.zarr")
    content = preset.model_dump(mode="json") | {"data": {"block_states": BLOCK}}
    (folder / "preset.yaml").write_text(yaml.safe_dump(content))
    return folder


def start(world, store):
    return subprocess.Popen(
        [
            sys.executable, "-m", "flows.ingest", "--source", str(world / "waves.zarr"),
            "--preset", str(world / "preset.yaml"), "--start", "2012-01-01", "--end",
            "2012-01-31", "--workers", "0", "--store", str(store),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def records(store):
    return sorted(p for p in store.glob("states/*/ledger/*/*.json") if "started" not in p.name)


def load(store):
    return Cube.load(records(store)[0].parents[2])


@pytest.fixture(scope="module")
def undisturbed(world):
    assert start(world, world / "undisturbed").wait() == 0
    return load(world / "undisturbed")


def test_killed_at_random_moments(world, undisturbed, tmp_path):
    rng = random.Random(0)
    kills, before, kept = 0, 0, {}
    while kills < 3:
        process = start(world, tmp_path)
        target = before + rng.randint(1, 12)
        while process.poll() is None and len(records(tmp_path)) < target:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        now = {p: p.stat().st_mtime_ns for p in records(tmp_path)}
        assert kept.items() <= now.items()  # what was committed is not made again
        kept, before = now, len(now)
    assert kills == 3
    assert start(world, tmp_path).wait() == 0
    cube = load(tmp_path)
    assert cube.digest() == undisturbed.digest()
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    starts = [json.loads(p.read_text())["starts"] for p in records(tmp_path)]
    assert len(starts) == DAYS * 4 // BLOCK
    assert sum(starts) - len(starts) <= kills  # at most one block was begun in vain by each
