"""Black-lists as files: YAML or CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from appa_core.config.named import parse_yaml
from appa_core.errors import InputError
from appa_core.io.readers.files import find_files, read_file


def read_black_list(location: str) -> Sequence[dict[str, Any]]:
    """Listings of a file, still to be checked.

    Args:
        location: A YAML file with a list, or a CSV file with a header; a path or URL.

    Raises:
        InputError: There is no such file, or it is no list.
        DataError: It cannot be read.
    """
    (url,) = find_files(location)
    file = read_file(url)
    if url.endswith(".csv"):
        rows = csv.DictReader(line for line in file.lines if line.strip())
        return [{k: v for k, v in row.items() if k and v} for row in rows]
    listings = parse_yaml("\n".join(file.lines), f"the black-list {url}")
    if not (isinstance(listings, list) and all(isinstance(item, dict) for item in listings)):
        raise InputError(
            f"the black-list {url} must be a list of mappings, such as - {{station_id: '72520', "
            "why: relocated}}"
        )
    return listings
