"""Configuration files that make no sense, for commands that read them."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.fuzz_jobs import ROOT, World, base

_TOKEN = "@here@"
#: Scalars as they stand in YAML.
_RAW = (
    "", "~", "x", "0", "-1", "1.5", ".nan", ".inf", "-.inf", "1e400", "true", "no", "[]", "{}",
    "[[]]",
    "2012-02-30", "2012-02-10", "0000-00-00", "2012-02-10T99:99:99Z", "0x", "1:60", "'500'",
    "!!float x", "!!int ''", "!!binary x", "!!timestamp x", "!!set {a}",
    "!!python/name:os.system",
    "!!python/object/apply:os.system [exit]", "*nothing", "&a [*a]", "&a {b: *a}", "{? [] : 1}",
    "{[1]: 2}", "'" + "é" * 40 + "'", "9" * 40, "9" * 5000, "[" * 400 + "]" * 400, "|", "@",
    "%", "\t",
    "../../x", "/", "{CATALOG_DIR}", "'{env(HOME)}'", "'{data(x)}'", "memory://x", "\"\\0\"",
    "\"\\ud800\"",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        read: Text of one that is right.
        place: Puts a text where the command looks, and returns the command line.
    """

    read: Callable[[World], str]
    place: Callable[[World, Path, bytes], list[str]]
    is_json: bool = False


def _shipped(folder: str, name: str) -> Callable[[World], str]:
    return lambda _: (files("appa_core.config") / folder / name).read_text("utf-8")


def _option(command: str, option: str, ending: str = "yaml") -> Callable[..., list[str]]:
    def place(world: World, folder: Path, text: bytes) -> list[str]:
        (folder / f"it.{ending}").write_bytes(text)
        return [command, *base(command, world), f"{option}={folder / f'it.{ending}'}"]

    return place


def _errors(world: World, folder: Path, text: bytes) -> list[str]:
    (folder / "it.yaml").write_bytes(text)
    spec = f"simulated:stations=0.05,errors={folder / 'it.yaml'}"
    return ["reanalysis", *base("reanalysis", world), "--observations", spec]


def _black_list(ending: str) -> Callable[..., list[str]]:
    def place(world: World, folder: Path, text: bytes) -> list[str]:
        (folder / f"list.{ending}").write_bytes(text)
        check = {"kind": "black-list", "file": str(folder / f"list.{ending}")}
        (folder / "it.yaml").write_text(yaml.safe_dump({"checks": [check]}), "utf-8")
        return ["observations", *base("observations", world), f"--control={folder / 'it.yaml'}"]

    return place


def _catalog(name: str) -> Callable[..., list[str]]:
    def place(_: World, folder: Path, text: bytes) -> list[str]:
        for path in (ROOT / "catalogs").glob("*.yaml"):
            shutil.copy(path, folder)
        (folder / f"{name}.yaml").write_bytes(text)
        return ["catalog", "--no-check", "--catalogs", str(folder)]

    return place


def _beside(option: str, name: str) -> Callable[..., list[str]]:
    """A file of a model's or a sample's folder, all else in which is whole."""

    def place(world: World, folder: Path, text: bytes) -> list[str]:
        target = folder / "it"
        shutil.copytree(getattr(world, option), target, copy_function=_link)
        (target / name).unlink()
        (target / name).write_bytes(text)
        argument = {"model": "--model", "sample": "--source"}[option]
        return ["forecast", *base("forecast", world), f"{argument}={target}"]

    return place


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _of(option: str, name: str) -> Callable[[World], str]:
    return lambda world: (getattr(world, option) / name).read_text("utf-8")


def _catalog_text(name: str) -> Callable[[World], str]:
    return lambda _: (ROOT / "catalogs" / f"{name}.yaml").read_text("utf-8")


def _infra(name: str) -> Callable[[World], str]:
    return lambda _: (ROOT / "infra" / name).read_text("utf-8")


def _reports(world: World, folder: Path, text: bytes) -> list[str]:
    (folder / "it.csv").write_bytes(text)
    return ["observations", str(folder / "it.csv"), *base("observations", world)[1:]]


