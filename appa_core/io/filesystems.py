"""File systems of URLs that users give, opened with errors in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec

from appa_core.errors import InputError
from appa_core.io.secrets import redacted, resolved

#: Where artifacts can live: what can be listed, written and removed.
STORE_PROTOCOLS = frozenset(
    {"file", "local", "memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci"}
    | {"oss", "hdfs", "webhdfs", "smb", "sftp", "ssh"}
)


def file_system(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The file system of a URL or path, and the path on it.

    Args:
        url: What fsspec knows.
        options: For fsspec; values such as `env:NAME` are read from the environment.

    Raises:
        InputError: There is no such file system, a package for it is missing, or it cannot be
            opened.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url, **resolved(options or {}))
    except ImportError as error:
        raise InputError(f"a package to read {redacted(url)} is missing: {error}") from error
    except InputError:
        raise
    except Exception as error:  # each file system has its own
        raise InputError(f"cannot use {redacted(url)}: {_words(error)}") from error
    return fs, str(path)


def store_file_system(url: str) -> tuple[Any, str]:
    """The same for a place that artifacts are kept in.

    Raises:
        InputError: Nothing can be kept there.
    """
    protocol = url.partition("://")[0] if "://" in url else "file"
    if protocol not in STORE_PROTOCOLS or "::" in url:
        raise InputError(
            f"cannot use {redacted(url)!r} as a store: expected a folder, or a URL of "
            f"{', '.join(sorted(STORE_PROTOCOLS))}"
        )
    return file_system(url)


def local_path(url: str) -> Path:
    """The path of a file of this machine, of which `file://` is taken off."""
    return Path(file_system(url)[1])


def _words(error: Exception) -> str:
    return redacted(str(error)) or type(error).__name__
