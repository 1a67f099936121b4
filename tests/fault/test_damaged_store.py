"""One bit of a finished store is flipped, or a file cut: what comes next is right, or says so."""

import shutil
from pathlib import Path

import pytest

from appa_core.io.store import ArtifactStore
from tests.from_observations import contents
from tests.fuzz_jobs import base
from tests.fuzzing import run

#: Jobs, and the step whose data they publish.
JOBS = {
    "forecast": "forecast",
    "reanalysis": "reanalysis-fields",
}


@pytest.fixture(scope="module", params=JOBS)
def finished(request, fuzz_world, cheaply, tmp_path_factory):
    """A job, its store, and what it exports when nothing is wrong."""
    folder = tmp_path_factory.mktemp(request.param)
    argv = [*base(request.param, fuzz_world), "--store", str(folder / "store")]
    done = run(request.param, argv, folder / "here")
    assert done.status == 0, str(done)
    return request.param, argv, folder


def data_of(store):
    """The first data file of an artifact of each step."""
    artifacts = ArtifactStore(store)
    steps = sorted(p.name for p in Path(store).iterdir() if not p.name.startswith("."))
    for step in steps:
        for artifact in artifacts.artifacts(step)[:1]:
            yield step, Path(artifact.locate()) / max(artifact.manifest["files"])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damage_anywhere_is_found_or_does_not_matter(finished, tmp_path, damage):
    name, argv, folder = finished
    right = contents(folder / "here/out")
    found = {}
    for step, path in data_of(folder / "store"):
        store = tmp_path / step
        shutil.copytree(folder / "store", store)
        damage(store / path.relative_to(folder / "store"))
        done = run(name, [*argv, "--store", str(store)], tmp_path / f"{step}-here")
        assert not done.trace, str(done)
        out = tmp_path / f"{step}-here/out"
        if done.status == 0:
            assert contents(out) == right, step
        else:
            assert done.status == 2
            assert str(store) in done.err
            assert "remove" in done.err  # and what to do
            assert not out.exists()
        found[step] = done.status
    assert 2 in found.values()
    # what is published is never taken on trust
    assert found[JOBS[name]] == 2


def test_what_an_error_asks_for_is_enough(finished, tmp_path):
    """The artifact is removed, and comes back with the same bytes."""
    name, argv, folder = finished
    shutil.copytree(folder / "store", tmp_path / "store")
    (artifact,) = ArtifactStore(tmp_path / "store").artifacts(JOBS[name])
    flip(Path(artifact.locate()) / max(artifact.manifest["files"]))
    shutil.rmtree(artifact.url)
    done = run(name, [*argv, "--store", str(tmp_path / "store")], tmp_path / "here")
    assert done.status == 0, str(done)
    assert contents(tmp_path / "here/out") == contents(folder / "here/out")
