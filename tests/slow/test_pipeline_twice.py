"""The whole chain as a user runs it: in minutes, and the second time in seconds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(folder):
    """What the command printed, as made steps, all steps, seconds."""
    command = ["-m", "flows.pipeline", "--preset", "tiny", "--store", str(folder / "store")]
    command += ["--register", str(folder / "model"), "--output", str(folder / "out")]
    done = subprocess.run(
        [sys.executable, *command, "--logs", str(folder / "logs")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, reused = re.search(r"steps +(\d+) made, (\d+) reused", done.stdout).groups()
    seconds = re.search(r"took +([\d.]+) s, after [\d.]+ s for the server", done.stdout)[1]
    digest = re.search(r"digest +(\w+)", done.stdout)[1]
    return int(made), int(reused), float(seconds), digest


@pytest.mark.slow
def test_the_second_run_makes_nothing(tmp_path):
    """On two cores that do nothing else: below 5 minutes, and below 20 s."""
    made, reused, seconds, digest = run(tmp_path)
    assert made > 10
    assert reused == 0
    assert seconds < 300
    again = run(tmp_path)
    assert again[:2] == (0, made)
    assert again[3] == digest
    assert again[2] < 20
