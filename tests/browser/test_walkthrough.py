"""The walk-through of docs/operations.md: deploy, run from the form, wait, see the map.

`APPA_SCREENSHOTS=FOLDER` keeps what was seen.
"""

import os
import re
from pathlib import Path

import pytest

from tests.walkthrough import Site

pytestmark = pytest.mark.browser
_MINUTE = 60_000


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
    page.set_default_timeout(2 * _MINUTE)
    yield page
    page.close()


def keep(page, name):
    """A picture for the documentation, if it is asked for."""
    if folder := os.environ.get("APPA_SCREENSHOTS"):
        page.wait_for_timeout(1500)  # pages fade in
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_a_forecast_from_the_form(page, tmp_path):
    with Site(tmp_path) as site:
        assert "forecast-job/forecast" in site.deploy()
        site.work()
        page.goto(f"{site.url}/deployments")
        page.get_by_role("link", name="forecast", exact=True).first.wait_for()
        keep(page, "ui-deployments")
        page.get_by_role("link", name="forecast", exact=True).first.click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run").click()
        for label, value in (("lead_hours", "24"), ("members", "2")):
            # labels of Prefect's forms name no field; it is below
            field = page.locator("label", has_text=re.compile(f"^{label}")).locator("xpath=../..")
            field.locator("input").fill(value)
        keep(page, "ui-form")
        page.get_by_role("button", name="Submit").click()

        def runs():
            return [
                run for run in site.post("flow_runs/filter") if run["deployment_id"] is not None
            ]

        site.wait(lambda: bool(runs()))
        (run,) = runs()
        assert run["parameters"]["members"] == 2
        page.goto(f"{site.url}/runs/flow-run/{run['id']}")
        site.wait(lambda: runs()[0]["state_type"] in {"RUNNING", "COMPLETED", "FAILED"})
        keep(page, "ui-running")
        site.wait(lambda: runs()[0]["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}, 1800)
        assert runs()[0]["state_type"] == "COMPLETED", runs()[0]["state"]["message"]
        shown = {a["key"]: a["id"] for a in site.post("artifacts/filter")}
        page.goto(f"{site.url}/artifacts/artifact/{shown['forecast-from-2024-01-01t00']}")
        image = page.get_by_alt_text(re.compile("^Maps of "))
        image.wait_for()
        assert image.evaluate("image => image.naturalWidth") >= 800
        keep(page, "ui-artifact")
        (output,) = (tmp_path / "results").glob("forecast-2024-01-01T00-*")
        page.goto(f"{site.url}/artifacts/artifact/{shown['files-of-forecast']}")
        page.get_by_text(str(output / "report.html")).wait_for()
        assert (output / "report.html").is_file()
        assert (output / "forecast.zarr").is_dir()