_TABLE = "station_id,platform\nA,station\n"
_LISTINGS = "- {station_id: 'A*', why: x}\n- {platform: station, quantity: '2m_*'}\n"
KINDS = {
    "preset": Kind(lambda world: world.preset.read_text("utf-8"), _option("size", "--preset")),
    "preset of states": Kind(
        lambda world: world.preset.read_text("utf-8"), _option("ingest", "--preset")
    ),
    "preset of statistics": Kind(
        lambda world: world.preset.read_text("utf-8"), _option("normalize", "--preset")
    ),
    "method": Kind(_shipped("methods", "mmps.yaml"), _option("reanalysis", "--method")),
    "smoother": Kind(_shipped("methods", "es-mda.yaml"), _option("reanalysis", "--method")),
    "control": Kind(_shipped("controls", "thinned.yaml"), _option("observations", "--control")),
    "errors": Kind(_shipped("error_tables", "standard.yaml"), _errors),
    "black list": Kind(lambda _: _LISTINGS, _black_list("yaml")),
    "black list as a table": Kind(
        lambda _: "station_id,platform\nA,station\n", _black_list("csv")
    ),
    "states": Kind(_catalog_text("states"), _catalog("states")),
    "observations": Kind(_catalog_text("observations"), _catalog("observations")),
    "models": Kind(_catalog_text("models"), _catalog("models")),
    "manifest of a model": Kind(
        _of("model", "manifest.json"), _beside("model", "manifest.json"), is_json=True
    ),
    "preset of a model": Kind(_of("model", "preset.yaml"), _beside("model", "preset.yaml")),
    "manifest of a sample": Kind(
        _of("sample", "manifest.json"), _beside("sample", "manifest.json"), is_json=True
    ),
    "deployments": Kind(_infra("prefect.yaml"), _option("deploy", "--file")),
    "pool": Kind(_infra("pools/docker.yaml"), _option("deploy", "--pool")),
    "reports": Kind(
        lambda world: world.reports.read_text("utf-8"),
        _reports,
    ),
}


@st.composite
def broken(draw: Any, kind: Kind, world: World) -> bytes:
    """The content of a file with something wrong in it."""
    text = kind.read(world)
    how = draw(st.sampled_from(["tree"] * 6 + ["cut", "bytes", "line", "whole"]))
    if how == "tree":
        return _changed(draw, text, is_json=kind.is_json).encode("utf-8", "surrogatepass")
    content = bytearray(text.encode())
    if how == "cut":
        return bytes(content[: draw(st.integers(0, len(content) - 1))])
    if how == "bytes":
        for _ in range(draw(st.integers(1, 3))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        return bytes(content)
    if how == "line":
        lines = text.splitlines()
        at = draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = draw(st.sampled_from([[], [lines[at]] * 2, ["\t" + lines[at]]]))
        return "\n".join(lines).encode()
    return draw(st.sampled_from(_RAW)).encode()


def _changed(draw: Any, text: str, *, is_json: bool) -> str:
    tree = copy.deepcopy(json.loads(text) if is_json else yaml.safe_load(text))
    if not isinstance(tree, dict | list):
        return draw(st.sampled_from(_RAW))
    spots = list(_spots(tree))
    raw = []
    for _ in range(draw(st.integers(1, 2))):
        holder, key = draw(st.sampled_from(spots))
        how = draw(st.sampled_from(["replace", "replace", "drop", "add"]))
        if how == "replace" and _has(holder, key):
            holder[key] = _TOKEN
            raw.append(draw(st.sampled_from(_RAW)))
        elif how == "drop" and _has(holder, key):
            del holder[key]
        elif isinstance(holder, dict):
            holder["unknown"] = 1
    dumped = json.dumps(tree) if is_json else yaml.safe_dump(tree, sort_keys=False)
    for value in raw:
        dumped = dumped.replace(f'"{_TOKEN}"' if is_json else f"'{_TOKEN}'", value, 1)
    return dumped


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _spots(tree: Any) -> Any:
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _spots(tree[key])


@st.composite
def command_files(draw: Any, name: str, world: World, folder: Path) -> list[str]:
    """A command line that names a broken file of a kind, which is put into a folder."""
    content = draw(broken(KINDS[name], world))
    folder.mkdir(parents=True)
    return KINDS[name].place(world, folder, content)
