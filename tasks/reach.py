"""Whether this machine can reach what a catalog names, without ever waiting long for an answer.

File systems of the cloud try for up to a minute before they give up; this asks a web server for
one header instead.
"""

from __future__ import annotations

import importlib.util
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import Any

from appa_core.errors import InputError
from appa_core.io.sources import SourceSpec

GOOGLE = "https://storage.googleapis.com"
_PACKAGES = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "s3": "s3fs",
    "s3a": "s3fs",
    "http": "aiohttp",
    "https": "aiohttp",
}
# one of them is in every zarr store
_IN_ZARR = (".zmetadata", "zarr.json", ".zgroup", ".zattrs")
_NOT_HERE = frozenset({404, 410})
# the server is there, it answers no such question
_NO_HEADERS = frozenset({405, 501})
_TRIED = 16


@dataclass(frozen=True)
class Place:
    """Somewhere that data may be.

    Args:
        url: Path or URL.
        is_zarr: Whether it is a zarr store, which is a folder.
        storage_options: For fsspec.
        is_page: Whether it is only a web page, which no package is needed for.
    """

    url: str
    is_zarr: bool = False
    storage_options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    is_page: bool = False

    @property
    def protocol(self) -> str:
        """Of its URL; `file` for a path."""
        return self.url.partition("://")[0] if "://" in self.url else "file"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.protocol in {"file", "local"}


def obstacle(place: Place) -> str:
    """What is in the way that can be seen without a network; empty if nothing is."""
    if place.is_local:
        path = Path(place.url.partition("://")[2] or place.url)
        return "" if path.exists() else f"nothing is at {path}"
    package = _PACKAGES.get(place.protocol)
    if package and not place.is_page and importlib.util.find_spec(package) is None:
        return f"needs the package {package}: pip install {package}"
    return ""


def probe(places: Sequence[Place], timeout_seconds: float = 5.0) -> list[str]:
    """Why each place cannot be reached; empty for those that can.

    All are asked at once, and none is waited for longer than the timeout, whatever hangs: names
    that are not resolved, connections that are not accepted, servers that say nothing.
    """
    answers = [obstacle(place) for place in places]
    far = [n for n, p in enumerate(places) if not (p.is_local or answers[n])]

    def ask(number: int) -> None:
        answers[number] = _answer(places[number], timeout_seconds)

    # which a process does not wait for at its end
    threads = [Thread(target=ask, args=(number,), daemon=True) for number in far]
    end = time.monotonic() + timeout_seconds
    for number, thread in zip(far, threads, strict=True):
        answers[number] = f"no answer within {timeout_seconds:g} s"
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return list(answers)


def require_reachable(spec: SourceSpec, timeout_seconds: float = 5.0) -> None:
    """Find out in seconds that a source cannot be opened; of many files, the first are tried.

    Raises:
        InputError: One of them cannot be reached; the message says why.
    """
    options = dict(spec.storage_options)
    places = [Place(url, spec.format == "zarr", options) for url in spec.urls[:_TRIED]]
    for place, problem in zip(places, probe(places, timeout_seconds), strict=True):
        if problem:
            raise InputError(
                f"source {spec.name}: cannot reach {place.url}: {problem}; python -m "
                "flows.catalog says what can be reached"
            )


def _answer(place: Place, timeout_seconds: float) -> str:
    problem = ""
    for address in _addresses(place):
        code, problem = _head(address, timeout_seconds)
        if code not in _NOT_HERE:
            break
    return problem


def _addresses(place: Place) -> Iterator[str]:
    """Where a web server has it, or part of it."""
    bucket, _, path = place.url.partition("://")[2].rstrip("/").partition("/")
    endpoint = str(place.storage_options.get("endpoint_url", "")).rstrip("/")
    if place.protocol in {"gs", "gcs"}:
        base = f"{GOOGLE}/{bucket}/{path}"
    elif place.protocol in {"s3", "s3a"}:
        host = f"{endpoint}/{bucket}" if endpoint else f"https://{bucket}.s3.amazonaws.com"
        base = f"{host}/{path}"
    elif place.protocol in {"http", "https"}:
        base = place.url
    else:
        return
    yield from (f"{base.rstrip('/')}/{name}" for name in _IN_ZARR) if place.is_zarr else (base,)


def _head(address: str, timeout_seconds: float) -> tuple[int, str]:
    """Status of a request for headers, 0 without an answer, and what is wrong."""
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310
    try:
        # http or https, by _addresses
        with urllib.request.urlopen(request, timeout=timeout_seconds) as reply:  # noqa: S310
            return reply.status, ""
    except urllib.error.HTTPError as error:
        if error.code in _NO_HEADERS:
            return error.code, ""
        hint = "nothing is there" if error.code in _NOT_HERE else "not without credentials"
        known = error.code in {401, 403, *_NOT_HERE}
        return error.code, f"HTTP {error.code}" + (f", {hint}" if known else "")
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        return 0, f"no connection: {reason or type(error).__name__}"
