"""The processes that a job runs on, started again when they die, as a service manager would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from appa_core.errors import ResourceError
from benchmarks.chaos_jobs import DASK_SCHEDULER, DASK_WORKER, SERVER, WORKER

POOL = "chaos"
#: Variable of all processes of a benchmark: the number of its own process.
MARK = "APPA_CHAOS"
_RUN = "PREFECT__FLOW_RUN_ID"
_LOOPBACK = "127.0.0.1"
_DASK_SCHEDULER = (sys.executable, "-m", "distributed.cli.dask_scheduler")
# one unit at a time, so that no kill costs more
_DASK_WORKER = (
    sys.executable, "-m", "distributed.cli.dask_worker", "--host", _LOOPBACK,
    "--nthreads", "1", "--no-nanny", "--no-dashboard",
)  # fmt: skip
_LOOK_SECONDS = 0.2
_START_SECONDS = 180.0


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind((_LOOPBACK, 0))
        return int(found.getsockname()[1])


class Part:
    """A process that is started again whenever it has died.

    Args:
        name: What it is.
        command: What starts it.
        environment: Its variables.
        log: File of what it says.
        is_ready: Whether it answers.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name, self._command, self._environment = name, command, dict(environment)
        self._log, self._is_ready = log, is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of its process; None while there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def look(self) -> None:
        """Start it, unless it runs."""
        if self.pid is not None:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self._command, env=self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            ResourceError: It does not.
        """
        end = time.monotonic() + _START_SECONDS
        while self.pid is None or not self._is_ready():
            if time.monotonic() > end:
                raise ResourceError(f"the {self.name} does not start; see {self._log}")
            time.sleep(_LOOK_SECONDS)

    def end(self) -> None:
        """End it with what it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Parts:
    """A Prefect server and worker, a Dask scheduler and worker, while a `with` block lasts.

    Args:
        folder: For their files and logs.
        names: Of the parts that are needed; all if empty.
        limit: Runs of the Prefect worker at once.
    """

    def __init__(self, folder: Path, names: Sequence[str] = (), limit: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        api, dask = free_port(), free_port()
        self.events = folder / "events.jsonl"
        self.dask = f"tcp://{_LOOPBACK}:{dask}"
        self.environment = os.environ | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": f"http://{_LOOPBACK}:{api}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "DO_NOT_TRACK": "1",
            MARK: str(os.getpid()),
            "APPA_LOG": "json",
            "APPA_LOG_FILE": str(self.events),
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        }
        serve = _prefect("server", "start", "--host", _LOOPBACK, "--port", str(api), "--no-ui")
        work = _prefect(
            "worker", "start", "--pool", POOL, "--type", "process", "--limit", str(limit)
        )
        schedule = [*_DASK_SCHEDULER, "--host", _LOOPBACK, "--port", str(dask), "--no-dashboard"]
        compute = [*_DASK_WORKER, self.dask, "--local-directory", str(folder / "dask")]
        health = f"http://{_LOOPBACK}:{api}/api/health"
        parts = {
            SERVER: self._part(folder, SERVER, serve, lambda: _answers(health)),
            DASK_SCHEDULER: self._part(folder, DASK_SCHEDULER, schedule, lambda: _listens(dask)),
            DASK_WORKER: self._part(folder, DASK_WORKER, compute),
            WORKER: self._part(folder, WORKER, work),
        }
        self._parts = {name: parts[name] for name in names or parts}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Parts:
        for name, part in self._parts.items():
            part.look()
            if name != WORKER:
                part.wait()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        for part in self._parts.values():
            part.end()

    def pid(self, name: str) -> int | None:
        """Process of a part; None while there is none."""
        return self._parts[name].pid

    def wait(self) -> None:
        """Wait until all of them answer."""
        for part in self._parts.values():
            part.wait()

    def _part(
        self, folder: Path, name: str, command: list[str], ready: Callable[[], bool] = lambda: True
    ) -> Part:
        log = folder / f"{name.lower().replace(' ', '-')}.log"
        return Part(name, command, self.environment, log, ready)

    def _keep(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            for part in self._parts.values():
                part.look()


def ranks(root: int) -> list[int]:
    """Training processes below a process."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(root).children(recursive=True):
            with suppress(psutil.Error):
                if "RANK" in child.environ() and "appa_core.steps.worker" in child.cmdline():
                    found.append(child.pid)
    return sorted(found)


def deployed_run() -> int | None:
    """The process of a run that a Prefect worker has started; None if there is none."""
    ours = os.environ.get(MARK, str(os.getpid()))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            known = process.environ()
            if known.get(MARK) == ours and _RUN in known and process.status() != "zombie":
                return int(process.pid)
    return None


def kill(pid: int) -> bool:
    """`kill -9`; False if the process has ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _prefect(*words: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *words]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - of this machine
            return int(reply.status) == 200
    except (OSError, urllib.error.URLError):
        return False


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((_LOOPBACK, port)) == 0
