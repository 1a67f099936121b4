"""A browser without a network, and pages to open in it."""

import os
import shutil
from dataclasses import replace

import pytest

from appa_core.io.ensembles import OpenResult
from appa_core.report.content import Place
from appa_core.report.page import render_forecast_report
from appa_core.steps.page_fields import Extent, field_blocks
from appa_core.steps.publish import page_content
from appa_core.steps.result_report import Known, PageOrder, report_content
from tests.finished import write_evaluation, write_result


@pytest.fixture(scope="session")
def browser():
    """Chromium, as it is installed on this machine (CHROMIUM names another); none is fetched."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser`")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Files of pages: of a global result with truth and evaluation, of a region, of pairs."""
    base = tmp_path_factory.mktemp("pages")
    result = OpenResult.of(write_result(base / "whole"))
    write_evaluation(result.folder)
    beside = OpenResult.of(write_result(base / "other", seed=1))
    extent = Extent.of(result.fields, 10**7)
    truth = {c: beside.fields.read(c)[0] for c in extent.channels}
    climatology = {c: 0 * truth[c] + truth[c].mean(0) for c in extent.channels}
    content = report_content(result, PageOrder((Place("Home", 48.0, 11.0),)), Known(), beside)
    known = page_content(
        result.fields,
        extent,
        field_blocks(result.fields, extent, truth, climatology),
        score_rows=content.score_rows,
        evaluation=content.evaluation,
        comparison=content.comparison,
        places=content.places,
        tables=content.tables,
        provenance=content.provenance,
    )
    region = OpenResult.of(
        write_result(base / "region", rows=[8, 9, 10], columns=[0, 1, 2, 22, 23])
    )
    pairs = OpenResult.of(write_result(base / "pairs", kind="reanalysis", members=6, paired=True))
    pairs_content = report_content(pairs, PageOrder(), Known(), None)
    with_truth = field_blocks(pairs.fields, extent, truth, paired=pairs.result.paired)
    evaluation = replace(pairs_content.evaluation, scores=scores_of_an_analysis())
    made = {
        "pairs": render_forecast_report(
            replace(pairs_content, fields=with_truth, evaluation=evaluation)
        ),
        "whole": render_forecast_report(known),
        "plain": render_forecast_report(report_content(beside, PageOrder(), Known(), None)),
        "region": render_forecast_report(report_content(region, PageOrder(), Known(), None)),
    }
    files = {}
    for name, text in made.items():
        files[name] = base / f"{name}.html"
        files[name].write_text(text, "utf-8")
    return files


def scores_of_an_analysis():
    """A score of one field by time and, as evaluations of analyses have it, of all together."""
    one = {"forecast": "ensemble", "score": "ssr", "variable": "geopotential", "level": 500,
           "region": "global", "season": "all", "low": None, "high": None}  # fmt: skip
    values = {None: 0.9, 0: 1.2, 6: 1.0, 12: 0.8, 18: 0.6}
    return [one | {"lead_hours": lead, "value": value} for lead, value in values.items()]


@pytest.fixture
def visit(browser, pages):
    """Open a page offline; what the console says, and requests beyond the file, are kept."""
    contexts = []

    def call(name, size=(1280, 900), scheme="light"):
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.requested = []
        page.on("console", lambda m: m.type != "log" and page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(pages[name].as_uri())
        # its policy forbids functions of text, which Playwright would wait for
        page.wait_for_selector("html[data-shown]", state="attached")
        return page

    yield call
    for context in contexts:
        context.close()
