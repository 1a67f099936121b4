"""The page of a finished result, and numbers for those who need them.

    python -m flows.report RESULT --at Berlin=52.5,13.4 --probability '2m_temperature>273.15'

Shows all fields that fit, and the result's `evaluation/` if there is one; `--against OTHER` adds a
scorecard. The page is one file that loads nothing. With `--at`, `--probability` or `--quantiles`,
CSV and NetCDF files are written into the folder `products` beside it (docs/report.md).
"""

from __future__ import annotations

import argparse
import sys

from flows.cli import local_folder, new_parser, prepare_environment, run_command, store_default


def _parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = new_parser("report", "The page of a finished result, and its products.")
    add = parser.add_argument
    add("result", metavar="RESULT", type=local_folder, help="folder that a flow has written")
    add("--against", metavar="OTHER", type=local_folder, help="result to compare with")
    add(
        "--output",
        type=local_folder,
        metavar="FILE",
        help="the page (default: RESULT/report.html)",
    )
    add("--truth", metavar="ENTRY", help="known states to show (default: those of the result)")
    add("--fields", nargs="+", default=[], metavar="NAME", help="fields to show (default: all)")
    add(
        "--budget-mb",
        type=float,
        default=24.0,
        help="size of the fields on the page in MB; those that do not fit are left out "
        "(default: %(default)s)",
    )
    products = parser.add_argument_group("products", "numbers, in CSV and NetCDF")
    products.add_argument(
        "--at", nargs="+", default=[], metavar="[NAME=]LAT,LON", help="values at points"
    )
    products.add_argument(
        "--probability",
        nargs="+",
        default=[],
        metavar="EVENT",
        help="of events such as 2m_temperature>273.15 or temperature@850<250 (SI units)",
    )
    products.add_argument("--quantiles", metavar="Q,Q,...", help="of members, from 0 to 1")
    add("--recompute", action="store_true", help="write again what is there")
    return parser.parse_args(_spared(argv))


def _spared(argv: list[str] | None) -> list[str]:
    """Arguments, with a space before points that begin with a minus sign and are no options."""
    words = sys.argv[1:] if argv is None else argv
    return [f" {w}" if w[:1] == "-" and w[1:2].isdigit() and "," in w else w for w in words]


_ARGUMENTS = _parse() if __name__ == "__main__" else None
prepare_environment(verbose=bool(_ARGUMENTS and _ARGUMENTS.traceback))

from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

from prefect import flow  # noqa: E402

from appa_core.config.products import (  # noqa: E402
    parse_event,
    parse_place,
    parse_quantiles,
    unique_places,
)
from appa_core.errors import InputError  # noqa: E402
from appa_core.io.ensembles import OpenResult  # noqa: E402
from appa_core.steps.products import ProductOrder  # noqa: E402
from appa_core.steps.result_report import USUAL_BUDGET_BYTES, PageOrder  # noqa: E402
from appa_core.steps.scorecard import compare_runs  # noqa: E402
from tasks import results  # noqa: E402

#: What browsers still open.
_MOST_MB = 1000


@dataclass(frozen=True)
class WrittenReport:
    """What was written.

    Args:
        page: The page.
        products: Other files.
    """

    page: Path
    products: tuple[Path, ...]


def report(  # noqa: PLR0913
    result: str,
    *,
    against: str | None = None,
    output: str | None = None,
    fields: Sequence[str] = (),
    budget_bytes: int = USUAL_BUDGET_BYTES,
    at: Sequence[str] = (),
    probability: Sequence[str] = (),
    quantiles: str | None = None,
    truth: str | None = None,
    store: str | None = None,
    recompute: bool = False,
) -> WrittenReport:
    """Write the page of a finished result, and its products.

    Args:
        result: Folder that a flow has written.
        against: OpenResult to compare with.
        output: The page; `report.html` in the result's folder if None.
        fields: Names of the fields to show; all that fit where empty.
        budget_bytes: For the fields on the page.
        at: Points, "LAT,LON" or "NAME=LAT,LON".
        probability: Events, such as "2m_temperature>273.15".
        quantiles: Such as "0.1,0.5,0.9".
        truth: Catalog entry of known states to show; those that the result names if None.
        store: Artifact store; APPA_STORE or ./appa-store if None.
        recompute: Write again what is there.

    Returns:
        Where the files are.

    Raises:
        InputError: Something that was asked for is not possible; nothing has been written.
        DataError: Data or tables do not hold what they should.
    """
    places = tuple(unique_places([parse_place(text) for text in at]))
    order = ProductOrder(
        places,
        tuple(parse_event(text) for text in probability),
        () if quantiles is None else parse_quantiles(quantiles),
        tuple(fields),
    )
    found = OpenResult.of(result)
    order.check(found.fields)
    if against is not None:
        compare_runs(found, OpenResult.of(against))
    target = Path(output) if output else Path(result) / "report.html"
    if target.is_dir():
        raise InputError(f"--output {target} is a folder; name a file such as report.html")
    page = PageOrder(places, tuple(fields), budget_bytes)
    where = store_default(store)
    return write_report(
        where, result, str(target), page, order, against, truth, recompute=recompute
    )


@flow(name="report", validate_parameters=False)
def write_report(  # noqa: PLR0913
    store: str,
    result: str,
    output: str,
    page: PageOrder,
    order: ProductOrder,
    against: str | None,
    truth: str | None,
    *,
    recompute: bool,
) -> WrittenReport:
    """Page -> products -> files."""
    made = results.make_report(store, result, page, against, truth, recompute=recompute)
    products = None
    if not order.is_empty:
        products = results.make_products(store, result, order, recompute=recompute)
    first, *others = results.deliver(output, made, products)
    return WrittenReport(Path(first), tuple(map(Path, others)))


def _bytes(megabytes: float) -> int:
    if not 0 <= megabytes <= _MOST_MB:
        raise InputError(f"--budget-mb {megabytes:g}: expected 0 to {_MOST_MB}")
    return int(megabytes * 1e6)


def _main(arguments: argparse.Namespace) -> None:
    options = vars(arguments) | {"budget_bytes": _bytes(arguments.budget_mb)}
    for name in ("budget_mb", "traceback"):
        options.pop(name)
    written = report(**options)
    size = written.page.stat().st_size / 1e6
    print(f"report    {written.page} ({size:.1f} MB)")
    for path in written.products:
        print(f"product   {path}")


if _ARGUMENTS is not None:
    run_command(_main, _ARGUMENTS)
