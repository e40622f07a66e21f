# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C and SIGTERM end a command the same way: it says what it has, and leaves nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

HEEDED = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What happens on them by default.  Whoever ignores one goes on to do so."""


class Interrupt:
    """The signal that has come, if one has."""

    def __init__(self) -> None:
        self.number = 0
        self.process = os.getpid()

    @property
    def status(self) -> int:
        """What a shell reports of a command that such a signal has killed."""
        return 128 + self.number

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        """As Ctrl-C in Python; a second signal ends the command at once."""
        if os.getpid() != self.process:  # a child that has not set its own handlers yet
            os._exit(128 + number)
        for one in HEEDED:
            signal.signal(one, signal.SIG_DFL)
        self.number = number
        raise KeyboardInterrupt


@contextmanager
def heeded() -> Iterator[Interrupt]:
    """Answer both signals by a KeyboardInterrupt."""
    interrupt = Interrupt()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in HEEDED if signal.getsignal(n) == HEEDED[n]}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
