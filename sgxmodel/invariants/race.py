# SPDX-License-Identifier: GPL-2.0-only
"""18-data-race and 18-plain-read: happens-before clocks for sampled runs.

FastTrack (Flanagan and Freund, PLDI 2009) over slots, with KCSAN's rule of
what counts: two accesses, unordered, one of them a write, one of them plain.
Locks, reference puts, bit operations, wake-ups and RCU publication order;
plain atomic counters do not.  Every read of a slot since its last write is
kept, as a report needs both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from sgxmodel.machine.op import LOAD, STORE, Op


@attrs.define(eq=False)
class Access:
    """One side of a race: who, where, how."""

    task: int
    clock: int
    plain: bool
    write: bool
    held: Any
    rmw: bool
    site: Any


Report = Callable[[int, Access, Access], None]


class RaceDetector:
    """Vector clocks of one run."""

    def __init__(
        self,
        tasks: int,
        marked_writes: frozenset[int],
        ignored: frozenset[int],
        report: Report,
    ) -> None:
        self.ignored = ignored
        self.clocks = [[0] * tasks for _ in range(tasks)]
        for t in range(tasks):
            self.clocks[t][t] = 1
        self.sync: dict[Any, list[int]] = {}
        self.last_write: dict[int, Access] = {}
        self.reads: dict[int, dict[int, Access]] = {}
        self.marked_writes = marked_writes
        self.report = report

    def access(
        self, t: int, op: Op, reads: Sequence[int], writes: Sequence[int], held: Any, site: Any
    ) -> None:
        """Order through the operation's object, and check what it touched."""
        prim = op[0]
        if prim is LOAD:
            self._read(t, op[1], True, held, site)
            return
        if prim is STORE:
            self._write(t, op[1], True, held, site)
            return
        if prim.acquires:
            self._acquire(t, op)
        kind = prim.access
        if kind != "none":
            plain = kind == "plain"
            for slot in reads:
                if slot not in self.ignored:
                    self._read(t, slot, plain, held, site)
            for slot in writes:
                if slot not in self.ignored:
                    self._write(t, slot, plain and slot not in self.marked_writes, held, site)
        elif prim.name == "kzalloc":
            # The allocator orders a free before the next use of the object.
            for slot in writes:
                self.last_write.pop(slot, None)
                self.reads.pop(slot, None)
        if prim.releases:
            self._release(t, op)

    def join_all(self, t: int) -> None:
        """A task that starts when all others are done."""
        for other in self.clocks:
            self.clocks[t] = [max(a, b) for a, b in zip(self.clocks[t], other, strict=True)]

    @staticmethod
    def _object(op: Op) -> Any:
        prim, a, b = op
        if prim.through:
            return b
        return b if prim.addresses and len(prim.params) == 2 and prim.params[0] == "nr" else a

    def _acquire(self, t: int, op: Op) -> None:
        seen = self.sync.get(self._object(op))
        if seen is not None:
            mine = self.clocks[t]
            for i, clock in enumerate(seen):
                if clock > mine[i]:
                    mine[i] = clock

    def _release(self, t: int, op: Op) -> None:
        mine = self.clocks[t]
        key = self._object(op)
        seen = self.sync.get(key)
        if seen is None:
            self.sync[key] = mine.copy()
        else:
            self.sync[key] = [a if a > b else b for a, b in zip(seen, mine, strict=True)]
        mine[t] += 1

    def _read(self, t: int, slot: int, plain: bool, held: Any, site: Any) -> None:
        mine = self.clocks[t]
        last = self.last_write.get(slot)
        access = Access(t, mine[t], plain, False, held, False, site)
        if (
            last is not None
            and last.task != t
            and mine[last.task] < last.clock
            and (plain or last.plain)
        ):
            self.report(slot, last, access)
        readers = self.reads.get(slot)
        if readers is None:
            self.reads[slot] = {t: access}
        else:
            readers[t] = access

    def _write(self, t: int, slot: int, plain: bool, held: Any, site: Any) -> None:
        mine = self.clocks[t]
        readers = self.reads.pop(slot, None)
        own = readers.get(t) if readers else None
        rmw = own is not None and own.clock == mine[t] and own.site.lineno == site.lineno
        access = Access(t, mine[t], plain, True, held, rmw, site)
        last = self.last_write.get(slot)
        if (
            last is not None
            and last.task != t
            and mine[last.task] < last.clock
            and (plain or last.plain)
        ):
            self.report(slot, last, access)
        if readers:
            for u, read in readers.items():
                if u != t and mine[u] < read.clock and (plain or read.plain):
                    self.report(slot, read, access)
        self.last_write[slot] = access
