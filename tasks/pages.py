"""Pages in the Prefect UI."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE)
def publish_page(page: str, key: str, description: str) -> None:
    """Publish Markdown as an artifact; one of the same key supersedes it."""
    create_markdown_artifact(page, key=key, description=description)
