"""What the launcher sees of its processes: deaths, silence, warnings, requests to end."""

import contextlib

import psutil

from appa_core.errors import EXIT_STATUS, STOPPED_STATUS
from tests.training_runs import Run, assert_gone, descendants, kill_all, read_until, trainers


def test_the_death_of_a_process_ends_all_and_says_what_to_lower(tiny_world, tmp_path):
    """As when the system kills one for want of memory."""
    run = Run(tiny_world, tmp_path)
    run.order_also(run={"loader_workers": 1})  # readers must not outlive it either
    process = run.start()
    assert read_until(process, 6)
    all_of_them = [p.pid for p in descendants(process)]
    ranks, others = trainers(process)
    assert len(ranks) == 2
    assert len(others) >= 3  # the agent, and a reader for each
    ranks[1].kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == EXIT_STATUS
    assert "ended with status 1 without saying why" in err
    assert "lower --micro-batch first" in err
    assert "SIGKILL" in err  # the agent's last words
    assert_gone(all_of_them)
    assert run.checkpoint in {4, 8}  # it may have reached another before it died


def test_processes_that_fall_silent_are_killed(tiny_world, undisturbed, tmp_path):
    run = Run(tiny_world, tmp_path)
    run.order_also(stall_seconds=40)
    process = run.start()
    assert read_until(process, 6)
    all_of_them = [p.pid for p in descendants(process)]
    ranks, _ = trainers(process)
    ranks[0].suspend()
    _, err = process.communicate(timeout=180)
    assert process.returncode == EXIT_STATUS
    assert "no step for 40 s and was killed" in err
    assert_gone(all_of_them)
    run.order_also(stall_seconds=300)
    digest, first = run.finish()
    assert first <= 9
    assert digest == undisturbed


def test_a_damaged_checkpoint_is_reported_by_the_command(tiny_world, undisturbed, tmp_path):
    run = Run(tiny_world, tmp_path)
    process = run.start()
    assert read_until(process, 10)
    kill_all(process)
    last = run.checkpoint
    for path in (run.store / "train-autoencoder-checkpoint").rglob("checkpoint.safetensors"):
        manifest = (path.parents[1] / "manifest.json").read_text("utf-8")
        if f'"iteration": {last}' in manifest:
            path.write_bytes(path.read_bytes()[:-9])
    process = run.start()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert f"the checkpoint after {last} iterations is damaged" in err
    lines = out.split()
    assert int(lines[0]) == last - 4 + 1
    assert lines[-1] == undisturbed


def test_a_request_to_end_that_reaches_every_process(tiny_world, undisturbed, tmp_path):
    """As batch systems send it: nobody is killed before the checkpoint is written."""
    run = Run(tiny_world, tmp_path)
    process = run.start()
    assert read_until(process, 6)
    for each in [*descendants(process), psutil.Process(process.pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == STOPPED_STATUS, err
    reached = run.checkpoint
    assert reached >= max([6, *map(int, out.split())])
    digest, first = run.finish()
    assert first == reached + 1
    assert digest == undisturbed
