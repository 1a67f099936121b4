"""Passwords and signatures are neither shown nor kept."""

import json

import pytest

from appa_core.errors import InputError
from appa_core.io.filesystems import file_system, store_file_system
from appa_core.io.lock import StoreLock
from appa_core.io.secrets import redacted, resolved, without_secrets
from appa_core.io.store import ArtifactStore, Recipe
from appa_core.steps.ingest import states_spec
from appa_core.steps.step import run_step
from flows.cli import run_command
from tasks.catalog import resolve_source
from tests.synthetic import tiny_preset

SIGNED = (
    "https://b.s3.amazonaws.com/x.zarr?X-Amz-Credential=AKIAX&X-Amz-Signature=hush",
    "https://a.blob.core.windows.net/c/x.nc?sv=2022&se=2026-01-01&sig=hush%3D",
    "https://host/x.grib?token=hush",
    "https://host/x.grib?AWSAccessKeyId=hush&Expires=1",
    "http://me:hush@host/x.nc",
    "ftp://me:hush@host:21/x.nc",
)


@pytest.mark.parametrize("url", SIGNED)
def test_urls_lose_what_is_secret_and_nothing_else(url):
    shown = redacted(f"cannot read {url}, try again")
    assert "hush" not in shown
    assert "AKIAX" not in shown
    assert shown.startswith(f"cannot read {url.partition('://')[0]}://")
    assert shown.endswith(", try again")
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host/gp.php?GROUP=weather&FORMAT=tle",
        "abfs://container@account.dfs.core.windows.net/x.zarr",
        "gs://bucket/x.zarr",
        "simulated:stations=0.01,sigma_min=1e-3,monkey=2",
        "storage.token=anon",
        "storage.key=env:AWS_KEY",
        "key 0a1b2c of step forecast",
        "a@b.c wrote this",
    ],
)
def test_what_is_not_secret_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text", ["storage.secret=hush", "--set storage.key=hush", "password=hush,b=1", "api_key=hush"]
)
def test_options_lose_their_values(text):
    assert "hush" not in redacted(text)


def test_options_come_from_the_environment_when_they_are_used(monkeypatch):
    monkeypatch.setenv("MY_KEY", "hush")
    given = {"key": "env:MY_KEY", "client_kwargs": {"endpoint_url": "http://x"}, "anon": False}
    assert resolved(given) == given | {"key": "hush"}
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(InputError, match="environment variable MY_KEY, which is not set"):
        resolved(given)


def test_manifests_have_none(tmp_path):
    recipe = Recipe("made", 1, {"of": SIGNED[0], "also": [SIGNED[4], 3]}, {})
    made = run_step(ArtifactStore(tmp_path), recipe, lambda _: {"from": SIGNED[2], "count": 2})
    texts = [p.read_text("utf-8") for p in tmp_path.rglob("manifest.json")]
    assert len(texts) == 1
    assert "hush" not in texts[0]
    assert made.key == recipe.key
    assert json.loads(texts[0])["summary"]["count"] == 2


def test_a_new_signature_is_the_same_source():
    """Cubes are known by their source: a URL that is signed anew must not begin another."""
    schema = tiny_preset().state.build()
    first, second = (states_spec(url, schema, 8) for url in (SIGNED[0], f"{SIGNED[0]}again"))
    assert first.key == second.key
    assert "hush" not in json.dumps(first.manifest)


def test_sources_are_named_without_it():
    spec = resolve_source(SIGNED[4], {"storage.username": "env:NAME"})
    assert spec.urls == (SIGNED[4],)
    assert "hush" not in spec.name


def test_locks_show_command_lines_without_it(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["ingest.py", "--source", SIGNED[0], "--set", "storage.a=hush"]
    )
    with StoreLock(tmp_path):
        text = (tmp_path / "lock.json").read_text("utf-8")
    assert "ingest.py --source https://b.s3.amazonaws.com/x.zarr" in text
    assert "hush" not in text


def test_commands_do_not_print_it(capsys):
    def command(_arguments):
        raise InputError(f"cannot read {SIGNED[1]}")

    with pytest.raises(SystemExit):
        run_command(command, type("Arguments", (), {"traceback": False})())
    assert "hush" not in capsys.readouterr().err


def test_errors_of_file_systems_have_none():
    for url in ("nonesuch://me:hush@host/x", "generic://me:hush@host/x"):
        with pytest.raises(InputError) as raised:
            file_system(url)
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://host/store", "github://a:b@c/x", "zip://a::s3://b/c"])
def test_stores_live_where_things_can_be_kept(url):
    with pytest.raises(InputError, match="as a store: expected a folder, or a URL of"):
        store_file_system(url)


def test_values_of_any_depth():
    nested = {"a": [{"b": SIGNED[4]}], "c": (SIGNED[0], 1.5), "d": None}
    assert "hush" not in json.dumps(without_secrets(nested))
    assert without_secrets(nested)["d"] is None
