# SPDX-License-Identifier: GPL-2.0-only
"""Standard output and standard error of all commands: what may be on them, and when they fail.

All text goes through :class:`Stream`, whoever writes it, click too.  Only the progress
bar has the terminal for itself.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from sgxmodel.errors import UserError
from sgxmodel.report.printable import printable


class OutputError(UserError):
    """Standard output cannot be written to."""


class Stream:
    """A stream that others' text cannot use to command a terminal.

    It has no ``buffer``: click would write there.  Past the first failure all is
    dropped, so that the interpreter has nothing to complain about at its end.
    """

    def __init__(self, raw: TextIO | None, name: str) -> None:
        self.raw = raw
        self.name = name
        self.failed = False
        self.encoding = getattr(raw, "encoding", None) or "utf-8"
        self.errors = "backslashreplace"

    def write(self, text: str) -> int:
        """Raises :class:`OutputError`."""
        return self.exactly(printable(text))

    def exactly(self, text: str) -> int:
        """The same for text that is known to be harmless."""
        if not isinstance(text, str):
            raise TypeError("a stream of text")  # by this click knows it
        if not text:  # click tries streams out by that, and takes no errors
            return 0
        if self.raw is None:
            self.fail(OSError(errno.EBADF, os.strerror(errno.EBADF)))
            return len(text)
        # What the encoding lacks is shown as an escape, too.
        text = text.encode(self.encoding, self.errors).decode(self.encoding)
        try:
            self.raw.write(text)
        except OSError as error:
            self.fail(error)
        return len(text)

    def flush(self) -> None:
        """Raises :class:`OutputError`."""
        if self.raw is None:
            return
        try:
            self.raw.flush()
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """What is still buffered, and all that comes, goes nowhere."""
        self.failed = True
        with suppress(OSError, ValueError):  # a stream without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        raise OutputError(f"{self.name}: {error.strerror or error}")

    def isatty(self) -> bool:
        """Whether somebody reads it."""
        return self.raw is not None and self.raw.isatty()

    def fileno(self) -> int:
        """Its descriptor."""
        if self.raw is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.raw.fileno()


class Messages(Stream):
    """Standard error: what cannot be said there is lost, and the work goes on."""

    def fail(self, error: OSError) -> None:
        """Only remember it."""
        with suppress(OutputError):
            super().fail(error)


@contextmanager
def streams() -> Iterator[tuple[Stream, Stream]]:
    """Have everything that is printed go through two :class:`Stream`."""
    before = sys.stdout, sys.stderr
    _occupy()
    out, err = Stream(sys.stdout, "standard output"), Messages(sys.stderr, "standard error")
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """A file that is opened later must not become a standard stream by its number."""
    with suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)


def exact(text: str) -> None:
    """Text that another program reads, byte by byte; a terminal gets it as any other."""
    out = sys.stdout
    if isinstance(out, Stream) and not out.isatty():
        out.exactly(text)
    else:
        out.write(text)
