# SPDX-License-Identifier: GPL-2.0-only
"""Data races in a space that was searched.

Two accesses that are enabled in one state can happen at the same time: that is
a race if they touch one slot, one of them writes and one of them is plain.  No
happens-before clocks (FastTrack, PLDI 2009) are needed, as every order of what
came before is among the states; and without reduction locks need no mention, as
who waits for one is not enabled.

With reduction an access may be in the middle of a step.  A slot on which two
accesses may meet is one that no lock protects, and a step has one operation on
such slots, before which it only acquires a lock and touches what that protects.
So two steps that are enabled in one state can both come to theirs unless it is
the same lock; and a state in which two accesses are enabled is, with the steps
of all others undone or completed, one from which both steps lead there.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import Any, Protocol

import attrs

from sgxmodel.search.explore.explorer import Explorer, Finding, Move
from sgxmodel.search.explore.machine import Machine, Problem, Row
from sgxmodel.search.explore.step import Racy


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
        self.explorer = explorer
        self.machine = machine
        self.accesses: list[dict[int, frozenset[Racy]]] = [{} for _ in explorer.tasks]
        self.known: dict[tuple[Access, Access], int | None] = {}

    def find(self) -> Finding | None:
        """A race that needs as few steps as any."""
        for level in self.explorer.levels:
            for state in level:
                race = self._in(state)
                if race is not None:
                    return self._finding(state, *race)
        return None

    def _in(self, state: int) -> tuple[int, int, Racy, int, Racy] | None:
        about = []
        for table, accesses in zip(self.explorer.tables, self.accesses, strict=True):
            key = state & table.mask
            mine = accesses.get(key)
            if mine is None:
                mine = accesses[key] = self._access(table.t, key)
            if mine:
                about.append((table.t, mine))
        for (t, ours), (u, theirs) in combinations(about, 2):
            for one, two in product(ours, theirs):
                if one[1] & two[1]:
                    continue
                pair = (one[0], two[0])
                if pair not in self.known:
                    self.known[pair] = one[0].races(two[0])
                slot = self.known[pair]
                if slot is not None:
                    return slot, t, one, u, two
        return None

    def _access(self, t: int, key: int) -> frozenset[Racy]:
        explorer = self.explorer
        shared, local = explorer.tables[t].split(key)
        step = explorer.space.step(t, shared, local)
        if explorer.reduction:
            return step.racy
        if not step.outcomes:
            return frozenset()
        row = explorer.space.row(shared)
        access = self.machine.access(t, explorer.space.locals[t][local], row)
        return frozenset() if access is None else frozenset(((access, frozenset(), ()),))

    def _finding(self, state: int, slot: int, t: int, one: Racy, u: int, two: Racy) -> Finding:
        names = self.machine.names
        text = f"{names[t]} and {names[u]} access {self.machine.kinds[slot]} at the same time"
        before = [Move(t, choice) for choice in one[2]] + [Move(u, choice) for choice in two[2]]
        path = (*self.explorer.path(state), *before, Move(t, 0), Move(u, 0))
        return Finding(Problem("race", text), path)
