# SPDX-License-Identifier: GPL-2.0-only
"""A process that ends with the one that made it, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
LOOK = 1.0
"""Seconds between two looks, where the system does not tell."""


def end_with(parent: int) -> None:
    """In a child of ``parent``, before it does anything: be killed when the parent ends.

    Linux does so when the *thread* ends that forked this process.  So whoever makes
    processes forks them in a thread that stays as long as they are to live: the main
    one.  A process that is made by a worker needs the call, too.
    """
    if not _killed_with_parent():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    elif os.getppid() != parent:  # it had ended before the call
        os._exit(1)


def _killed_with_parent() -> bool:
    """Ask for it.  False: this system has no such thing, or forbids it."""
    if sys.platform != "linux":
        return False
    words = (ctypes.c_ulong(n) for n in (signal.SIGKILL, 0, 0, 0))
    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, *words) == 0)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)
