"""A Prefect server, a worker and what they need, as somebody would start them; all on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    """Ask a process to end, then make it: a worker asked while a run is ending may wait on."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class Site:
    """A server with its worker, below a folder."""

    folder: Path
    port: int = 0
    server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.stack = ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": str(ROOT),
            "APPA_STORE": str(self.folder / "store"),
        }

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def serve(self) -> None:
        """Start the server, and wait until it answers."""
        words = ["server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.server = self.start(*words)
        self.wait(lambda: httpx.get(f"{self.url}/api/health", timeout=5).status_code == 200)

    def leave(self) -> None:
        """Take the server away, as a machine that loses power would."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command of Prefect's that goes on until the end."""
        log = self.stack.enter_context((self.folder / f"{words[0]}.log").open("a"))
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *words],
            env=self.environment,
            cwd=self.folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        self.stack.callback(end, process)
        return process

    def deploy(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flows.deploy"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def work(self) -> None:
        self.start("worker", "start", "--pool", "appa")
        pool = f"{self.url}/api/work_pools/appa"
        self.wait(lambda: httpx.get(pool, timeout=30).json()["status"] == "READY")

    def wait(self, is_so, seconds: float = 600.0) -> None:
        """Until something is so; a server that does not answer yet counts as not."""
        end = time.monotonic() + seconds
        while True:
            try:
                if is_so():
                    return
            except (httpx.HTTPError, ValueError):
                pass
            assert time.monotonic() < end, f"it was not so within {seconds:.0f} s"
            time.sleep(1)

    def post(self, path: str, **body: object) -> list[dict]:
        answer = httpx.post(f"{self.url}/api/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()
