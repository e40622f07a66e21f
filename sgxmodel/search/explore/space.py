# SPDX-License-Identifier: GPL-2.0-only
"""Ids of what states are made of, and the steps of local states, each run once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sgxmodel.search.explore.fields import Fields
from sgxmodel.search.explore.machine import Local, Machine
from sgxmodel.search.explore.memo import Memo
from sgxmodel.search.explore.rows import Change, Delta, Rows
from sgxmodel.search.explore.step import Outcome, Single, Step, Transactions

Place = tuple[Sequence[Any], Sequence[Local]]
"""A state in full: the shared state, and each task's local state as steps have it."""
Way = tuple[Change, int, tuple[tuple[int, Change], ...], Outcome]
"""One outcome: its change, local id, (operations, change) of what is checked on the way."""


Known = tuple[list[Way], frozenset[int]]
"""A step's outcomes, and the groups that decide what they do to ids."""


class Steps:
    """Steps by local state and by what they read.  Good for any ids, so it outlives a search.

    ``executed``: how many had to be run.
    """

    def __init__(self, make: Single | Transactions) -> None:
        self.make = make
        self.memos: list[dict[Local, Memo[Step]]] = [{} for _ in make.machine.names]
        self.executed = 0

    def memo(self, t: int, local: Local) -> Memo[Step]:
        return self.memos[t].setdefault(local, Memo())

    def forget(self, kinds: set[str]) -> None:
        """Of slots of these kinds other things are believed now."""
        for memos in self.memos if kinds else ():
            for memo in memos.values():
                memo.keep(lambda step: not step.kinds & kinds)


class Space:
    """Interned values and local states of one machine."""

    def __init__(self, machine: Machine, steps: Steps) -> None:
        self.machine = machine
        self.steps = steps
        self.rows = Rows(
            len(machine.names),
            len(machine.kinds),
            machine.groups,
            machine.named,
            machine.canonical,
        )
        self.locals: list[list[Local]] = [[] for _ in machine.names]
        self.local_ids: list[dict[Local, int]] = [{} for _ in machine.names]
        self.memos: list[list[Memo[Step]]] = [[] for _ in machine.names]
        self.changes: dict[Delta, Change] = {}
        self.known: dict[Step, Known] = {}

    @property
    def fields(self) -> Fields:
        return self.rows.fields

    @property
    def new(self) -> int:
        """Counts the ids given out and the steps run."""
        return self.steps.executed + self.rows.given + sum(map(len, self.locals))

    def counts(self) -> list[int]:
        """How many ids each field has to hold."""
        return [*map(len, self.locals), *self.rows.counts()]

    def first(self) -> Place:
        """Where the machine starts."""
        row, local_states = self.machine.first()
        return row, [self.steps.make.first(local) for local in local_states]

    def state(self, place: Place) -> int:
        """A place as a state.  Raises ``fields.Crowded``."""
        row, local_states = place
        ids = [self.local_id(t, local) for t, local in enumerate(local_states)]
        return self.fields.state(ids, self.rows.pack(row))

    def place(self, state: int) -> Place:
        """The other way."""
        ids = (self.fields.local(t, state) for t in range(len(self.locals)))
        return self.rows.unpack(state), [self.locals[t][local] for t, local in enumerate(ids)]

    def local_id(self, t: int, local: Local) -> int:
        ids = self.local_ids[t]
        known = ids.get(local)
        if known is None:
            known = ids[local] = len(ids)
            self.locals[t].append(local)
            self.memos[t].append(self.steps.memo(t, local))
        return known

    def step(self, t: int, state: int) -> Step:
        """The step of a task in a state, from the memo or run."""
        local = self.fields.local(t, state)
        memo = self.memos[t][local]
        step = memo.get(self.rows, state)
        if step is None:
            step = self.steps.make.step(t, self.locals[t][local], self.rows.unpack(state))
            self.steps.executed += 1
            memo.put(self.rows, state, step.reads, step)
        return step

    def change(self, delta: Delta) -> Change:
        known = self.changes.get(delta)
        if known is None:
            known = self.changes[delta] = self.rows.change(delta)
        return known

    def ways(self, t: int, step: Step) -> Known:
        """A step's outcomes in ids, and the groups that decide what they are."""
        known = self.known.get(step)
        if known is None:
            ways = [
                (
                    self.change(o.delta),
                    self.local_id(t, o.local),
                    tuple((count, self.change(delta)) for count, delta in o.between),
                    o,
                )
                for o in step.outcomes
            ]
            known = self.known[step] = (ways, self._deciding(step, ways))
        return known

    def _deciding(self, step: Step, ways: list[Way]) -> frozenset[int]:
        """The groups that a step reads and those that it writes."""
        groups = {self.rows.where[slot][0] for slot in step.reads}
        for change, _, between, _ in ways:
            groups.update(change.groups)
            for _, early in between:
                groups.update(early.groups)
        return frozenset(groups)
