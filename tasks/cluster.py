"""Running blocks of work on Dask: an embedded cluster, or one that runs already.

The only module that uses Dask. Units are coarse (a block of states), are submitted a few at a
time, and return small records, so that graphs stay small and memory flat however long the period.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import dask.config
from dask.utils import parse_bytes
from distributed import CancelledError, Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm.core import CommClosedError
from tqdm import tqdm

from appa_core.errors import AppaError, InputError, ResourceError
from appa_core.io.events import QUEUED, tell
from tasks.memory import KEEP_MEMORY
from tasks.watching.setting_up import watched

_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")
_CONNECT_SECONDS = 20
#: Dask has its own settings, which give memory back even sooner.
_KEEP_MEMORY = {
    f"distributed.nanny.pre-spawn-environ.{name}": int(value)
    for name, value in KEEP_MEMORY.items()
}
#: Units submitted for each thread of the cluster: the next is at hand when one ends.
_AHEAD = 2
#: How often to look whether a cluster has workers left, and how long it may have none.
_LOOK_SECONDS = 5.0
_ALONE_SECONDS = 300.0
_ALONE = (
    "the Dask cluster has {}; start it, with workers (`dask worker ADDRESS`), and run the command "
    "again: it goes on with the blocks that are not done"
)


@dataclass(frozen=True)
class ClusterSettings:
    """Where blocks of work run.

    Args:
        address: Scheduler of a running cluster, such as tcp://host:8786; None: an embedded one.
        workers: Processes of the embedded cluster; 0 works in this process, one after the other.
        memory: Limit of each embedded worker, such as "4GiB".
    """

    address: str | None = None
    workers: int = 0
    memory: str = "auto"

    @classmethod
    def of(cls, arguments: Any) -> ClusterSettings:
        """From the options of a command line."""
        return cls(arguments.dask_address, arguments.workers, arguments.worker_memory)

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"expected 0 or more workers, got {self.workers}")
        if self.memory != "auto":
            _require_memory(self.memory)


def _require_memory(text: str) -> None:
    try:
        size = parse_bytes(text)
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise InputError(f"expected the memory of a worker, such as 4GiB, or auto; got {text!r}")


@contextmanager
def open_client(settings: ClusterSettings) -> Iterator[Client]:
    """A client of the cluster.

    Raises:
        ResourceError: Nothing answers at the address, or no worker is there.
    """
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if settings.address is None:
        with _embedded(settings) as cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    try:
        client = Client(settings.address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ResourceError(
            f"no Dask scheduler answers at {settings.address}: {error}; start one with "
            "`dask scheduler` and workers with `dask worker ADDRESS`, or leave --dask-address out"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except TimeoutError as error:
            raise ResourceError(
                f"the scheduler at {settings.address} has no worker; start one with "
                f"`dask worker {settings.address}`"
            ) from error
        yield client


@contextmanager
def _embedded(settings: ClusterSettings) -> Iterator[LocalCluster]:
    """A cluster of processes of this command."""
    threads = max(1, (os.cpu_count() or 1) // settings.workers)
    with _environment_restored():
        with _main_module_hidden(), dask.config.set(_KEEP_MEMORY):
            cluster = LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                memory_limit=settings.memory,
                host="127.0.0.1",
                dashboard_address=None,
                env={
                    "OMP_NUM_THREADS": str(threads),
                    "MKL_NUM_THREADS": str(threads),
                    "DASK_LOGGING__DISTRIBUTED": "error",
                },
                silence_logs=logging.CRITICAL,
            )
        with cluster:
            yield cluster


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Undo what nannies do to the environment of this process.

    They set OMP_NUM_THREADS and the like to 1 here before they spawn a worker, and leave it so:
    trainings that this process starts later would have one thread.
    """
    kept = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keep new processes from importing the command that started them, with all of Prefect.

    What they run lies in modules of its own; the import takes seconds and configures logging.
    """
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name, None) for name in ("__spec__", "__file__")}
    main.__spec__ = None
    if kept["__file__"] is not None:
        del main.__file__
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is not None or name == "__spec__":
                setattr(main, name, value)


def run_units(
    function: Callable[[_Unit], _Result],
    units: Iterable[_Unit],
    settings: ClusterSettings,
    label: str,
    before_each: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """Call a function for every unit, in this process or on a cluster.

    Args:
        function: Picklable; safe to call twice for one unit, which happens if a worker dies.
        units: What to call it with; their `str` names them in messages.
        settings: Where to run.
        label: Title of the progress bar.
        before_each: Called before a unit is begun or handed out; what it raises ends the run.

    Returns:
        Results in order of the units.

    Raises:
        AppaError: What a unit raised; units that are done stay done.
        ResourceError: The cluster lost all of its workers, or its scheduler.
    """
    wanted = list(units)
    bar = tqdm(total=len(wanted), desc=label, unit="block", disable=not wanted)
    with bar:
        if not wanted:
            return []
        done = _counting_down(label, len(wanted), bar.update)
        if settings.address is None and (settings.workers == 0 or len(wanted) == 1):
            return [_counted(function, unit, done, before_each) for unit in wanted]
        with open_client(settings) as client:
            try:
                return run_on(client, function, wanted, done, before_each)
            except (CancelledError, CommClosedError) as error:
                raise ResourceError(_ALONE.format("lost its scheduler")) from error


def _counting_down(label: str, count: int, update: Callable[[], object]) -> Callable[[], None]:
    """What counts a unit that is done, and tells how many wait."""
    left = count
    tell(QUEUED, label=label, count=left)

    def done() -> None:
        nonlocal left
        left -= 1
        tell(QUEUED, label=label, count=left)
        update()

    return done


def _counted(
    function: Callable[[_Unit], _Result],
    unit: _Unit,
    done: Callable[[], object],
    before: Callable[[], None],
) -> _Result:
    before()
    result = function(unit)
    done()
    return result


def run_on(
    client: Client,
    function: Callable[[_Unit], _Result],
    units: list[_Unit],
    on_done: Callable[[], object] = lambda: None,
    before_each: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """What `run_units` does, on a cluster that stays open.

    A few units for each thread are in flight at a time: the scheduler never holds more.
    """
    threads = max(1, sum(client.nthreads().values()))
    waiting, call = iter(enumerate(units)), watched(function)
    places: dict[Future[_Result], int] = {}
    results: dict[int, _Result] = {}

    def submit(count: int) -> None:
        for i, unit in islice(waiting, count):
            before_each()
            places[client.submit(call, unit, pure=False)] = i

    try:
        submit(_AHEAD * threads)
        while places:
            for future in _ended(client, places):
                place = places.pop(future)
                results[place] = _result_of(future, units[place])
                on_done()
                submit(1)
    except BaseException:
        client.cancel(list(places))
        raise
    return [results[i] for i in range(len(units))]


def _ended(client: Client, futures: Collection[Future[_Result]]) -> set[Future[_Result]]:
    """Those that have ended, as soon as one has.

    Raises:
        ResourceError: There has been no worker for long.
    """
    last_seen = time.monotonic()
    while True:
        try:
            with client.as_current():
                ended = wait(list(futures), timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
        except TimeoutError:
            now = time.monotonic()
            last_seen = now if _has_workers(client) else last_seen
            if now - last_seen > _ALONE_SECONDS:
                raise ResourceError(
                    _ALONE.format(f"had no worker for {now - last_seen:.0f} s")
                ) from None
        else:
            return set(ended.done)


def _has_workers(client: Client) -> bool:
    with suppress(OSError):  # a scheduler that does not answer has none
        return bool(client.nthreads())
    return False


def _result_of(future: Future[_Result], unit: object) -> _Result:
    try:
        return future.result()
    except KilledWorker as error:
        raise AppaError(
            f"workers died again and again at block {unit}: most often for lack of memory; give "
            "them more (--worker-memory) or take smaller blocks (data.block_states of the preset)"
        ) from error
