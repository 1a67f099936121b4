"""Scores of registered weights, kept beside them and shown in the list of models.

They are no part of a model's key, and carry the key of the weights that they are of: scores of
other weights in the same folder are not shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appa_core.errors import IntegrityError
from appa_core.io.store import MANIFEST, write_atomically
from appa_core.steps.models import model_key

SCORES = "scores.json"


@dataclass(frozen=True)
class FieldScore:
    """Scores of a field at a lead.

    Args:
        field: Short name, such as `Z500`.
        lead_hours: Time since the start.
        rmse: Of the ensemble mean, SI units.
        rmse_persistence: Of the last known state.
        rmse_climatology: Of the climatology of the training years.
        crps: Continuous ranked probability score, SI units.
        ssr: Spread over skill; 1 for a reliable ensemble.
    """

    field: str
    lead_hours: int
    rmse: float
    rmse_persistence: float
    rmse_climatology: float
    crps: float
    ssr: float


@dataclass(frozen=True)
class ModelScores:
    """What was measured, on what.

    Args:
        model: Key of the weights.
        data: Source of the start dates and its fingerprint.
        starts: First and last start date, ISO 8601, and how many there are.
        members: Size of the ensembles.
        seed: Seed of the noise.
        fields: The scores.
    """

    model: str
    data: str
    starts: tuple[str, str, int]
    members: int
    seed: int
    fields: Sequence[FieldScore]

    @property
    def summary(self) -> str:
        """Error at one day, relative to persistence, of every field."""
        day = [f for f in self.fields if f.lead_hours == 24]
        ratios = ", ".join(f"{f.field} {f.rmse / f.rmse_persistence:.2f}" for f in day)
        first, last, count = self.starts
        return (
            f"24 h RMSE / persistence: {ratios} ({count} starts, {first} to {last}, {self.data})"
        )

    def write(self, folder: Path) -> None:
        """Write them beside the weights."""
        write_atomically(folder / SCORES, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> ModelScores | None:
        """Scores of the weights in a folder; None if there are none of these weights.

        Raises:
            IntegrityError: The file is not what `write` writes.
        """
        path = folder / SCORES
        if not path.is_file():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_text("utf-8"))
            fields = [FieldScore(**row) for row in content.pop("fields")]
            first, last, count = content.pop("starts")
            scores = cls(fields=fields, starts=(first, last, count), **content)
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"{path} holds no scores: {error}; write them again with "
                "python -m benchmarks.skill --write-scores"
            ) from error
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return scores if scores.model == model_key(manifest) else None
