import pytest

from appa_core.errors import InputError
from tasks.allowed import require_allowed_operator

RUN = {"PREFECT__FLOW_RUN_ID": "0"}


@pytest.mark.parametrize(
    "environment",
    [{}, RUN | {"APPA_OPERATORS": "a.b, mine"}, {"APPA_OPERATORS": "mine"}],
)
def test_allowed(environment):
    require_allowed_operator("mine:f", environment)


@pytest.mark.parametrize(
    "environment",
    [RUN, RUN | {"APPA_OPERATORS": ""}, {"APPA_OPERATORS": "mine.too,min"}],
)
def test_not_allowed(environment):
    require_allowed_operator("", environment)
    with pytest.raises(InputError, match="is not allowed here; APPA_OPERATORS"):
        require_allowed_operator("mine:f", environment)
