# SPDX-License-Identifier: GPL-2.0-only
"""Ids of what states are made of, and the steps of local states, each run once."""

from __future__ import annotations

from sgxmodel.search.explore.machine import Local, Machine
from sgxmodel.search.explore.rows import Change, Delta, Memo, Packed, Rows
from sgxmodel.search.explore.step import Outcome, Single, Step, Transactions

Way = tuple[Change, int, tuple[tuple[int, Change], ...], Outcome]
"""One outcome: its change, local id, (operations, change) of what is checked on the way."""


class Space:
    """Interned values, local states and steps of one machine.

    ``new`` counts the ids given out and the steps run; ``executed`` the steps alone.
    """

    def __init__(self, machine: Machine, steps: Single | Transactions) -> None:
        self.machine = machine
        self.steps = steps
        self.packer = Rows(len(machine.kinds), machine.groups, machine.named, machine.canonical)
        self.locals: list[list[Local]] = [[] for _ in machine.names]
        self.local_ids: list[dict[Local, int]] = [{} for _ in machine.names]
        self.memos: list[list[Memo[Step]]] = [[] for _ in machine.names]
        self.changes: dict[Delta, Change] = {}
        self.executed = 0

    @property
    def new(self) -> int:
        return self.executed + self.packer.given + sum(map(len, self.locals))

    def first(self) -> tuple[Packed, list[int]]:
        """The shared state and the local ids at the start."""
        row, local_states = self.machine.first()
        ids = [self.local_id(t, self.steps.first(at)) for t, at in enumerate(local_states)]
        return self.packer.pack(row), ids

    def local_id(self, t: int, local: Local) -> int:
        ids = self.local_ids[t]
        known = ids.get(local)
        if known is None:
            known = ids[local] = len(ids)
            self.locals[t].append(local)
            self.memos[t].append(Memo(self.packer))
        return known

    def step(self, t: int, packed: Packed, local: int) -> Step:
        """The step of a task in a shared state, from the memo or run."""
        memo = self.memos[t][local]
        step = memo.get(packed)
        if step is None:
            step = self.steps.step(t, self.locals[t][local], self.packer.unpack(packed))
            self.executed += 1
            memo.put(packed, step.reads, step)
        return step

    def change(self, delta: Delta) -> Change:
        known = self.changes.get(delta)
        if known is None:
            known = self.changes[delta] = self.packer.change(delta)
        return known

    def ways(self, t: int, step: Step) -> list[Way]:
        """A step's outcomes in ids."""
        if step.ways is None:
            step.ways = [
                (
                    self.change(o.delta),
                    self.local_id(t, o.local),
                    tuple((count, self.change(delta)) for count, delta in o.between),
                    o,
                )
                for o in step.outcomes
            ]
            step.decides = self._decides(step)
        ways: list[Way] = step.ways
        return ways

    def _decides(self, step: Step) -> frozenset[int]:
        """The groups that say what the step does to ids: those it reads and those it writes."""
        groups = {self.packer.where[slot][0] for slot in step.reads}
        for change, _, between, _ in step.ways:
            groups.update(change.groups)
            for _, early in between:
                groups.update(early.groups)
        return frozenset(groups)
