"""Configurations that are one YAML file each: by the name of one that ships, or by path."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from appa_core.errors import InputError

_T = TypeVar("_T")


def shipped_names(folder: str) -> list[str]:
    """Names of the files in a folder of this package."""
    entries = (files("appa_core.config") / folder).iterdir()
    return sorted(Path(p.name).stem for p in entries if p.name.endswith(".yaml"))


def load_named(what: str, name_or_path: str, adapter: TypeAdapter[_T]) -> _T:
    """A configuration by its name, or from a YAML file.

    Args:
        what: `preset` or `method`; those that ship lie in the folder of its plural.
        name_or_path: One of `shipped_names`, or a path that ends in .yaml or .yml.
        adapter: What it must be.

    Raises:
        InputError: No such configuration, or one that does not validate; the message says why.
    """
    path, folder = Path(name_or_path), f"{what}s"
    if name_or_path in shipped_names(folder):
        text = (files("appa_core.config") / folder / f"{name_or_path}.yaml").read_text("utf-8")
    elif path.suffix in {".yaml", ".yml"} and path.is_file():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {what} {path}: {error}") from error
    else:
        raise InputError(
            f"unknown {what} {name_or_path!r}; {folder} are: {', '.join(shipped_names(folder))}, "
            "or give the path of a YAML file"
        )
    return parse_named(what, text, adapter, source=name_or_path)


def parse_named(what: str, text: str, adapter: TypeAdapter[_T], *, source: str) -> _T:
    """A configuration from YAML text.

    Raises:
        InputError: The text is no YAML or does not validate.
    """
    content = parse_yaml(text, f"{what} {source}")
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors()
        )
        raise InputError(f"{what} {source} is not valid: {problems}") from error


def parse_yaml(text: str | bytes, source: str) -> Any:
    """Plain values from YAML text.

    Raises:
        InputError: The text is no YAML of plain values.
    """
    try:
        return yaml.safe_load(text)
    except Exception as error:  # 2012-02-30 is a ValueError, deep nesting a RecursionError
        problem = str(error) or type(error).__name__
        raise InputError(f"{source} is no valid YAML: {problem}") from error
