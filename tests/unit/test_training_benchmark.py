"""The figures of docs/training_speed.md: operations, the machine's peak, ratios."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import Probe, _rate, peak_flops, probes, table_row
from tests.lessons import ReversingLesson


def test_probes_count_the_operations_that_they_do():
    found = probes(torch.float32, size=48, channels=12, rows=10)
    for probe in found:
        with FlopCounterMode(display=False) as counter:
            probe.call()
        assert counter.get_total_flops() == probe.operations
    assert [probe.operations for probe in found] == [2 * 48**3, 2 * 4 * 8 * 16 * 12 * 12 * 9]


def test_the_peak_is_that_of_the_fastest_at_its_best():
    """A slow kernel, or a slow moment of a fast one, does not lower it."""
    naps = iter([0.05, 0.01, 0.03])
    fast = Probe("fast", 1000, lambda: time.sleep(next(naps)))
    slow = Probe("slow", 1000, lambda: time.sleep(0.04))
    peak = peak_flops([slow, fast], repeats=3)
    assert 1000 / 0.02 < peak <= 1000 / 0.01


def test_a_row_by_hand():
    """Of 1000 operations a second, 4 samples of 50 are 20 %."""
    pairs = [[5.0, 4.0], [4.0, 4.0], [10.0, 9.0]]
    row = table_row("demo", "bfloat16", pairs, operations=50, peak=1000.0)
    assert row == "| demo | bfloat16 | 5.0 | 4.0 | 0.90 (0.80, 1.00) | 25% | 20% |"


def test_rates_leave_the_first_iterations_out():
    class Job:
        lesson = ReversingLesson(batch_size=16)

    times = [0.0, 50.0, 60.0, 70.0, 72.0, 74.0]
    assert _rate(Job(), times) == pytest.approx(16 / 2)
