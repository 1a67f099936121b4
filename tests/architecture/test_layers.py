"""Rules that import-linter cannot see; the layers themselves are in pyproject.toml."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("appa_core", "tasks", "flows", "catalogs", "infra", "benchmarks")
CODE = ("appa_core", "tasks", "flows")
# of appa_core, only these join the numerics to files and settings
AT_THE_EDGE = {"config", "io", "steps"}
MAX_LINES = 350

GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.set_default_dtype",
    "torch.set_default_device",
    "numpy.random.seed",
    "random.seed",
}
CLOCK = {
    "time.time",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "pandas.Timestamp.now",
    "pandas.Timestamp.today",
    "pandas.Timestamp.utcnow",
}
ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv"}
DRAWS = {"torch.rand", "torch.randn", "torch.randint", "torch.randperm", "torch.normal"}
DRAWS_WITHOUT_GENERATOR = {"torch.rand_like", "torch.randn_like", "torch.randint_like"}

MACHINE_PATH = re.compile(r"(?<![\w.:/$}~-])/(?:root|home|Users|work|mnt|scratch)/\w")


def python_files(packages: tuple[str, ...]) -> list[Path]:
    return sorted(path for name in packages for path in (ROOT / name).rglob("*.py"))


def numerics() -> list[Path]:
    return [
        path
        for path in python_files(("appa_core",))
        if path.relative_to(ROOT / "appa_core").parts[0] not in AT_THE_EDGE
    ]


def imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, such as `np` for `numpy`."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Full name of `node`, such as `torch.randn`; empty if it is no name of an import."""
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def uses(source: str, forbidden: set[str]) -> Iterator[str]:
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and dotted(node, names) in forbidden:
            yield f"line {node.lineno}: {dotted(node, names)}"


def unseeded_draws(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        passed = {keyword.arg for keyword in node.keywords}
        if name in DRAWS_WITHOUT_GENERATOR or (name in DRAWS and "generator" not in passed):
            yield f"line {node.lineno}: {name} without a generator"


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\ntorch.manual_seed(0)", True),
        ("import torch as t\nt.manual_seed(0)", True),
        ("from torch import manual_seed as fix\nfix(0)", True),
        ("from os import environ\nx = environ['HOME']", True),
        ("from datetime import datetime\ndatetime.now()", True),
        ("import torch\ntorch.Generator().manual_seed(0)", False),
        ("manual_seed = 1\nprint(manual_seed)", False),
    ],
)
def test_the_search_sees_through_aliases(source, found):
    assert any(uses(source, GLOBAL_SEEDS | CLOCK | ENVIRONMENT)) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch\ntorch.randn(3)", True),
        ("import torch\ntorch.randn_like(x)", True),
        ("import torch\ntorch.randn(3, generator=g)", False),
        ("import torch\ntorch.zeros(3)", False),
    ],
)
def test_the_search_sees_draws_without_a_generator(source, found):
    assert any(unseeded_draws(source)) == found


@pytest.mark.parametrize("path", numerics(), ids=shown)
def test_numerics_have_no_environment_no_clock(path):
    assert not list(uses(path.read_text("utf-8"), ENVIRONMENT | CLOCK))


@pytest.mark.parametrize("path", python_files(CODE), ids=shown)
def test_nothing_touches_global_random_state(path):
    source = path.read_text("utf-8")
    assert not [*uses(source, GLOBAL_SEEDS), *unseeded_draws(source)]


def test_files_stay_short():
    paths = [*python_files((*PACKAGES, "tests")), *(ROOT / "appa_core").rglob("*.js")]
    lines = {shown(path): len(path.read_text("utf-8").splitlines()) for path in paths}
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}


def test_every_package_says_what_it_is():
    folders = {path.parent for path in python_files(PACKAGES)}
    missing = []
    for folder in sorted(folders):
        opening = folder / "__init__.py"
        if not (opening.is_file() and ast.get_docstring(ast.parse(opening.read_text("utf-8")))):
            missing.append(shown(folder))
    assert not missing


def versioned_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout: which files are the project's is not known")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_file_holds_a_path_of_some_machine():
    found = []
    for path in versioned_files():
        if not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{shown(path)}:{number}")
    assert not found


def commands() -> list[str]:
    paths = sorted((ROOT / "flows").glob("*.py"))
    return [path.stem for path in paths if "__main__" in path.read_text("utf-8")]


@pytest.mark.parametrize("name", commands())
def test_help_is_answered_without_slow_imports(name):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"flows.{name}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m flows.{name}")
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in lines}
    assert "argparse" in imported
    assert not imported & {"torch", "prefect", "dask", "distributed", "xarray", "zarr", "pandas"}
