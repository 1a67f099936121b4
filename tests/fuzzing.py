"""Commands with arguments that make no sense: how they are made up, run here, and judged."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from hypothesis import strategies as st

from appa_core.errors import ResourceError, StoppedError
from appa_core.io.store import ArtifactStore
from flows.cli import run_command
from tests.fuzz_jobs import World, actions_of, base
from tests.fuzz_words import NEVER_LARGE, NUMBERS, ODD, OPTIONAL, SPECS, TIMES, URLS
from tests.synthetic import tiny_preset

_SECONDS = 60
#: What commands may end with: done, alerts, an error of use, stopped.
STATUSES = frozenset({0, 1, 2, 143})

_NOT_WANTED = frozenset({"--traceback", "--help", "-h"})


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    argv: list[str]
    status: int
    out: str
    err: str
    trace: str = ""
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.argv}\nstatus {self.status}\n{self.err[-2000:]}\n{self.trace[-4000:]}"


def values_of(action: argparse.Action, world: World) -> st.SearchStrategy[str]:
    """What may be given to an option: sense now and then, nonsense mostly."""
    names = set(action.option_strings)
    for known in (NEVER_LARGE, OPTIONAL):
        for name in names & known.keys():
            pool = st.sampled_from(known[name])
            return pool if known is NEVER_LARGE else pool | st.sampled_from(ODD)
    if action.choices:
        return st.sampled_from([*map(str, action.choices), "x", ""])
    if action.type in {int, float}:
        return st.sampled_from((*NUMBERS, "9" * 40, "x", ""))
    pools = [ODD, URLS, world.places]
    if names & {"--start", "--end"}:
        pools = [TIMES, TIMES, NUMBERS, ODD]
    if "--observations" in names:
        pools = [SPECS, SPECS, URLS, ODD, world.places]
    return st.one_of([st.sampled_from(pool) for pool in pools]) | st.text(max_size=8)


@st.composite
def command_lines(draw: Any, name: str, world: World) -> list[str]:
    """A command line that makes sense, of which some words are replaced, dropped or added."""
    words = base(name, world)
    actions = [a for a in actions_of(name, words) if not set(a.option_strings) & _NOT_WANTED]
    for _ in range(draw(st.integers(0, 3))):
        action = draw(st.sampled_from(actions))
        option = action.option_strings[:1]
        given = [] if action.nargs == 0 else [draw(values_of(action, world))]
        if option and option[0] in words and action.nargs != 0:
            at = words.index(option[0])
            how = draw(st.sampled_from(["replace", "replace", "drop"]))
            words[at : at + 2] = [f"{option[0]}={given[0]}"] if how == "replace" else []
        elif not option and words and not words[0].startswith("--"):
            words[0] = given[0]
        elif option and given:
            words.append(f"{option[0]}={given[0]}")
        else:
            words += [*option, *given]
    return words


def make_world(tiny_world: Any, folder: Path) -> World:
    """Copies of the tiny world's parts, and odd things beside them."""
    shutil.copytree(tiny_world.store.url, folder / "store")
    content = tiny_preset().model_dump(mode="json")
    for network in ("autoencoder", "denoiser"):
        content[network]["training"]["iterations"] = 1
    (folder / "preset.yaml").write_text(yaml.safe_dump(content), "utf-8")
    odd = folder / "odd"
    (odd / "empty").mkdir(parents=True)
    (odd / "file.txt").write_text("not what you look for\n", "utf-8")
    for name in ("zarr", "nc", "grib", "parquet", "yaml"):
        (odd / f"binary.{name}").write_bytes(bytes(range(256)))
    (odd / "loop").symlink_to(odd / "loop")
    (odd / "bad.csv").write_text("valid_time,latitude\n2012-02-05,95\nx,y,z,z\n", "utf-8")
    reports = folder / "reports.csv"
    reports.write_text(
        "valid_time,latitude,longitude,level,quantity,value,error_std,platform,station_id\n"
        "2012-02-05T01:00,10,20,,2m_temperature,287,0.3,station,A\n"
        "2012-02-05T05:00,-10,120,,2m_temperature,285,0.3,station,B\n",
        "utf-8",
    )
    return World(
        tiny_world.model,
        tiny_world.sample,
        folder / "store",
        folder / "preset.yaml",
        reports,
        odd,
        folder / "result",
    )


@pytest.fixture(scope="session")
def fuzz_world(tiny_world: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("fuzz")
    world = make_world(tiny_world, folder)
    argv = [*base("forecast", world), "--output", str(world.result)]
    with _cheap_flows():
        done = run("forecast", argv, folder / "here")
    assert done.status == 0, str(done)
    return world


@pytest.fixture(scope="module")
def cheaply() -> Iterator[None]:
    """Flows and tasks are plain functions, trainings and simulations stop at their start."""
    with _cheap_flows():
        yield


@contextlib.contextmanager
def _cheap_flows() -> Iterator[None]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def stop(*_: Any, **__: Any) -> None:
        raise StoppedError("a training would begin here")

    def refuse(*_: Any, **__: Any) -> None:
        raise ResourceError("nothing is simulated here, and no server is asked")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefect.Flow, "__call__", call)
        patch.setattr(prefect.Task, "__call__", call)
        patch.setattr("tasks.learning.launch", stop)
        patch.setattr("appa_core.steps.simulate._Simulation.at", refuse)
        patch.setattr("flows.deploy.get_client", refuse)
        patch.setattr("flows.pipeline.start_server", lambda: 0.0)
        # outside of a run, it would start a server
        patch.setattr("tasks.figures.create_markdown_artifact", lambda *_, **__: None)
        patch.setattr("tasks.cluster._CONNECT_SECONDS", 0.3)
        patch.setenv("XDG_CACHE_HOME", "cache")
        yield


def run(name: str, argv: list[str], folder: Path) -> Outcome:
    """Run a command in this process, in a folder of its own."""
    module = importlib.import_module(f"flows.{name}")
    out, err, status, trace = io.StringIO(), io.StringIO(), 0, ""
    folder.mkdir(parents=True, exist_ok=True)
    with _there(folder), _not_longer(), _unlocked_imports():
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                run_command(module._main, module._parse(argv))
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
            except BaseException:  # noqa: BLE001
                trace = traceback.format_exc()
        return Outcome([name, *argv], status, out.getvalue(), err.getvalue(), trace)


def half_written(folder: Path) -> list[str]:
    """What is not whole below a folder: artifacts, staging folders, results."""
    wrong = [str(p) for p in folder.rglob(".staging/*")]
    wrong += [str(p) for p in folder.rglob("*.partial")]
    wrong += [str(p.parent) for p in folder.rglob("data") if not _is_whole(p)]
    wrong += [str(p) for p in folder.rglob("forecast.zarr") if not _is_published(p)]
    return wrong


def _is_whole(data: Path) -> bool:
    return not data.is_dir() or (data.parent / "manifest.json").is_file()


def _is_published(zarr: Path) -> bool:
    return "data" in zarr.parts or (zarr.parent / "manifest.json").is_file()


def kept(store: Path) -> set[str]:
    """What a store has, whole."""
    artifacts = ArtifactStore(store)
    steps = [p.name for p in store.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return {a.url for step in steps for a in artifacts.artifacts(step, lenient=True)}


@contextlib.contextmanager
def _there(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _not_longer() -> Iterator[None]:
    def end(*_: Any) -> None:
        raise TimeoutError(f"it took more than {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _unlocked_imports() -> Iterator[None]:
    """Undo what `--operator` adds to the path of modules."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before
