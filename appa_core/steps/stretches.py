"""One stretch of some members as an artifact: what is kept when a long run is killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from appa_core.io.store import Artifact, ArtifactStore, Recipe
from appa_core.io.tensors import save_tensors
from appa_core.observations.table import ObservationTable
from appa_core.steps.drawing import Drawing, StretchTask, draw_stretch
from appa_core.steps.drawn import LATENTS, OF_LATENTS, OF_STATES
from appa_core.steps.observing import table_content
from appa_core.steps.step import run_step


@dataclass(frozen=True)
class StretchUnit:
    """A stretch to draw and keep.

    Args:
        drawing: How.
        times: Valid times of its states.
        rows: Observations that it hears; none draws the prior.
        members: Drawn together.
        given: Leading states that are given.
        kept: Which of its states are kept.
        stream: Stream of noise.
        doubt: Noise on given states, of which the denoiser is told.
        before: What given states come from.
        climatology: Draws of the prior, for methods that need them.
    """

    drawing: Drawing
    times: pd.DatetimeIndex
    rows: ObservationTable
    members: range
    given: int
    kept: range
    stream: int
    doubt: float = 0.0
    before: tuple[Artifact, ...] = ()
    climatology: tuple[Artifact, ...] = ()

    @property
    def recipe(self) -> Recipe:
        """Identity of what is drawn."""
        parents = {f"before{i}": a.key for i, a in enumerate(self.before)}
        parents |= {f"climatology{i}": a.key for i, a in enumerate(self.climatology)}
        return Recipe(
            "analysis-stretch",
            1,
            {
                "start": str(self.times[0]),
                "states": len(self.times),
                "given": self.given,
                "kept": [self.kept.start, self.kept.stop],
                "doubt": self.doubt,
                "members": [self.members.start, self.members.stop],
                "stream": self.stream,
                "rows": table_content(self.rows),
                **self.drawing.hashed(),
            },
            {"model": self.drawing.model_key, **parents},
            seed=self.drawing.seed,
        )


def keep_stretch(
    store: ArtifactStore,
    unit: StretchUnit,
    known: Callable[[], Tensor],
    *,
    recompute: bool = False,
) -> Artifact:
    """Draw a stretch, unless it is there.

    Args:
        store: Where artifacts live.
        unit: What to draw.
        known: Reads the given states, (members, given, ...); not called where none is given.
        recompute: Draw again what is there.
    """
    drawing = unit.drawing

    def build(folder: Path) -> Mapping[str, Any]:
        given = unit.given and not drawing.draws_states
        task = StretchTask(
            times=unit.times,
            table=unit.rows,
            members=unit.members,
            known=known() if given else None,
            doubt=unit.doubt,
            stream=unit.stream,
        )
        drawn, cost = draw_stretch(drawing, task, unit.climatology)
        name = OF_STATES if drawing.draws_states else OF_LATENTS
        save_tensors(folder / LATENTS, {name: drawn[:, unit.kept.start : unit.kept.stop]})
        return {"rows": len(unit.rows), **vars(cost)}

    return run_step(store, unit.recipe, build, recompute=recompute)
