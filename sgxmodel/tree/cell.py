# SPDX-License-Identifier: GPL-2.0-only
"""The process that a driver is loaded in, as Python sees it: requests, replies, its end.

The process (``cell/``) denies itself files, the network, other processes and all other
system calls before the driver is loaded.  What it answers is looked at before it is
believed.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import struct
import subprocess
import time
from contextlib import suppress
from ctypes import Structure, c_char, c_int32, c_uint32, c_uint64, sizeof
from enum import IntEnum
from pathlib import Path

import attrs

from sgxmodel.errors import TreeError
from sgxmodel.tree.api import CALLS, SEEN_COUNT, Call, Config, RawResult, RawSchedule, Stats
from sgxmodel.tree.confine import PARTS

TRACE_BYTES = 20 << 20
RESULTS = 8
SECONDS = 120
"""Processor time of one request: a few hundred runs take less than one."""
LOOK = 0.5
"""Seconds of waiting after which the cell itself is looked at."""


class Op(IntEnum):
    """enum cell_op of cell.h."""

    BOOT = 0
    BOOT_RESULT = 1
    RUN = 2
    SEARCH = 3
    ALLOW = 4
    ALLOW_NONE = 5
    TRACE = 6
    TABLES = 7
    BENCHMARK = 8
    PROVE = 9


class Status(IntEnum):
    """enum cell_status of cell.h."""

    DONE = 0
    READY = 1
    DENIED = 2
    CRASHED = 3
    UNABLE = 4


REQUEST = struct.Struct("=Iiqq")
REPLY = struct.Struct("=Iiqq")


class Shared(Structure):
    """struct cell_shared of cell.h."""

    _fields_ = (
        ("config", Config),
        ("calls", Call * CALLS),
        ("schedule", RawSchedule),
        ("result", RawResult),
        ("stats", Stats),
        ("counted", c_int32 * RESULTS * CALLS),
        ("count", c_uint64 * RESULTS * CALLS),
        ("seen", c_uint64 * SEEN_COUNT),
        ("error", c_char * 400),
        ("trace_len", c_uint32),
        ("trace", c_char * TRACE_BYTES),
    )


class CellDied(TreeError):
    """The process that a driver ran in is gone; ``endless``: as it did not answer."""

    def __init__(self, why: str, endless: bool = False) -> None:
        super().__init__(f"the driver took the process down that ran it: {why}")
        self.why = why
        self.endless = endless

    def __reduce__(self) -> tuple[type[CellDied], tuple[str, bool]]:
        return type(self), (self.why, self.endless)


@attrs.frozen
class Denied:
    """A system call while the driver was loaded: by its number, and who made it.

    ``call`` is below 0 for numbers of another ABI (int $0x80, x32).
    """

    call: int
    offset: int


class Cell:
    """One process with one driver in it.  Raises :class:`TreeError` if there cannot be one."""

    def __init__(self, binary: Path, library: Path, trusted: bool = False) -> None:
        self.memory = _memory(sizeof(Shared))
        self.shared = Shared.from_buffer(mmap.mmap(self.memory, sizeof(Shared)))
        self.number = 0
        self.denied: Denied | None = None
        self.base = 0
        self.state_bytes = 0
        self.process, self.requests, self.replies = _started(binary, library, self.memory, trusted)
        os.close(self.memory)
        self._loaded(library)

    def _loaded(self, library: Path) -> None:
        status, a, b = self._reply()
        if status == Status.READY and b == sizeof(Shared):
            self.base = a
        elif status == Status.DENIED:
            self.denied = Denied(a, b)
        elif status == Status.UNABLE:
            self.close()
            raise TreeError(f"{library}: a driver cannot be run: there is no {PARTS.get(a, a)}")
        else:
            raise self._dead(f"{_signal(a)} while it was loaded")

    def ask(self, op: Op, a: int = 0, b: int = 0) -> int:
        """One request.  Raises :class:`CellDied`."""
        self.number = (self.number + 1) & 0xFFFFFFFF
        with suppress(BrokenPipeError):  # then its last words are in the other pipe
            os.write(self.requests, REQUEST.pack(self.number, op, a, b))
        status, value, self.state_bytes = self._reply()
        if status == Status.DENIED:
            raise self._dead(f"it made system call {value} outside of a run")
        if status == Status.CRASHED:
            raise self._dead(_signal(value))
        if status != Status.DONE:
            raise self._dead("what it answered is no answer")
        return value

    def _reply(self) -> tuple[int, int, int]:
        self._wait()
        data = os.read(self.replies, REPLY.size)
        if len(data) != REPLY.size:
            raise self._dead()
        number, status, a, b = REPLY.unpack(data)
        if number != self.number and status == Status.DONE:
            raise self._dead("what it answered was not asked for")
        return status, a, b

    def _wait(self) -> None:
        """For a reply; a cell that sleeps or computes for ever gives none."""
        if select.select([self.replies], [], [], LOOK)[0]:
            return
        began = before = self.processor_time()
        while not select.select([self.replies], [], [], LOOK)[0]:
            now = self.processor_time()
            if now - began > SECONDS * 10**9:
                raise self._dead(f"{SECONDS} s of processor time went by", True)
            if now == before and self._sleeps():
                raise self._dead("it went to sleep")
            before = now

    def processor_time(self) -> int:
        """Nanoseconds that the cell has run: CPUCLOCK_SCHED of its clock, see clock_getres(2)."""
        with suppress(OSError):
            return time.clock_gettime_ns(~self.process.pid << 3 | 2)
        return 0

    def _sleeps(self) -> bool:
        """Asleep with a request before it, which the host never is."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
            return fields.split()[0] == "S"
        return False

    def _dead(self, why: str = "", endless: bool = False) -> CellDied:
        if not why:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK)
        code = self.process.poll()
        self.close()
        if not why:
            why = _signal(-code) if code and code < 0 else f"it ended with status {code}"
        return CellDied(why, endless)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for descriptor in (self.requests, self.replies):
            with suppress(OSError):
                os.close(descriptor)
        self.requests = self.replies = -1

    def __del__(self) -> None:
        if getattr(self, "process", None) is not None and self.requests >= 0:
            self.close()


def _memory(size: int) -> int:
    memory = os.memfd_create("sgxmodel", 0)
    os.ftruncate(memory, size)
    return memory


def _started(
    binary: Path, library: Path, memory: int, trusted: bool
) -> tuple[subprocess.Popen[bytes], int, int]:
    """The process, and our ends of its two pipes."""
    theirs_in, requests = os.pipe()
    replies, theirs_out = os.pipe()
    try:
        file = os.open(library, os.O_RDONLY)
    except OSError as error:
        raise TreeError(f"{library}: {error.strerror}") from None
    given = (file, theirs_in, theirs_out, memory)
    command = [str(binary), "host", *map(str, (os.getpid(), *given, int(trusted)))]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=given, env={}, cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise TreeError(f"{binary}: cannot be run: {error.strerror}") from None
    finally:
        for descriptor in (file, theirs_in, theirs_out):
            os.close(descriptor)
    return process, requests, replies


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
