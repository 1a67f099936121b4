"""The main job: an ensemble forecast of the global atmosphere.

On a command line: `python -m flows.forecast --start 2024-01-01`. With `--observations SPEC` it
starts from what was observed in the hours before, and no analysis is given. From Python:

    from flows.forecast import forecast
    result = forecast(start="2024-01-01", members=4, lead_hours=48)
    result.output  # folder with forecast.zarr, scores.csv, report.html, manifest.json
"""

from __future__ import annotations

import argparse

from flows.cli import (
    add_observation_options,
    local_folder,
    new_parser,
    prepare_environment,
    run_command,
    store_default,
)
from flows.server import await_server, begin_server


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("forecast", "Ensemble forecast of the global atmosphere.")
    add = parser.add_argument
    add("--start", required=True, help="time of the last known state, UTC, such as 2024-01-01")
    add("--lead-hours", type=int, default=120, help="how far to forecast (default: %(default)s)")
    add("--members", type=int, default=8, help="size of the ensemble (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the ensemble (default: %(default)s)")
    add("--model", default="small", help="name of registered weights (default: %(default)s)")
    add("--source", default="sample", help="catalog entry of states (default: %(default)s)")
    add("--device", default="cpu", help="cpu, cuda, mps (default: %(default)s)")
    add("--dtype", default="float32", help="float32 or bfloat16 (default: %(default)s)")
    add("--variables", nargs="+", metavar="NAME", help="variables to write (default: all)")
    add("--levels", nargs="+", type=int, metavar="HPA", help="levels to write (default: all)")
    add("--region", metavar="SOUTH,NORTH,WEST,EAST", help="box to write (default: the globe)")
    add(
        "--output",
        type=local_folder,
        metavar="DIR",
        help="folder (default: ./results/forecast-<start>-<key>)",
    )
    add("--recompute", action="store_true", help="make every step again")
    observed = parser.add_argument_group(
        "from observations", "start from these, and not from states of --source"
    )
    add_observation_options(observed, required=False, method="reanalysis")
    observed.add_argument(
        "--assimilation-hours",
        type=int,
        default=24,
        help="before the start, from which observations are taken (default: %(default)s)",
    )
    return parser.parse_args(argv)


# --help and malformed options are answered before the imports below, which take seconds
_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))
if _ARGUMENTS is not None:
    begin_server()

from collections.abc import Mapping  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pandas as pd  # noqa: E402
from prefect import flow  # noqa: E402

from appa_core.config.requests import ForecastRequest, Region, forecast_request  # noqa: E402
from appa_core.errors import InputError  # noqa: E402
from appa_core.steps.forecast import ForecastJob, prepare_forecast  # noqa: E402
from appa_core.steps.publish import check_output  # noqa: E402
from flows.observed_forecast import forecast_from_observations  # noqa: E402
from tasks import forecasting  # noqa: E402
from tasks.catalog import model_folder, state_source  # noqa: E402

#: Options that mean nothing without observations.
_DEFAULTS = {"assimilation_hours": 24, "method": "reanalysis", "withhold": 0.0, "operator": ""}


@dataclass(frozen=True)
class ForecastResult:
    """Where a forecast is.

    Args:
        output: Folder with `forecast.zarr`, `scores.csv`, `report.html`, `manifest.json`; from
            observations with `observations.parquet` too.
        digest: Hash of the forecast's data: the same for the same request, data and weights.
    """

    output: Path
    digest: str


