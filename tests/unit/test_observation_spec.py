"""What --observations takes, and what it says of all else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appa_core.config.observing import (
    IGRA_LIST,
    ISD_LIST,
    PUBLIC_ELEMENTS,
    CatalogObservations,
    FileObservations,
    SimulatedNetwork,
    parse_observations,
    validated_observations,
)
from appa_core.errors import InputError

ENTRIES = ("madis", "synop-bufr")


def parse(text):
    return parse_observations(text, ENTRIES)


def test_a_simulated_network():
    network = parse("simulated:stations=0.01,orbiters=1")
    assert network == SimulatedNetwork(stations=0.01, orbiters=1)
    assert (network.station_error, network.sounding_error) == (0.01, 0.1)
    assert (network.altitude_km, network.inclination_deg, network.radius_deg) == (800, 75, 5)
    full = parse(
        "simulated:satellites=NOAA-20+METOP-B,elements=a.tle,view=swath,swath_km=2200,"
        "fields_of_view=9,"
        "radiosondes=0.01,igra=1,seed=3,error=2.5,withhold=0.1,like=a/b.parquet+c/*.nc"
    )
    assert full.satellites == ("NOAA-20", "METOP-B")
    assert (full.view, full.swath_km, full.seed, full.error) == ("swath", 2200.0, 3, 2.5)
    assert [t.location for t in full.templates] == ["a/b.parquet", "c/*.nc"]
    assert (full.isd_list, full.igra_list) == (ISD_LIST, IGRA_LIST)
    assert parse("simulated") == parse("simulated:") == SimulatedNetwork()


def test_entries_and_files():
    assert parse("madis") == CatalogObservations(name="madis")
    given = parse("synop-bufr:location=s3://bucket/a.bufr")
    assert given.parameters == {"location": "s3://bucket/a.bufr"}
    for text in ("a.parquet", "data/", "https://host:80/x.csv?a=b,c=d", "*.nc", "s3://b/madis"):
        assert parse(text) == FileObservations(location=text)


def test_a_folder_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    assert parse("reports") == FileObservations(location="reports")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simulated:station=0.01", r"no option station; do you mean stations\? Options: seed, st"),
        ("simulated:kind=file", "no option kind"),
        ("simulated:like=a.csv+", "like.1: .*at least 1 character"),
        ("simulated:stations=2", "stations: .*less than or equal to 1, got 2"),
        ("simulated:stations=many", "stations: .*valid number.*, got many"),
        ("simulated:orbiters=1.5", "orbiters: .*integer"),
        ("simulated:error=0", "error: .*greater than 0"),
        ("simulated:view=cone", "view: .*'disc' or 'swath', got cone"),
        (
            "simulated:stations",
            "expected options NAME=VALUE,NAME=VALUE, each once; found 'stations'",
        ),
        ("simulated:seed=1,seed=2", "each once; found 'seed=2'"),
        ("simulated:isd_list=https://host/a,b", "found 'b'; in a URL a comma is %2C"),
        ("simulated:isd_lists=a.csv", "no option isd_lists; do you mean isd_list"),
        ("simulated:elements=", "found 'elements='"),
        (
            "simulated:satellites=NOAA-20",
            r"elements: expected elements=PATH_OR_URL, .*https://celestrak\.org/[^,]*$",
        ),
        ("madis:location", "found 'location'"),
        ("madiz", r"unknown observations 'madiz'; .*catalog \(madis, synop-bufr\), or the path"),
        ("", "unknown observations ''"),
    ],
)
def test_what_it_cannot_be(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


def test_the_same_as_a_mapping():
    network = {"kind": "simulated", "stations": 0.5}
    assert validated_observations(network) == SimulatedNetwork(stations=0.5)
    assert validated_observations({"kind": "file", "location": "a.csv"}).location == "a.csv"
    with pytest.raises(InputError, match="found using 'kind'"):
        validated_observations({"kind": "guess"})
    with pytest.raises(InputError, match=r"file\.place: Extra inputs are not permitted"):
        validated_observations({"kind": "file", "location": "a", "place": 1})
    with pytest.raises(InputError, match=r"simulated\.elements: expected elements=PATH_OR_URL"):
        validated_observations({"kind": "simulated", "satellites": ["NOAA-20"]})
    with pytest.raises(InputError, match=r"simulated\.igra_list: .*at least 1 character"):
        validated_observations({"kind": "simulated", "igra_list": ""})


@pytest.mark.parametrize("option", ["isd_list", "igra_list", "elements", "like"])
@pytest.mark.parametrize(
    "location", [PUBLIC_ELEMENTS, "https://me:pw@host:8080/a%2Cb.csv?x=1&y=a:b=", "s3://b/c.csv"]
)
def test_locations_may_be_urls(option, location):
    network = parse(f"simulated:seed=3,{option}={location},isd=0.5")
    given = (location,) if option == "like" else location
    assert network == SimulatedNetwork(seed=3, isd=0.5, **{option: given})


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "stations": st.floats(0, 1),
        "orbiters": st.integers(0, 9),
        "seed": st.integers(0, 1 << 40),
        "error": st.floats(1e-3, 1e3),
        "view": st.sampled_from(["disc", "swath"]),
        "satellites": st.lists(st.sampled_from(["NOAA-19", "METOP-B"]), min_size=1).map(tuple),
        "isd_list": st.sampled_from(["a.csv", "https://host:1/a?b=c"]),
    },
)


@given(OPTIONS)
def test_options_come_back(options):
    parts = [f"{k}={'+'.join(v) if isinstance(v, tuple) else v}" for k, v in options.items()]
    text = ",".join([*parts, "elements=a.tle"])
    assert parse(f"simulated:{text}") == SimulatedNetwork(**options, elements="a.tle")


def test_keys_know_contents_of_files_and_not_their_names():
    paths = {"like": ("a.parquet",), "elements": "b.tle", "errors": "c.yaml"}
    paths |= {"isd_list": "d.csv", "igra_list": "e.txt"}
    assert SimulatedNetwork(**paths).hashed() == SimulatedNetwork().hashed()
    assert SimulatedNetwork(seed=1).hashed() != SimulatedNetwork().hashed()
