"""What must not be shown or kept: passwords and signatures in URLs and options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from appa_core.errors import InputError

#: Begins the value of an option that stands for an environment variable.
FROM_ENVIRONMENT = "env:"
_HIDDEN = "***"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY = re.compile(r"\?[^\s#'\"<>]*[^\s#'\"<>,.;:)]")
_TELLING = "secret|passw|token|signature|credential|a(?:ccess|ccount|pi)_?key|accessid|authoriz"
_NAME = rf"(?:[\w.-]*(?:{_TELLING})[\w.-]*|key|sig|auth)"
# of a signed URL all is hidden: its other parameters say what the signature is good for
_SIGNED = re.compile(rf"(?i)[?&;]{_NAME}=")
_OPTION = re.compile(rf"(?i)(?<![\w.-])(storage\.[\w.-]+|{_NAME})=([^\s,;'\"&]+)")


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with what the environment holds in place of `env:NAME`.

    Raises:
        InputError: The environment has no such variable.
    """
    return {name: _resolved(name, value) for name, value in options.items()}


def _resolved(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return resolved({str(k): v for k, v in value.items()})
    if not (isinstance(value, str) and value.startswith(FROM_ENVIRONMENT)):
        return value
    variable = value.removeprefix(FROM_ENVIRONMENT)
    if variable not in os.environ:
        raise InputError(
            f"option {name} is to come from the environment variable {variable}, which is not "
            "set; set it where the work runs"
        )
    return os.environ[variable]


def redacted(text: str) -> str:
    """A text without what may be secret in it.

    Hidden are passwords and the names before them in URLs, queries of signed URLs, values of
    options of storage (`storage.NAME=`) and of names such as token; `env:NAME` is shown.
    """
    shown = _URL.sub(lambda found: _without_secrets(found[0]), text)
    return _OPTION.sub(
        lambda found: found[0] if _is_reference(found[2]) else f"{found[1]}={_HIDDEN}", shown
    )


def without_secrets(value: Any) -> Any:
    """A JSON-compatible value, all texts of which are `redacted`."""
    if isinstance(value, Mapping):
        return {k: without_secrets(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(v) for v in value]
    return redacted(value) if isinstance(value, str) else value


def _is_reference(value: str) -> bool:
    return value.startswith(FROM_ENVIRONMENT) or value in {"anon", "true", "false", _HIDDEN}


def _without_secrets(url: str) -> str:
    without_user = _USER.sub(f"{_HIDDEN}@", url) if _has_password(url) else url
    return _QUERY.sub(f"?{_HIDDEN}", without_user) if _SIGNED.search(url) else without_user


def _has_password(url: str) -> bool:
    """Whether what stands before the host is a password; a container's name may stand there."""
    try:
        return ":" in urlsplit(url).netloc.rpartition("@")[0]
    except ValueError:
        return True
