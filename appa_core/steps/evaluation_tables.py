"""Tables of ranks, reliability, physics and spectra, from the rows of pieces."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from appa_core.metrics.intervals import block_length
from appa_core.metrics.ranks import independent_patches, name_dispersion, rank_test
from appa_core.metrics.regions import RegionWeights

_FIELD = ["variable", "level", "lead_hours", "region"]
CALIBRATION_COLUMNS = (*_FIELD, "chi2", "p", "slope", "bend", "samples", "dates", "verdict")
_CHECK = ["check", "variable", "level", "band", "lead_hours", "source"]
_POWER = ["variable", "level", "lead_hours", "source", "wavenumber"]
#: Means over the globe whose changes since the first state are shown.
_DRIFTS = ("mass", "water")


def _levelled(table: pd.DataFrame) -> pd.DataFrame:
    """Levels as whole numbers that may be missing."""
    return table.assign(level=table["level"].astype("Int64"))


def _pooled(table: pd.DataFrame, *, is_analysis: bool) -> pd.DataFrame:
    """Of analyses, all leads together; they are the times of one trajectory."""
    return table.assign(lead_hours=None) if is_analysis else table


def _summed(table: pd.DataFrame, keys: list[str], *, is_analysis: bool) -> pd.DataFrame:
    order = [*keys, "valid_time", "init_time"]
    table = _pooled(_levelled(table).sort_values(order, kind="stable"), is_analysis=is_analysis)
    groups = table.drop(columns=["valid_time", "init_time"]).groupby(keys, dropna=False)
    return groups.sum().reset_index()


def rank_table(ranks: pd.DataFrame, *, is_analysis: bool) -> pd.DataFrame:
    """Counts by rank: variable, level, lead_hours, region, rank, count."""
    if ranks.empty:
        return pd.DataFrame(columns=[*_FIELD, "rank", "count"])
    return _summed(ranks, [*_FIELD, "rank"], is_analysis=is_analysis)


def calibration_table(
    ranks: pd.DataFrame, counts: pd.DataFrame, weights: RegionWeights, *, is_analysis: bool
) -> pd.DataFrame:
    """Tests of rank histograms, `CALIBRATION_COLUMNS`.

    Args:
        ranks: Rows of pieces, for their dates.
        counts: Of `rank_table`.
        weights: Of the regions, whose areas tell how many independent cases there are.
        is_analysis: Whether leads are pooled.
    """
    if counts.empty:
        return pd.DataFrame(columns=list(CALIBRATION_COLUMNS))
    cases = _cases(ranks, is_analysis=is_analysis)
    shares = dict(zip(weights.names, weights.shares, strict=True))
    rows: list[dict[str, Any]] = []
    for keys, part in counts.groupby(_FIELD, dropna=False, sort=False):
        about: dict[str, Any] = dict(zip(_FIELD, keys, strict=True))
        histogram = part.sort_values("rank")["count"].to_numpy(float)
        dates = cases[None if is_analysis else int(about["lead_hours"])]
        cells = histogram.sum() / dates[0]
        samples = dates[1] * independent_patches(int(cells), shares[about["region"]])
        test = rank_test(histogram, samples)
        rows.append(about | vars(test) | {"dates": dates[0], "verdict": name_dispersion(test)})
    return _levelled(pd.DataFrame(rows)[list(CALIBRATION_COLUMNS)])


def _cases(ranks: pd.DataFrame, *, is_analysis: bool) -> dict[int | None, tuple[int, int]]:
    """Dates and independent ones among them, by lead."""
    found: dict[int | None, tuple[int, int]] = {}
    table = _pooled(ranks, is_analysis=is_analysis)
    for lead, part in table.groupby("lead_hours", dropna=False):
        dates = part[["valid_time", "init_time"]].drop_duplicates()
        times = np.sort(dates["valid_time"].to_numpy())
        blocks = -(-len(times) // block_length(times))
        found[None if pd.isna(lead) else int(cast(float, lead))] = (len(times), blocks)
    return found


def reliability_table(rows: pd.DataFrame, *, is_analysis: bool) -> pd.DataFrame:
    """Forecast probability against frequency, a row for each bin that holds a cell."""
    columns = ["event", *_FIELD, "forecast_probability", "observed_frequency", "count"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    table = _summed(rows, ["event", *_FIELD, "bin"], is_analysis=is_analysis)
    table = table[table["count"] > 0]
    return table.assign(
        forecast_probability=table["forecast"] / table["weight"],
        observed_frequency=table["happened"] / table["weight"],
    )[columns]


def physics_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of checks over members and dates, and drifts: roots of mean squares of changes."""
    columns = [*_CHECK, "value", "units"]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    rows = _levelled(rows).sort_values([*_CHECK, "init_time", "member"], kind="stable")
    groups = rows.groupby([*_CHECK, "units"], dropna=False)["value"]
    table = pd.concat([groups.mean().reset_index(), _drifts(rows)], ignore_index=True)
    return table.sort_values(_CHECK, kind="stable")[columns].reset_index(drop=True)


def _drifts(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["check"].isin(_DRIFTS)].sort_values("lead_hours", kind="stable")
    run = ["check", "variable", "band", "source", "member", "init_time"]
    first = rows.groupby(run)["value"].transform("first")
    squares = rows.assign(check=rows["check"] + "_drift", value=(rows["value"] - first) ** 2)
    table = squares.groupby([*_CHECK, "units"], dropna=False)["value"].mean().reset_index()
    return table.assign(value=np.sqrt(table["value"]))


def spectra_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean power over members and dates by wavenumber, SI units squared."""
    if rows.empty:
        return pd.DataFrame(columns=[*_POWER, "power"])
    rows = _levelled(rows).sort_values([*_POWER, "init_time"], kind="stable")
    return rows.groupby(_POWER, dropna=False)["power"].mean().reset_index()
