# SPDX-License-Identifier: GPL-2.0-only
"""Scratch directories that a killed run does not leave for ever.

They are in the cache directory, not in the temporary folder: SIGKILL cannot be
answered, so the next run clears away what the last one left.  Whoever uses a
directory holds a lock on a file in it, which the system takes away with the process;
a forked child has the same lock, as it may use the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sgxmodel.errors import UserError

LOCK = ".lock"


class ScratchError(UserError):
    """The cache directory cannot be used."""


def cache() -> Path:
    """All that the tool keeps between two runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "sgxmodel"


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory, gone at the end.

    Raises :class:`ScratchError`.  The temporary folder is no way out: what is killed
    there stays, and what is built has to go to the cache anyway.
    """
    folder, lock = held()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)  # last: what is locked nobody else removes
        with suppress(OSError), _alone(folder.parent):
            _sweep(folder.parent)  # of processes that this one has ended


def _new(home: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="", dir=home))


def held(make: Callable[[Path], Path] = _new) -> tuple[Path, int]:
    """A new directory, and the descriptor that keeps others from removing it."""
    home = cache() / "scratch"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home):  # nobody sees a directory that is not locked yet
            _sweep(home)
            folder = make(home)
            lock = _open(folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        why = error.strerror or error
        raise ScratchError(
            f"{error.filename or home}: {why}: the cache directory is needed; "
            "XDG_CACHE_HOME names another one"
        ) from None
    return folder, lock


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    everything = _open(home)
    try:
        fcntl.flock(everything, fcntl.LOCK_EX)
        yield
    finally:
        os.close(everything)


def _open(folder: Path) -> int:
    # A file, as network file systems lock no directories.
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _sweep(home: Path) -> None:
    """Remove what nobody holds any more."""
    for folder in home.iterdir():
        if folder.is_dir() and not folder.is_symlink() and not _in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    try:
        lock = _open(folder)
    except OSError:  # its owner removes it just now, or it is somebody else's
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
