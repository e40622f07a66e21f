# SPDX-License-Identifier: GPL-2.0-only
"""Ids for shared and local states, and tables from (shared, local) to what follows.

A state is one integer: the shared id in the lowest bits, where it spreads best
over a hash table, and one field for each task's local id.  What a task's step
changes is a difference of such integers, looked up by the state under the
task's mask, so that a successor costs one addition.  A step that was not met
yet is looked up by the values that such steps read, and only then run.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

from sgxmodel.search.explore.machine import Local, Machine, Problem, Row
from sgxmodel.search.explore.rows import Change, Delta, Memo, Packed, Reading, Rows
from sgxmodel.search.explore.step import Outcome, Single, Step, Transactions


class TooNarrow(Exception):
    """There are more ids than a field has values; field 0 is the shared id's."""

    def __init__(self, field: int) -> None:
        super().__init__()
        self.field = field


Way = tuple[Change | None, int, tuple[tuple[int, Change], ...], Outcome]
"""One outcome: its change, local id, (operations, change) of what is checked on the way."""


class Space:
    """Interned states of one machine, and their steps."""

    def __init__(self, machine: Machine, steps: Single | Transactions) -> None:
        self.machine = machine
        self.steps = steps
        self.packer = Rows(len(machine.kinds), machine.groups, machine.named, machine.canonical)
        self.rows: list[Packed] = []
        self.row_ids: dict[Packed, int] = {}
        self.locals: list[list[Local]] = [[] for _ in machine.names]
        self.local_ids: list[dict[Local, int]] = [{} for _ in machine.names]
        self.memos: list[list[Memo[Step]]] = [[] for _ in machine.names]
        self.checks = [(check, Memo[tuple[Problem, ...]](self.packer)) for check in machine.checks]
        self.executed = 0
        self.changes: dict[Delta, Change] = {}
        self.bad_rows: dict[int, tuple[Problem, ...]] = {}
        self.new = 0
        self.log = array("Q")
        self.proof = 0

    def first(self) -> tuple[int, list[int]]:
        row, local_states = self.machine.first()
        shared = self.row_id(self.packer.pack(row))
        ids = [self.local_id(t, self.steps.first(at)) for t, at in enumerate(local_states)]
        return shared, ids

    def row(self, shared: int) -> Row:
        """A shared state as the machine has it."""
        return self.packer.unpack(self.rows[shared])

    def row_id(self, packed: Packed) -> int:
        """The id of a shared state; a new one is checked."""
        known = self.row_ids.get(packed)
        if known is not None:
            return known
        self.new += 1
        new = self.row_ids[packed] = len(self.rows)
        self.rows.append(packed)
        problems = self.problems(packed)
        if problems:
            self.bad_rows[new] = problems
        return new

    def problems(self, packed: Packed) -> tuple[Problem, ...]:
        """What is wrong in a shared state."""
        out: tuple[Problem, ...] = ()
        for check, memo in self.checks:
            known = memo.near.get(memo.key(packed))
            if known is None:
                known = memo.get(packed)
                if known is None:
                    reading = Reading(self.packer.unpack(packed))
                    known = tuple(check(reading))
                    memo.put(packed, list(reading.reads), known)
            if known:
                out += known
        return out

    def local_id(self, t: int, local: Local) -> int:
        ids = self.local_ids[t]
        known = ids.get(local)
        if known is None:
            self.new += 1
            known = ids[local] = len(ids)
            self.locals[t].append(local)
            self.memos[t].append(Memo(self.packer))
        return known

    def step(self, t: int, shared: int, local: int) -> Step:
        """The step of a task in a shared state, from the memo or run."""
        memo, packed = self.memos[t][local], self.rows[shared]
        step = memo.get(packed)
        if step is None:
            step = self.steps.step(t, self.locals[t][local], self.packer.unpack(packed))
            self.executed += 1
            self.new += 1
            memo.put(packed, step.reads, step)
        return step

    def met(self, t: int, shared: int, local: int, ends: Iterable[tuple[int, int]]) -> None:
        """Log a meeting that gave out ids or ran a step, in whose order ids have their meaning."""
        self.log.extend((t, shared, local))
        self.proof = hash((self.proof, t, shared, local, *ends))

    def change(self, delta: Delta) -> Change:
        """Some writes, and where they lead to from each shared state, as far as it is known."""
        known = self.changes.get(delta)
        if known is None:
            known = self.changes[delta] = self.packer.change(delta)
        return known

    def follows(self, shared: int, change: Change) -> int:
        """The id of a shared state with some writes over it."""
        after = change.known.get(shared)
        if after is None:
            after = self.row_id(self.packer.applied(self.rows[shared], change))
            change.known[shared] = after
        return after

    def ways(self, t: int, step: Step) -> list[Way]:
        """A step's outcomes in ids."""
        if step.ways is None:
            step.ways = [
                (
                    self.change(o.delta) if o.delta else None,
                    self.local_id(t, o.local),
                    tuple((count, self.change(delta)) for count, delta in o.between),
                    o,
                )
                for o in step.outcomes
            ]
        ways: list[Way] = step.ways
        return ways

    def between(self, shared: int, way: Way) -> tuple[int, tuple[Problem, ...]]:
        """The first thing that is wrong inside a step, and after how many operations."""
        if way[2]:
            packed = self.rows[shared]
            for count, change in way[2]:
                problems = self.problems(self.packer.applied(packed, change))
                if problems:
                    return count, problems
        outcome = way[3]
        if outcome.problem is not None:
            return len(outcome.choices), (outcome.problem,)
        return 0, ()


