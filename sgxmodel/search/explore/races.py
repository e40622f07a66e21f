# SPDX-License-Identifier: GPL-2.0-only
"""Data races in a space that was searched without reduction.

Two accesses that are enabled in one state can happen at the same time: that is
a race if they touch one slot, one of them writes and one of them is plain.  No
happens-before clocks (FastTrack, PLDI 2009) are needed, as every order of what
came before is among the states; locks need no mention, as who waits for one
is not enabled.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Protocol

import attrs

from sgxmodel.search.explore.explorer import Explorer, Finding, Move
from sgxmodel.search.explore.machine import Machine, Problem, Row


@attrs.frozen
class Access:
    """What an operation touches; a ``marked`` slot is one that it touches atomically."""

    reads: frozenset[int]
    writes: frozenset[int]
    plain: bool
    marked: frozenset[int] = frozenset()

    def races(self, other: Access) -> int | None:
        """A slot on which two accesses race."""
        if not (self.plain or other.plain):
            return None
        for slot in sorted(self.writes & (other.reads | other.writes) | self.reads & other.writes):
            if self._plain(slot) or other._plain(slot):
                return slot
        return None

    def _plain(self, slot: int) -> bool:
        return self.plain and not (slot in self.marked and slot in self.writes)


class Accessing(Machine, Protocol):
    """A machine that can say what an operation alone touches, checkers left out."""

    def access(self, t: int, local: Any, row: Row) -> Access | None:
        """None: nothing that could race.  Only asked of an operation that is enabled."""


class Races:
    """Looks through the states of a finished search."""

    def __init__(self, explorer: Explorer, machine: Accessing) -> None:
        if explorer.reduction:
            raise ValueError("races are looked for between operations: switch reduction off")
        self.explorer = explorer
        self.machine = machine
        self.accesses: list[dict[int, Access | None]] = [{} for _ in explorer.tasks]
        self.known: dict[tuple[Access, Access], int | None] = {}

    def find(self) -> Finding | None:
        """A race that needs as few steps as any."""
        for level in self.explorer.levels:
            for state in level:
                race = self._in(state)
                if race is not None:
                    return self._finding(state, *race)
        return None

    def _in(self, state: int) -> tuple[int, int, int] | None:
        about = []
        for table, accesses in zip(self.explorer.tables, self.accesses, strict=True):
            key = state & table.mask
            if key not in accesses:
                accesses[key] = self._access(table.t, key)
            access = accesses[key]
            if access is not None:
                about.append((table.t, access))
        for (t, one), (u, two) in combinations(about, 2):
            pair = (one, two)
            if pair not in self.known:
                self.known[pair] = one.races(two)
            slot = self.known[pair]
            if slot is not None:
                return slot, t, u
        return None

    def _access(self, t: int, key: int) -> Access | None:
        explorer = self.explorer
        shared, local = explorer.tables[t].split(key)
        if not explorer.space.step(t, shared, local).outcomes:
            return None
        return self.machine.access(t, explorer.space.locals[t][local], explorer.space.row(shared))

    def _finding(self, state: int, slot: int, t: int, u: int) -> Finding:
        names = self.machine.names
        text = f"{names[t]} and {names[u]} access {self.machine.kinds[slot]} at the same time"
        path = (*self.explorer.path(state), Move(t, 0), Move(u, 0))
        return Finding(Problem("race", text), path)
