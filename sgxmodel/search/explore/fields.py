# SPDX-License-Identifier: GPL-2.0-only
"""A state as one integer: a field for each task's local id, then one for each group of slots.

A step changes few fields, so what it does is a difference of two such integers,
and what decides it is the state under a mask.  Fields begin narrow; when ids no
longer fit, they are widened and the states that are known are laid out anew,
which costs less than any one of them did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgxmodel.search.explore.rows import Packed

NARROW, NARROW_LOCAL = 2, 6
"""Bits of a group's field and of a task's at first."""


class Crowded(Exception):
    """An id does not fit into its field."""


class Fields:
    """Offsets and masks, from the widths: the tasks' first, then the groups'."""

    def __init__(self, tasks: int, widths: Sequence[int]) -> None:
        self.tasks = tasks
        self.widths = tuple(widths)
        self.offsets: list[int] = []
        self.masks: list[int] = []
        at = 0
        for width in self.widths:
            self.offsets.append(at)
            self.masks.append((1 << width) - 1 << at)
            at += width
        self.bits = at
        self.shared = sum(self.masks[tasks:])
        """The mask of the shared state."""
        self._groups = list(zip(self.masks[tasks:], self.offsets[tasks:], strict=True))

    @classmethod
    def narrow(cls, tasks: int, groups: int) -> Fields:
        """For a search that begins."""
        return cls(tasks, [NARROW_LOCAL] * tasks + [NARROW] * groups)

    def state(self, packed: Packed, local_ids: Sequence[int]) -> int:
        """One integer.  Raises :class:`Crowded`."""
        self._fit(enumerate((*local_ids, *packed)))
        numbers = zip((*local_ids, *packed), self.offsets, strict=True)
        return sum(number << offset for number, offset in numbers)

    def packed(self, state: int) -> Packed:
        """The ids of the groups' values."""
        return tuple([(state & mask) >> offset for mask, offset in self._groups])

    def local(self, t: int, state: int) -> int:
        """The id of a task's local state."""
        return (state & self.masks[t]) >> self.offsets[t]

    def mask(self, groups: Iterable[int]) -> int:
        """Of some groups."""
        return sum(self.masks[self.tasks + group] for group in groups)

    def shared_difference(self, before: Packed, after: Packed, groups: Iterable[int]) -> int:
        """From one shared state to another; they differ in some groups at most."""
        tasks, offsets = self.tasks, self.offsets
        self._fit((tasks + group, after[group]) for group in groups)
        return sum(after[group] - before[group] << offsets[tasks + group] for group in groups)

    def local_difference(self, t: int, before: int, after: int) -> int:
        """From one local state of a task to another."""
        self._fit([(t, after)])
        return after - before << self.offsets[t]

    def _fit(self, numbers: Iterable[tuple[int, int]]) -> None:
        for field, number in numbers:
            if number >> self.widths[field]:
                raise Crowded

    def wider(self, counts: Sequence[int]) -> Fields:
        """Room for so many ids in each field; those more than half full have twice the room."""
        widths = [
            max(width, count.bit_length() + 1 if 2 * count > 1 << width else 0)
            for width, count in zip(self.widths, counts, strict=True)
        ]
        return Fields(self.tasks, widths)

    def moved(self, wider: Fields, states: Iterable[int]) -> list[int]:
        """States of this layout in a wider one."""
        moves = []
        for offset, old, new in zip(self.offsets, self.widths, wider.widths, strict=True):
            if new > old:
                end = offset + old
                moves.append(((1 << end) - 1, end, end + new - old))
        moves.reverse()
        out = []
        for state in states:
            for low, end, now in moves:
                state = state & low | state >> end << now
            out.append(state)
        return out
