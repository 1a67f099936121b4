"""What a check is, what it may know besides the table, and a series of checks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from appa_core.errors import InputError
from appa_core.observations.table import ObservationTable
from appa_core.observe.quantities import QUANTITIES

#: What a check may need to know of every row besides the row itself.
Knowledge = Literal["climatology", "background"]


@dataclass(frozen=True)
class Expectation:
    """What is to be expected of N rows, in the units of their values.

    Args:
        mean: (N,), NaN where nothing is known.
        std: Standard deviation of the truth around it, (N,).
    """

    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What is known of the rows of a table besides themselves.

    Args:
        climatology: Of the place and season of each.
        background: Of an estimate before the observations.
    """

    climatology: Expectation | None = None
    background: Expectation | None = None

    @property
    def known(self) -> frozenset[Knowledge]:
        """Which of the two there is."""
        found: set[Knowledge] = set()
        if self.climatology is not None:
            found.add("climatology")
        if self.background is not None:
            found.add("background")
        return frozenset(found)


class Check(Protocol):
    """Rejects rows of a table; those that already are keep their reason."""

    @property
    def needs(self) -> frozenset[Knowledge]:
        """Without which it cannot be made."""

    @property
    def makes_rows(self) -> bool:
        """Whether it adds rows, of which nothing is known besides themselves."""

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:
        """The table with more rows rejected."""


@dataclass(frozen=True)
class RejectingCheck:
    """Base of checks that add no rows, and need nothing unless they say so."""

    @property
    def needs(self) -> frozenset[Knowledge]:
        """Nothing."""
        return frozenset()

    @property
    def makes_rows(self) -> bool:
        """No."""
        return False


@dataclass(frozen=True)
class PlainCheck(RejectingCheck, ABC):
    """Base of checks that look at the table alone."""

    def __call__(self, table: ObservationTable, evidence: Evidence) -> ObservationTable:  # noqa: ARG002
        """The table with more rows rejected, whatever else is known."""
        return self.checked(table)

    @abstractmethod
    def checked(self, table: ObservationTable) -> ObservationTable:
        """The table with more rows rejected."""


@dataclass(frozen=True)
class Control:
    """Checks in the order that they are made.

    Args:
        checks: Each sees what the ones before it left.

    Raises:
        InputError: One that needs to know more than the table comes after one that adds rows.
    """

    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        added = False
        for check in self.checks:
            if added and check.needs:
                raise InputError(
                    f"the check {type(check).__name__} needs the {' and '.join(check.needs)} of "
                    "every row, but one before it adds rows of which nothing is known; put "
                    "superobbing after it"
                )
            added |= check.makes_rows

    def __call__(
        self, table: ObservationTable, evidence: Evidence | None = None
    ) -> ObservationTable:
        """The table after all checks.

        Raises:
            InputError: A check needs what is not known.
        """
        evidence = evidence or Evidence()
        for check in self.checks:
            if lacks := check.needs - evidence.known:
                raise InputError(
                    f"the check {type(check).__name__} needs the {' and '.join(sorted(lacks))} of "
                    "every row, which takes a model; give one, or leave the check out"
                )
            table = check(table, evidence)
            if check.makes_rows:
                evidence = Evidence()
        return table

    def possible(self, known: frozenset[Knowledge]) -> Control:
        """The control with only the checks that need no more than is known."""
        return Control(tuple(c for c in self.checks if c.needs <= known))


def departures(table: ObservationTable, mean: np.ndarray) -> np.ndarray:
    """Values less what is expected, (N,); of directions, the shorter way round."""
    found = table.frame["value"].to_numpy() - mean
    is_angle = table.frame["quantity"].map({n: q.is_angle for n, q in QUANTITIES.items()})
    return np.asarray(np.where(is_angle, wrapped(found), found))


def wrapped(turn: np.ndarray) -> np.ndarray:
    """Turns in degrees the shorter way round, in [-180, 180)."""
    return np.asarray((turn + 180.0) % 360.0 - 180.0)
