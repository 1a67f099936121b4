"""Checks of each value by itself: can it be, is it usual, is it near the background?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from appa_core.errors import InputError
from appa_core.observations.control.check import (
    Evidence,
    Expectation,
    Knowledge,
    PlainCheck,
    RejectingCheck,
    departures,
)
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import QUANTITIES, quantity


@dataclass(frozen=True)
class PhysicalRange(PlainCheck):
    """Rejects values that cannot be.

    Args:
        limits: Lowest and highest values of a quantity in SI units, instead of those of
            `QUANTITIES`.
    """

    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.limits:
            quantity(name)

    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with impossible values rejected."""
        names = table.frame["quantity"]
        bounds = {n: self.limits.get(n, (q.low, q.high)) for n, q in QUANTITIES.items()}
        low, high = (
            names.map({n: b[i] for n, b in bounds.items()}).to_numpy(float) for i in (0, 1)
        )
        values = table.frame["value"].to_numpy()
        return table.reject((values < low) | (values > high), "physical range")


@dataclass(frozen=True)
class ClimatologicalRange(RejectingCheck):
    """Rejects values too far from what is usual at their place and season.

    Args:
        limit: In standard deviations.
    """

    limit: float = 6.0

    @property
    def needs(self) -> frozenset[Knowledge]:
        """The climatology."""
        return frozenset({"climatology"})

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:
        """The table with unusual values rejected; where nothing is known, none is."""
        usual = _known(evidence.climatology, table)
        is_far = np.abs(departures(table, usual.mean)) > self.limit * usual.std
        return table.reject(is_far, "climatological range")


@dataclass(frozen=True)
class BackgroundDeparture(RejectingCheck):
    """Rejects values whose departure from the background neither of their errors explains.

    |y - H x_b| > limit sqrt(spread^2 + error_std^2): the first-guess check of operational systems
    (Lorenc and Hammon 1988; Ingleby and Lorenc 1993).

    Args:
        limit: In standard deviations of the departure.
    """

    limit: float = 5.0

    @property
    def needs(self) -> frozenset[Knowledge]:
        """The background."""
        return frozenset({"background"})

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:
        """The table with such values rejected; where there is no background, none is.

        Raises:
            InputError: A row that is used has no error.
        """
        background = _known(evidence.background, table)
        error = table.frame["error_std"].to_numpy()
        lacking = np.isnan(error) & table.is_used & np.isfinite(background.mean)
        if lacking.any():
            raise InputError(
                f"{int(lacking.sum())} observations have no error_std, which their departure from "
                "the background is measured by; assign errors before control"
            )
        expected = np.sqrt(background.std**2 + error**2)
        is_far = np.abs(departures(table, background.mean)) > self.limit * expected
        return table.reject(is_far, "background departure")


def _known(expected: Expectation | None, table: ObservationTable) -> Expectation:
    """What is known, of as many rows as the table has."""
    if expected is None or len(expected.mean) != len(table):
        count = "none" if expected is None else len(expected.mean)
        raise InputError(
            f"expected what is known of {len(table)} rows, got it of {count}; compute it from the "
            "very table that is controlled"
        )
    return expected
