"""The tables of the results page, from what was measured: `python -m benchmarks.results`.

Between `<!-- table: NAME -->` and `<!-- end -->` stands what is made of `docs/scores/NAME.csv`;
all other text is left alone. `--check` writes nothing and fails if the page is not up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from appa_core.errors import AppaError, DataError, InputError
from appa_core.io.store import write_atomically
from benchmarks.shown import show
from benchmarks.tables import MeasuredTable

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCORES, PAGE = DOCS / "scores", DOCS / "results.md"
_BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str, scores: Path = SCORES) -> str:
    """A page with all of its tables as the files have them.

    Raises:
        InputError: There is no file for a table.
        DataError: A mark does not end, or a file does not say what it is of.
    """
    if page.count("<!-- table:") != len(_BLOCK.findall(page)):
        raise DataError("a mark <!-- table: NAME --> of the page has no <!-- end --> after it")

    def block(found: re.Match[str]) -> str:
        path = scores / f"{found[2]}.csv"
        if not path.is_file():
            raise InputError(f"{path} is absent, of which the page has a table; measure it first")
        table = MeasuredTable.read(path)
        return f"{found[1]}{table.caption}\n\n{show(found[2], table.rows)}\n{found[3]}"

    return _BLOCK.sub(block, page)


def main() -> None:
    """Write the page, or see whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it differs")
    arguments = parser.parse_args()
    page = PAGE.read_text("utf-8")
    try:
        fresh = rendered(page)
    except AppaError as error:
        sys.exit(f"error: {error}")
    if arguments.check and fresh != page:
        sys.exit(f"{PAGE} is not what the tables say; run python -m benchmarks.results")
    if fresh != page:
        write_atomically(PAGE, fresh)


if __name__ == "__main__":
    main()
