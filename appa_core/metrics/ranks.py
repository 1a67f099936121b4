"""Whether a rank histogram is flat, and what it is called if it is not.

Neighbouring cells have nearly the same rank, so that the number of cells says little about how
far a histogram of a calibrated ensemble strays from flat. The test counts independent patches.

References:
    Hamill 2001, Interpretation of rank histograms for verifying ensemble forecasts.
    Jolliffe & Primo 2008, Evaluating rank histograms using decompositions of the chi-square test
        statistic, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from appa_core.constants import EARTH_RADIUS_M
from appa_core.errors import InputError

#: Side of a patch of weather that is taken for independent of the next one, in m.
PATCH_M = 1.5e6

Verdict = Literal["calibrated", "under-dispersive", "over-dispersive", "biased", "not flat"]


@dataclass(frozen=True)
class RankTest:
    """A chi-square test of flatness and its parts.

    Args:
        chi2: Statistic with as many degrees of freedom as there are members.
        p: Chance of as large a one from a calibrated ensemble.
        slope: Signed root of the part of a linear trend, standard normal if calibrated; positive
            where the truth is often above the members.
        bend: Signed root of the part of a U; positive where the truth is often outside of them.
        samples: How many independent cases were counted.
    """

    chi2: float
    p: float
    slope: float
    bend: float
    samples: float


def independent_patches(cells: int, area_share: float) -> float:
    """Independent pieces of weather in a region.

    Args:
        cells: How many cells it has.
        area_share: Share of the sphere.
    """
    patches = area_share * 4 * np.pi * EARTH_RADIUS_M**2 / PATCH_M**2
    return float(max(1.0, min(cells, patches)))


def rank_test(counts: np.ndarray, samples: float | None = None) -> RankTest:
    """Whether counts by rank differ from equal ones.

    Args:
        counts: Cases by rank 0..M, (M + 1,).
        samples: Independent cases among them; all if None.

    Raises:
        InputError: There is no case, or no member.
    """
    total, bins = float(counts.sum()), len(counts)
    if total <= 0 or bins < 2:
        raise InputError(
            f"a rank histogram needs members and cases; this one has {bins - 1} members and "
            f"{total:g} cases"
        )
    samples = total if samples is None else min(samples, total)
    # of the departures from flat in units of their standard deviation
    departures = (counts / total - 1 / bins) * np.sqrt(samples * bins)
    centre = np.arange(bins) - (bins - 1) / 2
    shape = centre**2 - (centre**2).mean()
    chi2 = float(departures @ departures)
    slope = float(departures @ centre / np.sqrt(centre @ centre))
    bend = float(departures @ shape / np.sqrt(shape @ shape)) if bins > 2 else 0.0
    return RankTest(chi2, float(stats.chi2.sf(chi2, bins - 1)), slope, bend, samples)


def name_dispersion(test: RankTest, level: float = 0.05) -> Verdict:
    """What a histogram shows: the larger of its trend and its bend, if either is significant.

    Args:
        test: Of `rank_test`.
        level: Chance of taking a calibrated ensemble for another, of each of the tests.
    """
    limit = float(stats.norm.isf(level / 4))  # two parts, two sides
    if max(abs(test.slope), abs(test.bend)) <= limit:
        return "calibrated" if test.p >= level else "not flat"
    if abs(test.slope) > abs(test.bend):
        return "biased"
    return "under-dispersive" if test.bend > 0 else "over-dispersive"
