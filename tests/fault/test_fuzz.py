"""Fuzzed commands and files: an answer in words, never a traceback, never a partial output."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz_files import KINDS, command_files
from tests.fuzz_jobs import command_names, parser_of
from tests.fuzzing import STATUSES, command_lines, half_written, run

#: Together some 200 by default, and 1000 of the slow ones.
COUNT = [5, pytest.param(26, marks=pytest.mark.slow)]
QUIET = {"suppress_health_check": list(HealthCheck), "database": None}


def assert_answered(outcome, folder, world):
    assert not outcome.trace, str(outcome)
    assert outcome.status in STATUSES, str(outcome)
    assert "Traceback" not in outcome.err + outcome.out, str(outcome)
    if outcome.status == 2:
        assert outcome.err.strip(), str(outcome)
    assert not half_written(folder) + half_written(world.store), str(outcome)


@pytest.mark.parametrize("count", COUNT)
@pytest.mark.parametrize("name", command_names())
def test_command_lines(name, count, fuzz_world, cheaply, tmp_path):
    numbers = itertools.count()
    parser_of(name)  # imports it, which draws random numbers

    @settings(max_examples=count, **QUIET)
    @given(st.data())
    def check(data):
        argv = data.draw(command_lines(name, fuzz_world))
        folder = tmp_path / f"{next(numbers)}/a/b/c"
        assert_answered(run(name, argv, folder), folder, fuzz_world)

    check()


@pytest.mark.parametrize("count", COUNT)
@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, count, fuzz_world, cheaply, tmp_path):
    numbers = itertools.count()

    @settings(max_examples=count, **QUIET)
    @given(st.data())
    def check(data):
        number = next(numbers)
        name, *argv = data.draw(command_files(kind, fuzz_world, tmp_path / f"{number}files"))
        folder = tmp_path / f"{number}/a/b/c"
        assert_answered(run(name, argv, folder), folder, fuzz_world)

    check()
