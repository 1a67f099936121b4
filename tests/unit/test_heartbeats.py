"""The rule that marks runs as crashed which have fallen silent."""

from datetime import timedelta

from prefect.client.schemas.objects import StateType

from tasks.watching.heartbeats import NAME, silent_runs


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
