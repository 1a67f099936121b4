"""Prefect artifacts of results: the figures of their pages, as Markdown with images in it."""

from __future__ import annotations

import logging
import re

import httpx
from prefect.artifacts import create_markdown_artifact
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
    key = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    try:
        create_markdown_artifact(text, key=key, description=f"Figures of {name}")
    except (OSError, httpx.HTTPError, PrefectException) as error:
        _log.warning("figures of %s are not shown in Prefect: %s", name, error)
