"""A catalog is data: what could run code is refused before intake sees it."""

import copy

import pytest
import yaml

from appa_core.errors import InputError, IntegrityError
from tasks.catalog import catalog_folder, resolve_source
from tasks.catalog_format import read_catalog, read_weights
from tasks.listing import list_entries

STATES = yaml.safe_load((catalog_folder() / "states.yaml").read_text())


def edited(tmp_path, change):
    """A folder with the project's catalog of states, changed."""
    document = copy.deepcopy(STATES)
    change(document)
    (tmp_path / "states.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return tmp_path


def entry(document, name="sample"):
    return document["entries"][name]


def test_an_honest_change_passes(tmp_path):
    folder = edited(tmp_path, lambda d: entry(d)["metadata"].update(description="Other"))
    assert read_catalog(folder / "states.yaml").entries["sample"].metadata.description == "Other"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: entry(d).update(reader="os:system"), "'os:system' is not allowed; expected"),
        (
            lambda d: entry(d).update(reader="intake.readers.readers:YAMLCatalogReader"),
            "entries.sample.reader.*is not allowed",
        ),
        (lambda d: d["data"]["arco_store"].update(datatype="builtins:eval"), "builtins:eval"),
        (lambda d: entry(d).update(output_instance="os:system"), "gives 'os:system'"),
        (lambda d: entry(d).update(cls="os:system"), "entries.sample.cls: Extra inputs"),
        (lambda d: entry(d)["kwargs"].update(engine="x"), "engine: Extra inputs"),
        (
            lambda d: entry(d)["kwargs"].update(args=["{import(os:getcwd)}"]),
            "should match pattern",
        ),
        (lambda d: entry(d)["kwargs"].update(args=["{data(nowhere)}"]), "which is not there"),
        (
            lambda d: d["data"]["arco_store"]["kwargs"].update(url="gs://{env(HOME)}"),
            "templates are allowed in urls only|has '{'",
        ),
        (
            lambda d: d["data"]["arco_store"]["kwargs"].update(url="{secret}"),
            "url has {secret}, expected one of CATALOG_DIR",
        ),
        (
            lambda d: d["data"]["own_zarr"].update(
                user_parameters={"location": "func(os:getcwd)"}
            ),
            "'func",
        ),
        (
            lambda d: d["data"]["arco_store"]["kwargs"].update(storage_options={"fs": "x"}),
            "storage_options",
        ),
        (lambda d: d["user_parameters"].update(a="pickle64(gASVAA==)"), "user_parameters"),
        (lambda d: d["data"].update(sample=d["data"]["sample_store"]), "share the names sample"),
        (lambda d: d["aliases"].pop("sample"), "aliases must name each entry once; see sample"),
        (lambda d: d["metadata"]["on_demand"]["nature"].update(kind="shell"), "nature"),
        (lambda d: d.update(version=1), "version"),
    ],
)
def test_forbidden_catalogs_never_reach_intake(tmp_path, monkeypatch, change, message):
    folder = edited(tmp_path, change)
    for module in ("catalog", "listing"):
        monkeypatch.setattr(f"tasks.{module}.locate", None)
    for use in (
        lambda: resolve_source("sample", folder=folder),
        lambda: list_entries(folder),
        lambda: read_catalog(folder / "states.yaml"),
    ):
        with pytest.raises(InputError, match=message) as error:
            use()
        assert str(folder / "states.yaml") in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: !!python/object/apply:os.getcwd []", "is no valid YAML"),
        ("- a\n- list", "is not valid"),
        ("", "is not valid"),
    ],
)
def test_files_that_are_no_catalogs(tmp_path, text, message):
    (tmp_path / "states.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        resolve_source("sample", folder=tmp_path)
    with pytest.raises(InputError, match="no catalog to read at"):
        resolve_source("sample", folder=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="there is no catalog in"):
        list_entries(tmp_path / "empty")


@pytest.mark.parametrize("folder", ["/etc", "../secrets", "a/../../b"])
def test_weights_lie_below_their_catalog(tmp_path, folder):
    path = tmp_path / "models.yaml"
    path.write_text(yaml.safe_dump({"m": {"folder": folder, "description": "", "licence": ""}}))
    with pytest.raises(InputError, match="not below the catalog"):
        read_weights(path)


def test_packed_data_need_their_manifest(tmp_path):
    change = {"url": "{CATALOG_DIR}/states.zarr"}
    folder = edited(tmp_path, lambda d: d["data"]["sample_store"]["kwargs"].update(change))
    (folder / "states.zarr").mkdir()
    with pytest.raises(IntegrityError, match=r"no manifest\.json beside it"):
        resolve_source("sample", folder=folder)
    assert not list_entries(folder)[0].reachable
