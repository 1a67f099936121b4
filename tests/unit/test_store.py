import json
import threading
import time
from pathlib import Path

import pytest

from appa_core.errors import InputError, IntegrityError
from appa_core.io import store as store_module
from appa_core.io.census import added, committed
from appa_core.io.cube import Block, Cube
from appa_core.io.store import MANIFEST, ArtifactStore, Recipe
from appa_core.steps.step import run_step
from tests.cubes import fill, spec

RECIPE = Recipe("demo", 1, {"a": 1}, {"parent": "x"}, seed=3)


def write(text):
    def build(folder):
        (folder / "sub").mkdir()
        (folder / "sub" / "text.txt").write_text(text)
        return {"length": len(text)}

    return build


def test_a_step_runs_once(tmp_path):
    store, calls = ArtifactStore(tmp_path), []

    def build(folder):
        calls.append(1)
        return write("hello")(folder)

    first, second = (run_step(store, RECIPE, build) for _ in range(2))
    assert calls == [1]
    assert first.digest == second.digest
    assert second.summary == {"length": 5}
    assert Path(second.locate("sub/text.txt")).read_text() == "hello"


@pytest.mark.parametrize(
    "other",
    [
        Recipe("demo", 2, {"a": 1}, {"parent": "x"}, seed=3),
        Recipe("demo", 1, {"a": 2}, {"parent": "x"}, seed=3),
        Recipe("demo", 1, {"a": 1}, {"parent": "y"}, seed=3),
        Recipe("demo", 1, {"a": 1}, {"parent": "x"}, seed=4),
    ],
)
def test_everything_in_a_recipe_changes_its_key(other):
    assert other.key != RECIPE.key


def test_order_of_settings_does_not_change_the_key():
    a = Recipe("demo", 1, {"a": 1, "b": 2}, {})
    assert a.key == Recipe("demo", 1, {"b": 2, "a": 1}, {}).key


def test_a_failing_step_leaves_nothing(tmp_path):
    store = ArtifactStore(tmp_path)

    def build(folder):
        write("half")(folder)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run_step(store, RECIPE, build)
    assert store.find(RECIPE) is None
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_data_without_a_manifest_are_no_artifact(tmp_path):
    store = ArtifactStore(tmp_path)
    run_step(store, RECIPE, write("one"))
    (tmp_path / "demo" / RECIPE.key / MANIFEST).unlink()
    assert store.find(RECIPE) is None
    assert run_step(store, RECIPE, write("two")).summary == {"length": 3}
    assert (tmp_path / "demo" / RECIPE.key / "data/sub/text.txt").read_text() == "two"


def test_a_deleted_output_comes_back(tmp_path):
    store = ArtifactStore(tmp_path)
    first = run_step(store, RECIPE, write("one"))
    store.discard(RECIPE)
    assert store.find(RECIPE) is None
    assert run_step(store, RECIPE, write("one")).digest == first.digest


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_found(tmp_path, damage):
    artifact = run_step(ArtifactStore(tmp_path), RECIPE, write("precious"))
    path = Path(artifact.locate("sub/text.txt"))
    if damage == "remove":
        path.unlink()
    else:
        path.write_text("preciouX" if damage == "flip" else "prec")
    with pytest.raises(IntegrityError, match=r"text\.txt"):
        artifact.verify()


def test_a_damaged_manifest_is_named(tmp_path):
    store = ArtifactStore(tmp_path)
    run_step(store, RECIPE, write("one"))
    (tmp_path / "demo" / RECIPE.key / MANIFEST).write_text("{")
    with pytest.raises(IntegrityError, match="manifest"):
        store.find(RECIPE)


def test_a_manifest_of_another_format_is_refused(tmp_path):
    store = ArtifactStore(tmp_path)
    run_step(store, RECIPE, write("one"))
    path = tmp_path / "demo" / RECIPE.key / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 0}))
    with pytest.raises(IntegrityError, match="format 0"):
        store.find(RECIPE)


def test_stores_in_memory_work_alike(tmp_path):
    store = ArtifactStore("memory://appa-test-store")
    artifact = run_step(store, RECIPE, write("remote"))
    again = run_step(store, RECIPE, write("never"))
    assert again.digest == artifact.digest
    with again.verify().local() as folder:
        assert (folder / "sub/text.txt").read_text() == "remote"
    assert [a.key for a in store.artifacts("demo")] == [RECIPE.key]
    local = run_step(ArtifactStore(tmp_path), RECIPE, write("remote"))
    assert local.digest == artifact.digest


def test_two_commands_that_make_one_artifact_at_once_both_have_it(tmp_path, monkeypatch):
    """The second comes between the data and the manifest of the first."""
    barrier, arrived = threading.Barrier(2), []
    write_manifest = store_module.write_atomically

    def slowly(path, text):
        time.sleep(0.3)
        write_manifest(path, text)

    monkeypatch.setattr(store_module, "write_atomically", slowly)

    def build(folder):
        barrier.wait(10)
        return write("same")(folder)

    def command():
        arrived.append(run_step(ArtifactStore(tmp_path), RECIPE, build).verify())

    threads = [threading.Thread(target=command) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arrived) == 2
    assert len({json.dumps(dict(a.manifest), default=str, sort_keys=True) for a in arrived}) == 1
    assert not [p for p in (tmp_path / ".staging").rglob("*") if p.is_file()]


def test_a_damaged_artifact_is_not_taken_for_a_whole_one(tmp_path):
    store = ArtifactStore(tmp_path)
    first = run_step(store, RECIPE, write("one"))
    Path(first.locate("sub/text.txt")).write_text("two")
    assert run_step(store, RECIPE, write("one"), recompute=True).verify().digest == first.digest


def test_what_is_committed_is_counted(tmp_path):
    store = ArtifactStore(tmp_path)
    empty = committed(store)
    run_step(store, RECIPE, write("one"))
    cube = fill(Cube.open(tmp_path, spec()), Block(2020, 0), Block(2020, 1))
    (tmp_path / "notes.txt").write_text("not ours")
    full = committed(store)
    assert not empty
    assert len(full) == added(empty, full) == 4  # an artifact, a cube and its two blocks
    assert not added(full, committed(store))
    cube.begin(Block(2020, 0))
    fill(cube, Block(2020, 0), seed=1)
    assert added(full, committed(store)) == 1


def test_an_unusable_store_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run_step(ArtifactStore(tmp_path / "file" / "store"), RECIPE, write("x"))
    with pytest.raises(InputError, match="cannot use"):
        ArtifactStore("nosuchprotocol://x")
