"""Private folders that data are written into before they are committed."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path

from appa_core.errors import InputError
from appa_core.io.exclusive import held, is_held

#: Where they are, in a store on a local disk.
STAGING = ".staging"
_STALE_SECONDS = 24 * 3600.0


@contextmanager
def staged_folder(base: Path, store: str) -> Iterator[Path]:
    """A folder of one's own, removed afterwards.

    Args:
        base: Where it lies; what killed writers left there is removed.
        store: What it is for, for messages.

    Raises:
        InputError: It cannot be made.
    """
    with ExitStack() as stack:
        try:
            base.mkdir(parents=True, exist_ok=True)
            _sweep(base)
            folder = base / f"appa-{uuid.uuid4().hex}"
            folder.mkdir()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(held(folder))
        except OSError as error:
            raise InputError(
                f"cannot write to the store {store}: {error.strerror}; choose another with "
                "--store or APPA_STORE"
            ) from error
        yield folder


@contextmanager
def scratch_beside(output: Path) -> Iterator[Path]:
    """A folder beside an output, to rename to it, whole or in part; what is left is removed.

    What killed writers left of the same output is removed, where locks tell it from what living
    ones hold.

    Args:
        output: A file or folder that is to be; its parent exists.

    Raises:
        OSError: It cannot be made.
    """
    scratch = output.parent / f".{output.name}.{uuid.uuid4().hex}"
    unseen = scratch.with_name(f"{scratch.name}.new")  # by others, until it is held
    with ExitStack() as stack:
        unseen.mkdir()
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.enter_context(held(unseen))
        unseen.rename(scratch)
        if is_held(scratch):
            for leftover in output.parent.glob(f".{escape(output.name)}.{'[0-9a-f]' * 32}"):
                with suppress(OSError):
                    if not is_held(leftover):
                        shutil.rmtree(leftover, ignore_errors=True)
        yield scratch


def _sweep(base: Path) -> None:
    """Remove what killed writers left behind a day ago or earlier.

    A clock may be wrong: what a living writer holds stays, however old it looks.
    """
    for leftover in base.glob("appa-*"):
        with suppress(OSError):
            is_old = time.time() - leftover.stat().st_mtime > _STALE_SECONDS
            if is_old and not is_held(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
