"""The forecast page: self-contained, safe, deterministic, and faithful to its numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from appa_core.errors import DataError, InputError
from appa_core.report.coastlines import coastlines
from appa_core.report.content import FieldBlock, ForecastReport, ReportTable, time_label
from appa_core.report.encode import Quantised, script_safe_json
from appa_core.report.fragments import number_text
from appa_core.report.page import render_forecast_report
from appa_core.report.units import Display, display_of
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


def test_page_loads_nothing_and_forbids_loading() -> None:
    page = Page(render_forecast_report(report()))
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "img", "base"}
        assert attributes.get("src") is None
        if href := attributes.get("href"):
            assert href.startswith("#") or href == "data:,"
    policy = next(str(a["content"]) for _, a in page.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    code = page.texts["script"][-1]
    for word in ("fetch(", "XMLHttpRequest", "import(", "WebSocket", "eval(", "innerHTML"):
        assert word not in code
    assert set(re.findall(r"https?://[^\"'\s]+", code)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in page.texts["style"][0]
    assert "url(" not in page.texts["style"][0]


@pytest.mark.parametrize("element", ["script", "style"])
def test_policy_names_the_hash_of_the_inline_code(element: str) -> None:
    page = Page(render_forecast_report(report()))
    digest = hashlib.sha256(page.texts[element][-1].encode()).digest()
    policy = next(str(a["content"]) for _, a in page.elements if "http-equiv" in a)
    assert f"{element}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_notice_scores_and_provenance_are_plain_html() -> None:
    html = render_forecast_report(report())
    static = html[: html.index('<script type="application/json"')]
    assert NOTICE in static
    for text in ("1.23", "850 hPa", "RMSE of persistence", "Digest", "ab12", "1, 2"):
        assert text in static
    assert "Sun 1 Jan 2023 00:00 UTC" in static
    assert (
        "notice" not in render_forecast_report(report(simulated_notice="")).split("<main>")[1][:9]
    )


def test_hostile_strings_stay_text() -> None:
    hostile = report(
        title=HOSTILE,
        simulated_notice=HOSTILE,
        fields=[block(name=HOSTILE, label=HOSTILE, display=Display(HOSTILE))],
        score_rows=[score_row(variable=HOSTILE, units=HOSTILE)],
        provenance={HOSTILE: {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]}},
        score_note=HOSTILE,
    )
    html = render_forecast_report(hostile)
    kinds = [tag for tag, _ in Page(html).elements]
    assert kinds.count("script") == 3
    assert html.count("</script>") == 3
    assert Page(html).data["fields"][0]["label"] == HOSTILE


def test_slots_in_content_are_not_filled() -> None:
    assert "<h1>{{script}}</h1>" in render_forecast_report(report(title="{{script}}"))


def test_same_content_gives_the_same_page() -> None:
    assert render_forecast_report(report()) == render_forecast_report(report())


def smooth(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Waves with a little noise, as fields of weather have."""
    lat = np.deg2rad(Grid.equiangular(32, 64).latitudes)[:, None]
    lon = np.deg2rad(np.arange(64) * 5.625)[None]
    phase = rng.normal(size=shape).cumsum(-1)[..., None, None]
    wave = np.cos(lat) * np.sin(3 * lon + phase)
    return np.asarray(wave + 0.03 * rng.normal(size=wave.shape))


def test_page_of_a_usual_forecast_stays_within_its_budget() -> None:
    grid, leads = Grid.equiangular(32, 64), [6 * i for i in range(1, 21)]
    rng = np.random.default_rng(0)
    fields = [
        block(
            name,
            label=f"Field {name}",
            truth=smooth(rng, 20),
            ensemble=smooth(rng, 8, 20),
            climatology=np.zeros((20, 32, 64)),
        )
        for name in "abcdefgh"
    ]
    axes = {"latitudes": grid.latitudes, "longitudes": grid.longitudes, "lead_hours": leads}
    page = render_forecast_report(report(fields=fields, left_out=["Field x"], **axes), 2_500_000)
    assert len(page.encode()) < 3e6
    held = [f["name"] for f in Page(page).data["fields"]]
    assert held == list("abcdefgh")[: len(held)]
    assert 4 <= len(held) < 8
    rest = ", ".join(f"Field {name}" for name in [*"abcdefgh"[len(held) :], "x"])
    assert f"Not on this page, for its size: {rest}." in page


