"""How measured tables look: what `python -m benchmarks.results` and the benchmarks print."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from scipy import stats

from benchmarks.tables import markdown

#: What columns are called.
_HEADERS = {
    "lead_hours": "lead (h)",
    "leads_hours": "leads (h)",
    "rmse": "RMSE",
    "crps": "CRPS",
    "ssr": "spread-skill",
    "to_persistence": "/ persistence",
    "to_climatology": "/ climatology",
    "interpolation_to_climatology": "OI / climatology",
    "to_interpolation": "/ OI",
    "crps_to_prior": "CRPS / prior",
    "interpolation_ssr": "OI spread-skill",
    "drawing_seconds": "seconds of drawing",
    "seconds_a_day": "a day",
    "peak_mib": "peak memory (MiB)",
    "at_seams": "at seams",
    "difference": "difference (95 %)",
    "chi_square": "chi-square",
    "codec": "",
}
#: Of columns; that of bounds is that of what they bound where none is named.
_FORMATS = {
    "to_persistence": ".3f",
    "to_climatology": ".3f",
    "interpolation_to_climatology": ".3f",
    "to_interpolation": ".3f",
    "crps_to_prior": ".3f",
    "ssr": ".3f",
    # of single dates
    "ssr_low": ".2f",
    "interpolation_ssr": ".3f",
    "interpolation_ssr_low": ".2f",
    "inside": ".3f",
    "at_seams": ".3f",
    "difference": "+.3f",
    "drawing_seconds": ".0f",
    "seconds_a_day": ".1f",
    "peak_mib": ".0f",
}
#: What people call variables.
_SPOKEN = {
    "10m_u_component_of_wind": "10 m u wind",
    "10m_v_component_of_wind": "10 m v wind",
    "10m_wind_speed": "10 m wind speed",
    "2m_temperature": "2 m temperature",
    "mean_sea_level_pressure": "sea-level pressure",
    "surface_pressure": "surface pressure",
    "specific_humidity": "specific humidity",
    "specific_humidity_850": "specific humidity, 850 hPa",
    "total_column_water_vapour": "total column water vapour",
    "total_precipitation_6hr": "6 h precipitation",
    "u_component_of_wind": "u wind",
    "u_component_of_wind_850": "U850",
    "v_component_of_wind": "v wind",
}
_RATIOS = dict.fromkeys(("Z500", "T850", "U850", "T2m"), ".3f")


def show(name: str, rows: pd.DataFrame) -> str:
    """A table in Markdown.

    Args:
        name: Of the table, which is that of its file without its ending.
        rows: As the file has them.
    """
    shape = _SHAPED.get(name)
    shaped, more = shape(rows) if shape else (rows, {})
    words = shaped.map(lambda cell: _SPOKEN.get(cell, cell) if isinstance(cell, str) else cell)
    return markdown(words, _FORMATS | more, _HEADERS)


#: What is shown of a table, and formats of its own.
_Shape = tuple[pd.DataFrame, dict[str, str]]


def _forecasts(rows: pd.DataFrame) -> _Shape:
    """Errors beside those of persistence and climatology, as ratios."""
    shaped = rows[["field", "lead_hours", "rmse"]].assign(
        to_persistence=rows["rmse"] / rows["rmse_persistence"],
        to_climatology=rows["rmse"] / rows["rmse_climatology"],
        crps=rows["crps"],
        ssr=rows["ssr"],
    )
    return shaped, {}


def _power(rows: pd.DataFrame) -> _Shape:
    """A row for each field and range of leads, a column for each wavenumber."""
    numbers = [str(n) for n in dict.fromkeys(rows["wavenumber"])]
    shaped = [
        {"field": field, "leads_hours": leads}
        | dict(zip(numbers, some["ratio"].tolist(), strict=True))
        for (field, leads), some in rows.groupby(["field", "leads_hours"], sort=False)
    ]
    return pd.DataFrame(shaped), dict.fromkeys(numbers, ".2f")


def _ranks(rows: pd.DataFrame) -> _Shape:
    """Shares of ranks, and whether they are flat, of readings that are independent."""
    shaped = []
    for readings, some in rows.groupby("readings", sort=False):
        counts = some.sort_values("rank")["count"]
        row = {"readings": readings, "number": int(counts.sum())}
        row |= {f"rank {n + 1}": c / counts.sum() for n, c in enumerate(counts)}
        if some["independent"].all():
            test = stats.chisquare(counts)
            p = "< 0.001" if test.pvalue < 0.001 else f"{test.pvalue:.3f}"
            row |= {"chi_square": float(test.statistic), "p": p}
        shaped.append(row)
    table = pd.DataFrame(shaped)
    formats = {str(n): ".3f" for n in table.columns if str(n).startswith("rank ")}
    return table.fillna({"p": ""}), formats | {"chi_square": ".1f"}


def _month(rows: pd.DataFrame) -> _Shape:
    shaped = rows[["days", "drawing_seconds"]].assign(
        seconds_a_day=rows["drawing_seconds"] / rows["days"], peak_mib=rows["peak_mib"]
    )
    return shaped, {}


def _of_headline(rows: pd.DataFrame) -> _Shape:
    """Cells are ratios, of the headline fields."""
    return rows, _RATIOS


def _autoencoder(rows: pd.DataFrame) -> _Shape:
    return rows, dict.fromkeys([str(n) for n in rows.columns[1:]], ".3f")


_SHAPED: dict[str, Callable[[pd.DataFrame], _Shape]] = {
    "forecasts": _forecasts,
    "forecast-power": _power,
    "reanalysis-ranks": _ranks,
    "stations": _of_headline,
    "observed-forecasts": _of_headline,
    "month": _month,
    "autoencoder": _autoencoder,
}
