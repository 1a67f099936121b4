"""Maps of a reanalysis: `python -m benchmarks.observed_maps --output docs/images/reanalysis.png`.

The state in the middle of one of the reanalyses that `benchmarks.observing` scores: the truth and
where it was observed, the ensemble's mean, its error and spread, and the error of the classical
baseline. Drawn states are kept in the store, and used again.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from appa_core.io.store import write_atomically
from appa_core.metrics.members import variances
from appa_core.report.figures import draw_map
from appa_core.report.units import display_of
from appa_core.schema import VARIABLES
from benchmarks.experiments import HOURS, LABELS, OWN, SPARSE
from benchmarks.observed import Analysis, Laboratory
from benchmarks.skill import HEADLINE
from flows.cli import store_default

_SHOWN = ("Z500", "T2m")
_DPI = 72


def panels(
    own: Analysis, classical: Analysis, label: str, state: int
) -> list[tuple[str, np.ndarray, tuple[float, float], str]]:
    """Title, field (H, W), range and colours of each map of a field."""
    f = LABELS.index(label)
    display = display_of(VARIABLES[HEADLINE[f][1]][0])
    truth, members, others = (
        values.astype(float) * display.scale + display.offset
        for values in (
            own.truth[state, f],
            own.fields(own.posterior)[:, state, f],
            classical.fields(classical.posterior)[:, state, f],
        )
    )
    units, differences = display.units, display.units_of_differences
    spread = np.sqrt(variances(members, paired=own.paired).member)
    errors = members.mean(axis=0) - truth, others.mean(axis=0) - truth
    whole = float(truth.min()), float(truth.max())
    bound = float(np.quantile(np.abs(errors[1]), 0.99))
    return [
        (f"{label}, truth ({units})", truth, whole, "viridis"),
        (f"mean of members ({units})", members.mean(axis=0), whole, "viridis"),
        (f"its error ({differences})", errors[0], (-bound, bound), "RdBu_r"),
        (f"spread ({differences})", spread, (0.0, bound), "magma"),
        (f"error of optimal interpolation ({differences})", errors[1], (-bound, bound), "RdBu_r"),
    ]


def draw(own: Analysis, classical: Analysis, state: int) -> Figure:
    """Maps of all shown fields at a state, with what was observed of it on the truth."""
    figure = Figure(figsize=(16, 2.5 * len(_SHOWN)), layout="constrained")
    grid = figure.subplots(len(_SHOWN), 5, squeeze=False)
    for row, label in zip(grid, _SHOWN, strict=True):
        for axes, (title, field, span, colours) in zip(
            row, panels(own, classical, label, state), strict=True
        ):
            draw_map(axes, field, title, span, colours)
        _mark(row[0], own, own.job.times[state])
    return figure


def _mark(axes: Axes, analysis: Analysis, time: pd.Timestamp) -> None:
    """Stations, and what the orbiter passes within three hours."""
    frame = analysis.table.used.frame
    near = frame[(frame["valid_time"] - time).abs() <= pd.Timedelta(hours=3)]
    for is_station, size, colour in ((False, 0.8, "black"), (True, 6.0, "red")):
        some = near[near["platform"].eq("station") == is_station]
        places = some[["longitude", "latitude"]].drop_duplicates().to_numpy()
        axes.scatter((places[:, 0] + 180) % 360 - 180, places[:, 1], s=size, c=colour, lw=0)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.observed_maps", description=__doc__
    )
    add = parser.add_argument
    add("--date", default="2024-01-05", help="start of the reanalysis (default: %(default)s)")
    add("--members", type=int, default=8, help="of the ensemble (default: %(default)s)")
    add("--store", default=store_default(), help="where drawn states are kept")
    add("--output", type=Path, required=True, help="a PNG file")
    arguments = parser.parse_args(argv)
    lab = Laboratory(arguments.store, members=arguments.members)
    own, classical = (
        lab.analyse(SPARSE, arguments.date, HOURS, method)
        for method in (OWN, "optimal-interpolation")
    )
    image = io.BytesIO()
    draw(own, classical, len(own.job.times) // 2).savefig(image, format="png", dpi=_DPI)
    write_atomically(arguments.output, image.getvalue())


if __name__ == "__main__":
    main()
