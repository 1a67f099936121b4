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

DAYS, BLOCK = 30, 1
BLOCKS = DAYS * 4 // BLOCK


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
        stderr=(world / "stderr.txt").open("w"),
        start_new_session=True,
    )  # fmt: skip


def records(store):
    return sorted(p for p in store.glob("states/*/ledger/*/*.json") if "started" not in p.name)


def begun_in_vain(store):
    """How often blocks were begun that are not committed, and those before they were."""
    noted = store.glob("states/*/ledger/*/*.started.json")
    unfinished = {p.name.split(".")[0]: json.loads(p.read_text())["starts"] for p in noted}
    done = {p.stem: json.loads(p.read_text())["starts"] - 1 for p in records(store)}
    return sum((done | {n: s for n, s in unfinished.items() if n not in done}).values())


def load(store):
    return Cube.load(records(store)[0].parents[2])


@pytest.fixture(scope="module")
def undisturbed(world):
    assert start(world, world / "undisturbed").wait() == 0
    return load(world / "undisturbed")


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments(world, undisturbed, tmp_path, kills):
    """Between blocks, in the middle of one, and before the first: imports, server, plan."""
    rng = random.Random(kills)
    before, kept, redone = 0, {}, 0
    for kill in range(kills):
        process = start(world, tmp_path)
        target = before + rng.randint(1, BLOCKS // kills - 4)
        end = time.monotonic() + (rng.uniform(0, 5) if kill % 3 == 0 else 300)
        while len(records(tmp_path)) < target and time.monotonic() < end:
            assert process.poll() is None, (world / "stderr.txt").read_text()
            time.sleep(0.002)
        time.sleep(rng.random() * 0.03)
        assert process.poll() is None, "it ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = {p: p.stat().st_mtime_ns for p in records(tmp_path)}
        assert kept.items() <= now.items()  # what was committed is not made again
        kept, before = now, len(now)
        vain = begun_in_vain(tmp_path)
        assert vain - redone <= 1  # by each kill one block at most, says the ledger
        redone = vain
    assert start(world, tmp_path).wait() == 0
    cube = load(tmp_path)
    assert cube.digest() == undisturbed.digest()
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    starts = [json.loads(p.read_text())["starts"] for p in records(tmp_path)]
    assert len(starts) == BLOCKS
    assert sum(starts) - len(starts) == redone <= kills
