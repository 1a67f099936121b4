"""How every step runs: look, else build in a private place, then commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appa_core.io.events import BEGUN, COMMITTED, FAILED, FOUND, tell
from appa_core.io.store import Artifact, ArtifactStore, Recipe

#: Writes data into the folder that it is given and returns a summary for the manifest.
Builder = Callable[[Path], Mapping[str, Any]]


def run_step(
    store: ArtifactStore, recipe: Recipe, build: Builder, *, recompute: bool = False
) -> Artifact:
    """The artifact of a recipe: the committed one, or a new one.

    Args:
        store: Where artifacts live.
        recipe: What determines the artifact.
        build: Makes it; called only if it does not exist yet.
        recompute: Make it again even if it exists.

    Returns:
        The committed artifact. When `build` fails or the process dies, none is committed.
    """
    about = {"step": recipe.step, "key": recipe.key, "members": recipe.config.get("members")}
    if not recompute:
        found = store.find(recipe)
        if found is not None:
            tell(FOUND, **about)
            return found
    started = time.perf_counter()
    tell(BEGUN, **about)
    try:
        with store.stage() as folder:
            summary = build(folder)
            made = store.commit(recipe, folder, summary, time.perf_counter() - started)
    except Exception as error:
        tell(FAILED, **about, error=type(error).__name__)
        raise
    tell(COMMITTED, **about, seconds=round(time.perf_counter() - started, 3))
    return made
