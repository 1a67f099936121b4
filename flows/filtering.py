r"""Filtering: the current state, cycle after cycle, from past observations alone.

On a command line:

    python -m flows.filtering --start 2024-01-01 --cycles 8 \
        --observations simulated:stations=0.01,orbiters=1

With `--lag 3` the three states before the current one are drawn again in every cycle: fixed-lag
smoothing. From Python: `filtering(start, cycles=8, observations=...)`; its result names the folder
with filtering.zarr (and smoothed.zarr), observations.parquet, scores.csv, report.html and
manifest.json.
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
    parser = new_parser("filtering", "The current state, cycle after cycle.")
    add = parser.add_argument
    add("--start", required=True, help="time of the first current state, UTC")
    add("--cycles", type=int, default=8, help="how many (default: %(default)s)")
    add("--cycle-hours", type=int, help="from one to the next (default: the model's step)")
    add(
        "--lag",
        type=int,
        default=0,
        metavar="STATES",
        help="states before the current one to draw again in each cycle (default: %(default)s)",
    )
    add_observation_options(parser)
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

from prefect import flow  # noqa: E402

from appa_core.config.requests import filtering_request  # noqa: E402
from appa_core.steps.filtering import FilterJob, filtered, smoothed  # noqa: E402
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


def filtering(  # noqa: PLR0913
    start: str,
    observations: str,
    *,
    cycles: int = 8,
    device: str = "cpu",
    store: str | None = None,
    output: str | None = None,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> AnalysisResult:
    """Make cycles of analyses, score and report; what exists in the store is not computed again.

    Args:
        start: Time of the first current state, ISO 8601, UTC.
        observations: A simulated network, a catalog entry, or files.
        cycles: How many.
        device: Where networks run.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the results; ./results/filtering-<start>-<key> if None.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Other fields of `FilteringRequest`, such as lag, cycle_hours, members, method.

    Returns:
        Where the results are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields = request_fields(options, start=start, observations=observations, cycles=cycles)
    request = filtering_request(**fields)
    job = prepare_job("filtering", request, device, output)
    every = request.every(job.preset.state.step_hours)
    plan = FilterJob.of(job.drawing(), request, every)
    await_server()
    return run_filtering(job, plan, store_default(store), output, cluster, recompute=recompute)


@flow(name="filtering", validate_parameters=False)
def run_filtering(
    job: ObservedJob,
    plan: FilterJob,
    store: str,
    output: str | None,
    cluster: ClusterSettings | None = None,
    *,
    recompute: bool,
) -> AnalysisResult:
    """Observe -> cycles -> decode -> score -> compare -> report -> export."""
    table = reanalysing.observe(store, job, plan.observed_times, recompute=recompute)
    product = product_of(job, table)
    cycles = plan.with_observations(product.drawing, table.artifact)
    draws = reanalysing.climatology(store, cycles.climatology, recompute=recompute)
    drawn = reanalysing.filter_ensemble(store, cycles, draws, cluster, recompute=recompute)
    fields = reanalysing.write_fields(store, product, filtered(cycles, drawn), recompute=recompute)
    times = cycles.current_times
    scores = reanalysing.score(store, product, fields, times, recompute=recompute)
    compared = reanalysing.measure_cycles(store, product, cycles, drawn, recompute=recompute)
    report = reanalysing.write_report(
        store, product, fields, scores, compared, recompute=recompute
    )
    written = [fields]
    if plan.lag:
        late = smoothed(cycles, drawn)
        written.append(
            reanalysing.write_fields(store, product, late, "smoothed", recompute=recompute)
        )
    folder = output or f"results/filtering-{plan.start:%Y-%m-%dT%H}-{fields.key[:12]}"
    exported = reanalysing.export(product, folder, written, [scores, compared, report])
    return AnalysisResult(Path(exported), fields.digest, table.counts)


def _main(arguments: argparse.Namespace) -> None:
    print_result(filtering(**call_arguments(arguments)), "filtering")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
