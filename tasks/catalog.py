"""Finding data and models by name. The only module that uses intake."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import intake
import yaml

from appa_core.errors import InputError
from appa_core.io.hashing import content_key
from appa_core.io.store import MANIFEST
from appa_core.steps.forecast import StateSource
from appa_core.steps.sample import verify_sample
from appa_core.steps.simulate import STATES


def catalog_folder() -> Path:
    """The folder of the catalogs that come with the project."""
    return Path(str(files("catalogs")))


def state_source(name: str) -> StateSource:
    """A source of states, by its name in `catalogs/states.yaml` or as a packed sample's folder.

    Raises:
        InputError: No such entry; the message lists those that exist.
        IntegrityError: Packed data are damaged.
    """
    if (Path(name) / MANIFEST).is_file():
        digest = str(verify_sample(Path(name))["digest"])
        return StateSource(Path(name).name, str(Path(name).absolute() / STATES), digest)
    catalog = intake.open_catalog(str(catalog_folder() / "states.yaml"))
    if name not in list(catalog):
        raise InputError(
            f"unknown source {name!r}; catalogs/states.yaml has: {', '.join(catalog)}"
        )
    reader = catalog[name]
    url = str(reader.kwargs["args"][0].url).removeprefix("file://")
    if reader.metadata.get("packed"):
        fingerprint = str(verify_sample(Path(url).parent)["digest"])
    else:
        fingerprint = content_key({"url": url})
    return StateSource(name, url, fingerprint)


def model_folder(name: str) -> Path:
    """The folder of registered weights, by name in `catalogs/models.yaml` or as a folder itself.

    Raises:
        InputError: No such model; the message lists those that exist.
    """
    if (Path(name) / MANIFEST).is_file():
        return Path(name).absolute()
    path = catalog_folder() / "models.yaml"
    models: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    if name not in models:
        raise InputError(f"unknown model {name!r}; catalogs/models.yaml has: {', '.join(models)}")
    return path.parent / str(models[name]["folder"])
