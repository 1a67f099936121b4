"""Writers of a cube that are killed, or write at once: the same bytes come out."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from appa_core.io.cube import Block, Cube, CubeSpec, CubeVariable
from appa_core.io.shards import template

# imported by the processes that are killed, which run this file
BLOCKS = [Block(2020, 0), Block(2020, 1), Block(2021, 0)]


def make_spec(side):
    plane = ("latitude", "longitude")
    return CubeSpec(
        step="states",
        version=1,
        config={},
        parents={},
        step_hours=6,
        block_states=6,
        coordinates={"latitude": np.linspace(-80, 80, side), "longitude": np.arange(side)},
        variables=tuple(CubeVariable(n, plane, {"units": "K"}) for n in ("t", "u")),
    )


def values(cube, block, stop=None):
    rng = np.random.default_rng([block.year, block.index])
    return {
        v.name: rng.random((6, *cube.spec.shape(v)), np.float32)[:stop]
        for v in cube.spec.variables
    }


def ingest(store, side, blocks=BLOCKS):
    """What an ingestion does: blocks that are there and whole are left alone."""
    cube = Cube.open(store, make_spec(side))
    cube.prepare(blocks)
    for block in blocks:
        record = cube.record(block)
        if record and record.last == cube.times_of(block)[-1] and cube.check(block) is None:
            continue
        cube.begin(block)
        cube.commit(block, values(cube, block), {"code": "1"}, times=cube.times_of(block))
    return cube


def begin_ingest(store, side):
    """Leave a block that is to be extended."""
    cube = Cube.open(store, make_spec(side))
    block = BLOCKS[1]
    cube.commit(block, values(cube, block, 4), {}, times=cube.times_of(block)[:4])
    return cube


def die_at(event):
    """Kill this process before the given one of what changes the file system."""
    count = 0

    def hook(name, args):
        nonlocal count
        changes = name in {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
        if changes or (name == "open" and isinstance(args[1], str) and "w" in args[1]):
            count += 1
            if count == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(work):
    """Whether a forked process came to the end of its work."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return status == 0


def notes(cube):
    """Records and counts of starts, by name."""
    ledger = Path(cube.url) / "ledger"
    return {p.relative_to(ledger).as_posix(): p.read_text() for p in ledger.rglob("*.json")}


def torn_years(cube):
    """Metadata of years that look whole and are not."""
    roots = [p for p in Path(cube.url).glob("*.zarr") if (p / "zarr.json").exists()]
    expected = {n: x for p in roots for n, x in template(cube.spec, int(p.stem)).items()}
    names = {p.relative_to(cube.url).as_posix(): p for r in roots for p in r.rglob("*.*")}
    return [n for n, x in expected.items() if n not in names or names[n].read_bytes() != x]


def kill_everywhere(folder, start, stride):
    """Kill an ingestion before every stride-th event; says what was found, a line for each."""
    os.fsync = lambda _: None  # what it is for outlives a kill anyway
    event = start
    while True:
        store = f"{folder}/{event}"
        begin_ingest(store, 4)

        def interrupted(store=store, event=event):
            die_at(event)
            ingest(store, 4)

        has_ended = in_child(interrupted)
        cube = Cube.open(store, make_spec(4))
        found = {
            "event": event,
            "has_ended": has_ended,
            "damage": [cube.check(r.block) for r in cube.records()] + torn_years(cube),
            "before": notes(cube),
        }
        in_child(lambda store=store: ingest(store, 4))
        say(json.dumps(found | {"after": notes(cube)}))
        if has_ended:
            return
        event += stride


def say(line):
    """Tell the test that started this process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_self(*arguments, **options):
    command = [sys.executable, __file__, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def data_files(folder):
    """Content of everything but ledgers, which tell when they were written."""
    files = [p for p in Path(folder).rglob("*") if p.is_file() and "ledger" not in p.parts]
    return {p.relative_to(folder): p.read_bytes() for p in files if ".staging" not in p.parts}


def require_redone(before, after):
    """What was committed stayed; a block that was begun says how often; nothing else is left."""
    for block in BLOCKS:
        name, started = f"{block.name}.json", f"{block.name}.started.json"
        starts = json.loads(before[started])["starts"] if started in before else 0
        record = json.loads(after[name])
        was_whole = name in before and json.loads(before[name])["last"] == record["last"]
        if was_whole:
            assert after[name] == before[name]
        else:
            assert record["starts"] == starts + 1
    assert set(after) >= {f"{b.name}.json" for b in BLOCKS}


@pytest.mark.parametrize("start", [1, 2, 3])
def test_killed_before_any_change_of_the_file_system(tmp_path, start):
    expected = data_files(Path(ingest(tmp_path / "whole", 4).url))
    process = run_self("everywhere", tmp_path / "killed", start, 3)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found = [json.loads(line) for line in output.splitlines()]
    assert len(found) > 8
    assert [f["has_ended"] for f in found] == [False] * (len(found) - 1) + [True]
    for f in found:
        assert set(f["damage"]) <= {None}
        require_redone(f["before"], f["after"])
        [folder] = (tmp_path / "killed" / str(f["event"]) / "states").iterdir()
        assert data_files(folder) == expected
    # some were killed in the middle of a block
    assert any('starts": 2' in text for f in found for text in f["after"].values())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return ingest(tmp_path_factory.mktemp("undisturbed"), 256)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment(tmp_path, undisturbed, seed):
    process = run_self("ingest", tmp_path, 256)
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0.01, 0.3))
    process.kill()
    process.communicate()
    cube = Cube.open(tmp_path, make_spec(256))
    before = notes(cube)
    assert all(cube.check(r.block) is None for r in cube.records())
    ingest(tmp_path, 256)
    require_redone(before, notes(cube))
    assert cube.digest() == undisturbed.digest()
    assert data_files(Path(cube.url)) == data_files(Path(undisturbed.url))


def write_at_once(store, blocks, barrier):
    barrier.wait()
    ingest(store, 32, blocks)


def test_processes_write_at_once(tmp_path):
    """Every block is written by two of three processes, which also race for the templates."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    blocks = [Block(2020, i) for i in range(9)]
    shares = [blocks[:6], blocks[3:], blocks[:3] + blocks[6:]]
    processes = [
        context.Process(target=write_at_once, args=(tmp_path / "many", share, barrier))
        for share in shares
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0, 0, 0]
    cube = Cube.open(tmp_path / "many", make_spec(32))
    assert [cube.check(block) for block in blocks] == [None] * 9
    alone = ingest(tmp_path / "one", 32, blocks)
    assert cube.digest() == alone.digest()
    assert data_files(Path(cube.url)) == data_files(Path(alone.url))
    np.testing.assert_array_equal(
        cube.read(cube.times_of(blocks[4]))["u"], values(cube, blocks[4])["u"]
    )


def main():
    """What the processes do that are killed: their results are read from their output."""
    mode, folder, *numbers = sys.argv[1:]
    if mode == "everywhere":
        kill_everywhere(folder, *map(int, numbers))
    else:
        say("ready")
        ingest(folder, *map(int, numbers))


if __name__ == "__main__":
    main()
