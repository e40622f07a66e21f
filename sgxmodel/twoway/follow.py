# SPDX-License-Identifier: GPL-2.0-only
"""Whether the model can do what a tree did: a search of its interleavings.

Depth first, with what was met before.  A branch ends where a call returns
something else than it did on the tree.  With *moves* a branch also ends where
the model does another one of them than came next on the tree: what is left to
find out is where the steps in between stand, and the first guess, each as late
as it can be, is mostly right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import attrs

from sgxmodel.invariants.view import View
from sgxmodel.machine.op import Fault
from sgxmodel.machine.system import Call, Silent, Snapshot, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import result_name
from sgxmodel.twoway.model import Eye
from sgxmodel.twoway.moves import FAILS, RETURNS, Move, of_model

Position = tuple[int, frozenset[int]]
"""Moves of the guide that were made: those before a number, and returns after it."""


class Answer(Enum):
    """What a search says."""

    CAN = "the model can do that"
    CANNOT = "no interleaving of the model does that"
    CUT = "the search was cut short"


@attrs.frozen
class Outcome:
    """What a run of concurrent calls gave: results by task, and the state at rest.

    No state: somebody retries for ever, and results are those up to then.
    """

    results: Mapping[str, tuple[str, ...]]
    state: Mapping[str, str] | None


class _Watch(Silent):
    """Results as they come: whether they are those that are looked for."""

    def __init__(self, wanted: list[tuple[str, ...]]) -> None:
        self.wanted = wanted
        self.system: System | None = None
        self.other = self.returned_now = False

    def returned(self, t: int, call: Call, value: Any) -> None:
        assert self.system is not None
        at = self.system.position[t] - 1
        if t < len(self.wanted):
            self.returned_now = True
            self.other |= (result_name(value),) != self.wanted[t][at : at + 1]

    def fault(self, t: int, site: Any, fault: Fault) -> None:
        self.other |= fault.fatal


@attrs.define
class _Node:
    snapshot: Snapshot
    at: Position
    rest: Iterator[tuple[int, int]]
    """(task, outcome of a choice): steps that are still to be tried."""


class Follow:
    """One outcome looked for in one world.  ``states``: how many there were."""

    def __init__(self, world: World, wanted: Outcome) -> None:
        self.world = world
        self.wanted = wanted
        self.eye = Eye(View(world), world.scenario)
        self.states = 0
        self.nearest: dict[str, str] | None = None
        """The state at the end of a run with all the results, where that was not the tree's."""

    def search(
        self,
        moves: list[Move] | None,
        alphabet: frozenset[str],
        limit: int,
        eager: bool = False,
    ) -> Answer:
        """``moves``: of the tree's run; ``alphabet``: those that have to be the same.

        What is first tried: steps in between as late as can be, or as early (``eager``).
        """
        guide = None if moves is None else [m for m in moves if m[1] in alphabet]
        return _Search(self, guide, alphabet, limit, eager).run()


class _Search:
    def __init__(
        self,
        of: Follow,
        guide: list[Move] | None,
        alphabet: frozenset[str],
        limit: int,
        eager: bool,
    ) -> None:
        self.of = of
        self.guide = guide
        self.alphabet = alphabet
        self.limit = limit
        users = [t for t in of.world.tasks if not t.daemon and not t.last]
        self.users = len(users)
        self.watch = _Watch([of.wanted.results[t.name] for t in users])
        self.system = of.world.system(self.watch)
        self.watch.system = self.system
        self.system.start()
        tasks = self.system.tasks
        self.able = [t for t, spec in enumerate(tasks) if not spec.last]
        self.number = {spec.name: t for t, spec in enumerate(tasks)}
        self.orders = self._orders(eager)
        self.seen: set[int] = set()

    def _orders(self, eager: bool) -> list[list[int]]:
        """At each move of the guide, tasks in the order in which they come up next.

        ``eager``: first the task that made the latest move.
        """
        order = list(self.able)
        out = [order]
        for task, _ in reversed(self.guide or []):
            t = self.number.get(task)
            if t is not None:
                order = [t, *(u for u in order if u != t)]
            out.append(order)
        out = out[::-1]
        for i, (task, _) in enumerate(self.guide or [] if eager else []):
            t = self.number.get(task)
            if t is not None:
                out[i + 1] = [t, *(u for u in out[i + 1] if u != t)]
        return out

    def run(self) -> Answer:
        first = self._node((0, frozenset()))
        path = [first] if first else []
        while path:
            node = path[-1]
            step = next(node.rest, None)
            if step is None:
                path.pop()
                if path:
                    self._back(path[-1])
                continue
            after = self._step(node, *step)
            if after is None:
                self._back(node)
                continue
            if self.of.wanted.state is None:
                if self._followed(after):
                    return Answer.CAN
            elif self._at_rest(after):
                if dict(self.of.eye.lines(self.system.state)) == self.of.wanted.state:
                    return Answer.CAN
                self.of.nearest = dict(self.of.eye.lines(self.system.state))
            below = self._node(after)
            if below is None:
                self._back(node)
                continue
            if len(self.seen) > self.limit:
                return Answer.CUT
            path.append(below)
        return Answer.CANNOT

    def _back(self, node: _Node) -> None:
        self.system.restore(node.snapshot)
        self.watch.other = False

    def _node(self, at: Position) -> _Node | None:
        """The present state, unless it was met before."""
        snapshot = self.system.snapshot()
        key = hash((snapshot.shared, snapshot.locals, at))
        if key in self.seen:
            return None
        self.seen.add(key)
        self.of.states += 1
        return _Node(snapshot, at, self._steps(at))

    def _steps(self, at: Position) -> Iterator[tuple[int, int]]:
        for t in self.orders[at[0] if self.guide else 0]:
            if self.system.done(t) or not self.system.enabled(t):
                continue
            for choice in range(self.system.alternatives(t)):
                yield t, choice

    def _step(self, node: _Node, t: int, choice: int) -> Position | None:
        """How many moves were made after a step; None where the tree did something else."""
        at: Position | None = node.at
        for move in (FAILS if choice else None, of_model(self.system, t)):
            if move is not None and at is not None:
                at = self._made(at, t, move)
        if at is None:
            return None
        self.watch.returned_now = False
        self.system.step(t, choice)
        if self.watch.other:
            return None
        return self._made(at, t, RETURNS) if self.watch.returned_now else at

    def _made(self, at: Position, t: int, what: str) -> Position | None:
        """A move: whether it is the one that came next on the tree.

        A call may return earlier than there: the model has no step after its last one.
        """
        if self.guide is None or what not in self.alphabet:
            return at
        place, early = at
        task = self.system.tasks[t].name
        while place in early:
            place, early = place + 1, early - {place}
        if place < len(self.guide) and self.guide[place] == (task, what):
            return place + 1, early
        if what != RETURNS:
            return None
        mine = (i for i in range(place, len(self.guide)) if self.guide[i][0] == task)
        following = next((i for i in mine if i not in early), None)
        if following is None or self.guide[following][1] != RETURNS:
            return None
        return place, early | {following}

    def _followed(self, at: Position) -> bool:
        """Whether all moves of the guide were made."""
        return self.guide is None or all(i in at[1] for i in range(at[0], len(self.guide)))

    def _at_rest(self, at: Position) -> bool:
        if not self._followed(at):
            return False
        system = self.system
        if not all(system.done(t) for t in range(self.users)):
            return False
        return not any(system.enabled(t) for t in self.able if not system.done(t))
