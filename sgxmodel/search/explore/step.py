# SPDX-License-Identifier: GPL-2.0-only
"""One step of one task: an operation, or as many as are one step to all others.

A step is a transaction in the sense of Lipton (CACM 18(12), 1975): right
movers (the acquire that it may begin with), both movers (accesses that a lock
protects), at most one operation that commutes with nothing, then left movers
(releases) and both movers.  Which is which is learnt: see ``discipline``.  What
a predicate over shared states sees change commutes with nothing: two tasks in
the middle of steps must not hide a state.
It ends before every acquire but its first operation's, and before everything
that may be blocked, so that no deadlock hides in it.

Who is blocked reads.  A condition may come true at any moment, also in the middle
of another's step.  So think of whoever waits for one as looking again and again:
an operation that reads what the condition reads and changes nothing.  It adds no
state and ends no deadlock, as it leads back to where it began.  It is a step of its
own, as a step ends before what may be blocked.  With it nobody who waits for a
condition is ever disabled, so what is known of systems without conditions (Lipton;
Stoller and Cohen, FMSD 28(3), 2006) holds for those with them, if its reads are noted as
all others are: under the locks that the sleeper holds, whatever the slot is
believed to be.  A slot that one lock protects or that one task uses is no
exception: its value may be there only in the middle of the step.

A condition may look at a second slot only if the first is as wanted.  Such a look
is noted in the states where it happens, and none is hidden: the first slot was
noted, so a step writes it in one operation, after which come only movers that do
not touch it, and its value in the middle is that of one end of the step.

Waiting for an exclusive lock is not looking.  Two operations write the lock's slot:
who takes it does so first in a step, and who gives it back goes on with left movers
only.  So a step cannot begin and end with the lock taken and have it free in
between: who waits misses nothing.  That needs that nobody else writes the slot, and
the discipline sees to it: waiting for a lock reads its slot as if under that
lock, and what writes it but neither takes nor gives back the lock (who frees the memory
that it is in) does so as if without it, so the two are known to conflict.
"""

from __future__ import annotations

from typing import Any

import attrs

from sgxmodel.search.explore.discipline import LOCKED, OWNED, RACY, Discipline, Touch
from sgxmodel.search.explore.machine import Broken, Local, Machine, Problem, Row
from sgxmodel.search.explore.rows import Delta
from sgxmodel.search.explore.window import Recording, Writes

LONGEST = 200
"""Operations of one step, over all its branches: past that every branch ends.  A branch
also ends where the step was before: a loop must not keep others from running."""

NO_LOCKS: frozenset[int] = frozenset()
Racy = tuple[Any, frozenset[int], tuple[int, ...]]
"""What the machine says of an access, the locks held, the choices before it in its step."""


@attrs.frozen
class Outcome:
    """Where one step leads: what it wrote, the new local state, the choices made.

    ``between``: (operations, writes so far) where one but the last wrote what a
    predicate may see.
    """

    delta: Delta
    local: Local
    choices: tuple[int, ...]
    between: tuple[tuple[int, Delta], ...] = ()
    problem: Problem | None = None
    yields: bool = False


@attrs.define(eq=False)
class Step:
    """All outcomes of a task's step, the slots that decide it, the owned ones it touches.

    A blocked one has no outcomes, but touches what it looks at.

    ``racy``: operations on slots that no lock protects, as ``races`` has them.

    ``reads`` is in the order of first reads; ``kinds``: those of slots of which it was
    asked what they are.
    """

    reads: list[int]
    outcomes: tuple[Outcome, ...]
    owned: frozenset[Touch] = frozenset()
    racy: frozenset[Racy] = frozenset()
    kinds: frozenset[str] = frozenset()


class Single:
    """One operation is one step: every interleaving."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def first(self, local: Local) -> Local:
        return local

    def bare(self, local: Any) -> Local:
        """The machine's own local state."""
        own: Local = local
        return own

    def step(self, t: int, local: Local, row: Row) -> Step:
        machine = self.machine
        window = Recording(row, machine.scratch)
        count = machine.outcomes(t, local, window)
        outcomes = []
        for choice in range(count):
            if choice:
                window.rewind({})
            window.yielded = False
            try:
                after, problem = machine.apply(t, local, choice, window), None
            except Broken as broken:
                after, problem = local, broken.problem
            outcomes.append(Outcome(window.delta(), after, (choice,), (), problem, window.yielded))
        reads = [s for s in window.reads if s >= machine.scratch]
        return Step(reads, tuple(outcomes))


@attrs.frozen
class _Point:
    """A place within a step."""

    local: Local
    held: tuple[int, ...]
    writes: Writes
    late: bool
    choices: tuple[int, ...]
    between: tuple[tuple[int, Delta], ...]
    yields: bool = False
    showed: bool = False
    """Whether the last operation wrote what a predicate may see."""