def test_one_field_is_there_whatever_the_budget() -> None:
    page = render_forecast_report(report(fields=[block("a"), block("b")]), 1)
    assert [f["name"] for f in Page(page).data["fields"]] == ["a"]


def test_quantisation_is_off_by_half_a_step_at_most() -> None:
    values = np.random.default_rng(0).normal(5.0e4, 800.0, size=(7, 5)).astype(np.float32)
    coded = Quantised.of(values, float(values.min()), float(values.max()))
    assert np.abs(coded.values - values).max() <= coded.scale / 2 * (1 + 1e-9)
    assert coded.scale == pytest.approx(np.ptp(values) / 4094, rel=1e-5)
    constant = Quantised.of(np.full(3, 4.5), 4.5, 4.5)
    np.testing.assert_array_equal(constant.values, 4.5)
    holed = Quantised.of(np.array([1.0, np.nan, 2.0]), 1.0, 2.0)
    np.testing.assert_allclose(holed.values, [1.0, np.nan, 2.0])


def unpacked(field: Mapping[str, Any], times: int, grid: Grid) -> dict[str, np.ndarray]:
    """Values of an embedded field, in display units, as its documentation says."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(field["data"])), np.uint8)
    low, high = planes.reshape(2, -1).astype(np.int64)
    folded = low + 256 * high
    change = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
    codes = change.reshape(-1, times, *grid.shape).cumsum(3).cumsum(1)
    values = np.where(codes == 4095, np.nan, field["start"] + field["step"] * codes)
    sizes = [field["members"] if name == "ensemble" else 1 for name in field["arrays"]]
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return dict(zip(field["arrays"], parts, strict=True))


def test_embedded_fields_read_back_in_display_units() -> None:
    original = block()
    embedded = Page(render_forecast_report(report())).data["fields"][0]
    found = unpacked(embedded, len(LEADS), GRID)
    assert set(found) == set(original.arrays)
    for name, values in original.arrays.items():
        shown = (values if values.ndim == 4 else values[None]) - 273.15
        np.testing.assert_allclose(found[name], shown, atol=0.51 * embedded["step"])
    assert embedded["units"] == "°C"
    assert embedded["differenceUnits"] == "K"


def test_cells_without_a_value_stay_so_where_they_may() -> None:
    holed = block().ensemble.copy()
    holed[..., 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        block(ensemble=holed)
    sea = block(ensemble=holed, truth=None, climatology=None, may_be_missing=True)
    found = unpacked(Page(render_forecast_report(report(fields=[sea]))).data["fields"][0], 3, GRID)
    np.testing.assert_array_equal(np.isnan(found["ensemble"]), np.isnan(holed))


def test_scores_are_shown_in_display_units_and_joined_by_channel() -> None:
    rows = [
        score_row(variable="mean_sea_level_pressure", level=float("nan"), rmse=250.0),
        score_row(variable="rainfall", level=None, units="m", rmse=0.002, crps=None),
    ]
    pressure, rain = Page(render_forecast_report(report(score_rows=rows))).data["scores"]
    assert (pressure["channel"], pressure["rmse"]) == ("mean_sea_level_pressure", 2.5)
    assert pressure["ssr"] == 0.9
    assert pressure["rmse_climatology"] is None
    assert (rain["units"], rain["rmse"], rain["crps"]) == ("mm", 2.0, None)
    assert "hPa" in display_of("Pa").units


def test_a_forecast_without_truth_or_scores_has_a_page() -> None:
    page = render_forecast_report(report(fields=[block(truth=None)], score_rows=[]))
    assert set(Page(page).data["fields"][0]["arrays"]) == {"ensemble", "climatology"}
    assert "has not been scored" in page


@pytest.mark.parametrize(
    ("row", "message"),
    [({"variable": "temperature"}, "lacks lead_hours"), (score_row(variable="rain"), "units")],
)
def test_incomplete_score_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_forecast_report(report(score_rows=[row]))


def test_content_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="truth holds values that are not finite"):
        block(truth=np.full((3, *GRID.shape), np.nan))
    with pytest.raises(DataError, match="climatology has shape"):
        block(climatology=np.zeros((2, *GRID.shape)))
    with pytest.raises(DataError, match="an ensemble has shape"):
        block(ensemble=np.zeros((3, *GRID.shape)))
    with pytest.raises(DataError, match="the report's axes"):
        report(lead_hours=[6, 12])
    with pytest.raises(DataError, match="ascend"):
        report(lead_hours=[6, 18, 12])
    with pytest.raises(InputError, match="repeat"):
        report(fields=[block(), block()])
    with pytest.raises(InputError, match="at least one field"):
        report(fields=[])
    with pytest.raises(InputError, match="ISO 8601"):
        report(init_time="yesterday")


def test_times_are_utc() -> None:
    assert report().valid_times[1] == "Sun 1 Jan 2023 12:00 UTC"
    zone = timezone(timedelta(hours=2))
    local = replace(report(), init_time=datetime(2023, 1, 1, 1, tzinfo=zone))
    assert local.init_label == "Sat 31 Dec 2022 23:00 UTC"
    assert time_label(datetime(2024, 2, 29, 6, tzinfo=UTC)) == "Thu 29 Feb 2024 06:00 UTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"), (0.0, "0"), (1.2345, "1.23"), (123.4, "123"), (12345.0, "12345"),
        (-0.01234, "\u22120.0123"), (2.5e-7, "2.50e\u221207"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_json_in_a_script_element_reads_back() -> None:
    text = script_safe_json({"a": HOSTILE})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": HOSTILE}
    with pytest.raises(DataError, match=r"finite numbers alone.*not JSON compliant"):
        script_safe_json(float("nan"))


def test_coastlines_are_whole_and_free_of_seams() -> None:
    lines = coastlines()
    assert 100 < len(lines) < 200
    for line in lines:
        points = np.asarray(line)
        assert (np.abs(points) <= [180, 90]).all()
        assert np.abs(np.diff(points[:, 0])).max() < 15  # nothing runs across the date line
        on_seam = np.abs(points[:, 0]) > 179.98
        assert not (on_seam[1:] & on_seam[:-1]).any()
        assert points[:, 1].min() > -87


def test_tables_are_plain_html_and_hostile_cells_stay_text() -> None:
    table = ReportTable("Rows", "What they are.", ("name", "count", "rms"), [
        [HOSTILE, 12_345, 0.012345], ["x", 0, float("nan")],
    ])  # fmt: skip
    page = render_forecast_report(report(tables=[table]))
    assert "<h2>Rows</h2>" in page
    assert "<td>12345</td><td>0.0123</td>" in page
    assert "<td>0</td><td>\u2013</td>" in page
    assert "alert('x')</script>" not in page
    with pytest.raises(DataError, match="table 'Rows' has 3 columns and a row of 2"):
        ReportTable("Rows", "", ("a", "b", "c"), [["x", 1]])


def test_hours_of_an_analysis_are_no_leads() -> None:
    page = render_forecast_report(report(hours_label="Time since the first state"))
    assert '<label for="lead">Time since the first state</label>' in page
    assert "Sun 1 Jan 2023 06:00 UTC to Sun 1 Jan 2023 18:00 UTC, 3 states shown." in page
    assert '"hoursLabel":"Time since the first state"' in page
    assert "Start Sun 1 Jan 2023 00:00 UTC. Leads 6 to 18 h." in render_forecast_report(report())
