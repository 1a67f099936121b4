"""A Prefect server that is away for a minute is waited for; one that is not there is named."""

import subprocess
import sys
import time

import pytest

from tests.from_observations import contents
from tests.walkthrough import Site, free_port

AWAY_SECONDS = 60


def command(tiny_world, folder):
    return [
        sys.executable, "-m", "flows.forecast", "--start", "2012-02-10", "--lead-hours", "72",
        "--members", "10", "--model", str(tiny_world.model), "--source", str(tiny_world.sample),
        "--store", str(folder / "store"), "--output", str(folder / "out"),
    ]  # fmt: skip


def start(tiny_world, folder, environment):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        command(tiny_world, folder), env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_server_that_is_away_for_a_minute_is_waited_for(tiny_world, tmp_path):
    with Site(tmp_path / "site") as site:
        calm = start(tiny_world, tmp_path / "calm", site.environment)
        _, said = calm.communicate(timeout=600)
        assert calm.returncode == 0, said
        process = start(tiny_world, tmp_path / "a", site.environment)
        site.wait(lambda: any(tmp_path.glob("a/store/forecast-blanket/*/manifest.json")))
        site.leave()
        assert process.poll() is None, "it ended before the server went away"
        time.sleep(AWAY_SECONDS)
        assert process.poll() is None, "it ended while the server was away"
        site.serve()
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    assert contents(tmp_path / "a" / "out") == contents(tmp_path / "calm" / "out")


def test_a_server_that_is_not_there_is_named(tiny_world, tmp_path):
    url = f"http://127.0.0.1:{free_port()}/api"
    environment = Site(tmp_path).environment | {
        "PREFECT_API_URL": url,
        "PREFECT_CLIENT_MAX_RETRIES": "0",
    }
    process = start(tiny_world, tmp_path, environment)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert f"error: the Prefect server ({url}) does not answer" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
