"""Reading and controlling observations by command: numbers, reasons, a table."""

import typing

import pytest
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import InputError
from appa_core.io.readers.reading import AUTO, READERS, read_observations
from flows.observations import _main, _parse
from tasks.catalog import resolve_observations
from tasks.catalog_format import About
from tasks.listing import list_entries
from tests.observed import table
from tests.report_files import isd_line, metar

ISD = [
    isd_line(when="200508260000"),
    isd_line(when="200508260000"),
    isd_line(when="200508270000", quality="3"),
    "0000damaged",
]


@pytest.fixture(scope="module", autouse=True)
def prefect():
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def reports(tmp_path):
    path = tmp_path / "reports"
    path.mkdir()
    (path / "station.txt").write_text("\n".join(ISD) + "\n")
    return path


def run(*arguments):
    _main(_parse([str(a) for a in arguments]))


def test_numbers_reasons_and_a_table(reports, tmp_path, capsys):
    run(reports, "--output", tmp_path / "table.parquet")
    shown = capsys.readouterr().out
    counts = {line.rsplit(maxsplit=1)[0]: line.split()[-1] for line in shown.splitlines() if line}
    assert counts["duplicate"] == "7"
    assert counts["file: erroneous"] == "1"
    # one of seven rows gives way to the pressure at sea level, on both days
    assert counts["mean_sea_level_pressure is used instead"] == "2"
    assert "record that is not of the documented length or layout" in shown
    assert "left out  climatological-range, background-departure" in shown
    written = read_observations(str(tmp_path / "table.parquet"))
    assert f"rows      {len(written)}, {len(written.used)} of them used" in shown
    assert set(written.frame["rejected"]) >= {"", "duplicate", "file: erroneous"}


def test_a_period(reports, capsys):
    run(reports, "--start", "2005-08-26T12", "--end", "2005-08-28")
    assert "rows      7, 5 of them used" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no observation from 2024-01-01T00:00 .* hold"):
        run(reports, "--start", "2024-01-01")
    with pytest.raises(InputError, match="lies before --start"):
        run(reports, "--start", "2005-08-27", "--end", "2005-08-26")


def test_a_model_tells_unusual_values(reports, tiny_world, capsys):
    run(reports, "--model", tiny_world.model)
    assert "left out  background-departure:" in capsys.readouterr().out


def test_an_entry_of_the_catalog(tmp_path, capsys):
    path = tmp_path / "a.nc"
    path.write_bytes(metar())
    run("madis", "--set", f"location={path}")
    assert "metar" in capsys.readouterr().out
    with pytest.raises(InputError, match="source madis needs the parameter location"):
        run("madis")
    with pytest.raises(InputError, match="source madis has no parameter 'place'"):
        run("madis", "--set", "place=here")


def test_a_table_with_nothing_left(tmp_path, capsys):
    rows = table({"value": 999.0}, {"value": 998.0}).frame
    rows.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="not plausible"):
        run(tmp_path / "a.csv")
    table({"value": 250.0}, {"value": 260.0}).frame.to_csv(tmp_path / "a.csv", index=False)
    control = tmp_path / "strict.yaml"
    control.write_text("checks: [{kind: physical-range, limits: {2m_temperature: [270, 300]}}]")
    with pytest.raises(InputError, match="no observation is left after control"):
        run(tmp_path / "a.csv", "--control", control)
    assert "physical range" in capsys.readouterr().out


def test_names_that_stand_for_nothing():
    with pytest.raises(InputError, match=r"unknown observations 'reprots'; .* has: madis, synop-"):
        run("reprots")
    with pytest.raises(
        InputError, match="igra-stations holds no observations: Radiosonde stations"
    ):
        run("igra-stations")
    with pytest.raises(InputError, match="unknown control 'strict'"):
        run(".", "--control", "strict")


def test_entries_of_archives_are_urls_of_a_station():
    source = resolve_observations("isd-hourly", {"station": "725200-94823", "year": "2024"})
    assert source.location == "https://www.ncei.noaa.gov/pub/data/noaa/2024/725200-94823-2024.gz"
    assert source.file_format == "isd"
    source = resolve_observations("ghcn-hourly", {"station": "USW00094823", "year": "2024"})
    assert source.location.endswith("/hourly/access/by-year/2024/psv/GHCNh_USW00094823_2024.psv")
    source = resolve_observations("igra-soundings", {"station": "USM00072520"})
    assert source.location.endswith("/igra/data/data-por/USM00072520-data.txt.zip")
    listed = {row.name: row for row in list_entries() if row.catalog == "observations"}
    assert listed["isd-hourly"].about.reports == "isd"


def test_files_may_say_their_format(tmp_path):
    source = resolve_observations(str(tmp_path), {"format": "csv", "storage.anon": "true"})
    assert (source.file_format, source.storage_options) == ("csv", (("anon", True),))


def test_catalogs_know_the_formats_that_are_read():
    assert set(typing.get_args(About.model_fields["reports"].annotation)) == {"", AUTO, *READERS}
