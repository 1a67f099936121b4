r"""A reanalysis: trajectories over a period, given the observations of that period.

On a command line:

    python -m flows.reanalysis --start 2024-01-01 --end 2024-01-04 \
        --observations simulated:stations=0.01,orbiters=1

From Python: `reanalysis(start, end, observations=...)`; its result names the folder with
reanalysis.zarr, observations.parquet, scores.csv, report.html and manifest.json.
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_ensemble_options,
    add_member_cluster_options,
    add_observation_options,
    add_truth_option,
    new_parser,
    prepare_environment,
    run_command,
    store_default,
)
from flows.server import await_server, begin_server


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("reanalysis", "Trajectories given the observations of a period.")
    add = parser.add_argument
    add("--start", required=True, help="time of the first state, UTC, such as 2024-01-01")
    add("--end", required=True, help="time before which the states end, UTC")
    add_observation_options(parser, method="reanalysis")
    add_truth_option(parser)
    add_ensemble_options(parser)
    add_member_cluster_options(parser)
    return parser.parse_args(argv)


# --help and malformed options are answered before the imports below, which take seconds
_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))
if _ARGUMENTS is not None:
    begin_server()

from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.requests import reanalysis_request  # noqa: E402
from appa_core.steps.analysis import AnalysisJob  # noqa: E402
from appa_core.steps.observed import ObservedJob, product_of  # noqa: E402
from flows.observing import (  # noqa: E402
    AnalysisResult,
    call_arguments,
    print_result,
    request_fields,
)
from tasks import reanalysing  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.reports import prepare_job  # noqa: E402


def reanalysis(  # noqa: PLR0913
    start: str,
    end: str,
    observations: str,
    *,
    device: str = "cpu",
    store: str | None = None,
    output: str | None = None,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> AnalysisResult:
    """Draw, score and report; what exists in the store is not computed again.

    Args:
        start: Time of the first state, ISO 8601, UTC.
        end: Time before which the states end.
        observations: A simulated network, a catalog entry, or files.
        device: Where networks run.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the results; ./results/reanalysis-<start>-<key> if None.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Other fields of `ReanalysisRequest`, such as members, method, withhold, truth.

    Returns:
        Where the results are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields = request_fields(options, start=start, observations=observations)
    request = reanalysis_request(end=end, **fields)
    job = prepare_job("reanalysis", request, device, output)
    times = request.times(job.preset.state.step_hours)
    AnalysisJob.of(job.drawing(), times, request)  # whether it can be drawn
    await_server()
    return run_reanalysis(job, times, store_default(store), output, cluster, recompute=recompute)


@flow(name="reanalysis", validate_parameters=False)
def run_reanalysis(
    job: ObservedJob,
    times: pd.DatetimeIndex,
    store: str,
    output: str | None,
    cluster: ClusterSettings | None = None,
    *,
    recompute: bool,
) -> AnalysisResult:
    """Observe -> draw with and without -> decode -> score -> compare -> report -> export."""
    request = job.request
    table = reanalysing.observe(store, job, times, recompute=recompute)
    product = product_of(job, table)
    analysis = AnalysisJob.of(product.drawing, times, request, table.artifact)
    draws = reanalysing.climatology(store, analysis.climatology, recompute=recompute)
    drawn = reanalysing.draw_ensembles(store, analysis, draws, cluster, recompute=recompute)
    fields = reanalysing.write_fields(store, product, drawn["analysis"], recompute=recompute)
    scores = reanalysing.score(store, product, fields, times, recompute=recompute)
    compared = reanalysing.measure_departures(store, product, drawn, recompute=recompute)
    report = reanalysing.write_report(
        store, product, fields, scores, compared, recompute=recompute
    )
    folder = output or f"results/reanalysis-{request.time:%Y-%m-%dT%H}-{fields.key[:12]}"
    written = reanalysing.export(product, folder, [fields], [scores, compared, report])
    return AnalysisResult(Path(written), fields.digest, table.counts)


def _main(arguments: argparse.Namespace) -> None:
    print_result(reanalysis(**call_arguments(arguments)), "reanalysis")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
