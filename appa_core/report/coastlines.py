"""Coastlines of the world for the maps of a report.

Source: Natural Earth, 1:110 million, admin-0 countries (https://www.naturalearthdata.com), in
the public domain. `coastlines.json` keeps the edges that belong to one country only, without
the artificial ones along the date line and the south pole, as polylines
`[longitude, latitude, longitude, latitude, ...]` in hundredths of a degree.
"""

from __future__ import annotations

import json
from importlib.resources import files


def coastline_text() -> str:
    """The polylines as JSON text, ready to be embedded."""
    text = (files("appa_core.report") / "coastlines.json").read_text(encoding="utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"))


def coastlines() -> list[list[tuple[float, float]]]:
    """Polylines of (longitude in [-180, 180], latitude) in degrees; none crosses 180."""
    return [
        [(lon / 100, lat / 100) for lon, lat in zip(line[::2], line[1::2], strict=True)]
        for line in json.loads(coastline_text())
    ]
