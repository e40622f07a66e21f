# SPDX-License-Identifier: GPL-2.0-only
"""Shared states, kept small: a tuple of ids, one for each group of slots.

Groups change far less often than states, so a few hundred values each stand
for all that is ever met (Holzmann's collapse compression, SPIN 1997).  What a
step writes is kept as changes of groups, each computed once for each value of
the group; what a step or a predicate reads is looked up by the groups that it
reads first, and by the very slots only if those are new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

import attrs

from sgxmodel.search.explore.machine import Row

Packed = tuple[int, ...]
"""For each group the id of its values."""
Delta = tuple[tuple[int, Any], ...]
"""(slot, value) of each slot that was written."""
T = TypeVar("T")


def _nothing(row: Any) -> Any:
    return ()


def _getter(places: Sequence[int]) -> Callable[[Any], Any]:
    return itemgetter(*places) if places else _nothing


@attrs.define(eq=False)
class Part:
    """What a change does to one group: known results by the group's id."""

    group: int
    items: tuple[tuple[int, Any], ...]
    known: dict[int, int] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Change:
    """Some writes."""

    parts: tuple[Part, ...]

    @property
    def groups(self) -> list[int]:
        return [part.group for part in self.parts]


class Rows:
    """Packs and unpacks.  The slots ``named`` are one group, which ``canonical`` renames."""

    def __init__(
        self,
        slots: int,
        groups: Sequence[Sequence[int]],
        named: frozenset[int],
        canonical: Callable[[list[Any]], None],
    ) -> None:
        taken = set(named)
        self.groups: list[tuple[int, ...]] = [tuple(sorted(named))] if named else []
        for group in groups:
            mine = tuple(slot for slot in group if slot not in taken)
            taken.update(mine)
            if mine:
                self.groups.append(mine)
        self.groups += [(slot,) for slot in range(slots) if slot not in taken]
        self.where: list[tuple[int, int]] = [(0, 0)] * slots
        for g, group in enumerate(self.groups):
            for place, slot in enumerate(group):
                self.where[slot] = (g, place)
        flat = [slot for group in self.groups for slot in group]
        places = [0] * slots
        for place, slot in enumerate(flat):
            places[slot] = place
        self.order = _getter(places) if slots != 1 else tuple
        self.values: list[list[tuple[Any, ...]]] = [[] for _ in self.groups]
        self.ids: list[dict[tuple[Any, ...], int]] = [{} for _ in self.groups]
        self.renames = bool(named)
        self.canonical = canonical
        self.renamed: dict[int, int] = {}
        self.given = 0

    def id(self, group: int, values: tuple[Any, ...]) -> int:
        """The id of a group's values."""
        ids = self.ids[group]
        known = ids.get(values)
        if known is None:
            known = ids[values] = len(ids)
            self.values[group].append(values)
            self.given += 1
        return known

    def pack(self, row: Sequence[Any]) -> Packed:
        work = list(row)
        self.canonical(work)
        groups = enumerate(self.groups)
        return tuple(self.id(g, tuple(work[slot] for slot in group)) for g, group in groups)

    def counts(self) -> list[int]:
        """How many values of each group were met."""
        return [len(values) for values in self.values]

    def unpack(self, packed: Packed) -> Row:
        flat: list[Any] = []
        for values, number in zip(self.values, packed, strict=True):
            flat += values[number]
        row: Row = self.order(flat)
        return row

    def value(self, packed: Packed, slot: int) -> Any:
        group, place = self.where[slot]
        return self.values[group][packed[group]][place]

    def change(self, delta: Delta) -> Change:
        """Some writes as a change of groups."""
        parts: dict[int, list[tuple[int, Any]]] = {}
        for slot, value in delta:
            group, place = self.where[slot]
            parts.setdefault(group, []).append((place, value))
        return Change(tuple(Part(g, tuple(items)) for g, items in parts.items()))

    def applied(self, packed: Packed, change: Change) -> Packed:
        """A shared state with some writes over it."""
        work = list(packed)
        for part in change.parts:
            group, known = part.group, part.known
            before = work[group]
            after = known.get(before)
            if after is None:
                values = list(self.values[group][before])
                for place, value in part.items:
                    values[place] = value
                after = known[before] = self.id(group, tuple(values))
            work[group] = after
        if self.renames:
            after = self.renamed.get(work[0])
            work[0] = self._rename(work) if after is None else after
        return tuple(work)

    def _rename(self, work: list[int]) -> int:
        row = list(self.unpack(tuple(work)))
        self.canonical(row)
        after = self.id(0, tuple(row[slot] for slot in self.groups[0]))
        self.renamed[work[0]] = after
        return after


@attrs.define(eq=False)
class _Fork(Generic[T]):
    """A slot that decides, and what it decides: another fork, or a result."""

    slot: int
    ways: dict[Any, _Fork[T] | T] = attrs.field(factory=dict)


class Memo(Generic[T]):
    """Results of a function of shared states, by what it read of them, in order."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.groups: frozenset[int] = frozenset()
        self.key: Callable[[Packed], Any] = _nothing
        self.near: dict[Any, T] = {}
        self.root: _Fork[T] | T | None = None

    def get(self, packed: Packed) -> T | None:
        """What is known of a shared state."""
        known = self.near.get(self.key(packed))
        if known is not None:
            return known
        node = self.root
        rows = self.rows
        values, where = rows.values, rows.where
        while isinstance(node, _Fork):
            group, place = where[node.slot]
            node = node.ways.get(values[group][packed[group]][place])
        if node is not None:
            self.near[self.key(packed)] = node
        return node

    def put(self, packed: Packed, reads: Sequence[int], result: T) -> None:
        """A result, and the slots that were read for it, first come first."""
        groups = {self.rows.where[slot][0] for slot in reads}
        if not groups <= self.groups:
            self.groups |= groups
            self.key = _getter(sorted(self.groups))
            self.near.clear()
        self.near[self.key(packed)] = result
        if not reads:
            self.root = result
            return
        if self.root is None:
            self.root = _Fork(reads[0])
        node = self.root
        for here, following in zip(reads, [*reads[1:], -1], strict=True):
            if not isinstance(node, _Fork) or node.slot != here:
                # Read in another order (a set has none): what is known goes, what is new stays.
                self.root = None
                self.put(packed, reads, result)
                return
            value = self.rows.value(packed, here)
            if following < 0:
                node.ways[value] = result
                return
            after = node.ways.get(value)
            if after is None:
                after = node.ways[value] = _Fork(following)
            node = after


class Reading:
    """A shared state that notes what is read of it, first come first."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.reads: dict[int, None] = {}

    def __getitem__(self, slot: int) -> Any:
        self.reads[slot] = None
        return self.row[slot]

    def __len__(self) -> int:
        return len(self.row)
