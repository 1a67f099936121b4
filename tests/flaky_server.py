"""A web server of a folder on which things go wrong, by a seeded plan."""

from __future__ import annotations

import re
import threading
import zlib
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Plan:
    """Shares of requests that go wrong; equal seeds fail equal requests, in any order.

    Args:
        unavailable: Answered with status 503.
        cut: The connection closes before the promised length has come.
        short: Half a body, with a length that agrees.
        slow: Answered after `slow_seconds`.
        refused: Answered with status 403.
        in_a_row: A path fails no more often than this in succession.
        only: Regular expression of the paths that fail.
    """

    seed: int = 0
    unavailable: float = 0.0
    cut: float = 0.0
    short: float = 0.0
    slow: float = 0.0
    refused: float = 0.0
    slow_seconds: float = 0.5
    in_a_row: int = 2
    only: str = ""

    def fault(self, path: str, number: int) -> str:
        """What happens to a path's request of a number, counted from 0."""
        if number % (self.in_a_row + 1) == self.in_a_row or not re.search(self.only, path):
            return ""
        # spread evenly: the checksum alone is not
        draw = zlib.crc32(f"{self.seed} {path} {number}".encode()) * 2654435761 % 2**32 / 2**32
        for kind in ("unavailable", "cut", "short", "slow", "refused"):
            draw -= getattr(self, kind)
            if draw < 0:
                return kind
        return ""


class FlakyServer(ThreadingHTTPServer):
    """Serves a folder on 127.0.0.1 while a `with` block lasts; knows ranges, lists nothing."""

    daemon_threads = True

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.plan = plan or Plan()
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.leaving = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients may leave when they like."""

    def next_fault(self, path: str, *, can_fail: bool) -> str:
        with self._lock:
            fault = self.plan.fault(path, self.requests[path]) if can_fail else ""
            self.requests[path] += 1
            self.faults.update([fault] if fault else [])
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    server: FlakyServer

    def do_GET(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        fault = self.server.next_fault(self.path, can_fail=path.is_file())
        if fault == "slow":
            self.server.leaving.wait(self.server.plan.slow_seconds)
        if fault in {"unavailable", "refused"}:
            self._send(503 if fault == "unavailable" else 403, b"no")
        elif not path.is_file():
            self._send(404, b"not here")
        else:
            status, content = self._part(path.read_bytes())
            half = content[: len(content) // 2]
            length = len(half) if fault == "short" else len(content)
            self._send(status, half if fault in {"short", "cut"} else content, length)

    def do_HEAD(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        self._send(*((200, b"", path.stat().st_size) if path.is_file() else (404, b"")))

    def _part(self, content: bytes) -> tuple[int, bytes]:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return 200, content
        low, high = found.groups()
        if not low:
            return 206, content[-int(high) :]
        return 206, content[int(low) : int(high) + 1 if high else None]

    def _send(self, status: int, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(content)
        if self.command == "GET" and length not in {None, len(content)}:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
