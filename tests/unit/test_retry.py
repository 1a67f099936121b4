"""Attempts are bounded, pauses grow, and only what may pass is tried again."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from appa_core.errors import DataError
from appa_core.io.checked_store import CheckedStore
from appa_core.io.retry import Retry

PATIENT = Retry(attempts=4, sleep=lambda _: None)


class Slow(MemoryStore):
    """Answers late, the first time."""

    late = 1

    async def get(self, key, prototype, byte_range=None):
        if self.late:
            self.late = 0
            await asyncio.sleep(30)
        return await super().get(key, prototype, byte_range)


def test_requests_of_any_protocol_are_timed():
    faults = Counter()
    store = CheckedStore(Slow(), "here", replace(PATIENT, timeout_seconds=0.1), faults)
    found = asyncio.run(store.get("a/0.0", default_buffer_prototype()))
    assert found is None
    assert store.absent == {"a/0.0"}
    assert faults == {"no answer within 0.1 s": 1}


def test_pauses_are_bounded():
    pauses = []
    retry = Retry(attempts=12, longest_seconds=5.0, sleep=pauses.append)
    with pytest.raises(DataError, match=r"cannot read it: 12 of 12 attempts failed: OSError \(12"):
        retry.call("it", fail, Counter())
    assert max(pauses) <= 5.0
    assert min(pauses[5:]) >= 2.5


def fail():
    raise OSError("no")


def test_an_error_of_the_program_is_not_tried_again():
    calls = []

    def wrong():
        calls.append(1)
        raise TypeError

    with pytest.raises(TypeError):
        PATIENT.call("it", wrong, Counter())
    assert len(calls) == 1
