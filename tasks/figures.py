"""Prefect artifacts of results: the figures of their pages, and where their files are."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import httpx
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException

from appa_core.io.store import Artifact
from appa_core.steps.publish import FIGURES

_log = logging.getLogger(__name__)


def show_figures(page: Artifact, name: str) -> None:
    """Show maps, plume and scores of a result in Prefect; a server that fails is no failure.

    Args:
        page: What a step that writes pages made.
        name: Of the result; artifacts of one name are versions of each other.
    """
    with page.local() as folder:
        text = (folder / FIGURES).read_text("utf-8")
    publish_page(text, name, f"Figures of {name}")


@task(cache_policy=NO_CACHE)
def show_files(folder: str, kind: str) -> None:
    """Show where the files of an exported result are.

    Args:
        folder: The export, on the machine where this runs.
        kind: Of the result, such as `forecast`.
    """
    files = sorted(path.absolute() for path in Path(folder).iterdir())
    lines = "\n".join(f"- `{path}`" for path in files)
    publish_page(f"# {kind.capitalize()}\n\n{lines}", f"files of {kind}", f"Files of a {kind}")


def publish_page(page: str, name: str, description: str) -> None:
    """Publish Markdown; one of the same name supersedes it. A server that fails is no failure.

    Args:
        page: The text.
        name: Of which letters and digits make the key.
        description: What it is.
    """
    key = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    try:
        create_markdown_artifact(page, key=key, description=description)
    except (OSError, httpx.HTTPError, PrefectException) as error:
        _log.warning("%s is not shown in Prefect: %s", description, error)
