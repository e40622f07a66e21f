# SPDX-License-Identifier: GPL-2.0-only
"""Programs of the notation as a machine for the explorer.

A task's local state is its pending operation, its frame, how many of its calls
are done, and what the watch remembers of it.  Whether it is finished is one
more slot, for which the last task waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from sgxmodel.machine.layout import CURRENT, Layout, State
from sgxmodel.machine.op import LOAD, STORE, Fault, Op, Recorder
from sgxmodel.machine.program import Image
from sgxmodel.machine.system import Observer, System, TaskSpec
from sgxmodel.search.explore.machine import Check, Local, Problem, Row, Window
from sgxmodel.search.explore.races import Access


class Renames(Protocol):
    """Renames values in place, in the slots that it says and by what they hold alone."""

    slots: frozenset[int]

    def hides(self, slot: int) -> bool:
        """Whether the code must not keep what it reads there."""

    def canonical(self, row: list[Any]) -> None: ...


class Watch(Observer, Protocol):
    """An observer whose memory is part of the states.  It may raise ``Broken``."""

    extra: Sequence[str]
    """Names of slots that it adds; all are 0 at first."""

    marked: frozenset[int]
    """Slots that operations write atomically, whatever else they do."""

    hardware: frozenset[int]
    """Slots that no race is about."""

    checks: Sequence[Check]

    names: Renames

    def begin(self, system: System, extra: int) -> None:
        """A system, and the first of the slots that were added."""

    def memory(self, t: int) -> Any:
        """What it remembers of a task: an immutable value."""

    def remember(self, t: int, memory: Any, S: Any) -> None:
        """A task is about to move: what was remembered, and the state."""

    def stepped(self, t: int) -> None:
        """A task made a step."""

    def visible(self, slot: int, held: frozenset[int]) -> bool: ...

    def final(self, row: Row) -> Sequence[Problem]: ...


class ProgramMachine:
    """The tasks of one image; every method sets the system to the state that it is given."""

    scratch = 2

    def __init__(self, image: Image, tasks: Sequence[TaskSpec], state: State, watch: Watch) -> None:
        self.tasks = tuple(tasks)
        self.watch = watch
        self.names: Sequence[str] = [spec.name for spec in tasks]
        self.finished = len(state)
        self.marked, self.raceless = watch.marked, watch.hardware
        flags = [f"{spec.name} finished" for spec in tasks]
        self.kinds: Sequence[str] = [*image.layout.kinds, *flags, *watch.extra]
        self.slot_names = [*image.layout.names, *flags, *watch.extra]
        self.named = watch.names.slots
        self.groups: Sequence[Sequence[int]] = _objects(image.layout)
        daemons = any(spec.daemon for spec in tasks)
        last = frozenset(t for t, spec in enumerate(tasks) if spec.last)
        self.alone = frozenset() if daemons else last
        self.others = [
            self.finished + t for t, spec in enumerate(tasks) if not spec.daemon and not spec.last
        ]
        row = [*state, *(0 for _ in tasks), *(0 for _ in watch.extra)]
        self.system = System(image, tasks, row, watch)
        self._start(row)

    def _start(self, row: State) -> None:
        system, watch = self.system, self.watch
        system.recorder = Recorder(row)
        watch.begin(system, self.finished + len(self.tasks))
        system.start()
        for t in range(len(self.tasks)):
            if system.done(t):
                row[self.finished + t] = 1
        row[0], row[1] = None, 0
        self.begin = (row, [self._local(t) for t in range(len(self.tasks))])

    def _local(self, t: int) -> Local:
        system = self.system
        return (system.pending[t], system.frames[t], system.position[t], self.watch.memory(t))

    def first(self) -> tuple[Sequence[Any], Sequence[Local]]:
        return self.begin

    def _set(self, t: int, local: Any, S: Any) -> System:
        system = self.system
        system.state = S
        system.recorder.state = S
        system.pending[t], system.frames[t], system.position[t], memory = local
        self.watch.remember(t, memory, S)
        system.stopped = None
        return system

    def outcomes(self, t: int, local: Any, S: Window) -> int:
        op = local[0]
        if op is None:
            return 0
        if self.tasks[t].last:
            S.waits()
            if not all(S[slot] for slot in self.others):
                return 0
        system = self._set(t, local, S)
        if op[0].enabled is not None:
            S.waits(op[1].owner if _exclusive(op) else -1)
            if not system.enabled(t):
                return 0
        return system.alternatives(t)

    def apply(self, t: int, local: Any, choice: int, S: Window) -> Local:
        prim, a, _ = local[0]
        system, watch = self._set(t, local, S), self.watch
        if _exclusive(local[0]):
            (S.acquire if prim.lock > 0 else S.release)(a.owner)
        system.step(t, choice)
        watch.stepped(t)
        if prim.yields:
            S.yields()
        if system.pending[t] is None:
            S[self.finished + t] = 1
        return self._local(t)

    def access(self, t: int, local: Any, row: Row) -> Access | None:
        """What the pending operation touches; the kernel says which are marked."""
        prim, a, b = local[0]
        if prim is LOAD:
            return Access(frozenset((a,)), frozenset(), True)
        if prim is STORE:
            return Access(frozenset(), frozenset((a,)), True)
        if prim.access == "none":
            return None
        state = list(row)
        state[CURRENT] = self.tasks[t].handle
        recorder = Recorder(state)
        with suppress(Fault, AttributeError):
            prim.apply(recorder, a, b)
        ignored = self.raceless
        reads = frozenset(recorder.reads) - ignored
        writes = frozenset(slot for slot in recorder.writes if slot > 1) - ignored
        return Access(reads, writes, prim.access == "plain", self.marked)

    def done(self, t: int, local: Any) -> bool:
        return local[0] is None or self.tasks[t].daemon

    @property
    def checks(self) -> Sequence[Check]:
        return self.watch.checks

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        return self.watch.visible(slot, held)

    def final(self, row: Row) -> Sequence[Problem]:
        return self.watch.final(row)

    def canonical(self, row: list[Any]) -> None:
        self.watch.names.canonical(row)


def _exclusive(op: Op) -> bool:
    """Whether an operation takes or gives back a lock that one task at a time has."""
    return bool(op[0].lock) and not hasattr(op[1], "readers")


def _objects(layout: Layout) -> Sequence[Sequence[int]]:
    """The slots of each object: they change together."""
    groups: dict[int, list[int]] = {}
    for slot, owner in enumerate(layout.owners):
        if owner is not None:
            groups.setdefault(id(owner), []).append(slot)
    return list(groups.values())
