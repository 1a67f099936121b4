"""Deployments: one definition, what the server then holds, and the forms that it shows."""

import json
from pathlib import Path

import prefect
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from appa_core.errors import (
    AbsentError,
    DataError,
    InputError,
    ResourceError,
)
from flows.deploy import deploy, flow_of
from tasks.attempts import attempt, may_pass
from tasks.deployments import deployment_of, read_deployments, read_pool

ROOT = Path(__file__).resolve().parents[2]
DEFINED = ROOT / "infra" / "prefect.yaml"
NAMES = [
    "forecast", "reanalysis", "nightly-reanalysis", "nightly-ingest", "backfill", "training",
    "evaluation", "status",
]  # fmt: skip


@pytest.fixture(scope="module")
def registered():
    """What a server holds after `python -m flows.deploy`, twice."""
    with prefect_test_harness(server_startup_timeout=120):
        deploy(active=["nightly-ingest"])
        names = deploy(active=["nightly-ingest"])
        with get_client(sync_client=True) as client:
            found = {d.name: d for d in client.read_deployments()}
            yield names, found, client.read_work_pool("appa")


def test_all_are_registered_once(registered):
    names, found, pool = registered
    assert sorted(found) == sorted(NAMES)
    assert len(names) == len(NAMES)
    assert pool.type == "process"
    assert all(d.work_pool_name == "appa" for d in found.values())


def test_what_is_registered_is_what_is_defined(registered):
    found = registered[1]
    for entry in yaml.safe_load(DEFINED.read_text())["deployments"]:
        deployment = found[entry["name"]]
        assert deployment.entrypoint == entry["entrypoint"]
        assert deployment.tags == entry["tags"]
        assert deployment.description == entry["description"]
        assert deployment.global_concurrency_limit.limit == entry["concurrency_limit"]["limit"]
        strategy = deployment.concurrency_options.collision_strategy
        assert strategy == entry["concurrency_limit"]["collision_strategy"]
        schedules = [
            {"cron": s.schedule.cron, "timezone": s.schedule.timezone, "active": s.active}
            for s in deployment.schedules
        ]
        wanted = [
            s | {"active": entry["name"] == "nightly-ingest"} for s in entry.get("schedules", [])
        ]
        assert schedules == wanted


def test_every_form_is_plain_and_explained(registered):
    kinds = {"string", "integer", "number", "boolean", "array", "null"}
    for name, deployment in registered[1].items():
        for parameter, schema in deployment.parameter_openapi_schema["properties"].items():
            parts = schema.get("anyOf", [schema])
            assert {part["type"] for part in parts} <= kinds, (name, parameter)
            assert schema.get("description"), (name, parameter)
            assert "default" in schema, (name, parameter)
    form = registered[1]["backfill"].parameter_openapi_schema["properties"]
    assert form["late"]["enum"] == ["renew", "leave"]


def test_forms_take_what_flows_take():
    """Defaults of a form are those of the command line that it stands for."""
    flow = flow_of("flows.deployed.forecast_job")
    assert flow.validate_parameters({"start": "2024-01-02", "levels": [500]})
    with pytest.raises(prefect.exceptions.ParameterTypeError):
        flow.validate_parameters({"members": "many"})
    with pytest.raises(prefect.exceptions.ParameterTypeError):
        flow.validate_parameters({"method": "magic"})


@pytest.mark.parametrize("name", ["process", "docker", "kubernetes", "slurm"])
def test_pools_set_what_their_kind_knows(name):
    bundled = Path(prefect.__file__).parent / "server/api/collections_data/views"
    kinds = json.loads((bundled / "aggregate-worker-metadata.json").read_text())
    pool = read_pool(name)
    entry = read_deployments(DEFINED)[0]
    (worker,) = (
        worker
        for collection in kinds.values()
        for worker in collection.values()
        if worker["type"] == pool.type
    )
    known = worker["default_base_job_configuration"]["variables"]["properties"]
    flow = flow_of(entry.entrypoint)
    found = deployment_of(entry, flow, pool.job_variables).job_variables
    assert set(found) <= set(known)
    own, common = entry.work_pool.job_variables["env"], pool.job_variables.get("env", {})
    assert found == pool.job_variables | {"env": common | own}


def test_runs_are_told_what_operators_they_may_use_where_to_log_and_to_tell_that_they_live(
    registered,
):
    wanted = {
        "APPA_OPERATORS": "",
        "APPA_LOG": "json",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    found = {name: d.job_variables for name, d in registered[1].items()}
    assert found == {name: {"working_dir": ".", "env": wanted} for name in NAMES}


def defined(folder, **changes):
    """A file of deployments with one entry that is like the first, save for some keys."""
    entry = yaml.safe_load(DEFINED.read_text())["deployments"][0] | changes
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"deployments": [entry]}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entrypoint": 3}, r"entrypoint: Input should be a valid string"),
        ({"enforce": True}, r"enforce: Extra inputs are not permitted"),
        (
            {"schedules": [{"cron": "at noon", "timezone": "Etc/UTC"}]},
            "schedules.0.cron: .*at noon",
        ),
        (
            {"schedules": [{"cron": "0 0 * * *", "timezone": "Moon"}]},
            "schedules.0.timezone: .*Moon",
        ),
        ({"work_pool": {"name": "appa", "job_variables": {"env": [1]}}}, "expected names and"),
    ],
)
def test_entries_that_make_no_sense_register_nothing(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        deploy(defined(tmp_path, **changes))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_pool("moon"), "unknown pool 'moon'; there are docker, kubernetes"),
        (lambda: read_deployments("nowhere.yaml"), "cannot read deployments nowhere.yaml"),
        (lambda: flow_of("flows.deployed.nothing"), "entrypoint flows.deployed.nothing"),
        (lambda: flow_of("flows.cli.new_parser"), "is no flow"),
        (lambda: deploy(active=["nothing"]), "--activate nothing: there is no such deployment"),
    ],
)
def test_what_cannot_be_deployed_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_only_what_may_pass_is_tried_again():
    passing = [OSError("full"), ResourceError("no worker"), AbsentError("not yet"), KeyError("x")]
    lasting = [InputError("bad date"), DataError("no such field")]
    assert [may_pass(e) for e in passing + lasting] == [True] * 4 + [False] * 2
    assert attempt.retry_delay_seconds == [30, 60, 120]
