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

from sgxmodel.search.explore.explorer import Explorer, Finding, Move, labelled
from sgxmodel.search.explore.graph import Node
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
        self.graph = explorer.graph
        self.machine = machine
        self.alone: list[dict[int, dict[int, int]]] = [{} for _ in explorer.tasks]
        self.known: dict[tuple[Access, Access], int | None] = {}
        self.fine: set[tuple[int, int]] = set()
        """Pairs of labels without a race."""

    def find(self) -> Finding | None:
        """A race that needs as few steps as any."""
        for level in self.explorer.levels:
            accesses = [self._accesses(t, level) for t in self.explorer.tasks]
            for (t, ours), (u, theirs) in combinations(enumerate(accesses), 2):
                for state, one in ours.items():
                    two = theirs.get(state)
                    if two is None or (one, two) in self.fine:
                        continue
                    race = self._between(one, two)
                    if race is not None:
                        slot, first, second = race
                        return self._finding(state, slot, t, first, u, second)
                    self.fine.add((one, two))
        return None

    def _accesses(self, t: int, level: list[int]) -> dict[int, int]:
        """State -> label of what a task's step there may race with, if there is anything."""
        out: dict[int, int] = {}
        for node, part in self.graph.parts(t, level):
            labels = node.racy if self.explorer.reduction else self._of_single(t, node, part)
            if labels:
                out.update(labelled(part, node.mask, labels))
        return out

    def _of_single(self, t: int, node: Node, part: list[int]) -> dict[int, int]:
        """The same where every operation is a step."""
        labels = self.alone[t].setdefault(node.local, {})
        for state in part:
            key = state & node.mask
            if key not in labels:
                access = None
                if self.graph.step(t, state).outcomes:
                    local, row = self.graph.local(t, state), self.graph.row(state)
                    access = self.machine.access(t, local, row)
                racy: frozenset[Racy] = frozenset({(access, frozenset(), ())})
                labels[key] = self.graph.label(racy) if access is not None else 0
        return labels

    def _between(self, one: int, two: int) -> tuple[int, Racy, Racy] | None:
        labels = self.graph.labels
        for first, second in product(labels[one], labels[two]):
            if first[1] & second[1]:
                continue
            pair = (first[0], second[0])
            if pair not in self.known:
                self.known[pair] = first[0].races(second[0])
            slot = self.known[pair]
            if slot is not None:
                return slot, first, second
        return None

    def _finding(self, state: int, slot: int, t: int, one: Racy, u: int, two: Racy) -> Finding:
        names = self.machine.names
        text = f"{names[t]} and {names[u]} access {self.machine.kinds[slot]} at the same time"
        before = [Move(t, choice) for choice in one[2]] + [Move(u, choice) for choice in two[2]]
        path = (*self.explorer.path(state), *before, Move(t, 0), Move(u, 0))
        return Finding(Problem("race", text), path)