def forecast(  # noqa: PLR0913
    start: str,
    *,
    lead_hours: int = 120,
    members: int = 8,
    seed: int = 0,
    model: str = "small",
    source: str = "sample",
    device: str = "cpu",
    dtype: str = "float32",
    variables: tuple[str, ...] | None = None,
    levels: tuple[int, ...] | None = None,
    region: str | None = None,
    store: str | None = None,
    output: str | None = None,
    recompute: bool = False,
    observations: str | None = None,
    **observing: Any,
) -> ForecastResult:
    """Forecast, score and report; what exists in the store is not computed again.

    Args:
        start: Time of the last known state, ISO 8601, UTC.
        lead_hours: How far to forecast; a multiple of the model's step.
        members: Size of the ensemble.
        seed: Seed of the ensemble.
        model: Name of registered weights.
        source: Catalog entry of states.
        device: Where networks run.
        dtype: float32 or bfloat16.
        variables: Variables to write; all if None.
        levels: Levels to write in hPa; all if None.
        region: Box to write, "south,north,west,east"; the globe if None.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        output: Folder of the results; ./results/forecast-<start>-<key> if None.
        recompute: Make every step again.
        observations: In place of known states: a simulated network, a catalog entry, or files.
        **observing: Then the other options of `forecast_from_observations`.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        IntegrityError: Data or weights are damaged.
    """
    fields: dict[str, Any] = {
        "start": start, "lead_hours": lead_hours, "members": members, "seed": seed,
        "model": model, "source": source, "dtype": dtype, "variables": variables,
        "levels": levels, "region": None if region is None else Region.parse(region),
    }  # fmt: skip
    where = store_default(store)
    if observations is not None:
        found = forecast_from_observations(
            observations=observations, device=device, store=where, output=output,
            recompute=recompute, **fields, **observing,
        )  # fmt: skip
        return ForecastResult(found.output, found.digest)
    _require_observations(observing)
    job = _checked(forecast_request(**fields), device, output)
    await_server()
    return run_forecast(job, where, output, recompute=recompute)


def _checked(request: ForecastRequest, device: str, output: str | None) -> ForecastJob:
    """What there is to do, after all that can be wrong with it."""
    if output is not None:
        check_output(Path(output))
    states, weights = state_source(request.source), model_folder(request.model)
    return prepare_forecast(request, states, weights, device)


@flow(name="forecast", validate_parameters=False)
def run_forecast(
    job: ForecastJob, store: str, output: str | None, *, recompute: bool
) -> ForecastResult:
    """Encode -> draw -> decode -> score -> report -> export."""
    known = forecasting.encode_known(store, job, recompute=recompute)
    batches = [
        forecasting.sample_members(store, job, members, known, recompute=recompute)
        for members in job.batches
    ]
    fields = forecasting.decode(store, job, batches, recompute=recompute)
    scores = forecasting.score_forecast(store, job, fields, recompute=recompute)
    report = forecasting.write_report(store, job, fields, scores, recompute=recompute)
    folder = output or f"results/forecast-{_stamp(job.request)}-{fields.key[:12]}"
    written = forecasting.export(job, folder, fields, scores, report)
    return ForecastResult(Path(written), fields.digest)


def _require_observations(observing: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing without observations."""
    given = [n for n, value in observing.items() if value not in {_DEFAULTS.get(n), None}]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{options}: only with --observations")


def _stamp(request: ForecastRequest) -> str:
    return f"{request.time:%Y-%m-%dT%H}"


def print_summary(result: ForecastResult) -> None:
    """A table of skill and where everything is, for a terminal."""
    table = pd.read_csv(result.output / "scores.csv")
    if table.empty:
        print("no state of these times is known yet: no scores")
    else:
        print(_headline(table).to_string(index=False))
    print(f"\nforecast  {result.output / 'forecast.zarr'}")
    print(f"scores    {result.output / 'scores.csv'}")
    print(f"report    {result.output / 'report.html'}")
    print(f"digest    {result.digest}")


def _headline(table: pd.DataFrame) -> pd.DataFrame:
    """A few rows of the scores: well-known fields at each day of lead."""
    chosen = [
        ("geopotential", 500),
        ("temperature", 850),
        ("u_component_of_wind", 850),
        ("2m_temperature", None),
    ]
    pairs = zip(table["variable"], table["level"], strict=True)
    keep = pd.Series(
        [(v, None if pd.isna(level) else level) in chosen for v, level in pairs], table.index
    )
    days = table["lead_hours"] % 24 == 0
    rows = table[days & keep] if (days & keep).any() else table.head(12)
    return rows.round(4)


def _main(arguments: argparse.Namespace) -> None:
    fields = vars(arguments) | {}
    fields.pop("traceback")
    for name in ("variables", "levels"):
        fields[name] = tuple(fields[name]) if fields[name] else None
    print_summary(forecast(fields.pop("start"), **fields))


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
