"""Forecasts that start from what members made of observations, without any analysis given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import save_tensors
from appa_core.steps.drawing import Drawing
from appa_core.steps.drawn import DrawnMembers
from appa_core.steps.forecast import LATENTS
from appa_core.steps.step import run_step


def keep_start(
    store: ArtifactStore,
    drawing: Drawing,
    members: DrawnMembers,
    last: int,
    *,
    recompute: bool = False,
) -> Artifact:
    """The states of some members that their forecasts start from, latents (members, n, c, h, w).

    Args:
        store: Where artifacts live.
        drawing: How they were drawn.
        members: Trajectories.
        last: State that the forecasts start from; it and those before it are kept.
        recompute: Keep again what is kept.
    """
    known = drawing.preset.sampling.known_states
    states = range(last - known + 1, last + 1)
    pieces = [p for p in members.pieces if p.first <= last and p.first + p.count > states.start]
    recipe = Recipe(
        "start-from-observations",
        1,
        {"states": [states.start, states.stop], "pieces": [[p.first, p.skip] for p in pieces]},
        {f"piece{i}": p.artifact.key for i, p in enumerate(pieces)},
    )

    def build(folder: Path) -> Mapping[str, Any]:
        values = members.read(states)
        if drawing.draws_states:
            model = drawing.model
            values = torch.stack([model.encode(x.to(drawing.device)).cpu() for x in values])
        save_tensors(folder / LATENTS, {"latents": values})
        return {"members": len(members.members)}

    return run_step(store, recipe, build, recompute=recompute)
