"""Small content of pages, and what is in a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np

from appa_core.report.content import FieldBlock, ForecastReport
from appa_core.schema import Grid

GRID = Grid.equiangular(4, 8)
LEADS = [6, 12, 18]
NOTICE = "Simulated data: not the weather of these days."
HOSTILE = "</script><script>alert('x')</script>&\"\u2028<!--"


def block(name: str = "temperature_850", **changes: Any) -> FieldBlock:
    rng = np.random.default_rng(0)
    shape = (len(LEADS), *GRID.shape)
    content: dict[str, Any] = {
        "channel_name": name,
        "label": "Temperature at 850 hPa",
        "units": "K",
        "truth": 280 + rng.normal(size=shape),
        "ensemble": 280 + rng.normal(size=(2, *shape)),
        "climatology": np.full(shape, 280.0),
    }
    return FieldBlock(**(content | changes))


def score_row(**changes: Any) -> dict[str, Any]:
    row = {"variable": "temperature", "level": 850, "lead_hours": 6, "rmse": 1.234, "crps": 0.7}
    rest = {"spread": 1.1, "ssr": 0.9, "rmse_persistence": 2.0, "rmse_climatology": float("nan")}
    return row | rest | changes


def report(**changes: Any) -> ForecastReport:
    content: dict[str, Any] = {
        "title": "A forecast",
        "simulated_notice": NOTICE,
        "init_time": "2023-01-01T00",
        "lead_hours": LEADS,
        "latitudes": GRID.latitudes,
        "longitudes": GRID.longitudes,
        "fields": [block()],
        "score_rows": [score_row()],
        "provenance": {"Seed": 3, "Weights": {"Name": "small", "Digest": "ab12"}, "Keys": [1, 2]},
    }
    return ForecastReport(**(content | changes))


class Page(HTMLParser):
    """Elements and text of a page, and what its scripts hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Mapping[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = "" if tag == self._open else self._open

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.texts["script"][0]))
