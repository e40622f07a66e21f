# SPDX-License-Identifier: GPL-2.0-only
"""The structures and numbers of ``engine/api.h``."""

from __future__ import annotations

from ctypes import Structure, c_char, c_int32, c_uint32, c_uint64, c_void_p

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
SEEN_COUNT = 82
RESULT_NONE = 9999
REPLAY, WALK, PCT, BOUNDED, ORDER = range(5)
EVENTS, AFTER_CALLS, AT_REST = 1, 2, 3
"""What a trace holds: events; the state after each call, too; or once all have returned."""


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
        ("pc", c_void_p),
        ("line", c_void_p),
        ("a", c_void_p),
        ("b", c_void_p),
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
