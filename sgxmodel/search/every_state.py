# SPDX-License-Identifier: GPL-2.0-only
"""The checkers, for a search of all states rather than of one run.

What a run's checkers remember becomes part of the states (a task's accounting,
the locked section that it is in, whether a result is excused, how often a page
was passed over), or is looked at in every shared state.  Happens-before clocks
stay with sampled runs: a race is two enabled accesses in one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sgxmodel.hardware.names import Names
from sgxmodel.invariants.base import End, FreeCount, Violation
from sgxmodel.invariants.catalogue import PREDICATES
from sgxmodel.invariants.checks import COUNT, LOOKED_AT, Checks, Yardstick
from sgxmodel.invariants.end import check_end
from sgxmodel.invariants.predicate import Guard, Predicate
from sgxmodel.invariants.predicates.pages import on_free_lists
from sgxmodel.invariants.view import View
from sgxmodel.machine.op import Op
from sgxmodel.machine.system import Call, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import result_name
from sgxmodel.search.explore.machine import Broken, Check, Problem, Row
from sgxmodel.search.explore.program import Renames
from sgxmodel.search.observe import Secret

GUARDED = {
    guard: sum(bit for bit, predicate in LOOKED_AT if predicate.guard is guard) for guard in Guard
}
"""The bits of the predicates whose slots a kind of lock protects."""


class EveryState(Checks):
    """Checkers without a memory of their own; see ``explore.program.Watch``."""

    extra: Sequence[str] = ("excused", "requested", "passed")

    def __init__(self, world: World, sequential: Yardstick | None = None) -> None:
        super().__init__(world, sequential)
        self.names: Renames = Names(world.layout)
        self.secret = Secret(self.names)
        self.ran: set[Any] = set()
        """Blocks of the operations that were run."""
        self.quiet = View(world)
        self.list_guards = frozenset(self.quiet.list_locks)
        self.enclave_guards = frozenset(encl.lock.owner for encl in world.encls)
        self.guards = self.list_guards | self.enclave_guards
        heads = [node.free_page_list for node in world.nodes]
        self.free_heads = frozenset(slot for head in heads for slot in (head.next, head.prev))
        self.node_locks = frozenset(node.lock for node in world.nodes)
        self.checks: Sequence[Check] = [
            partial(_problems, self.quiet, predicate) for predicate in PREDICATES
        ]

    def begin(self, system: System, extra: int = 0) -> None:
        self.at = extra
        super().begin(system)
        self.races = _NoClocks()  # type: ignore[assignment]

    # -- memory that is part of the states ------------------------------------------------

    @property
    def excused(self) -> bool:
        return bool(self.S[self.at])

    @excused.setter
    def excused(self, value: bool) -> None:
        self.S[self.at] = int(value)

    @property
    def requested(self) -> bool:
        return bool(self.S[self.at + 1])

    @requested.setter
    def requested(self, value: bool) -> None:
        self.S[self.at + 1] = int(value)

    @property
    def passed(self) -> dict[Any, tuple[int, int]]:
        return dict(self.S[self.at + 2] or ())

    @passed.setter
    def passed(self, value: dict[Any, tuple[int, int]]) -> None:
        self.S[self.at + 2] = tuple(value.items())

    def memory(self, t: int) -> Any:
        scan = self.scan.get(t)
        seen = None if scan is None else (tuple(scan), t in self.looked)
        return (self.balance[t], seen, self.ready[t])

    def remember(self, t: int, memory: Any, S: Any) -> None:
        self.S = self.view.S = S
        self.secret.value = None
        self.balance[t], seen, self.ready[t] = memory
        self.carried = self.balance[t]
        self.counted = self.freed = 0
        self.scan.pop(t, None)
        self.looked.discard(t)
        if seen is not None:
            self.scan[t] = list(seen[0])
            if seen[1]:
                self.looked.add(t)

    # -- what differs from a run ----------------------------------------------------------

    def violate(self, violation: Violation) -> None:
        raise Broken(violation.id, violation.title)

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        self.secret.note(op, result)
        frame = self.system.frames[t]
        if frame is not None:
            self.ran.add(frame[0])
        super().operation(t, op, result, reads, writes)

    def functions(self) -> set[str]:
        """Those that ran."""
        sites = self.system.image.sites
        return {sites[block].function for block in self.ran if block in sites}

    def lines(self) -> set[tuple[str, int]]:
        """(file, line) of the operations that ran."""
        sites = self.system.image.sites
        places = (sites[block] for block in self.ran if block in sites)
        return {(site.filename, site.lineno) for site in places}

    def _written(self, t: int, slot: int, groups: int, site: Any, silent: bool) -> None:
        if groups & COUNT:
            self._counts(t, slot)
            self.balance[t] = self.carried + self.counted - self.freed
            self.count_sites[t] = site
        super()._written(t, slot, groups & ~COUNT, site, silent)

    def _counts(self, t: int, slot: int) -> None:
        """What this operation changes in the counter, or in how many pages are free.

        Not the drift of one from the other: reading both, here, would make
        each operation on one of them conflict with all on the other.  A free
        list changes under its node's lock, or at its head.
        """
        view = self.view
        if slot == view.counter:
            self.counted = self.S[slot] - self.S.before(slot)  # type: ignore[attr-defined]
            return
        locks = self.S[self.system.tasks[t].handle.held]
        if slot in self.free_heads or not self.node_locks.isdisjoint(locks):
            after = on_free_lists(view)
            view.S = _Before(self.S)
            self.freed = after - on_free_lists(view)
            view.S = self.S

    def _moved(self, t: int, page: Any) -> None:
        """Pages wait on a list that the LRU lock protects."""
        if self.view.lru_lock in self.S[self.system.tasks[t].handle.held]:
            passed = self.passed
            if passed.pop(page, None) is not None:
                self.passed = passed

    def stepped(self, t: int) -> None:
        self.secret.forgotten(self.system, t)
        if self.balance[t] and not self._accounting(t):
            raise Broken(FreeCount.id, "sgx_nr_free_pages and the free lists part")

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        """As the predicates are grouped; links are told apart at the ends of sections."""
        if slot in self.guards:
            return slot not in held and self.S[slot] is None
        groups = self.watch[slot] if slot < len(self.watch) else 0
        if groups & GUARDED[Guard.LISTS] and not held & self.list_guards:
            return True
        if groups & GUARDED[Guard.ENCLAVES] and not held & self.enclave_guards:
            return True
        return bool(groups & GUARDED[Guard.NOTHING])

    def final(self, row: Row) -> Sequence[Problem]:
        self.quiet.S = row  # type: ignore[assignment]
        return [Problem(End.id, title) for title, _ in check_end(self.quiet)]


class Heard(EveryState):
    """Remembers each task's last result, too: its states can be looked at as ``observe`` does."""

    def begin(self, system: System, extra: int = 0) -> None:
        self.last: list[tuple[int, str]] = [(0, "")] * len(system.tasks)
        super().begin(system, extra)

    def memory(self, t: int) -> Any:
        return (super().memory(t), self.last[t])

    def remember(self, t: int, memory: Any, S: Any) -> None:
        own, self.last[t] = memory
        super().remember(t, own, S)

    def returned(self, t: int, call: Call, value: Any) -> None:
        super().returned(t, call, value)
        self.last[t] = (self.system.position[t], result_name(value))


def _problems(view: View, predicate: Predicate, row: Any) -> list[Problem]:
    view.S = row
    if not predicate.holds_when(view):
        return []
    return [Problem(cls.id, title) for cls, _, title, _ in predicate.check(view)]


class _Before(list[Any]):
    """The state as it was before an operation."""

    def __init__(self, window: Any) -> None:
        super().__init__()
        self.window = window

    def __getitem__(self, slot: Any) -> Any:
        return self.window.before(slot)


class _NoClocks:
    def access(self, *args: Any) -> None:
        pass
