"""What the environment asks for: logs as JSON lines, metrics in a file or at a port."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from appa_core.errors import InputError
from appa_core.io.events import EVENTS
from tasks.watching.lines import JsonLines, Plain

_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")
LOG_FORMAT, LOG_FILE = "APPA_LOG", "APPA_LOG_FILE"
METRICS_FILE, METRICS_PORT = "APPA_METRICS_FILE", "APPA_METRICS_PORT"
_NAMES = (LOG_FORMAT, LOG_FILE, METRICS_FILE, METRICS_PORT)
_TEXT = "%(asctime)s %(levelname)s %(message)s"
# once a process
_done: dict[str, bool] = {}


def watch(environment: Mapping[str, str] | None = None) -> None:
    """Begin to log and to count, as the environment says; once in a process.

    `APPA_LOG` is `json` or `text` (nothing by default), `APPA_LOG_FILE` where lines are appended
    (standard error by default), `APPA_METRICS_FILE` a file for metrics (`{pid}` stands for the
    process), `APPA_METRICS_PORT` a port on loopback.

    Raises:
        InputError: One of them cannot be what it is.
    """
    if environment is None and _done.setdefault("begun", False):
        return
    known = os.environ if environment is None else environment
    wanted = {name: known.get(name, "") for name in _NAMES}
    _done["begun"] = True
    if not any(wanted.values()):
        return
    events = logging.getLogger(EVENTS)
    events.setLevel(logging.INFO)
    if wanted[LOG_FORMAT] or wanted[LOG_FILE]:
        handler = _log_handler(wanted[LOG_FORMAT] or "json", wanted[LOG_FILE])
        for name in ("appa", "appa_core", "tasks", "flows"):
            logging.getLogger(name).addHandler(handler)
        # events are told once, not by handlers of others too
        logging.getLogger("appa").propagate = False
    if wanted[METRICS_FILE] or wanted[METRICS_PORT]:
        _count(wanted[METRICS_FILE], wanted[METRICS_PORT])


def watched(function: Callable[[_Unit], _Result]) -> Callable[[_Unit], _Result]:
    """A function for other processes, which begin to log there as this process would."""
    settings = {n: os.environ[n] for n in (LOG_FORMAT, LOG_FILE, METRICS_FILE) if n in os.environ}
    return partial(_call, function, settings) if settings else function


def _call(function: Callable[[_Unit], _Result], settings: dict[str, str], unit: _Unit) -> _Result:
    if not _done.get("begun"):
        # two processes do not write one file of metrics
        if "{pid}" not in settings.get(METRICS_FILE, "{pid}"):
            settings = {k: v for k, v in settings.items() if k != METRICS_FILE}
        watch(settings)
    return function(unit)


def _log_handler(form: str, path: str) -> logging.Handler:
    if form not in {"json", "text"}:
        raise InputError(f"{LOG_FORMAT} is {form!r}; expected json or text")
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {LOG_FILE} {path}: {error.strerror}") from error
    handler.setFormatter(JsonLines() if form == "json" else Plain(_TEXT))
    return handler


def _count(path: str, port: str) -> None:
    # a client of Prometheus takes a while to import
    from tasks.watching.metrics import Metrics  # noqa: PLC0415

    metrics = Metrics(Path(path.replace("{pid}", str(os.getpid()))) if path else None)
    logging.getLogger(EVENTS).addHandler(metrics)
    if port:
        if not port.isdigit() or int(port) > 65535:
            raise InputError(f"{METRICS_PORT} is {port!r}; expected a number up to 65535")
        metrics.serve(int(port))