Found = tuple[int, int, tuple[Problem, ...]]
"""(task, the state under its mask, what is wrong)."""


class Table(dict[int, tuple[int, ...]]):
    """State under the mask of one task -> differences to its successors."""

    def __init__(self, space: Space, t: int, widths: list[int]) -> None:
        super().__init__()
        self.space, self.t = space, t
        self.offset = sum(widths[: t + 1])
        self.limit, self.shared_limit = 1 << widths[t + 1], 1 << widths[0]
        self.field, self.shared = self.limit - 1, self.shared_limit - 1
        self.mask = (self.field << self.offset) | self.shared
        self.memos = space.memos[t]
        self.found: list[Found] = []
        self.owned: dict[int, Any] = {}

    def split(self, key: int) -> tuple[int, int]:
        """(shared id, local id)."""
        return key & self.shared, (key >> self.offset) & self.field

    def __missing__(self, key: int) -> tuple[int, ...]:
        space = self.space
        shared, local = key & self.shared, (key >> self.offset) & self.field
        new = space.new
        memo = self.memos[local]
        step = memo.near.get(memo.key(space.rows[shared]))
        if step is None:
            step = space.step(self.t, shared, local)
        ends = []
        for way in step.ways or space.ways(self.t, step):
            change, after, between, outcome = way
            if between or outcome.problem is not None:
                _, problems = space.between(shared, way)
                if problems:
                    self.found.append((self.t, key, problems))
                    continue
            follows = shared
            if change is not None:
                follows = change.known.get(shared, -1)
                if follows < 0:
                    follows = space.follows(shared, change)
            ends.append((follows, after))
        if space.new != new:
            space.met(self.t, shared, local, ends)
            self._fits()
        if step.owned:
            self.owned[key] = step.owned
        offset = self.offset
        self[key] = differences = tuple(
            [follows - shared + ((after - local) << offset) for follows, after in ends]
        )
        return differences

    def _fits(self) -> None:
        if len(self.memos) > self.limit:
            raise TooNarrow(self.t + 1)
        if len(self.space.rows) > self.shared_limit:
            raise TooNarrow(0)

    def difference(self, shared: int, local: int, way: Way) -> int:
        """What one outcome changes."""
        change, after, _, _ = way
        follows = shared if change is None else self.space.follows(shared, change)
        self._fits()
        return follows - shared + ((after - local) << self.offset)
