"""ERA5 as the Climate Data Store codes it in GRIB, from request to states."""

import os
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from appa_core.io.cds import CdsSource
from appa_core.io.grib import count_messages
from appa_core.io.sources import open_source
from appa_core.schema import Grid, StateSchema
from appa_core.steps.ingest import IngestJob, ingest_unit, plan_ingest

eccodes = pytest.importorskip("eccodes")
pytest.importorskip("cfgrib")

SHORT = {"temperature": "t", "2m_temperature": "2t", "total_precipitation": "tp"}
SHAPE = (7, 12)
WAVE = np.tile([0.9, 1.0, 1.1], (7, 4))
GRID = Grid(tuple(np.linspace(-90, 90, 7)), tuple(np.arange(12) * 30.0))
SCHEMA = StateSchema.build(
    ("2m_temperature", "total_precipitation_6hr"), ("temperature",), (500, 850), GRID, 6
)


def value_at(variable, level, time):
    hours = (time - pd.Timestamp("2020-01-01")) / pd.Timedelta(hours=1)
    if variable == "total_precipitation":
        return 2.0**-14 * (1 + hours % 64)
    return 250.0 + hours % 32 + (float(level) / 100 if level else 0.0)


def base_of(variable, time):
    """Analyses are of their own time; rain is of the last forecast from 06 or 18 UTC."""
    if variable != "total_precipitation":
        return time, 0
    start = (time - pd.Timedelta(hours=7)).floor("12h") + pd.Timedelta(hours=6)
    return start, int((time - start) / pd.Timedelta(hours=1))


def write_message(handle, variable, level, time, version="0001"):
    sample = "regular_ll_pl_grib1" if level else "regular_ll_sfc_grib1"
    grib = eccodes.codes_grib_new_from_samples(sample)
    start, step = base_of(variable, time)
    settings = {
        "Ni": SHAPE[1],
        "Nj": SHAPE[0],
        "latitudeOfFirstGridPointInDegrees": 90.0,
        "latitudeOfLastGridPointInDegrees": -90.0,
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 330.0,
        "iDirectionIncrementInDegrees": 30.0,
        "jDirectionIncrementInDegrees": 30.0,
        "centre": "ecmf",
        "setLocalDefinition": 1,
        "localDefinitionNumber": 1,
        "experimentVersionNumber": version,
        "dataDate": int(f"{start:%Y%m%d}"),
        "dataTime": start.hour * 100,
        "shortName": SHORT[variable],
        "bitsPerValue": 24,
    }
    if level:
        settings["level"] = int(level)
    if step:
        settings |= {"stepType": "accum", "startStep": step - 1, "endStep": step}
    for key, value in settings.items():
        eccodes.codes_set(grib, key, value)
    eccodes.codes_set_values(grib, (WAVE * value_at(variable, level, time)).ravel())
    eccodes.codes_write(grib, handle)
    eccodes.codes_release(grib)


class GribClient:
    """Delivers what is asked for; states from `preliminary` on are ERA5T's."""

    def __init__(self, preliminary="2100-01-01"):
        self.preliminary = pd.Timestamp(preliminary)
        self.requests = []

    def retrieve(self, _, request, target):
        self.requests.append(request)
        with Path(target).open("wb") as handle:
            for day, hour in product(request["day"], request["time"]):
                time = pd.Timestamp(f"{request['year'][0]}-{request['month'][0]}-{day}T{hour}")
                for variable in request["variable"]:
                    for level in request.get("pressure_level", [""]):
                        version = "0005" if time >= self.preliminary else "0001"
                        write_message(handle, variable, level, time, version)


@pytest.mark.parametrize("split", ["month", "day"])
def test_states_of_two_months(tmp_path, split):
    """Files meet in a sum of rain, and between the steps of a forecast."""
    times = pd.date_range("2020-01-31T18", "2020-02-01T12", freq="6h")
    source = CdsSource("era5-cds", split=split)
    spec = source.fetch(SCHEMA, times, tmp_path, GribClient())
    assert (spec.name, spec.format, len(spec.urls)) == ("era5-cds", "grib", 6)
    assert sum(count_messages(tmp_path / url) for url in spec.urls) == 2 * 4 * 3 + 48
    with open_source(spec) as reader:
        states = reader.read(SCHEMA, times)
    for row, time in enumerate(times):
        rain = sum(
            value_at("total_precipitation", "", time - pd.Timedelta(hours=k)) for k in range(6)
        )
        found = states.isel(time=row)
        expected = {
            "total_precipitation_6hr": rain,
            "2m_temperature": value_at("2m_temperature", "", time),
            500: value_at("temperature", 500, time),
            850: value_at("temperature", 850, time),
        }
        for name, mean in expected.items():
            field = found["temperature"].sel(level=name) if isinstance(name, int) else found[name]
            np.testing.assert_allclose(field, mean * WAVE, rtol=1e-5)


