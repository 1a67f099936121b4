"""Runs that stop without a word: a rule of Prefect's server that marks them as crashed.

A flow whose process is killed stays `Running` for ever. With `PREFECT_FLOWS_HEARTBEAT_FREQUENCY`
set where flows run, each tells the server that it lives; the rule waits for that.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from appa_core.errors import InputError, ResourceError

NAME = "appa: runs that fell silent"
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = tuple(
    f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")
)


def silent_runs(within_seconds: float = 120.0) -> AutomationCore:
    """The rule: a run that has told that it lives, and then nothing for so long, has crashed.

    Args:
        within_seconds: Three heartbeats or more, so that one may be lost.
    """
    return AutomationCore(
        name=NAME,
        description="Marks runs as crashed whose process has ended without saying so.",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_ENDS},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=within_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="No heartbeat: its process has ended."
            )
        ],
    )


def register_silent_runs(within_seconds: float = 120.0) -> None:
    """Make the rule known to the server in use, in place of an earlier one.

    Raises:
        InputError: No server is set; an embedded one would forget the rule.
        ResourceError: The server does not take it.
    """
    if get_current_settings().api.url is None:
        raise InputError(
            "no Prefect server is set to register the rule on; start one (prefect server start) "
            "and set PREFECT_API_URL"
        )
    rule = silent_runs(within_seconds)
    try:
        with get_client(sync_client=True) as client:
            for old in client.read_automations_by_name(NAME):
                client.delete_automation(old.id)
            client.create_automation(rule)
    except PrefectHTTPStatusError as error:
        raise ResourceError(f"the server does not take the rule {NAME!r}: {error}") from error
