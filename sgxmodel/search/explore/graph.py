# SPDX-License-Identifier: GPL-2.0-only
"""Where states lead: tables of differences, one for each local state of each task.

What a step does is decided by the few fields that it reads or writes, so a
state under the mask of those is looked up and the differences found there are
added to it.  A few thousand entries serve for all the states of a search; the
rest of a state is never looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from sgxmodel.search.explore.fields import Crowded, Fields
from sgxmodel.search.explore.machine import Local, Machine, Row
from sgxmodel.search.explore.space import Space, Steps
from sgxmodel.search.explore.step import Outcome, Step

Logged = tuple[int, int]
"""(task, state) of a meeting that gave out ids or ran a step."""


@attrs.define(eq=False)
class Node:
    """One local state of one task.

    ``table``: the state under ``mask`` -> differences to what follows; ``inside``:
    to states within the step that predicates may see; ``owned``, ``racy``: numbers
    (of ``Graph.labels``) of the owned slots and racing operations of the step, 0
    for none.  ``blocks``: some entry is empty.
    """

    local: int
    groups: frozenset[int] = frozenset()
    mask: int = 0
    table: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    inside: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    owned: dict[int, int] = attrs.field(factory=dict)
    racy: dict[int, int] = attrs.field(factory=dict)
    blocks: bool = False

    def forget(self) -> None:
        """The mask is another one."""
        for known in (self.table, self.inside, self.owned, self.racy):
            known.clear()


class Graph:
    """The states of one machine as integers.  Most methods may raise ``fields.Crowded``."""

    def __init__(self, machine: Machine, steps: Steps, fields: Fields | None = None) -> None:
        self.machine = machine
        self.tasks = range(len(machine.names))
        self.space = Space(machine, steps)
        first = self.space.first()
        if fields is not None:
            self.space.rows.fields = fields
        while True:
            try:
                self.start = self.space.state(first)
                break
            except Crowded:
                self.space.rows.fields = self.fields.wider(self.space.counts())
        self.nodes: list[list[Node]] = [[] for _ in self.tasks]
        self.labels: list[Any] = [None]
        self.label_ids: dict[Any, int] = {}
        self.broken: list[tuple[int, int, Outcome]] = []
        """(task, state, outcome) of each outcome that broke an assertion, when first met."""
        self.log: list[Logged] = []
        self.proof = 0

    @property
    def fields(self) -> Fields:
        return self.space.rows.fields

    def widen(self) -> Fields:
        """Make room for all ids; the layout that was.  States have to be moved to the new one."""
        before = self.fields
        self.lay(before.wider(self.space.counts()))
        return before

    def lay(self, fields: Fields) -> None:
        """Another layout, with more room."""
        before = self.fields
        self.space.rows.fields = fields
        states = before.moved(fields, [state for _, state in self.log])
        self.log = [(t, state) for (t, _), state in zip(self.log, states, strict=True)]
        (self.start,) = before.moved(fields, [self.start])
        self.broken.clear()
        for nodes in self.nodes:
            for node in nodes:
                node.forget()
                node.mask = fields.mask(node.groups)

    # -- states ---------------------------------------------------------------------------

    def row(self, state: int) -> Row:
        """The shared state as the machine has it."""
        return self.space.rows.unpack(state)

    def local(self, t: int, state: int) -> Local:
        """A task's local state as the machine has it."""
        return self.space.steps.make.bare(self.space.locals[t][self.fields.local(t, state)])

    def step(self, t: int, state: int) -> Step:
        """A task's step in a state."""
        return self.space.step(t, state)

    def node(self, t: int, state: int) -> Node:
        """What is known of a task's local state."""
        return self._node(t, self.fields.local(t, state))

    def _node(self, t: int, local: int) -> Node:
        nodes = self.nodes[t]
        while len(nodes) <= local:
            nodes.append(Node(len(nodes)))
        return nodes[local]

    def following(self, t: int, state: int) -> tuple[int, ...]:
        """Differences to the states that a task's step leads to."""
        node = self.node(t, state)
        after = node.table.get(state & node.mask)
        if after is None:
            self._meet(t, node, state)
            after = node.table[state & node.mask]
        return after

    def owned(self, t: int, state: int) -> int:
        """The label of the owned slots that a step touches, once its end is known."""
        node = self.node(t, state)
        return node.owned.get(state & node.mask, 0)

    def ends(self, t: int, state: int) -> list[tuple[int, Outcome]]:
        """(state that follows, outcome) of a task's step, what broke an assertion left out."""
        fine = [o for o in self.step(t, state).outcomes if o.problem is None]
        return [(state + d, o) for d, o in zip(self.following(t, state), fine, strict=True)]

    def parts(self, t: int, states: Iterable[int]) -> Iterator[tuple[Node, list[int]]]:
        """States by a task's local state; of each all that its node says is known."""
        mask, offset = self.fields.masks[t], self.fields.offsets[t]
        by: dict[int, list[int]] = defaultdict(list)
        for state in states:
            by[state & mask].append(state)
        for local, part in by.items():
            node = self._node(t, local >> offset)
            while not self._known(t, node, part):
                pass
            yield node, part

    def _known(self, t: int, node: Node, part: list[int]) -> bool:
        """Meet what is new of some states; False: the mask changed, so look again."""
        mask = node.mask
        unknown = {state & mask for state in part}.difference(node.table)
        if not unknown:
            return True
        fresh = {state & mask: state for state in part if state & mask in unknown}
        for state in fresh.values():
            self._meet(t, node, state)
            if node.mask != mask:
                return False
        return True

    # -- steps that are met ---------------------------------------------------------------

    def meet(self, t: int, state: int) -> None:
        """As when a search came there, for one that is taken up again."""
        self._meet(t, self.node(t, state), state)

    def _meet(self, t: int, node: Node, state: int) -> None:
        space, fields, moved = self.space, self.fields, self.space.rows.moved
        new = space.new
        step = space.step(t, state)
        ways, deciding = space.ways(t, step)
        ends = [(moved(state, change), local, outcome) for change, local, _, outcome in ways]
        early = [moved(state, change) for _, _, between, _ in ways for _, change in between]
        if space.new != new:
            self.log.append((t, state))
            met = tuple((*groups, local) for groups, local, _ in ends)
            self.proof = hash((self.proof, t, node.local, met))
        differences = []
        for groups, local, outcome in ends:
            if outcome.problem is not None:
                self.broken.append((t, state, outcome))
                continue
            apart = fields.local_difference(t, node.local, local)
            differences.append(fields.difference(groups) + apart)
        self._decided(node, deciding)
        key = state & node.mask
        if early:
            node.inside[key] = tuple(map(fields.difference, early))
        if step.owned:
            node.owned[key] = self.label(step.owned)
        if step.racy:
            node.racy[key] = self.label(step.racy)
        node.blocks |= not differences
        node.table[key] = tuple(differences)

    def early(self, t: int, state: int) -> Iterator[tuple[int, Outcome, int]]:
        """(state, outcome, operations) of what predicates may see within a task's step."""
        for _, _, between, outcome in self.space.ways(t, self.step(t, state))[0]:
            for count, change in between:
                moved = self.space.rows.moved(state, change)
                yield state + self.fields.difference(moved), outcome, count

    def _decided(self, node: Node, groups: frozenset[int]) -> None:
        """Let the mask cover what decides a step."""
        if not groups <= node.groups:
            node.groups |= groups
            node.mask = self.fields.mask(node.groups)
            node.forget()

    def label(self, what: Any) -> int:
        """A small number for something, the same for equals."""
        known = self.label_ids.get(what)
        if known is None:
            known = self.label_ids[what] = len(self.labels)
            self.labels.append(what)
        return known
