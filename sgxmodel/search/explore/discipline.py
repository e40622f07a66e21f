# SPDX-License-Identifier: GPL-2.0-only
"""Which slots locks protect, learnt from the accesses themselves.

Three classes.  *Locked*: one lock is held at every access, as Eraser has it
(Savage et al., TOCS 15(4), 1997); being the only task that ever touches a slot
counts as a lock.  *Owned*: no lock, but no two steps that are enabled together
touch it with one of them writing (an object that others cannot reach yet, or
no longer).  *Racy*: all others.  Everything begins as locked; evidence moves a
slot, with its whole kind, down, and what was explored on the old belief is
thrown away.  A read of a slot that is not locked is as good as locked while the
reader has a lock that is held at every write of it: no write can come between.
What an operation reads while it is blocked is an access like any other (why: see
``step``), and a step that is blocked is enabled as far as owned slots go.
That a search under the beliefs that it never contradicts misses nothing is the
argument of Stoller and Cohen (FMSD 28(3), 2006): the first access that breaks a
discipline is also met by the reduced search.
"""

from __future__ import annotations

from collections.abc import Sequence

LOCKED, OWNED, RACY = 0, 1, 2

Locks = frozenset[int]
"""Slots of the locks held, and ``~t`` for the task itself."""
Touch = tuple[int, bool, Locks]
"""(slot, whether written, locks held)."""
Learnt = tuple[dict[str, int], dict[int, Locks], dict[int, Locks], dict[int, set[Locks]]]
"""Classes by kind; by slot the locks held at every access, at every write, and those with
which readers relied on there being no write."""


class Discipline:
    """What has been learnt.  ``fallen``: a belief was wrong since the search began."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.classes: dict[str, int] = {}
        self.locks: dict[int, Locks] = {}
        self.writers: dict[int, Locks] = {}
        self.trusted: dict[int, set[Locks]] = {}
        self.fallen = False
        self.changed: set[str] = set()

    def learnt(self) -> Learnt:
        """A copy of all that is known."""
        trusted = {slot: set(readers) for slot, readers in self.trusted.items()}
        return dict(self.classes), dict(self.locks), dict(self.writers), trusted

    def knows(self, learnt: Learnt) -> None:
        """Go on from what was learnt before."""
        self.classes, self.locks, self.writers, self.trusted = learnt

    def of(self, slot: int) -> int:
        return self.classes.get(self.kinds[slot], LOCKED)

    def access(self, slot: int, wrote: bool, held: Locks) -> int:
        """Note an access; the slot's class."""
        before = self.locks.get(slot)
        if before is None:
            self.locks[slot] = held
        elif not before <= held:
            self.locks[slot] = before & held
        if wrote:
            self._wrote(slot, held)
        if self.of(slot) is LOCKED and slot in self.writers and not self.locks[slot]:
            self.lower(slot, OWNED)
        kind = self.of(slot)
        if kind is not LOCKED and not wrote and self._alone(slot, held):
            return LOCKED
        return kind

    def _wrote(self, slot: int, held: Locks) -> None:
        before = self.writers.get(slot)
        if before is not None and before <= held:
            return
        now = self.writers[slot] = held if before is None else before & held
        if any(not reader & now for reader in self.trusted.get(slot, ())):
            del self.trusted[slot]
            self._fell(slot)

    def _alone(self, slot: int, held: Locks) -> bool:
        """Whether a reader keeps all writers out; to be held to it."""
        writers = self.writers.get(slot)
        if writers is not None and not writers & held:
            return False
        self.trusted.setdefault(slot, set()).add(held)
        return True

    def together(self, ours: frozenset[Touch], theirs: frozenset[Touch]) -> None:
        """Two steps of two tasks are enabled in one state, or one is and the other looks."""
        for slot, wrote, held in ours:
            for other, wrote_too, held_too in theirs:
                if slot == other and (wrote or wrote_too) and not held & held_too:
                    if self.of(slot) is OWNED:
                        self.lower(slot, RACY)

    def lower(self, slot: int, kind: int) -> None:
        self.classes[self.kinds[slot]] = kind
        self._fell(slot)

    def _fell(self, slot: int) -> None:
        self.fallen = True
        self.changed.add(self.kinds[slot])

    def begins(self) -> set[str]:
        """A search begins; the kinds of which was believed otherwise since the last one."""
        self.fallen = False
        changed, self.changed = self.changed, set()
        return changed
