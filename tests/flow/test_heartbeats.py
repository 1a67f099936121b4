"""The rule that marks runs as crashed which have fallen silent."""

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.testing.utilities import prefect_test_harness

from tasks.watching.heartbeats import NAME, register_silent_runs, silent_runs


def test_a_heartbeat_must_be_followed_by_another_or_by_an_end():
    rule = silent_runs(90)
    trigger = rule.trigger
    assert rule.name == NAME
    assert trigger.posture.value == "Proactive"
    assert trigger.after == {"prefect.flow-run.heartbeat"}
    assert trigger.after < trigger.expect
    assert {f"prefect.flow-run.{s}" for s in ("Completed", "Failed", "Crashed")} < trigger.expect
    assert trigger.within == timedelta(seconds=90)
    # each run by itself
    assert trigger.for_each == {"prefect.resource.id"}
    assert trigger.match.matches({"prefect.resource.id": "prefect.flow-run.1"})
    assert not trigger.match.matches({"prefect.resource.id": "prefect.task-run.1"})
    (action,) = rule.actions
    assert action.state == StateType.CRASHED


def test_a_server_has_the_rule_once_however_often_it_is_registered():
    with prefect_test_harness(server_startup_timeout=120):
        for seconds in (120, 240):
            register_silent_runs(seconds)
        with get_client(sync_client=True) as client:
            (rule,) = client.read_automations_by_name(NAME)
    assert rule.trigger.within == timedelta(seconds=240)
    assert rule.enabled
