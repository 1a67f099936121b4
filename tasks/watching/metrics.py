"""Metrics of steps for Prometheus: in a file that node-exporter collects, or at a local port."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
    write_to_textfile,
)
from prometheus_client.openmetrics.exposition import generate_latest

from appa_core.errors import InputError
from appa_core.io.events import BEGUN, COMMITTED, FAILED, FOUND, OBSERVED, QUEUED, TRAINED
from appa_core.io.store import write_atomically

#: Seconds: from a cached block to a training.
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
_LOOPBACK = "127.0.0.1"


class Metrics(logging.Handler):
    """Counts what `appa_core.io.events` tells.

    Args:
        path: File that is written anew after each event: in the text format of node-exporter's
            textfile collector if it ends in `.prom`, else in OpenMetrics. None: no file.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(logging.INFO)
        self.registry = CollectorRegistry()
        self._path = path
        own = self.registry
        self._steps = Counter(
            "appa_steps", "Steps by what became of them", ["step", "event"], registry=own
        )
        self._seconds = Histogram(
            "appa_step_seconds",
            "Duration of committed steps",
            ["step"],
            buckets=_SECONDS,
            registry=own,
        )
        self._states = Counter("appa_states", "States committed in blocks", ["step"], registry=own)
        self._waiting = Gauge(
            "appa_queue_units", "Units that are not done", ["work"], registry=own
        )
        self._iterations = Counter(
            "appa_training_iterations", "Iterations of trainings", ["step"], registry=own
        )
        self._speed = Gauge(
            "appa_training_samples_per_second", "Of trainings", ["step"], registry=own
        )
        self._loss = Gauge("appa_training_loss", "Of the last iteration", ["step"], registry=own)
        self._used = Counter("appa_observations_used", "Observations drawn from", registry=own)
        self._rejected = Counter(
            "appa_observations_rejected",
            "Observations that are not used",
            ["reason"],
            registry=own,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Count an event; other records are passed over."""
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        event = facts.get("event")
        if event in {FOUND, BEGUN, COMMITTED, FAILED}:
            self._count_step(str(event), facts)
        elif event == OBSERVED:
            self._used.inc(facts["used"])
            for reason, count in facts["rejected"].items():
                self._rejected.labels(reason).inc(count)
        elif event == TRAINED:
            self._iterations.labels(facts["step"]).inc()
            self._speed.labels(facts["step"]).set(facts["samples_per_second"])
            self._loss.labels(facts["step"]).set(facts["loss"])
        elif event == QUEUED:
            self._waiting.labels(facts["label"]).set(facts["count"])
        else:
            return
        self.write()

    def _count_step(self, event: str, facts: Mapping[str, Any]) -> None:
        step = str(facts["step"])
        self._steps.labels(step, event).inc()
        if event != COMMITTED:
            return
        self._seconds.labels(step).observe(facts["seconds"])
        self._states.labels(step).inc(facts.get("states", 0))

    def write(self) -> None:
        """Write the file; one that cannot be written is no reason to fail."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_metrics(self.registry, self._path)
        except OSError as error:
            logging.getLogger(__name__).warning("cannot write %s: %s", self._path, error)
            self._path = None

    def serve(self, port: int) -> int:
        """Serve them on loopback, in text or OpenMetrics as the client asks; returns the port.

        Raises:
            InputError: The port is taken.
        """
        try:
            server, _ = start_http_server(port, addr=_LOOPBACK, registry=self.registry)
        except OSError as error:
            raise InputError(
                f"cannot serve metrics at {_LOOPBACK}:{port}: {error.strerror}; choose another "
                "with APPA_METRICS_PORT"
            ) from error
        return int(server.server_port)


def write_metrics(registry: CollectorRegistry, path: Path) -> None:
    """Write metrics to a file, seen whole or not at all; see `Metrics`."""
    if path.suffix == ".prom":
        write_to_textfile(os.fspath(path), registry)
    else:
        write_atomically(path, generate_latest(registry))  # type: ignore[no-untyped-call]
