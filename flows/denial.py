r"""Observation impact: what each part of a network contributes.

On a command line:

    python -m flows.denial --start 2024-01-01 --periods 4 \
        --observations simulated:stations=0.01,orbiters=1 --deny platform=orbiter

Analyses, and forecasts from their ends, are made with the whole network and without what is
denied, from the same noise; `impact.csv` says how much worse they become, with intervals over
periods. From Python: `denial(start, observations=..., deny=[...])`.
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


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("denial", "What each part of a network contributes.")
    add = parser.add_argument
    add("--start", required=True, help="time of the first state of the first period, UTC")
    add("--hours", type=int, default=72, help="length of each analysis (default: %(default)s)")
    add("--periods", type=int, default=1, help="how many (default: %(default)s)")
    add(
        "--spacing-hours",
        type=int,
        default=120,
        help="from the start of one period to that of the next (default: %(default)s)",
    )
    add(
        "--lead-hours",
        type=int,
        default=48,
        help="of the forecast from the end of each analysis; 0: none (default: %(default)s)",
    )
    add(
        "--deny",
        action="append",
        default=[],
        metavar="KIND=VALUE",
        help="platform=NAME, quantity=NAME or region=SOUTH,NORTH,WEST,EAST, joined by + where "
        "several must hold; again for another denial (default: each platform)",
    )
    add_observation_options(parser)
    add_truth_option(parser)
    add_ensemble_options(parser)
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

from appa_core.config.denial import DenialRequest, denial_request  # noqa: E402
from appa_core.steps.analysis import AnalysisJob  # noqa: E402
from appa_core.steps.denial import IMPACT, Case, Denial  # noqa: E402
from appa_core.steps.observed import ObservedJob  # noqa: E402
from flows.observing import call_arguments, request_fields  # noqa: E402
from tasks import denying, reanalysing  # noqa: E402
from tasks.cluster import ClusterSettings  # noqa: E402
from tasks.reports import prepare_job  # noqa: E402


@dataclass(frozen=True)
class DenialResult:
    """Where a result is.

    Args:
        output: Folder with `impact.csv` and `manifest.json`.
        impact: Changes of scores by what was denied.
    """

    output: Path
    impact: pd.DataFrame


def denial(  # noqa: PLR0913
    start: str,
    observations: str,
    *,
    deny: Sequence[str] = (),
    device: str = "cpu",
    store: str | None = None,
    output: str | None = None,
    cluster: ClusterSettings | None = None,
    recompute: bool = False,
    **options: Any,
) -> DenialResult:
    """Make analyses and forecasts with and without parts of a network, and compare them.

    Args:
        start: Time of the first state of the first period, ISO 8601, UTC.
        observations: A simulated network, a catalog entry, or files.
        deny: What to deny, such as "platform=orbiter", in turn; each platform if empty.
        device: Where networks run.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the results; ./results/denial-<start>-<key> if None.
        cluster: Where members are drawn; in this process if None.
        recompute: Make every step again.
        **options: Other fields of `DenialRequest`, such as hours, periods, lead_hours, members.

    Returns:
        Where the results are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields = request_fields(options, start=start, observations=observations, deny=tuple(deny))
    request = denial_request(**fields)
    for text in request.deny:
        Denial.parse(text)
    job = prepare_job("denial", request, device, output)
    for times in request.spans(job.preset.state.step_hours):
        AnalysisJob.of(job.drawing(), times, request)  # whether it can be drawn
    return run_denial(job, request, store_default(store), output, cluster, recompute=recompute)


@flow(name="denial", validate_parameters=False)
def run_denial(
    job: ObservedJob,
    request: DenialRequest,
    store: str,
    output: str | None,
    cluster: ClusterSettings | None = None,
    *,
    recompute: bool,
) -> DenialResult:
    """For each period and network: observe -> draw -> forecast -> score; then compare."""
    cases: list[Case] = []
    for times in request.spans(job.preset.state.step_hours):
        table = reanalysing.observe(store, job, times, recompute=recompute)
        for denied in denying.networks(store, table, request.deny):
            case = denying.make_case(
                store, job, request, times, denied, cluster, recompute=recompute
            )
            cases.append(case)
    impact = denying.measure_impact(store, cases, recompute=recompute)
    folder = output or f"results/denial-{request.time:%Y-%m-%dT%H}-{impact.key[:12]}"
    written = Path(denying.export(job, folder, impact))
    return DenialResult(written, pd.read_csv(written / IMPACT))


def print_impact(result: DenialResult) -> None:
    """The changes of well-known fields, for a terminal."""
    table = result.impact
    levels = {"geopotential": 500, "temperature": 850, "u_component_of_wind": 850}
    known = (table["level"] == table["field"].map(levels)) | table["level"].isna()
    days = table["lead_hours"].isna() | (table["lead_hours"] % 24 == 0)
    rows = table[known & days & (table["score"] == "crps")]
    print("change of CRPS without what is denied (95 % interval over periods)")
    print((rows if len(rows) else table).round(4).to_string(index=False))
    print(f"\nimpact    {result.output / IMPACT}")


def _main(arguments: argparse.Namespace) -> None:
    print_impact(denial(**call_arguments(arguments)))


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
