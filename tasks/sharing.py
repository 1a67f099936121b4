"""Going through lanes of days, some side by side, until all are done, here or elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from appa_core.steps.series import Series
from tasks.series import Lane, Outcome, Policy, advance

#: How long to wait before looking again at days that someone else makes.
POLL_SECONDS = 1.0


@dataclass
class _Queue:
    """Lanes that nobody works on, those that others hold last."""

    free: deque[Lane]
    blocked: list[Lane]
    done: list[Lane]

    def put(self, lane: Lane) -> None:
        """Take back a lane, in the place that its state asks for."""
        if lane.is_done:
            self.done.append(lane)
        elif lane.is_blocked:
            self.blocked.append(lane)
        else:
            self.free.appendleft(lane)

    def look_again(self) -> None:
        """Try the lanes that others held."""
        self.free.extend(self.blocked)
        self.blocked.clear()


def work_through(
    series: Series, lanes: Sequence[Lane], policy: Policy, chunk_days: int, max_parallel: int
) -> list[Outcome]:
    """Settle all days.

    Args:
        series: Which series.
        lanes: Its days by stream.
        policy: How.
        chunk_days: Days of one task.
        max_parallel: Lanes that are worked on at once; 1 works in this thread.

    Returns:
        What became of each day, in order of time.
    """
    queue = _Queue(deque(lanes), [], [])
    if max_parallel == 1:
        _one_by_one(queue, series, policy, chunk_days)
    else:
        _side_by_side(queue, series, policy, chunk_days, max_parallel)
    return sorted((o for lane in queue.done for o in lane.outcomes), key=lambda o: o.day)


def _one_by_one(queue: _Queue, series: Series, policy: Policy, chunk_days: int) -> None:
    while queue.free or queue.blocked:
        if not queue.free:
            time.sleep(POLL_SECONDS)
            queue.look_again()
        lane = queue.free.popleft()
        queue.put(advance(series, lane, policy, chunk_days, lane.label))


def _side_by_side(
    queue: _Queue, series: Series, policy: Policy, chunk_days: int, max_parallel: int
) -> None:
    running: list[PrefectFuture[Lane]] = []
    runner: ThreadPoolTaskRunner[Lane] = ThreadPoolTaskRunner(max_parallel)
    with runner:
        while queue.free or queue.blocked or running:
            while queue.free and len(running) < max_parallel:
                lane = queue.free.popleft()
                given = {"series": series, "lane": lane, "policy": policy}
                more = {"days": chunk_days, "label": lane.label}
                running.append(runner.submit(advance, given | more))
            ended = [future for future in running if future.state.is_final()]
            running = [future for future in running if future not in ended]
            for future in ended:
                queue.put(future.result())
            if not ended:
                time.sleep(POLL_SECONDS / 4)
            if not queue.free and len(running) < max_parallel and queue.blocked:
                time.sleep(POLL_SECONDS)
                queue.look_again()
