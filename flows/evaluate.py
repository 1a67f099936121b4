r"""Evaluate results: scores with intervals, calibration, physics, spectra, departures.

On a command line, of one or several folders that flows.forecast, flows.reanalysis or
flows.filtering exported:

    python -m flows.evaluate results/forecast-2024-01-01T00-... --against results/other

From Python: `evaluate([folder, ...])`; its result names the folder with the tables.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_member_cluster_options,
    local_folder,
    new_parser,
    prepare_environment,
    run_command,
    store_default,
)


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("evaluate", "Scores, calibration, physics and departures of results.")
    add = parser.add_argument
    add("results", nargs="+", metavar="RESULT", help="exported folder; several are pooled")
    add(
        "--truth",
        default="",
        metavar="ENTRY",
        help="catalog entry of known states (default: those that the result names)",
    )
    add(
        "--baselines",
        metavar="NAMES",
        help="persistence,climatology or fewer (default: all that can be made)",
    )
    add(
        "--region",
        action="append",
        metavar="NAME",
        help="tropics and the like, or SOUTH,NORTH,WEST,EAST; may be repeated "
        "(default: tropics and both extratropics)",
    )
    add(
        "--event",
        action="append",
        metavar="EVENT",
        help="2m_temperature>303.15, geopotential@500<q10 (a percentile of the true states) and "
        "the like; may be repeated",
    )
    add("--against", nargs="+", metavar="OTHER", help="results of another run to compare with")
    add("--resamples", type=int, default=1000, help="draws of dates (default: %(default)s)")
    add("--seed", type=int, default=0, help="of these draws (default: %(default)s)")
    add(
        "--physics-states",
        type=int,
        default=4,
        help="states whose physics and spectra are looked at (default: %(default)s)",
    )
    add("--device", default="cpu", help="cpu, cuda, mps (default: %(default)s)")
    add(
        "--output",
        type=local_folder,
        metavar="DIR",
        help="folder of the tables (default: RESULT/evaluation)",
    )
    add_member_cluster_options(parser)
    return parser.parse_args(argv)


# --help and malformed options are answered before the imports below, which take seconds
_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.evaluation import evaluation_request  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.io.store import MANIFEST  # noqa: E402
from appa_core.steps.evaluate import EVALUATION, EvaluationJob  # noqa: E402
from appa_core.steps.publish import check_output  # noqa: E402
from tasks import evaluating  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402


@dataclass(frozen=True)
class EvaluationResult:
    """Where an evaluation is.

    Args:
        output: Folder with `scores.csv` and the other tables.
        digest: Hash of the tables.
    """

    output: Path
    digest: str


def evaluate(
    results: Sequence[str],
    *,
    against: Sequence[str] = (),
    truth: str = "",
    device: str = "cpu",
    store: str | None = None,
    output: str | None = None,
    cluster: ClusterSettings | None = None,
    **options: Any,
) -> EvaluationResult:
    """Evaluate results; pieces that exist in the store are not computed again.

    Args:
        results: Folders that flows exported; several are pooled over their dates.
        against: Results of another run to compare with.
        truth: Catalog entry of known states; those that the results name if empty.
        device: Where the autoencoder runs.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the tables; `evaluation` in the result if None.
        cluster: Where pieces are worked on; in this process if None.
        **options: Other fields of `EvaluationRequest`, such as baselines, regions, events.

    Returns:
        Where the tables are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        DataError: A value that should be there is not finite, or grids differ.
        IntegrityError: A result or weights are damaged.
    """
    request = evaluation_request(**options)
    if output is None and len(results) != 1:
        raise InputError("several results are evaluated together: name a folder with --output")
    folder = output or f"{results[0]}/{EVALUATION}"
    check_output(Path(folder))
    where = store_default(store)
    job = evaluating.prepare_evaluation(results, against, request, where, truth, device)
    return run_evaluation(job, folder, cluster or ClusterSettings())


def newest_result(folder: str = "results") -> list[str]:
    """The result that was exported last.

    Args:
        folder: Where results are.

    Raises:
        InputError: There is none.
    """
    found = sorted(Path(folder).glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"no result below {folder}: name folders that a flow has written")
    return [str(found[-1].parent)]


@flow(name="evaluate", validate_parameters=False)
def run_evaluation(job: EvaluationJob, output: str, cluster: ClusterSettings) -> EvaluationResult:
    """Statistics of pieces -> tables -> figures, export."""
    pieces = evaluating.evaluate_pieces(job, cluster)
    tables = evaluating.write_tables(job, pieces)
    evaluating.show(job, tables)
    written = evaluating.export(job, tables, output)
    return EvaluationResult(Path(written), tables.digest)


def print_summary(result: EvaluationResult) -> None:
    """Scores of well-known fields and verdicts, for a terminal."""
    scores = pd.read_csv(result.output / "scores.csv")
    shown = scores[
        (scores["region"] == "global")
        & (scores["season"] == "all")
        & scores["score"].isin(["rmse", "crps", "ssr", "acc"])
        & scores["variable"].isin(["geopotential", "2m_temperature"])
        & scores["level"].fillna(500).eq(500)
    ]
    if not shown.empty:
        leads = shown["lead_hours"].fillna(-1)
        days = shown[(leads % 24 == 0) | (leads == -1)]
        keys = ["variable", "lead_hours", "forecast", "score"]
        table = days.assign(lead_hours=days["lead_hours"].fillna("all"))
        print(table.set_index(keys)["value"].unstack().round(4).to_string())
    calibration = pd.read_csv(result.output / "calibration.csv")
    if not calibration.empty:
        print("\nrank histograms by field, lead and region:")
        print(calibration["verdict"].value_counts().to_string())
    print(f"\nevaluation  {result.output}")
    print(f"digest      {result.digest}")


def _main(arguments: argparse.Namespace) -> None:
    options = {
        "baselines": arguments.baselines and tuple(arguments.baselines.split(",")),
        "regions": tuple(arguments.region or ()),
        "events": arguments.event and tuple(arguments.event),
        "resamples": arguments.resamples,
        "physics_states": arguments.physics_states,
        "seed": arguments.seed,
    }
    print_summary(
        evaluate(
            arguments.results,
            against=arguments.against or (),
            truth=arguments.truth,
            device=arguments.device,
            store=arguments.store,
            output=arguments.output,
            cluster=ClusterSettings.of(arguments),
            **options,
        )
    )


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
