# SPDX-License-Identifier: GPL-2.0-only
"""Ids for shared and local states, and tables from (shared, local) to what follows.

A state is one integer: the shared id in the lowest bits, where it spreads best
over a hash table, and one field for each task's local id.  What a task's step
changes is a difference of such integers, looked up by the state under the
task's mask, so that a successor costs one addition.  A step that was not met
yet is looked up by the values that such steps read, and only then run.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import attrs

from sgxmodel.search.explore.machine import Local, Machine, Problem, Row
from sgxmodel.search.explore.step import Outcome, Single, Step, Transactions


class TooNarrow(Exception):
    """There are more ids than a field has values; field 0 is the shared id's."""

    def __init__(self, field: int) -> None:
        super().__init__()
        self.field = field


def _nothing(row: Row) -> Any:
    return ()


@attrs.define(eq=False)
class LocalMemo:
    """The steps of one local state, by the values of the slots in ``mask``."""

    mask: frozenset[int] = frozenset()
    key: Callable[[Row], Any] = _nothing
    steps: dict[Any, Step] = attrs.field(factory=dict)

    def widen(self, reads: frozenset[int]) -> None:
        """A step read something new: what is known was keyed by too little."""
        self.mask |= reads
        slots = sorted(self.mask)
        self.key = itemgetter(*slots) if slots else _nothing
        self.steps.clear()


class Space:
    """Interned states of one machine, and their steps."""

    def __init__(self, machine: Machine, steps: Single | Transactions) -> None:
        self.machine = machine
        self.steps = steps
        self.rows: list[Row] = []
        self.row_ids: dict[Row, int] = {}
        self.locals: list[list[Local]] = [[] for _ in machine.names]
        self.local_ids: list[dict[Local, int]] = [{} for _ in machine.names]
        self.memos: list[list[LocalMemo]] = [[] for _ in machine.names]
        self.executed = 0
        self.changes: dict[Any, dict[int, int]] = {}
        self.bad_rows: dict[int, tuple[Problem, ...]] = {}

    def first(self) -> tuple[int, list[int]]:
        row, local_states = self.machine.first()
        shared = self.row_id(self.canonical(list(row)))
        ids = [self.local_id(t, self.steps.first(at)) for t, at in enumerate(local_states)]
        return shared, ids

    def canonical(self, row: list[Any]) -> Row:
        self.machine.canonical(row)
        return tuple(row)

    def row_id(self, row: Row) -> int:
        """The id of a shared state; a new one is checked."""
        known = self.row_ids.get(row)
        if known is not None:
            return known
        new = self.row_ids[row] = len(self.rows)
        self.rows.append(row)
        problems = self.problems(row)
        if problems:
            self.bad_rows[new] = problems
        return new

    def problems(self, row: Row) -> tuple[Problem, ...]:
        return tuple(self.machine.check(row))

    def local_id(self, t: int, local: Local) -> int:
        ids = self.local_ids[t]
        known = ids.get(local)
        if known is None:
            known = ids[local] = len(ids)
            self.locals[t].append(local)
            self.memos[t].append(LocalMemo())
        return known

    def step(self, t: int, shared: int, local: int) -> Step:
        """The step of a task in a shared state, from the memo or run."""
        memo, row = self.memos[t][local], self.rows[shared]
        step = memo.steps.get(memo.key(row))
        if step is None:
            step = self.steps.step(t, self.locals[t][local], row)
            self.executed += 1
            if not step.reads <= memo.mask:
                memo.widen(step.reads)
            memo.steps[memo.key(row)] = step
        return step

    def follows(self, shared: int, delta: Any) -> int:
        """The id of a shared state with some writes over it."""
        known = self.known(delta)
        if known is None:
            return shared
        after = known.get(shared)
        if after is None:
            after = known[shared] = self.row_id(self.applied(shared, delta))
        return after

    def known(self, delta: Any) -> dict[int, int] | None:
        """Where some writes lead to from each shared state, as far as it is known."""
        return self.changes.setdefault(delta, {}) if delta else None

    def applied(self, shared: int, delta: Any) -> Row:
        work = list(self.rows[shared])
        for slot, value in delta:
            work[slot] = value
        return self.canonical(work)

    def between(self, shared: int, outcome: Outcome) -> tuple[int, tuple[Problem, ...]]:
        """The first thing that is wrong inside a step, and after how many operations."""
        for count, delta in outcome.between:
            problems = self.problems(self.applied(shared, delta))
            if problems:
                return count, problems
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
        memo = self.memos[local]
        step = memo.steps.get(memo.key(space.rows[shared]))
        if step is None or step.moves is None:
            return self._carefully(key)
        out = []
        for known, delta, after in step.moves:
            if after >= self.limit:
                raise TooNarrow(self.t + 1)
            follows = shared
            if known is not None:
                follows = known.get(shared, -1)
                if follows < 0:
                    follows = known[shared] = space.row_id(space.applied(shared, delta))
                if follows >= self.shared_limit:
                    raise TooNarrow(0)
            out.append(follows - shared + ((after - local) << self.offset))
        if step.owned:
            self.owned[key] = step.owned
        self[key] = differences = tuple(out)
        return differences

    def _carefully(self, key: int) -> tuple[int, ...]:
        """The first time of a step, or one that has to be looked into each time."""
        space, t = self.space, self.t
        shared, local = self.split(key)
        step = space.step(t, shared, local)
        out = []
        for outcome in step.outcomes:
            if outcome.problem is not None or outcome.between:
                _, problems = space.between(shared, outcome)
                if problems:
                    self.found.append((t, key, problems))
                    continue
            out.append(self.difference(shared, local, outcome))
        if step.owned:
            self.owned[key] = step.owned
        self[key] = differences = tuple(out)
        if all(o.problem is None and not o.between for o in step.outcomes):
            step.moves = [
                (space.known(o.delta), o.delta, space.local_id(t, o.local)) for o in step.outcomes
            ]
        return differences

    def difference(self, shared: int, local: int, outcome: Outcome) -> int:
        space = self.space
        after = space.local_id(self.t, outcome.local)
        if after >= self.limit:
            raise TooNarrow(self.t + 1)
        follows = shared
        if outcome.delta:
            follows = space.follows(shared, outcome.delta)
            if follows >= self.shared_limit:
                raise TooNarrow(0)
        return follows - shared + ((after - local) << self.offset)
