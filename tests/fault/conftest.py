"""What tests of disturbed trainings compare with."""

import pytest

from tests.training_runs import Run


@pytest.fixture(scope="session")
def undisturbed(tiny_world, tmp_path_factory):
    """Digest of the weights and curve of a training of two processes that nothing disturbs."""
    return Run(tiny_world, tmp_path_factory.mktemp("calm")).finish()[0]
