"""Launching a training: in this process, or in several by `torch.distributed.run`."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from appa_core.errors import InputError, ResourceError, StoppedError
from appa_core.io.lock import StoreLock
from appa_core.io.store import Artifact, ArtifactStore
from appa_core.steps.training import Observer, Progress, await_artifact, run_training
from appa_core.steps.worker import (
    PARENT,
    PROGRESS,
    STOP,
    WARNINGS,
    TrainingOrder,
    reported_error,
)
from appa_core.training.parallel import Processes
from appa_core.training.settings import RunSettings
from tasks.memory import KEEP_MEMORY

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class LaunchSettings:
    """Where a training runs; its result depends on it by rounding alone.

    Args:
        nproc: Training processes of this machine; 0: train in this process.
        nodes: Machines; the same command runs on each.
        rendezvous: HOST:PORT of one of them, where they meet; needed for several.
        device: `cpu`, or `cuda` for one accelerator a process.
        run: How each process works.
        stall_seconds: Time without an iteration after which the processes are killed.
        grace_seconds: Time that they have to write a checkpoint when asked to stop.
    """

    nproc: int = 1
    nodes: int = 1
    rendezvous: str | None = None
    device: str = "cpu"
    run: RunSettings = field(default_factory=RunSettings)
    stall_seconds: float = 1800.0
    grace_seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.nodes > 1 and (not self.rendezvous or ":" not in self.rendezvous):
            raise InputError(
                f"{self.nodes} nodes need --rendezvous HOST:PORT, the address of one of them that "
                f"all can reach; got {self.rendezvous!r}"
            )
        if self.nproc < 0 or self.nodes < 1:
            raise InputError(f"expected nproc >= 0 and nodes >= 1, got {self.nproc}, {self.nodes}")
        if self.nodes > 1 and not self.nproc:
            raise InputError(f"{self.nodes} nodes need --nproc of 1 or more: 0 trains here alone")

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> LaunchSettings:
        """From the options of a command line."""
        return cls(
            nproc=arguments.nproc,
            nodes=arguments.nodes,
            rendezvous=arguments.rendezvous,
            device=arguments.device,
            run=RunSettings(
                micro_batch=arguments.micro_batch,
                sharding=arguments.sharding,
                recompute=arguments.recompute,
                compile=arguments.compile,
                loader_workers=arguments.loader_workers,
                keep=arguments.keep_checkpoints,
            ),
            stall_seconds=arguments.stall_seconds,
        )

    @property
    def _stays_here(self) -> bool:
        """Whether all processes are of one machine, and need no network."""
        return self.nodes == 1 or (self.rendezvous or "").startswith(f"{_LOOPBACK}:")

    def command(self, order: Path) -> list[str]:
        """What starts the processes of this machine."""
        where = ["--rdzv-endpoint", self.rendezvous or f"{_LOOPBACK}:0"]
        if self._stays_here:
            where += ["--local-addr", _LOOPBACK]
        return [
            sys.executable, "-m", "appa_core.steps.agent",
            "--nproc-per-node", str(self.nproc), "--nnodes", str(self.nodes),
            "--rdzv-backend", "c10d", "--rdzv-id", "appa", "--max-restarts", "0", *where,
            "-m", "appa_core.steps.worker", str(order),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Variables of these processes: cores are shared out, one machine keeps to itself."""
        threads = max(1, (os.cpu_count() or 1) // max(self.nproc, 1))
        given = {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}
        if self._stays_here:
            given["GLOO_SOCKET_IFNAME"] = "lo"
        return {**given, **os.environ, PARENT: str(os.getpid())}


@contextmanager
def in_turn(store: str, settings: LaunchSettings, label: str) -> Iterator[None]:
    """What several machines that run one command do one after the other.

    The first does the work of the block, the others find it done.

    Args:
        store: What they share.
        settings: How many machines there are; a single one goes on at once.
        label: Of the command.
    """
    if settings.nodes == 1:
        yield
        return
    with StoreLock(f"{ArtifactStore(store).url}/turns/{label}", patience_seconds=math.inf):
        yield


def launch(order: TrainingOrder, settings: LaunchSettings, observe: Observer) -> Artifact:
    """Train, wherever the settings say; what is trained already is taken as it is.

    Raises:
        StoppedError: The training was asked to stop and wrote a checkpoint.
        ResourceError: The processes stalled, or ended without saying why.
        AppaError: What a process of the training raised.
    """
    store = ArtifactStore(order.store)
    found = store.find(order.job().recipe)
    if found is not None:
        return found
    if settings.nproc:
        with _stop_requests() as stop:
            _run_processes(order, settings, observe, stop)
    else:
        _run_here(order, settings, observe)
    return await_artifact(store, order.job().recipe)


def _run_here(order: TrainingOrder, settings: LaunchSettings, observe: Observer) -> None:
    processes = Processes.alone(settings.device)
    with _stop_requests() as stop:
        done = run_training(
            ArtifactStore(order.store),
            order.job(),
            run=settings.run,
            processes=processes,
            observe=observe,
            should_stop=stop.is_set,
        )
    if done is None:
        raise StoppedError("training has stopped at a checkpoint; the same command continues")


def _run_processes(
    order: TrainingOrder, settings: LaunchSettings, observe: Observer, stop: threading.Event
) -> None:
    with tempfile.TemporaryDirectory(prefix="appa-train-") as scratch, _output() as output:
        folder = Path(scratch)
        order.write(folder / "order.json", settings.run, settings.device)
        process = subprocess.Popen(  # noqa: S603
            settings.command(folder / "order.json"),
            env=settings.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _watch(process, folder, settings, observe, stop)
        finally:
            _kill_group(process)
        error = reported_error(folder)
        if error is not None:
            raise error
        if stop.is_set():
            raise StoppedError("training has stopped at a checkpoint; the same command continues")
        if process.returncode:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-2000:]
            raise ResourceError(
                f"the training processes ended with status {process.returncode} without saying "
                "why: if one was killed for want of memory, lower --micro-batch first, then "
                "--loader-workers, then use --recompute; the same command continues from the last "
                f"checkpoint. Their last words:\n{tail}"
            )


def _watch(
    process: subprocess.Popen[bytes],
    folder: Path,
    settings: LaunchSettings,
    observe: Observer,
    stop: threading.Event,
) -> None:
    """Pass on progress until the processes end, or have to be given up."""
    lines, warnings = _Lines(folder / PROGRESS), _Lines(folder / WARNINGS)
    heard, asked = time.monotonic(), None
    while True:
        is_over = process.poll() is not None
        for line in warnings.read():
            _log.warning(json.loads(line))
        for line in lines.read():
            observe(Progress(**json.loads(line)))
            heard = time.monotonic()
        if is_over:
            return
        now = time.monotonic()
        if stop.is_set() and asked is None:
            (folder / STOP).touch()
            asked = now
        if asked is not None and now - asked > settings.grace_seconds:
            raise ResourceError(
                f"training did not reach a checkpoint within {settings.grace_seconds:g} s of "
                "being asked to stop and was killed; the same command continues from the last one"
            )
        if now - heard > settings.stall_seconds:
            raise ResourceError(
                f"training made no step for {settings.stall_seconds:g} s and was killed; the same "
                "command continues from the last checkpoint"
            )
        time.sleep(_POLL_SECONDS)


class _Lines:
    """Whole lines of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._position = path, 0

    def read(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        with self._path.open("rb") as handle:
            handle.seek(self._position)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield line


@contextmanager
def _output() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as handle:
        yield handle


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the agent and what shares its group; training processes die with it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, if this is the main thread; then the handler is put back."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def request(*_: Any) -> None:
        event.set()

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, request)
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
