"""Fixtures and settings of all tests."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

pytest_plugins = ["tests.world", "tests.fuzzing", "tests.results"]

settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
# networks are tiny here: on a busy machine more threads mostly wait for each other
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data that do not ship: APPA_REFERENCE, else a folder beside the project."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("APPA_REFERENCE", root.parent / "shared"))
    if not (folder / "vectors").is_dir():
        pytest.skip("reference data are absent; set APPA_REFERENCE to their folder to run this")
    return folder
