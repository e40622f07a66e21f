# SPDX-License-Identifier: GPL-2.0-only
"""What users and reviewers see of a run, and a machine whose states hold just that.

Seen is: what each call returned, what the kernel complained about, the order
of each page list, and which pages are tracked and isolated.  A list shows while
its lock is free: what a locked section does in between is nobody's business.
Flags are not compared bit by bit, as revisions differ in what they call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sgxmodel.driver.structs import SGX_EPC_PAGE_RECLAIMER_TRACKED, sgx_epc_page
from sgxmodel.hardware.names import Names
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import list_head
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.op import LOAD, Fault, Op
from sgxmodel.machine.system import Call, Silent, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import result_name
from sgxmodel.search.explore.machine import Check, Problem, Row, Window
from sgxmodel.search.explore.program import ProgramMachine, Renames

BROKEN = "broken"
"""A list whose pointers lead nowhere."""


class Secret:
    """A renamed number that the code has read must be gone by its next operation."""

    def __init__(self, names: Renames) -> None:
        self.names = names
        self.value: Any = None

    def note(self, op: Op, result: Any) -> None:
        """An operation gave a result."""
        if op[0] is LOAD and result is not None and self.names.hides(op[1]):
            self.value = result

    def forgotten(self, system: System, t: int) -> None:
        """After the step.  Raises where the code keeps the number: renaming is unsound then."""
        if self.value is None:
            return
        frame, op = system.frames[t], system.pending[t]
        kept = [] if op is None else [op[1], op[2]]
        while frame:
            kept += frame[1]
            frame = frame[2]
        if self.value in kept:
            raise RuntimeError(f"the code keeps {self.value}, which is renamed: unsound")
        self.value = None


class Memory(Silent):
    """Remembers of each task its last result and the complaints that it met; judges nothing."""

    extra: Sequence[str] = ("stopped",)
    marked: frozenset[int] = frozenset()
    hardware: frozenset[int] = frozenset()
    checks: Sequence[Check] = ()

    def __init__(self, world: World) -> None:
        self.names: Renames = Names(world.layout)
        self.secret = Secret(self.names)

    def begin(self, system: System, extra: int) -> None:
        self.system, self.at = system, extra
        self.last: list[tuple[int, str]] = [(0, "")] * len(system.tasks)
        self.complaints: list[frozenset[str]] = [frozenset()] * len(system.tasks)

    def memory(self, t: int) -> Any:
        return (self.last[t], self.complaints[t])

    def remember(self, t: int, memory: Any, S: Any) -> None:
        self.last[t], self.complaints[t] = memory
        self.secret.value = None
        self.S = S

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        self.secret.note(op, result)

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        self.complaints[t] |= {fault.kind}
        if fault.fatal:
            self.S[self.at] = 1

    def returned(self, t: int, call: Call, value: Any) -> None:
        self.last[t] = (self.system.position[t], result_name(value))

    def stepped(self, t: int) -> None:
        self.secret.forgotten(self.system, t)

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        return False

    def final(self, row: Row) -> Sequence[Problem]:
        return ()


Said = tuple[tuple[int, str], frozenset[str]]
"""(call, result) of a task's last return, and what was complained about."""


class Told(Protocol):
    """A machine whose local states hold what was seen of a task."""

    names: Sequence[str]

    def said(self, local: Any) -> Said: ...

    def finished_for_good(self, t: int, local: Any) -> bool:
        """Whether a task that cannot run is not stuck."""


class Observed(ProgramMachine):
    """A world without checkers; a fatal fault stops all tasks."""

    def __init__(self, world: World) -> None:
        self.memory = Memory(world)
        super().__init__(world.image, world.tasks, world.first.copy(), self.memory)

    def outcomes(self, t: int, local: Any, S: Window) -> int:
        return 0 if S[self.memory.at] else super().outcomes(t, local, S)

    def finished_for_good(self, t: int, local: Any) -> bool:
        return super().done(t, local)

    def done(self, t: int, local: Any) -> bool:
        return True  # being stuck is something to see, not a problem

    def said(self, local: Any) -> Said:
        said: Said = local[3]
        return said


Part = tuple[str, Callable[[Row], Any]]


class Eye:
    """The parts of a shared state that can be seen: name -> value, None while it is hidden."""

    def __init__(self, world: World, unreclaimable: bool) -> None:
        self.unreclaimable = unreclaimable
        self.view = View(world)
        self.parts: list[Part] = [
            ("reclaimable", self._under_lru(self._list(self.view.reclaimable)))
        ]
        if unreclaimable and self.view.unreclaimable is not None:
            order = self._list(self.view.unreclaimable)
            self.parts.append(("unreclaimable", self._under_lru(order)))
        self.parts += [
            ("tracked", self._under_lru(self._pages(self._tracked))),
            ("isolated", self._under_lru(self._pages(self._isolated))),
        ]
        for node in world.nodes:
            for name, head in (
                ("free", node.free_page_list),
                ("poisoned", node.sgx_poison_page_list),
            ):
                full = f"{name} on {node.name}" if len(world.nodes) > 1 else name
                self.parts.append((full, _while_free(node.lock.owner, self._list(head))))

    def _under_lru(self, see: Callable[[Row], Any]) -> Callable[[Row], Any]:
        return _while_free(self.view.lru_lock.owner, see)

    def _list(self, head: list_head) -> Callable[[Row], Any]:
        limit = len(self.view.pages) + 1

        def order(row: Row) -> Any:
            out: list[str] = []
            pos = row[head.next]
            while pos is not head:
                if not isinstance(pos, list_head) or len(out) > limit:
                    return BROKEN
                out.append(pos.container.name if pos.container else pos.name)
                pos = row[pos.next]
            return tuple(out)

        return order

    def _pages(self, test: Callable[[Row, sgx_epc_page], bool]) -> Callable[[Row], Any]:
        return lambda row: tuple(p.name for p in self.view.pages if test(row, p))

    def _tracked(self, row: Row, page: sgx_epc_page) -> bool:
        return bool(row[page.flags] & SGX_EPC_PAGE_RECLAIMER_TRACKED)

    def _isolated(self, row: Row, page: sgx_epc_page) -> bool:
        """As the revision's own flags say it."""
        flag = self.view.lists.in_progress
        if flag:
            return bool(row[page.flags] & flag)
        return self._tracked(row, page) and row[page.list.next] is page.list

    def look(self, row: Row) -> tuple[Any, ...]:
        """The values of all parts."""
        return tuple(see(row) for _, see in self.parts)


def _while_free(lock: int, see: Callable[[Row], Any]) -> Callable[[Row], Any]:
    return lambda row: see(row) if row[lock] is None else None
