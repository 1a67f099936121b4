"""The page in Chromium: offline, by keyboard, on a phone, in light and dark."""

import re

import numpy as np
import pytest

pytestmark = pytest.mark.browser

DESK, PHONE = (1280, 900), (390, 844)
PANEL = "document.querySelector('#panel-{} canvas').toDataURL()"


def picture(page, panel):
    return page.evaluate(PANEL.format(panel))


@pytest.mark.parametrize("name", ["whole", "plain", "region", "pairs"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_opens_offline_without_a_complaint(visit, name, size, scheme):
    page = visit(name, size, scheme)
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.requested)
    assert len([u for u in page.requested if u.startswith("file:")]) == 1
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    page.evaluate("document.querySelector('.options').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_variable_level_lead_and_member_by_keyboard_change_what_is_shown(visit):
    page = visit("whole")
    seen = {picture(page, "member")}
    page.focus("#variable")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("html[data-shown=temperature_500]", state="attached")
    seen.add(picture(page, "member"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "level"
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("html[data-shown=temperature_850]", state="attached")
    seen.add(picture(page, "member"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "member"
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#panel-member strong") == "Member 2"
    seen.add(picture(page, "member"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "lead"
    page.keyboard.press("ArrowLeft")
    assert "+18 h" in page.inner_text("#valid")
    seen.add(picture(page, "member"))
    assert len(seen) == 5  # each choice drew another map
    assert page.complaints == []


def test_every_control_is_reached_by_tab_has_a_name_and_shows_its_focus(visit):
    page = visit("whole")
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const e = document.activeElement;
              if (e === document.body) return null;
              const label = e.labels && e.labels[0] ? e.labels[0].textContent : "";
              const name = e.getAttribute("aria-label") || label || e.textContent;
              const style = getComputedStyle(e);
              return { id: e.id, tag: e.tagName, name: name.trim(), outline: style.outlineStyle };
            }"""
        )
        if found is None:
            break
        reached.append(found)
    ids = [r["id"] for r in reached if r["id"]]
    expected = ["variable", "level", "member", "play", "lead", "place", "region", "score",
                "metric", "card-variable"]  # fmt: skip
    assert [i for i in ids if i in expected] == expected  # in the order of the page
    assert all(r["name"] for r in reached), [r for r in reached if not r["name"]]
    assert {r["outline"] for r in reached} <= {"solid", "auto"}
    assert sum(r["tag"] == "CANVAS" for r in reached) >= 6


def test_arrow_keys_on_a_map_move_the_point_of_the_plume(visit):
    page = visit("whole")
    before = page.inner_text("#plume-readout")
    assert before.startswith("Home (grid point 52.5° N, 15.0° E)")
    page.focus("#panel-mean canvas")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#plume-readout").startswith("67.5° N, 30.0° E")


def test_the_animation_runs_and_stops_by_keyboard(visit):
    page = visit("whole")
    page.focus("#play")
    page.keyboard.press("Enter")
    first = page.inner_text("#valid")
    for _ in range(100):
        if page.inner_text("#valid") != first:
            break
        page.wait_for_timeout(100)
    assert page.inner_text("#valid") != first
    page.keyboard.press("Enter")
    stopped = page.inner_text("#valid")
    page.wait_for_timeout(800)
    assert page.inner_text("#valid") == stopped


def test_a_clicked_place_and_its_plume(visit):
    page = visit("whole")
    box = page.locator("#panel-mean canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    text = page.inner_text("#plume-readout")
    assert "0.0° E" in text
    assert page.locator("#plume > svg path.line.member").count() == 3


def test_the_probability_follows_the_threshold(visit):
    page = visit("whole")
    page.evaluate("document.querySelector('.options').open = true")
    high = page.evaluate("Math.max(...Data.channel(0).ensemble) + 1")
    page.fill("#threshold", str(high))
    page.keyboard.press("Tab")
    assert page.evaluate("Math.max(...Data.channel(0).probability)") == 0
    page.select_option("#direction", "below")
    assert page.evaluate("Math.min(...Data.channel(0).probability)") == 100
    assert "Probability of <" in page.inner_text("#panel-probability strong")


def test_projections_are_inverses_and_hold_known_places(visit):
    page = visit("whole")
    found = page.evaluate(
        """() => Object.fromEntries(Object.entries(Maps.projections).map(([name, p]) => {
          let worst = 0;
          for (let east = -170; east <= 170; east += 17) {
            for (let latitude = -85; latitude <= 85; latitude += 10) {
              const sign = { north: 1, south: -1 }[name];
              if (sign && sign * latitude < 22) continue;
              const back = p.inverse(...p.forward(east, latitude));
              worst = Math.max(worst, Math.abs(back[0] - east), Math.abs(back[1] - latitude));
            }
          }
          return [name, { worst, aspect: p.aspect, edge: p.inverse(0.001, 0.001) }];
        }))"""
    )
    assert set(found) == {"equal-earth", "robinson", "plate-carree", "north", "south"}
    for name, what in found.items():
        assert what["worst"] < 1e-4, name
        assert (what["edge"] is None) == (name != "plate-carree")
    assert found["plate-carree"]["aspect"] == pytest.approx(2)
    # Robinson's table at 40 degrees: 0.9427 of the equator's length falls to 35 degrees
    place = page.evaluate("Maps.projections.robinson.forward(90, 35)")
    assert place == pytest.approx([0.5 + 0.25 * 0.9427, 0.5 - 0.434 / 2])
    # stereographic: tan(colatitude / 2), 90 degrees east of the centre to the right
    place = page.evaluate("Maps.projections.north.forward(90, 60)")
    radius = np.tan(np.deg2rad(15)) / np.tan(np.deg2rad(35)) / 2
    assert place == pytest.approx([0.5 + radius, 0.5])
    # equal areas: a cell at 60 degrees is half as large as one at the equator
    areas = page.evaluate(
        """[0, 60].map((latitude) => {
          const f = Maps.projections["equal-earth"].forward;
          const [[a], [b]] = [f(0, latitude), f(1, latitude)];
          const [[, s], [, n]] = [f(0, latitude - 0.5), f(0, latitude + 0.5)];
          return (b - a) * (s - n);
        })"""
    )
    assert areas[1] / areas[0] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("projection", ["robinson", "plate-carree", "north", "south"])
def test_another_projection_draws_another_map(visit, projection):
    page = visit("whole")
    page.evaluate("document.querySelector('.options').open = true")
    before = picture(page, "mean")
    page.select_option("#projection", projection)
    assert picture(page, "mean") != before
    assert page.complaints == []


def test_a_region_fills_its_map(visit):
    page = visit("region")
    assert page.input_value("#projection") == "region"
    filled = page.evaluate(
        """() => {
          const c = document.querySelector("#panel-mean canvas");
          const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
          let n = 0;
          for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
          return n / (d.length / 4);
        }"""
    )
    assert filled > 0.99
    places = page.locator("#place option").all_inner_texts()
    assert "Berlin" in places
    assert "Tokyo" not in places


def test_the_evaluation_is_drawn(visit):
    page = visit("whole")
    assert page.locator("#skill path.band").count() >= 4
    assert page.locator("#ranks rect.bars").count() == 4
    assert "evaluation" in page.inner_text("#rank-hint")
    assert page.locator("#spectra path.line").count() >= 2
    page.select_option("#event", "warm")
    assert page.locator("#reliability circle").count() == 4
    before = page.inner_html("#ranks")
    assert page.input_value("#region") == "global"
    assert page.locator("#region option").all_inner_texts() == [
        "global", "\N{MINUS SIGN}30°, 60°, \N{MINUS SIGN}20°, 40°", "tropics",
    ]  # fmt: skip
    page.select_option("#region", "tropics")
    assert page.inner_html("#ranks") == before  # the made-up counts are the same in both
    page.select_option("#score", "bias")
    assert "Bias of the mean" in page.inner_text("#score-lines")


def test_a_line_by_time_does_not_run_through_the_score_of_all_times(visit):
    page = visit("pairs")
    path = page.locator("#score-lines path.line.mean").first.get_attribute("d")
    points = [[float(x) for x in point.split()] for point in re.split("[ML]", path)[1:]]
    across, down = zip(*points, strict=True)
    assert len(points) == 4
    np.testing.assert_allclose(np.diff(across), across[1] - across[0], atol=0.2)
    np.testing.assert_allclose(np.diff(down), down[1] - down[0], atol=0.2)  # 1.2, 1.0, 0.8, 0.6


def test_heights_in_metres_are_called_heights(visit):
    page = visit("whole")
    names = page.locator("#variable option").all_inner_texts()
    assert "Geopotential height" in names
    assert "Geopotential" not in names
    assert "Geopotential height at 500 hPa (m)" in page.inner_text("#plume")
    assert "Power (m²)" in page.inner_text("#spectra")
    heads = page.locator("#scorecard tbody th").all_inner_texts()
    assert "geopotential height 500 hPa" in heads
    heads = visit("plain").locator("#scorecard tbody th").all_inner_texts()
    assert "geopotential height 500 hPa (m)" in heads


def test_the_scorecard_marks_changes_against_the_other_run(visit):
    page = visit("whole")
    cells = page.locator("#scorecard tbody td").all_inner_texts()
    assert cells
    assert all(text.startswith("▼ 9.09 %") for text in cells)  # 1 / 1.1 - 1
    assert page.locator("#scorecard td.significant").count() == 0  # a single date
    page.select_option("#metric", "ssr")
    assert page.locator("#scorecard tbody td").first.inner_text() == "0.900"
