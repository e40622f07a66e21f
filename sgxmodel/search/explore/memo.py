# SPDX-License-Identifier: GPL-2.0-only
"""Results of functions of shared states, found again by what they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from sgxmodel.search.explore.machine import Row
from sgxmodel.search.explore.rows import Rows

T = TypeVar("T")


@attrs.define(eq=False)
class _Fork(Generic[T]):
    """A slot that decides, and what it decides: another fork, or a result."""

    slot: int
    group: int
    place: int
    ways: dict[Any, _Fork[T] | T] = attrs.field(factory=dict)


class Memo(Generic[T]):
    """Results of one function by what it read, in order.  ``groups``: all that it ever read.

    Nothing in it is an id, so it serves for any ``Rows`` of the same machine.
    """

    def __init__(self) -> None:
        self.groups: frozenset[int] = frozenset()
        self.root: _Fork[T] | T | None = None

    def get(self, rows: Rows, state: int) -> T | None:
        """What is known of a shared state."""
        node = self.root
        values, fields = rows.values, rows.fields
        masks, offsets, tasks = fields.masks, fields.offsets, fields.tasks
        met: dict[int, tuple[Any, ...]] = {}
        while type(node) is _Fork:
            group = node.group
            value = met.get(group)
            if value is None:
                field = tasks + group
                value = met[group] = values[group][(state & masks[field]) >> offsets[field]]
            node = node.ways.get(value[node.place])
        return node  # type: ignore[return-value]

    def put(self, rows: Rows, state: int, reads: Sequence[int], result: T) -> None:
        """A result, and the slots that were read for it, first come first."""
        groups = {rows.where[slot][0] for slot in reads}
        if not groups <= self.groups:
            self.groups |= groups
        if not reads:
            self.root = result
            return
        if self.root is None:
            self.root = _Fork(reads[0], *rows.where[reads[0]])
        node = self.root
        for here, following in zip(reads, [*reads[1:], -1], strict=True):
            if not isinstance(node, _Fork) or node.slot != here:
                # Read in another order (a set has none): what is known goes, what is new stays.
                self.root = None
                self.put(rows, state, reads, result)
                return
            value = rows.values[node.group][rows.fields.group(node.group, state)][node.place]
            if following < 0:
                node.ways[value] = result
                return
            after = node.ways.get(value)
            if after is None:
                after = node.ways[value] = _Fork(following, *rows.where[following])
            node = after

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forget all other results."""
        if isinstance(self.root, _Fork):
            self._keep(self.root, wanted)
        elif self.root is not None and not wanted(self.root):
            self.root = None

    def _keep(self, top: _Fork[T], wanted: Callable[[T], bool]) -> None:
        todo = [top]
        while todo:
            fork = todo.pop()
            for value, node in list(fork.ways.items()):
                if isinstance(node, _Fork):
                    todo.append(node)
                elif not wanted(node):
                    del fork.ways[value]


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