class Transactions:
    """Steps as long as what was learnt allows.  A local state carries the locks held."""

    def __init__(self, machine: Machine, discipline: Discipline) -> None:
        self.machine = machine
        self.discipline = discipline

    def first(self, local: Local) -> Local:
        return (local, ())

    def bare(self, local: Any) -> Local:
        inner: Local = local[0]
        return inner

    def step(self, t: int, local: Any, row: Row) -> Step:
        window = Recording(row, self.machine.scratch)
        done: list[Outcome] = []
        owned: set[Touch] = set()
        todo = [_Point(local[0], local[1], {}, False, (), ())]
        seen: set[Any] = set()
        self.racy: set[Racy] = set()
        self.kinds: set[str] = set()
        while todo:
            point = todo.pop()
            following = None
            place = (point.local, point.held, point.late, frozenset(point.writes.items()))
            if len(seen) < LONGEST and not point.yields and place not in seen:
                seen.add(place)
                following = self._operation(t, point, window, done, owned)
            if following is None:
                done.append(_outcome(point, window))
            else:
                todo.extend(reversed(following))
        reads = [s for s in window.reads if s >= self.machine.scratch]
        return Step(
            reads, tuple(done), frozenset(owned), frozenset(self.racy), frozenset(self.kinds)
        )

    def _operation(
        self, t: int, point: _Point, window: Recording, done: list[Outcome], owned: set[Touch]
    ) -> list[_Point] | None:
        """What one more operation gives, or None where the step ends before it."""
        machine = self.machine
        free = not point.choices or t in machine.alone
        window.rewind(point.writes)
        window.begin()
        count = machine.outcomes(t, point.local, window)
        if point.choices and not count:
            return None
        if window.waited and not free:
            return None
        self.open = False
        tested = dict(window.touched)
        if not count:
            self._note(t, point, window, owned)  # who is blocked reads: see above
            return []
        out: list[_Point] = []
        broken: list[Outcome] = []
        touches: set[Touch] = set()
        for choice in range(count):
            if choice:
                window.rewind(point.writes)
                window.begin()
                window.touched.update(tested)
            try:
                after, problem = machine.apply(t, point.local, choice, window), None
            except Broken as error:
                after, problem = point.local, error.problem
            if window.locked >= 0 and not free:
                return None
            worst = self._note(t, point, window, touches)
            showed = any(w and machine.visible(s, NO_LOCKS) for s, w in window.slots().items())
            if point.late and worst is not LOCKED:
                return None
            new = _after(point, window, after, choice, worst is RACY, showed)
            if problem is None:
                out.append(new)
            else:
                broken.append(attrs.evolve(_outcome(new, window), problem=problem))
        done.extend(broken)
        owned |= touches
        if self.open:
            self._racing(t, point, window)
        return out

    def _racing(self, t: int, point: _Point, window: Recording) -> None:
        """Remember an operation that may race: its accesses, and the choices before it."""
        tell = getattr(self.machine, "access", None)
        if tell is None:
            return
        reads = dict(window.reads)  # what is asked for here does not decide the step
        window.rewind(point.writes)
        access = tell(t, point.local, tuple(window.work))
        window.reads = reads
        if access is not None:
            self.racy.add((access, frozenset(point.held), point.choices))

    def _note(self, t: int, point: _Point, window: Recording, owned: set[Touch]) -> int:
        """Learn from an operation's accesses; the worst class among what it touched.

        A task in ``alone`` conflicts with nobody, neither when it runs nor while it waits:
        what it waits for comes true with the last operation of all others, and stays so.
        """
        if t in self.machine.alone:
            return LOCKED
        held = frozenset((*point.held, ~t))
        if window.locked >= 0:
            held |= {window.locked}
        discipline, worst = self.discipline, LOCKED
        for slot, wrote in window.slots().items():
            self.kinds.add(self.machine.kinds[slot])
            locks = _locks(slot, wrote, held, window)
            kind = discipline.access(slot, wrote, locks)
            self.open |= kind is RACY
            if kind is OWNED:
                owned.add((slot, wrote, locks))
            worst = max(worst, kind)
            if wrote and worst < RACY and self.machine.visible(slot, held - {window.released}):
                worst = RACY
        return worst


def _locks(slot: int, wrote: bool, held: frozenset[int], window: Recording) -> frozenset[int]:
    """Those that an access is noted under.

    A lock guards its own slot only where it is taken, waited for or given back.
    """
    if slot == window.wanted:
        return held | {slot}
    if wrote and slot not in (window.locked, window.released):
        return held - {slot}
    return held


def _after(
    point: _Point, window: Recording, local: Local, choice: int, racy: bool, showed: bool
) -> _Point:
    held = point.held
    if window.locked >= 0:
        held = tuple(sorted({*held, window.locked}))
    if window.released >= 0:
        held = tuple(lock for lock in held if lock != window.released)
    between = point.between
    if point.showed:
        between = (*between, (len(point.choices), tuple(point.writes.items())))
    late = point.late or racy or window.released >= 0
    choices = (*point.choices, choice)
    return _Point(local, held, window.writes, late, choices, between, window.yielded, showed)


def _outcome(point: _Point, window: Recording) -> Outcome:
    scratch = window.scratch

    def clean(items: Delta) -> Delta:
        return tuple((s, v) for s, v in items if s >= scratch)

    between = tuple((count, clean(delta)) for count, delta in point.between)
    final = clean(tuple(point.writes.items()))
    local = (point.local, point.held)
    return Outcome(final, local, point.choices, between, None, point.yields)
