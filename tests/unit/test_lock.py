import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path

import fsspec
import pytest

from appa_core.errors import InputError
from appa_core.io import lock
from appa_core.io.lock import LOCK, Owner, StoreLock

HOLD = """
import sys, time
from appa_core.io.lock import StoreLock
with StoreLock(sys.argv[1], command="holder"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.0)
    return (
        f"memory://{uuid.uuid4().hex}/cube" if request.param == "memory" else str(tmp_path / "c")
    )


def read(url):
    fs, root = fsspec.core.url_to_fs(url)
    try:
        return Owner(**json.loads(fs.cat_file(f"{root}/{LOCK}")))
    except FileNotFoundError:
        return None


def write(url, owner):
    fs, root = fsspec.core.url_to_fs(url)
    fs.makedirs(root, exist_ok=True)
    fs.pipe_file(f"{root}/{LOCK}", json.dumps(asdict(owner)).encode())


def stranger(**changes):
    """The lock of a living process on another machine."""
    now = time.time()
    return replace(
        Owner("id", "far.away", "far.away boot", 77, "1", "python -m flows.ingest", now, now + 60),
        **changes,
    )


def test_only_one_holds_it(url):
    with StoreLock(url, command="first command") as held:
        with pytest.raises(InputError), StoreLock(url):
            pass
        held.check()
        assert read(url).command == "first command"
    assert read(url) is None
    with StoreLock(url):
        assert read(url).pid == os.getpid()


def test_the_patient_wait_until_it_is_free(url, monkeypatch):
    monkeypatch.setattr(lock, "_RETRY_SECONDS", 0.05)
    first, order = StoreLock(url), []

    def leave():
        order.append("first leaves")
        first.__exit__(None, None, None)

    first.__enter__()
    with pytest.raises(InputError), StoreLock(url, patience_seconds=0.2):
        pass
    threading.Timer(0.5, leave).start()
    with StoreLock(url, patience_seconds=60):
        order.append("second enters")
    assert order == ["first leaves", "second enters"]


def test_the_error_says_who_since_when_and_what_to_do(url):
    owner = stranger(since=0.0, until=4e9)
    write(url, owner)
    with pytest.raises(InputError) as refused, StoreLock(url):
        pass
    for part in (
        url, "'python -m flows.ingest'", "process 77 on far.away", "since 1970-01-01 00:00:00 UTC",
        "until 2096-10-02 07:06:40 UTC", "wait until it has ended", f"remove {url}/{LOCK}",
    ):  # fmt: skip
        assert part in str(refused.value)
    assert read(url) == owner


def test_an_error_in_the_block_releases_it(url):
    with pytest.raises(ZeroDivisionError), StoreLock(url):
        raise ZeroDivisionError
    assert read(url) is None


def test_one_that_expired_is_taken_over(url):
    write(url, stranger(until=time.time() - 1))
    with StoreLock(url):
        assert read(url).pid == os.getpid()


def test_a_damaged_one_is_taken_over(url):
    fs, root = fsspec.core.url_to_fs(url)
    fs.makedirs(root, exist_ok=True)
    fs.pipe_file(f"{root}/{LOCK}", b"{")
    with StoreLock(url):
        assert read(url).pid == os.getpid()


def test_a_number_that_is_another_process_now_is_dead(url):
    mine = lock._process_start(os.getpid())
    write(url, stranger(machine=lock._machine(), pid=os.getpid(), process_start=mine))
    with pytest.raises(InputError, match="being written"), StoreLock(url):
        pass
    write(url, stranger(machine=lock._machine(), pid=os.getpid(), process_start="1"))
    with StoreLock(url):
        assert read(url).process_start == mine


def test_processes_of_other_machines_may_live(url):
    write(url, stranger(pid=2**22 + 1))
    with pytest.raises(InputError, match="being written"), StoreLock(url):
        pass


def test_a_killed_process_loses_it_at_once(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=rf"'holder' \(process {process.pid}"):
        StoreLock(tmp_path).__enter__()
    process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while lock._process_start(process.pid):  # a zombie until it is waited for: dead all the same
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with StoreLock(tmp_path) as held:
        held.check()
    process.communicate()


def test_it_is_renewed_while_it_is_held(url):
    with StoreLock(url, expiry_seconds=0.6) as held:
        first = read(url)
        deadline = time.monotonic() + 10
        while (now := read(url)).until <= first.until + 0.6:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (now.id, now.since) == (first.id, first.since)
        held.check()


def test_losing_it_is_an_error_and_leaves_the_other_one(url):
    held, taker = StoreLock(url), stranger()
    held.__enter__()
    write(url, taker)
    for end in (held.check, lambda: held.__exit__(None, None, None)):
        with pytest.raises(InputError, match=r"taken over by.*process 77 on far\.away"):
            end()
    assert read(url) == taker


def test_a_removed_lock_is_lost(url):
    held = StoreLock(url)
    held.__enter__()
    fs, root = fsspec.core.url_to_fs(url)
    fs.rm_file(f"{root}/{LOCK}")
    with pytest.raises(InputError, match="removed by"):
        held.__exit__(None, None, None)
    assert read(url) is None


def test_the_thread_notices_the_loss(url):
    held = StoreLock(url, expiry_seconds=0.1).__enter__()
    write(url, stranger())
    held._thread.join(10)
    assert not held._thread.is_alive()
    with pytest.raises(InputError, match="taken over"):
        held.check()


def test_losing_it_does_not_hide_what_went_wrong(url):
    def lose_and_fail():
        with StoreLock(url):
            write(url, stranger())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lose_and_fail()


def test_a_late_renewal_counts_if_nobody_took_it(url, monkeypatch):
    monkeypatch.setattr(StoreLock, "_keep", lambda _: None)
    with StoreLock(url, expiry_seconds=1.0) as held:
        time.sleep(1.1)
        assert not read(url).is_alive
        held.check()
        assert read(url).is_alive


def test_without_it_there_is_nothing_to_check(url):
    with pytest.raises(InputError, match="not locked"):
        StoreLock(url).check()


@pytest.mark.parametrize("is_stale", [True, False])
def test_many_try_at_once(tmp_path, is_stale):
    """Whether it is free or expired, one of them gets it."""
    if is_stale:
        write(str(tmp_path), stranger(until=0.0))
    barrier, over, outcomes = threading.Barrier(8), threading.Event(), []

    def attempt():
        barrier.wait()
        try:
            with StoreLock(tmp_path) as held:
                outcomes.append("held")
                over.wait(10)
                held.check()
        except InputError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(outcomes) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    over.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") == 1
    assert len(outcomes) == 8
    assert all("is being written by" in o for o in outcomes if o != "held")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot lock"), StoreLock(tmp_path / "file" / "cube"):
        pass
