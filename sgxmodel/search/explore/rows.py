# SPDX-License-Identifier: GPL-2.0-only
"""Shared states, kept small: one id for each group of slots, together one integer.

Groups change far less often than states, so a few hundred values each stand
for all that is ever met (Holzmann's collapse compression, SPIN 1997).  What a
step writes is kept as changes of groups, each computed once for each value of
the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import attrs

from sgxmodel.search.explore.fields import Fields
from sgxmodel.search.explore.machine import Row

Delta = tuple[tuple[int, Any], ...]
"""(slot, value) of each slot that was written."""
Moved = list[tuple[int, int, int]]
"""(group, its id before, its id after) of each group that was written."""


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
    """Packs and unpacks.  The slots ``named`` are one group, which ``canonical`` renames.

    ``given``: how many ids were given out.
    """

    def __init__(
        self,
        tasks: int,
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
        self.order: Callable[[Any], Any] = itemgetter(*places) if slots > 1 else tuple
        self.values: list[list[tuple[Any, ...]]] = [[] for _ in self.groups]
        self.ids: list[dict[tuple[Any, ...], int]] = [{} for _ in self.groups]
        self.renames = bool(named)
        self.canonical = canonical
        self.slots = slots
        self.given = 0
        self.fields = Fields.narrow(tasks, len(self.groups))

    def id(self, group: int, values: tuple[Any, ...]) -> int:
        """The id of a group's values."""
        ids = self.ids[group]
        known = ids.get(values)
        if known is None:
            known = ids[values] = len(ids)
            self.values[group].append(values)
            self.given += 1
        return known

    def pack(self, row: Sequence[Any]) -> list[int]:
        """The id of each group."""
        work = list(row)
        self.canonical(work)
        groups = enumerate(self.groups)
        return [self.id(g, tuple(work[slot] for slot in group)) for g, group in groups]

    def counts(self) -> list[int]:
        """How many values of each group were met."""
        return [len(values) for values in self.values]

    def unpack(self, state: int) -> Row:
        """The shared state as the machine has it."""
        flat: list[Any] = []
        for values, number in zip(self.values, self.fields.groups(state), strict=True):
            flat += values[number]
        row: Row = self.order(flat)
        return row

    def change(self, delta: Delta) -> Change:
        """Some writes as a change of groups."""
        parts: dict[int, list[tuple[int, Any]]] = {}
        for slot, value in delta:
            group, place = self.where[slot]
            parts.setdefault(group, []).append((place, value))
        return Change(tuple(Part(g, tuple(items)) for g, items in parts.items()))

    def moved(self, state: int, change: Change) -> Moved:
        """Which ids some writes change, and into what."""
        out = []
        for part in change.parts:
            before = self.fields.group(part.group, state)
            after = part.known.get(before)
            if after is None:
                after = part.known[before] = self._after(part, before)
            out.append((part.group, before, after))
        return out

    def _after(self, part: Part, before: int) -> int:
        values = list(self.values[part.group][before])
        for place, value in part.items:
            values[place] = value
        if self.renames and not part.group:
            values = self._renamed(values)
        return self.id(part.group, tuple(values))

    def _renamed(self, values: Iterable[Any]) -> list[Any]:
        named = self.groups[0]
        row: list[Any] = [None] * self.slots
        for slot, value in zip(named, values, strict=True):
            row[slot] = value
        self.canonical(row)
        return [row[slot] for slot in named]
