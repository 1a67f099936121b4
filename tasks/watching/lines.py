"""Logs as JSON lines: one object a line, with the run, the step, its key and its members."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any

from appa_core.io.secrets import redacted, without_secrets

#: Of the process of a run that a server started; others are known by their process.
_RUN = "PREFECT__FLOW_RUN_ID"


def run_name() -> str:
    """What tells this run from others: the flow run's id, or the process."""
    return os.environ.get(_RUN) or f"process-{os.getpid()}"


class JsonLines(logging.Formatter):
    """A record as an object: time (UTC), level, logger, run, message, and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        when = datetime.fromtimestamp(record.created, UTC)
        content: dict[str, Any] = {
            "time": f"{when:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "run": run_name(),
            "message": redacted(record.getMessage()),
            **without_secrets(getattr(record, "facts", {})),
        }
        if record.exc_info:
            content["error"] = redacted(self.formatException(record.exc_info))
        return json.dumps(content, default=str)


class Plain(logging.Formatter):
    """A line for people, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more for a traceback."""
        return redacted(super().format(record))
