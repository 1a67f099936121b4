"""Tables of a reanalysis that reads simulated weather where and when real reports are.

`python -m benchmarks.real_places RESULT --write-tables docs/scores` takes the folder that
`python -m flows.reanalysis --observations simulated:like=FILES --withhold 0.1` left.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from appa_core.steps.observing import WITHHELD
from benchmarks.shown import show
from benchmarks.skill import HEADLINE
from benchmarks.tables import MeasuredTable, today

#: Folders before the names of files, which differ from machine to machine.
_FOLDERS = re.compile(r"[^=+,]*/")
_OPTIONS = ("start", "end", "members", "seed", "method", "withhold")


def headline_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of the headline fields, pooled over times.

    Args:
        scores: A row for each field and time: `rmse`, `rmse_climatology`, `ssr`.
    """
    rows = []
    for label, variable, level in HEADLINE:
        same = scores["variable"] == variable
        same &= scores["level"].isna() if level is None else scores["level"] == level
        some = scores[same]
        square, base = some["rmse"] ** 2, some["rmse_climatology"] ** 2
        rows.append(
            {
                "field": label,
                "rmse": np.sqrt(square.mean()),
                "to_climatology": np.sqrt(square.mean() / base.mean()),
                "ssr": np.sqrt((some["ssr"] ** 2 * square).mean() / square.mean()),
            }
        )
    return pd.DataFrame(rows)


def withheld_scores(departures: pd.DataFrame) -> pd.DataFrame:
    """CRPS over that of the prior by quantity, against rows that were kept apart.

    Args:
        departures: Rows with `status`, `quantity`, `analysis_crps` and `background_crps`.
    """
    kept = departures[departures["status"] == WITHHELD].dropna(subset=["analysis_crps"])
    groups = kept.groupby("quantity", sort=True)
    both = groups[["analysis_crps", "background_crps"]].mean()
    return pd.DataFrame(
        {"rows": groups.size(), "crps_to_prior": both["analysis_crps"] / both["background_crps"]}
    ).reset_index()


def about(manifest: Mapping[str, Any], rows: int) -> dict[str, str]:
    """What tables are of.

    Args:
        manifest: Of the result.
        rows: How many observations there were.
    """
    request = manifest["request"]
    options = "".join(f" --{name} {request[name]}" for name in _OPTIONS)
    spec = _FOLDERS.sub("", request["observations"])
    return {
        "command": f'python -m flows.reanalysis{options} --observations "{spec}"',
        "date": today(),
        "weights": manifest["model"]["key"],
        "seed": str(request["seed"]),
        "data": f"{manifest['truth']['name']} {manifest['truth']['fingerprint']}",
        "members": str(request["members"]),
        "method": request["method"],
        "rows": str(rows),
    }


def main() -> None:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="folder of a reanalysis")
    parser.add_argument("--write-tables", type=Path, metavar="DIR", help="such as docs/scores")
    arguments = parser.parse_args()
    folder = arguments.result
    departures = pd.read_parquet(
        folder / "observations.parquet",
        columns=["status", "quantity", "analysis_crps", "background_crps"],
    )
    said = about(json.loads((folder / "manifest.json").read_text("utf-8")), len(departures))
    tables = {
        "real-places": headline_scores(pd.read_csv(folder / "scores.csv")),
        "real-places-withheld": withheld_scores(departures),
    }
    for name, rows in tables.items():
        table = MeasuredTable(said, rows)
        sys.stdout.write(f"## {name}\n{table.caption}\n\n{show(name, rows)}\n\n")
        if arguments.write_tables:
            table.write(arguments.write_tables / f"{name}.csv")


if __name__ == "__main__":
    main()
