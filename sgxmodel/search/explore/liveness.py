# SPDX-License-Identifier: GPL-2.0-only
"""Fair cycles without progress, in a space that was searched.

Tasks finish, so a run that goes on for ever is one that gets nowhere.  It is
fair if every task that can run again and again does (strong fairness): a
strongly connected part of the space in which each task that is enabled
somewhere also moves.  Parts are found by Tarjan's algorithm, and where a task
is enabled but never moves, its states are taken out and the rest is looked at
again (Emerson and Lei, LICS 1986).  A cycle of the whole is one of every
task's local states, which cuts the graph down first.

With reduction: a step blocks nowhere, so a fair run finishes each that it
begins and is, reordered, a run of whole steps; locks that are free at some
point of a step that holds them are free at one of its ends, and a condition that
somebody waits for changes at most once in a step (``step``), so the same tasks are
enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import attrs

from sgxmodel.search.explore.explorer import Explorer, Move
from sgxmodel.search.explore.machine import Row

N = TypeVar("N", bound=Hashable)
Edge = tuple[int, int, int]
"""(task, place of the outcome among its differences, state that follows)."""


@attrs.frozen
class Lasso:
    """A way to a state, a way from it back to it, and who could run in between."""

    stem: tuple[Move, ...]
    loop: tuple[Move, ...]
    busy: tuple[int, ...]


def fair_cycle(explorer: Explorer, counts: Callable[[Row], bool] | None = None) -> Lasso | None:
    """A fair cycle of a finished search, or None; ``counts``: of such shared states only."""
    graph = _Graph(explorer)
    candidates = graph.candidates()
    if counts is not None:
        candidates = graph.of(candidates, counts)
    todo: list[Collection[int]] = [candidates]
    while todo:
        for part in components(todo.pop(), graph.following):
            moving = graph.moving(part)
            if not moving:
                continue
            idle = {s for s in part if any(t not in moving for t in graph.enabled(s))}
            if not idle:
                return graph.lasso(part, moving)
            todo.append(part - idle)
    return None


def components(nodes: Iterable[N], following: Callable[[N], Iterable[N]]) -> Iterator[set[N]]:
    """Strongly connected parts of a graph (Tarjan, SIAM J. Comput. 1(2), 1972), iteratively."""
    inside = set(nodes)
    order: dict[N, int] = {}
    low: dict[N, int] = {}
    stack: list[N] = []
    waiting: set[N] = set()
    for root in sorted(inside):  # type: ignore[type-var]
        if root in order:
            continue
        order[root] = low[root] = len(order)
        stack.append(root)
        waiting.add(root)
        work = [(root, iter([n for n in following(root) if n in inside]))]
        while work:
            node, rest = work[-1]
            for after in rest:
                if after not in order:
                    order[after] = low[after] = len(order)
                    stack.append(after)
                    waiting.add(after)
                    work.append((after, iter([n for n in following(after) if n in inside])))
                    break
                if after in waiting:
                    low[node] = min(low[node], order[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    part: set[N] = set()
                    while node not in part:
                        part.add(stack.pop())
                    waiting -= part
                    yield part


def _moves(t: int, edge: Edge) -> bool:
    return edge[0] == t


class _Graph:
    """States and those edges along which a task may come back to its local state."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.graph = explorer.graph
        self.turns = [self._turns(t) for t in explorer.tasks]

    def _turns(self, t: int) -> set[tuple[int, int]]:
        """Edges of a task's local states that are on a cycle of them."""
        mask, offset = self.graph.fields.masks[t], self.graph.fields.offsets[t]
        after: dict[int, set[int]] = {}
        for node in self.graph.nodes[t]:
            here = node.local << offset
            for key, differences in node.table.items():
                ends = {(key + here + difference) & mask for difference in differences}
                after.setdefault(here, set()).update(ends)
        turns = set()
        for part in components(after, lambda n: sorted(after.get(n, ()))):
            turns |= {(a, b) for a in part for b in after.get(a, ()) if b in part}
        return turns

    def candidates(self) -> set[int]:
        """States from which such an edge leads."""
        found: set[int] = set()
        for t, turns in enumerate(self.turns):
            field = self.graph.fields.masks[t]
            starts = {here for here, _ in turns}
            for node, part in self.graph.parts(t, self.explorer.seen) if turns else ():
                if part[0] & field not in starts:
                    continue
                table, mask = node.table, node.mask
                for state in part:
                    for d in table[state & mask]:
                        if (state & field, (state + d) & field) in turns:
                            found.add(state)
        return found

    def of(self, states: Iterable[int], counts: Callable[[Row], bool]) -> set[int]:
        """Those whose shared part counts."""
        shared, known, found = self.graph.fields.shared, dict[int, bool](), set[int]()
        for state in states:
            counted = known.get(state & shared)
            if counted is None:
                counted = known[state & shared] = counts(self.graph.row(state))
            if counted:
                found.add(state)
        return found

    def edges(self, state: int) -> Iterator[Edge]:
        for t, turns in enumerate(self.turns):
            if not turns:
                continue
            field = self.graph.fields.masks[t]
            for place, difference in enumerate(self.graph.following(t, state)):
                if (state & field, (state + difference) & field) in turns:
                    yield t, place, state + difference

    def following(self, state: int) -> list[int]:
        return [after for _, _, after in self.edges(state)]

    def enabled(self, state: int) -> list[int]:
        return [t for t in self.explorer.tasks if self.graph.following(t, state)]

    def moving(self, part: set[int]) -> set[int]:
        return {t for state in part for t, _, after in self.edges(state) if after in part}

    def lasso(self, part: set[int], moving: set[int]) -> Lasso:
        start = min(part)
        state, loop = start, list[Move]()
        for t in sorted(moving):
            state = self._walk(part, state, loop, partial(_moves, t))
        if state != start:
            self._walk(part, state, loop, lambda edge: edge[2] == start)
        return Lasso(tuple(self.explorer.path(start)), tuple(loop), tuple(sorted(moving)))

    def _walk(
        self, part: set[int], start: int, path: list[Move], wanted: Callable[[Edge], bool]
    ) -> int:
        """Extend a path within a part, along a shortest way, by an edge that is wanted."""
        came: dict[int, list[Move]] = {start: []}
        level = [start]
        while level:
            following = []
            for state in level:
                for edge in self.edges(state):
                    t, place, after = edge
                    if after not in part:
                        continue
                    way = [*came[state], *self._moves(t, state, place)]
                    if wanted(edge):
                        path += way
                        return after
                    if after not in came:
                        came[after] = way
                        following.append(after)
            level = following
        raise RuntimeError("a part that is not connected: a defect of the explorer")

    def _moves(self, t: int, state: int, place: int) -> list[Move]:
        _, outcome = self.graph.ends(t, state)[place]
        return [Move(t, choice) for choice in outcome.choices]