def test_a_source_keeps_its_identity_from_period_to_period(tmp_path):
    times = pd.DatetimeIndex(["2020-02-01"])
    schema = StateSchema.build(("2m_temperature",), (), (), GRID, 6)
    specs = [
        CdsSource("era5-cds").fetch(schema, times, tmp_path / name, GribClient())
        for name in ("a", "b")
    ]
    assert specs[0].fingerprint == specs[1].fingerprint
    with open_source(specs[0]) as reader:
        assert reader.fingerprint(schema, times) == specs[0].fingerprint
    later = CdsSource("era5-cds").fetch(
        schema, times + pd.Timedelta(days=1), tmp_path / "a", GribClient()
    )
    assert later.urls != specs[0].urls
    assert later.fingerprint == specs[0].fingerprint  # or appending would read all again
    land = CdsSource("land", surface="reanalysis-era5-land")
    assert land.fetch(schema, times, tmp_path / "c", GribClient()).fingerprint != later.fingerprint


SURFACE = StateSchema.build(("2m_temperature", "total_precipitation_6hr"), (), (), GRID, 6)


def test_preliminary_states_are_known_by_their_experiment_version(tmp_path):
    """A file may hold both; the hours of its rain become final before or after the rest."""
    times = pd.date_range("2020-01-30", "2020-02-01T18", freq="6h")
    client = GribClient("2020-01-31T12")
    spec = CdsSource("era5-cds").fetch(SURFACE, times, tmp_path, client)
    with open_source(spec) as reader:
        assert reader.final_until == pd.Timestamp("2020-01-31T11:59:59")
        assert list(reader.available(SURFACE)) == list(times)
    spec = CdsSource("era5-cds").fetch(SURFACE, times, tmp_path / "final", GribClient())
    with open_source(spec) as reader:
        assert reader.final_until is None


def fetched_on(path, day):
    seconds = pd.Timestamp(day).timestamp()
    for file in path.rglob("*.grib"):
        os.utime(file, (seconds, seconds))


def test_preliminary_states_are_fetched_again_when_final_ones_are_due(tmp_path, monkeypatch):
    """Two months after the end of their month, and at most once a day."""
    cache, times = tmp_path / "cds", pd.date_range("2020-01-30", periods=8, freq="6h")
    source, schema = CdsSource("era5-cds"), StateSchema.build(("2m_temperature",), (), (), GRID, 6)

    def ingest(today, client):
        monkeypatch.setattr("appa_core.io.cds.time.time", pd.Timestamp(today).timestamp)
        job = IngestJob(
            str(tmp_path / "store"), source.fetch(schema, times, cache, client), schema, 4
        )
        units = plan_ingest(job, times[0], times[-1] + pd.Timedelta("6h"))
        for unit in units:
            ingest_unit(unit)
        fetched_on(cache, today) if client.requests else None
        return [u.reason for u in units], [r.preliminary for r in job.cube().records()]

    early, late = GribClient("2020-01-31"), GribClient()
    assert ingest("2020-02-06", early) == (["new", "new"], [False, True])
    assert ingest("2020-03-01", late) == ([], [False, True])
    assert not late.requests
    # it is time, but the CDS is not ready yet
    again = GribClient("2020-01-31")
    assert ingest("2020-04-02", again) == ([], [False, True])
    assert len(again.requests) == 1
    assert ingest("2020-04-02T12:00", late) == ([], [False, True])
    assert not late.requests
    assert ingest("2020-04-03T01:00", late) == (["final"], [False, False])
    assert len(late.requests) == 1
    assert ingest("2020-04-09", late) == ([], [False, False])
    assert len(late.requests) == 1
