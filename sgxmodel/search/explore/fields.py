# SPDX-License-Identifier: GPL-2.0-only
"""A state as one integer: a field for each task's local id, then one for each group of slots.

A step changes few fields, so what it does is a difference of two such integers,
and what decides it is the state under a mask.  Fields begin narrow; when ids no
longer fit, they are widened and the states that are known are laid out anew,
which costs less than any one of them did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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

    @classmethod
    def narrow(cls, tasks: int, groups: int) -> Fields:
        """For a search that begins."""
        return cls(tasks, [NARROW_LOCAL] * tasks + [NARROW] * groups)

    def state(self, local_ids: Sequence[int], groups: Sequence[int]) -> int:
        """One integer.  Raises :class:`Crowded`."""
        return sum(self._at(field, number) for field, number in enumerate((*local_ids, *groups)))

    def groups(self, state: int) -> list[int]:
        """The ids of all groups."""
        pairs = zip(self.masks[self.tasks :], self.offsets[self.tasks :], strict=True)
        return [(state & mask) >> offset for mask, offset in pairs]

    def group(self, group: int, state: int) -> int:
        """The id of one group."""
        field = self.tasks + group
        return (state & self.masks[field]) >> self.offsets[field]

    def local(self, t: int, state: int) -> int:
        """The id of a task's local state."""
        return (state & self.masks[t]) >> self.offsets[t]

    def mask(self, groups: Iterable[int]) -> int:
        """Of some groups."""
        return sum(self.masks[self.tasks + group] for group in groups)

    def difference(self, moved: Iterable[tuple[int, int, int]]) -> int:
        """What (group, id before, id after) changes in a state.  Raises :class:`Crowded`."""
        return sum(
            self._at(self.tasks + group, after) - self._at(self.tasks + group, before)
            for group, before, after in moved
        )

    def local_difference(self, t: int, before: int, after: int) -> int:
        """From one local state of a task to another.  Raises :class:`Crowded`."""
        return self._at(t, after) - self._at(t, before)

    def _at(self, field: int, number: int) -> int:
        if number >> self.widths[field]:
            raise Crowded
        return number << self.offsets[field]

    def wider(self, counts: Sequence[int]) -> Fields:
        """Room for so many ids in each field; those more than half full get four times theirs."""
        widths = [
            max(width, count.bit_length() + 2 if 2 * count > 1 << width else 0)
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
