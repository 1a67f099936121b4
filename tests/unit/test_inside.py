"""Paths cannot leave a store, whatever manifests and servers say."""

import json
import shutil
from pathlib import Path

import pytest

from appa_core.errors import InputError, IntegrityError
from appa_core.io.names import absolute_place, require_inside
from appa_core.io.places import folder_here, require_replaceable
from appa_core.io.store import MANIFEST, ArtifactStore, Recipe
from appa_core.steps.models import load_model, write_model
from appa_core.steps.publish import export_files
from appa_core.steps.sample import verify_sample
from appa_core.steps.step import run_step
from flows.cli import new_parser, store_default
from tasks.catalog_format import read_weights
from tests.synthetic import tiny_preset

OUTSIDE = ["../x", "a/../../x", "/etc/passwd", "..", "a\\..\\x", "a\0b", "", 3, None]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_elsewhere(name):
    with pytest.raises(IntegrityError, match="which is not below it"):
        require_inside(name, "the manifest")


@pytest.mark.parametrize("name", ["a", "a/b.c", "c.0.0", "..a", "a..b/c"])
def test_names_that_stay(name):
    assert require_inside(name, "the manifest") == name


def made(store):
    def build(folder):
        (folder / "inner").mkdir()
        (folder / "inner/values").write_text("1 2 3")
        return {}

    return run_step(store, Recipe("made", 1, {}, {}), build)


def rewritten(artifact, **changes):
    path = Path(artifact.url) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("where", ["local", "memory"])
@pytest.mark.parametrize("name", ["../../../outside", "/outside"])
def test_a_hostile_manifest_reads_nothing_outside(tmp_path, where, name):
    url = tmp_path / "store" if where == "local" else f"memory://{tmp_path.name}-{len(name)}"
    store = ArtifactStore(url)
    artifact = made(store)
    hostile = dict(artifact.manifest) | {"files": {name: "0" * 64}}
    with pytest.raises(IntegrityError, match=r"not below it|not written with it"):
        type(artifact)(artifact.url, hostile).verify()


def test_a_manifest_of_another_artifact_is_refused(tmp_path):
    store = ArtifactStore(tmp_path)
    artifact = made(store)
    rewritten(artifact, key="0" * 20)
    with pytest.raises(IntegrityError, match="is that of made/0000"):
        store.find(Recipe("made", 1, {}, {}))


@pytest.mark.parametrize(
    "content", ["[]", "3", "{}", '{"format": 1}', '{"format": 1, "files": 3}']
)
def test_a_manifest_that_is_none(tmp_path, content):
    store = ArtifactStore(tmp_path)
    (Path(made(store).url) / MANIFEST).write_text(content)
    with pytest.raises(IntegrityError, match=r"manifest\.json is damaged; remove"):
        store.find(Recipe("made", 1, {}, {}))


@pytest.mark.parametrize("target", ["/etc/hostname", "values"])
def test_links_are_no_part_of_an_artifact(tmp_path, target):
    artifact = made(ArtifactStore(tmp_path))
    (Path(artifact.locate()) / "inner/link").symlink_to(target)
    with pytest.raises(IntegrityError, match=r"inner/link \(a link\), which was not written"):
        artifact.verify()


def test_a_file_that_was_put_in_later_is_not_exported(tmp_path):
    artifact = made(ArtifactStore(tmp_path / "store"))
    (Path(artifact.locate()) / "inner/more").write_text("x")
    with pytest.raises(IntegrityError, match="inner/more"):
        export_files(tmp_path / "out", {}, [(artifact, "inner")])
    assert not (tmp_path / "out").exists()


def test_damage_is_not_exported(tmp_path):
    artifact = made(ArtifactStore(tmp_path / "store"))
    Path(artifact.locate("inner/values")).write_text("1 2 4")
    with pytest.raises(IntegrityError, match="values is damaged"):
        export_files(tmp_path / "out", {}, [(artifact, "inner")])
    assert not (tmp_path / "out").exists()


def test_a_model_on_a_server_with_odd_names(tmp_path, monkeypatch):
    """What a listing says cannot make files elsewhere."""

    class Server:
        def cat_file(self, _):
            return b"{}"

        def ls(self, root, detail):
            assert detail
            return [{"name": f"{root}/..", "type": "file", "size": 1}]

        def get_file(self, _, target):
            Path(target).write_text("mine")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("appa_core.io.places.file_system", lambda _: (Server(), "bucket/model"))
    with pytest.raises(IntegrityError, match="not below it"):
        folder_here("s3://bucket/model")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_sample_with_a_hostile_manifest(tiny_world, tmp_path):
    shutil.copytree(tiny_world.sample, tmp_path / "sample")
    path = tmp_path / "sample" / MANIFEST
    content = json.loads(path.read_text())
    content["files"]["../../secret"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="not below it"):
        verify_sample(tmp_path / "sample")


def test_weights_of_a_catalog_lie_beside_it(tmp_path):
    for folder in ("../elsewhere", "/etc"):
        text = f"small: {{folder: {folder}, description: x, licence: x}}"
        (tmp_path / "models.yaml").write_text(text)
        with pytest.raises(InputError, match="is not below the catalog"):
            read_weights(tmp_path / "models.yaml")


def test_pickles_are_no_weights(tiny_world, tmp_path):
    """Weights are safetensors: a file of another kind is refused before it is opened."""
    shutil.copytree(tiny_world.model, tmp_path / "model")
    (tmp_path / "model/denoiser.safetensors").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(IntegrityError, match=r"denoiser\.safetensors is damaged"):
        load_model(tmp_path / "model")


MINE = {"notes.txt": "mine"}


@pytest.mark.parametrize(
    "files", [MINE, {MANIFEST: "{}"}, {MANIFEST: "[1"}, {MANIFEST: '{"name": "a web page"}'}]
)
def test_folders_of_something_else_are_not_replaced(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="is not empty and holds no model"):
        write_model(tmp_path, tiny_preset(), lambda _: pytest.fail("it was begun"))
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files


@pytest.mark.parametrize("name", ["/", ".", "sub/.."])
def test_a_folder_by_another_name_is_not_replaced_either(tmp_path, monkeypatch, name):
    (tmp_path / "mine").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        require_replaceable(Path(name), "--register", "model", frozenset({"parts"}))
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_places_mean_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_place("store") == str(tmp_path / "store")
    assert absolute_place(tmp_path) == str(tmp_path)
    assert absolute_place("s3://bucket/store") == "s3://bucket/store"
    monkeypatch.setenv("APPA_STORE", "mine")
    assert store_default() == str(tmp_path / "mine")
    assert store_default("other") == str(tmp_path / "other")
    assert new_parser("x", "").parse_args(["--store", "s"]).store == str(tmp_path / "s")
