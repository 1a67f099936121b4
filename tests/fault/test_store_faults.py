"""A store on a disk that fills up, cannot be written, with a clock that jumps, or of another age.

Each ends in success or in one clear error; nothing is lost, nothing is silently wrong.
"""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appa_core.errors import InputError, IntegrityError
from appa_core.io.lock import StoreLock
from appa_core.io.staging import STAGING
from appa_core.io.store import MANIFEST, ArtifactStore, Recipe
from appa_core.steps.step import run_step

ROOT = Path(__file__).parents[2]
DAY = 24 * 3600.0
RECIPE = Recipe("made", 1, {"size": 3}, {})
OTHER = Recipe("made", 1, {"size": 4}, {})


def build(folder):
    for name in ("a", "b"):
        with (folder / name).open("w") as handle:
            handle.write(name * 1000)
            handle.flush()
            os.fsync(handle.fileno())
    return {}


def is_clean(store):
    """Whether only whole artifacts are there."""
    folders = [p for p in Path(store).glob("*/*") if not p.parent.name.startswith(".")]
    staged = list(Path(store).glob(f"{STAGING}/*"))
    return not staged and all((p / MANIFEST).is_file() for p in folders if (p / "data").exists())


# --- full ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fits", range(3))
def test_a_disk_that_is_full_at_any_file_of_a_step(tmp_path, monkeypatch, fits):
    """What is there stays; what did not fit is not there; with room again, the step succeeds."""
    store = ArtifactStore(tmp_path)
    before = run_step(store, OTHER, build)
    fsync, left = os.fsync, [None] * fits

    def full(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            run_step(store, RECIPE, build)
    assert store.find(RECIPE) is None
    assert not list(tmp_path.glob(f"{STAGING}/*"))
    assert store.find(OTHER).verify().digest == before.digest
    assert run_step(store, RECIPE, build).verify().key == RECIPE.key
    assert is_clean(tmp_path)


LIMITED = """
import resource, signal, sys
from appa_core.io.store import ArtifactStore
from appa_core.steps.step import run_step
from tests.fault.test_store_faults import RECIPE, build
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    run_step(ArtifactStore(sys.argv[1]), RECIPE, build)
except OSError as error:
    sys.exit(7)
"""


def in_python(code, *arguments, wrapped=()):
    return subprocess.run(
        [*wrapped, sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_files_that_may_not_grow(tmp_path):
    done = in_python(LIMITED, tmp_path)
    assert done.returncode == 7, done.stderr
    assert ArtifactStore(tmp_path).find(RECIPE) is None
    assert is_clean(tmp_path)


# --- read-only ----------------------------------------------------------------------------------

READ_ONLY = """
import sys
from appa_core.errors import InputError
from appa_core.io.lock import StoreLock
from appa_core.io.store import ArtifactStore
from appa_core.steps.step import run_step
from tests.fault.test_store_faults import OTHER, RECIPE, build
store = ArtifactStore(sys.argv[1])
print(run_step(store, OTHER, build).verify().digest)
for fails in (lambda: run_step(store, RECIPE, build), lambda: StoreLock(store.url).__enter__()):
    try:
        fails()
    except InputError as error:
        print(error)
"""


def test_a_store_that_is_made_read_only(tmp_path):
    """What is there is read; what is not there is one clear error."""
    made = run_step(ArtifactStore(tmp_path), OTHER, build)
    mount = (
        f'mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && exec "$@"'
    )
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*alone, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let its users mount a file system of their own")
    done = in_python(READ_ONLY, tmp_path, wrapped=alone)
    assert done.returncode == 0, done.stderr
    digest, step, lock = done.stdout.splitlines()
    assert digest == made.digest
    assert step.startswith(f"cannot write to the store {tmp_path}: Read-only file system; choose")
    assert lock.startswith(f"cannot lock {tmp_path}: ")


# --- clocks -------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Sets the wall clock off by so many seconds; clocks that only go forward go on."""
    now = time.time

    def off(seconds):
        monkeypatch.setattr(time, "time", lambda: now() + seconds)

    return off


@pytest.mark.parametrize("seconds", [-DAY, DAY * 2])
def test_what_a_living_writer_stages_outlives_a_clock_that_jumps(tmp_path, clock, seconds):
    store = ArtifactStore(tmp_path)

    def interrupted(folder):
        build(folder)
        clock(seconds)
        run_step(ArtifactStore(tmp_path), OTHER, build)  # which tidies up
        return {}

    made = run_step(store, RECIPE, interrupted)
    assert made.verify().digest == store.find(RECIPE).digest
    assert is_clean(tmp_path)


def test_what_a_dead_writer_staged_is_removed_in_the_end(tmp_path, clock):
    store = ArtifactStore(tmp_path)
    leftover = tmp_path / STAGING / "appa-dead"
    leftover.mkdir(parents=True)
    for seconds, stays in ((0, True), (-DAY, True), (DAY * 2, False)):
        clock(seconds)
        run_step(store, Recipe("made", 1, {"at": seconds}, {}), build)
        assert leftover.exists() == stays


@pytest.mark.parametrize("seconds", [-DAY, -3600, 0])
def test_a_clock_set_back_takes_no_lock_away_and_leaves_none_behind(tmp_path, clock, seconds):
    with StoreLock(tmp_path) as mine:
        clock(seconds)
        with pytest.raises(InputError, match="is being written by"):
            StoreLock(tmp_path).__enter__()
        mine.check()
    with StoreLock(tmp_path):
        pass
    assert not (tmp_path / "lock.json").exists()


HELD = """
import os, signal, sys
from appa_core.io.lock import StoreLock
StoreLock(sys.argv[1]).__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("seconds", [-DAY, 0, DAY])
def test_the_lock_of_a_dead_owner_is_taken_whatever_the_clock_says(tmp_path, clock, seconds):
    assert in_python(HELD, tmp_path).returncode == -9
    assert (tmp_path / "lock.json").exists()
    clock(seconds)
    with StoreLock(tmp_path) as lock:
        lock.check()


def test_keys_and_data_know_no_clock(tmp_path, clock):
    first = run_step(ArtifactStore(tmp_path / "a"), RECIPE, build)
    clock(-DAY)
    second = run_step(ArtifactStore(tmp_path / "b"), RECIPE, build)
    assert (first.key, first.digest) == (second.key, second.digest)


# --- at once ------------------------------------------------------------------------------------


def make_at_once(store, barrier, answers):
    barrier.wait()
    artifact = run_step(ArtifactStore(store), RECIPE, build)
    answers.put((artifact.key, artifact.verify().digest))


def test_processes_that_make_one_artifact_at_once_all_have_it(tmp_path):
    fresh = multiprocessing.get_context("spawn")
    barrier, answers = fresh.Barrier(4), fresh.Queue()
    makers = [
        fresh.Process(target=make_at_once, args=(str(tmp_path), barrier, answers))
        for _ in range(4)
    ]
    for maker in makers:
        maker.start()
    found = {answers.get(timeout=60) for _ in makers}
    for maker in makers:
        maker.join(60)
    assert [maker.exitcode for maker in makers] == [0] * 4
    assert len(found) == 1
    assert is_clean(tmp_path)


# --- of another age -----------------------------------------------------------------------------


def test_results_of_an_older_version_of_a_step_are_not_taken(tmp_path):
    """And they stay, for those who still use that version."""
    store = ArtifactStore(tmp_path)
    old = run_step(store, RECIPE, build)
    new = run_step(store, Recipe("made", 2, RECIPE.config, {}), build)
    child = Recipe("child", 1, {}, {"of": old.key})
    assert new.key != old.key
    assert child.key != Recipe("child", 1, {}, {"of": new.key}).key
    assert store.find(RECIPE).verify().digest == old.digest


@pytest.mark.parametrize("form", [0, 2, "1", None])
def test_a_store_in_another_format_is_refused_and_left_alone(tmp_path, form):
    store = ArtifactStore(tmp_path)
    path = Path(run_step(store, RECIPE, build).url) / MANIFEST
    text = json.dumps({"format": form, "what": "of another version"})
    path.write_text(text)
    with pytest.raises(IntegrityError, match=f"in format {form}, this version reads 1; use"):
        run_step(store, RECIPE, build)
    assert path.read_text() == text
    assert (path.parent / "data/a").exists()
