# SPDX-License-Identifier: GPL-2.0-only
"""The engine as Python sees it: the structures of ``engine/api.h``, and one class."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int32, c_uint32, c_uint64
from pathlib import Path

from sgxmodel.errors import UserError

USER_TASKS = 16
ENCLAVES = 8
PROCESSES = 12
VEPCS = 4
DIRTY = 16
FRAMES = 64
VA_SLOTS = 16
CALLS = 256
FAILS = 24
SWITCHES = 4096
FOUND = 64
RESULT_NONE = 9999
REPLAY, WALK, PCT, BOUNDED, ORDER = range(5)
EVENTS, AFTER_CALLS, AT_REST = 1, 2, 3
"""What a trace holds: events; the state after each call, too; or once all have returned."""


class TreeError(UserError):
    """A tree cannot be built or does not boot."""


class Call(Structure):
    """A call, by the engine's numbers."""

    _fields_ = (
        ("verb", c_int32),
        ("proc", c_int32),
        ("arg", c_int32),
        ("type", c_int32),
        ("count", c_int32),
    )


class Config(Structure):
    """A machine and a scenario."""

    _fields_ = (
        ("nodes", c_int32),
        ("epc", c_int32 * 8),
        ("scan", c_int32),
        ("low", c_int32),
        ("high", c_int32),
        ("va_slots", c_int32),
        ("check_sched", c_int32),
        ("sgx2", c_int32),
        ("ksgxd", c_int32),
        ("machine", c_int32),
        ("enclaves", c_int32),
        ("size", c_int32 * ENCLAVES),
        ("processes", c_int32),
        ("encl", c_int32 * PROCESSES),
        ("fail", c_int32 * FAILS),
        ("vepcs", c_int32),
        ("vepc_size", c_int32 * VEPCS),
        ("dirty", c_int32),
        ("holds", c_int32 * DIRTY),
        ("tasks", c_int32),
        ("node", c_int32 * USER_TASKS),
        ("calls", c_int32 * USER_TASKS),
        ("setup", c_int32),
    )


class Pair(Structure):
    """A step, and what happens there."""

    _fields_ = (("step", c_uint32), ("what", c_int32))


class RawSchedule(Structure):
    """How to draw or repeat a schedule."""

    _fields_ = (
        ("mode", c_int32),
        ("memory", c_int32),
        ("races", c_int32),
        ("eager", c_int32),
        ("nswitch", c_int32),
        ("nchoice", c_int32),
        ("norder", c_int32),
        ("length", c_uint32),
        ("depth", c_int32),
        ("probability", c_int32),
        ("seed", c_uint64),
        ("switches", Pair * SWITCHES),
        ("choices", Pair * 256),
        ("order", c_int32 * CALLS),
    )


class RawFinding(Structure):
    """One thing that is wrong."""

    _fields_ = (
        ("id", c_char * 24),
        ("func", c_char * 64),
        ("title", c_char * 160),
        ("message", c_char * 320),
        ("pc", ctypes.c_void_p),
        ("line", ctypes.c_void_p),
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("step", c_uint32),
        ("task", c_int32),
        ("call", c_int32),
        ("unused", c_int32),
    )


class RawResult(Structure):
    """One run."""

    _fields_ = (
        ("nfound", c_int32),
        ("ended", c_int32),
        ("steps", c_uint32),
        ("preemptions", c_uint32),
        ("nswitch", c_int32),
        ("nchoice", c_int32),
        ("hash", c_uint64),
        ("found", RawFinding * FOUND),
        ("switches", Pair * SWITCHES),
        ("choices", Pair * 256),
        ("result", c_int32 * CALLS),
    )


class Stats(Structure):
    """Sums over the runs of a search."""

    _fields_ = (
        ("runs", c_uint64),
        ("steps", c_uint64),
        ("found_runs", c_uint64),
        ("unused", c_uint64),
    )


class Engine:
    """One built tree, loaded.  Its state is the process's: one scenario at a time."""

    def __init__(self, library: Path) -> None:
        self.library = library
        try:
            self.dll = ctypes.CDLL(str(library))
        except OSError as error:
            raise TreeError(f"{library}: cannot be loaded: {error}") from None
        dll = self.dll
        dll.eng_error.restype = c_char_p
        dll.eng_trace_text.restype = c_char_p
        dll.eng_state_bytes.restype = c_uint64
        dll.eng_seen.restype = c_uint64
        dll.eng_base.restype = c_uint64
        dll.eng_switch_benchmark.argtypes = [c_uint64]
        dll.eng_switch_benchmark.restype = c_uint64
        dll.eng_run.argtypes = [POINTER(RawSchedule), POINTER(RawResult)]
        dll.eng_search.argtypes = [
            POINTER(RawSchedule), ctypes.c_int, POINTER(RawResult), POINTER(Stats)
        ]  # fmt: skip
        if dll.eng_init():
            raise TreeError(f"{library}: the engine does not start")

    def boot(self, config: Config, calls: Sequence[Call], result: RawResult) -> int:
        """Boot the driver and run the set-up: how much is wrong by then.

        Raises :class:`TreeError` if the set-up fails otherwise.
        """
        array = (Call * max(1, len(calls)))(*calls)
        status = self.dll.eng_boot(byref(config), array, len(calls))
        if status < 0:
            raise TreeError(self.dll.eng_error().decode())
        return int(self.dll.eng_boot_result(byref(result))) if status else 0

    def run(self, schedule: RawSchedule, result: RawResult) -> int:
        """One run; the number of findings."""
        return int(self.dll.eng_run(byref(schedule), byref(result)))

    def search(self, schedule: RawSchedule, runs: int, result: RawResult, stats: Stats) -> int:
        """Runs with seeds that follow, until one finds something: its number, or 0."""
        return int(self.dll.eng_search(byref(schedule), runs, byref(result), byref(stats)))

    def seen(self, what: int) -> int:
        """How often a path was walked since the boot; see plan.SEEN."""
        return int(self.dll.eng_seen(what))

    def allow(self, call: int, value: int) -> None:
        """A result that some order without overlap gives for a call."""
        self.dll.eng_allow(call, value)

    def allow_any(self) -> None:
        """No call is judged by its result."""
        self.dll.eng_allow_none()

    def traced(self, schedule: RawSchedule, result: RawResult, holds: int = EVENTS) -> str:
        """One run, with its events as lines of tab-separated text."""
        self.dll.eng_trace(holds)
        self.run(schedule, result)
        self.dll.eng_trace(0)
        return str(self.dll.eng_trace_text().decode("ascii", "replace"))

    def traced_boot(self, boot: Callable[[], object]) -> str:
        """The same of a boot."""
        self.dll.eng_trace(1)
        boot()
        self.dll.eng_trace(0)
        return str(self.dll.eng_trace_text().decode("ascii", "replace"))

    @property
    def base(self) -> int:
        """Where the library is loaded: program counters minus this are its own."""
        return int(self.dll.eng_base())

    @property
    def state_bytes(self) -> int:
        """What a restore copies."""
        return int(self.dll.eng_state_bytes())

    def switches(self, count: int) -> None:
        """A bare loop of coroutine switches, for comparison."""
        self.dll.eng_switch_benchmark(count)
