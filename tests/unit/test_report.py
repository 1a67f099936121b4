"""The forecast page: self-contained, safe, deterministic, and faithful to its numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from appa_core.errors import DataError, InputError
from appa_core.report.coastlines import coastlines
from appa_core.report.content import FieldBlock, ReportTable, time_label
from appa_core.report.encode import script_safe_json
from appa_core.report.evaluation import Evaluation
from appa_core.report.fragments import number_text
from appa_core.report.page import render_forecast_report
from appa_core.report.units import Display, display_of, shown_name
from appa_core.schema import VARIABLES, Channel
from appa_core.steps.page_fields import label_of
from tests.pages import GRID, HOSTILE, LEADS, NOTICE, Page, block, report, score_row


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


def hand_made(name: str = "temperature_850", paired: bool = True) -> FieldBlock:
    """Members 1, 3 and 4, 8 over a truth of 5, everywhere."""
    members = np.array([1.0, 3.0, 4.0, 8.0])[:, None, None, None]
    shape = (len(LEADS), *GRID.shape)
    return block(name, ensemble=members * np.ones(shape), truth=np.full(shape, 5.0), paired=paired)


def test_a_page_knows_pairs_and_says_so_in_a_line() -> None:
    page = render_forecast_report(report(fields=[hand_made()]))
    assert Page(page).data["fields"][0]["pairs"] is True
    assert page.count("are pairs drawn from opposite noise") == 1
    for blocks in ([hand_made(paired=False)], [block(paired=True)]):  # a single pair is none
        page = render_forecast_report(report(fields=blocks))
        assert Page(page).data["fields"][0]["pairs"] is False
        assert "opposite noise" not in page


def test_the_spread_of_a_field_is_that_of_its_members() -> None:
    # two pairs with means 2, 6 and halves of differences 1, 2; or four members with mean 4
    np.testing.assert_allclose(hand_made().spread(0), np.sqrt(8 + 2.5))
    np.testing.assert_allclose(hand_made(paired=False).spread(0), np.sqrt(26 / 3))
    alone = block(ensemble=np.ones((1, len(LEADS), *GRID.shape)), paired=True)
    assert np.isnan(alone.spread(0)).all()


def test_a_geopotential_in_metres_is_called_a_height() -> None:
    """A geopotential has m2 s-2; over 9.80665 m s-2 it is a geopotential height in m."""
    row = score_row(variable="geopotential", level=500, rmse=9.80665)
    page = Page(render_forecast_report(report(score_rows=[row])))
    (seen,) = page.data["scores"]
    assert (seen["units"], seen["rmse"]) == ("m", 1.0)
    assert "geopotential height" in page.texts["th"]
    assert label_of(Channel("geopotential", 500)) == "Geopotential height at 500 hPa"
    assert page.data["renamed"] == {"geopotential": "geopotential height"}


@pytest.mark.parametrize("variable", sorted(set(VARIABLES) - {"geopotential"}))
def test_no_other_variable_is_shown_as_another_quantity(variable: str) -> None:
    same = {"K": "°C", "m s-1": "m/s", "Pa": "hPa", "kg kg-1": "g/kg", "m": "mm"}
    assert display_of(Channel(variable).units).units == same[Channel(variable).units]
    assert shown_name(variable) == variable.replace("_", " ")


def test_power_is_shown_in_squares_of_the_units_of_differences() -> None:
    rows = [
        {"variable": variable, "level": None, "lead_hours": 6, "source": "truth",
         "wavenumber": 1, "power": power}
        for variable, power in (("geopotential", 9.80665**2), ("mean_sea_level_pressure", 1e4),
                                ("2m_temperature", 3.0))
    ]  # fmt: skip
    assert Evaluation(spectra=rows).shown()["spectra"]["power"] == [1.0, 1.0, 3.0]
    units = [display_of(unit).units_of_power for unit in ("m2 s-2", "Pa", "K", "m s-1", "kg kg-1")]
    assert units == ["m²", "hPa²", "K²", "(m/s)²", "(g/kg)²"]


def test_hours_of_an_analysis_are_no_leads() -> None:
    page = render_forecast_report(report(hours_label="Time since the first state"))
    assert '<label for="lead">Time since the first state</label>' in page
    assert "Sun 1 Jan 2023 06:00 UTC to Sun 1 Jan 2023 18:00 UTC, 3 states shown." in page
    assert '"hoursLabel":"Time since the first state"' in page
    assert "Start Sun 1 Jan 2023 00:00 UTC. Leads 6 to 18 h." in render_forecast_report(report())
