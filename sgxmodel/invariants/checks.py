# SPDX-License-Identifier: GPL-2.0-only
"""All checkers on one run: an observer of the system.

Predicates are evaluated only when a slot that they read was written, and only
when no task holds the lock that protects it.  A run goes on after a violation,
as the kernel would; what is reported is the operation that made a predicate
false, not what follows from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sgxmodel.driver.calls import PARTLY
from sgxmodel.driver.structs import SGX_ENCL_INITIALIZED
from sgxmodel.hardware import encls, enclu
from sgxmodel.invariants.base import (
    BenignRace,
    DataRace,
    End,
    Errno,
    FreeCount,
    InProgress,
    LockOrder,
    PlainRead,
    Progress,
    Violation,
)
from sgxmodel.invariants.catalogue import FAULTS, PREDICATES
from sgxmodel.invariants.end import check_end, released_by
from sgxmodel.invariants.locks import LockGraph, classes_of, is_srcu
from sgxmodel.invariants.overlaps import Overlaps
from sgxmodel.invariants.predicate import Finding
from sgxmodel.invariants.predicates.pages import count_drift
from sgxmodel.invariants.race import Access, RaceDetector
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import entries
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.layout import FREED
from sgxmodel.machine.op import LOAD, Fault, Op, Primitive
from sgxmodel.machine.system import START, Call, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import KILLED, result_name

COUNT, PAGE, REQUEST = 1, 2, 4
"""What slots say beside predicates: the number of free pages, a page, a failure asked for."""
LOOKED_AT = tuple((REQUEST << n, predicate) for n, predicate in enumerate(PREDICATES, 1))
"""Each predicate and its bit."""
FREE_PAGES = frozenset(
    {
        "sgx_epc_page.list.next",
        "sgx_epc_page.list.prev",
        "sgx_numa_node.free_page_list.next",
        "sgx_numa_node.free_page_list.prev",
        "sgx_nr_free_pages.counter",
    }
)
"""What 11-free-count goes by."""
GROUPS = (COUNT, *(bit for bit, _ in LOOKED_AT))
ACCOUNTING = frozenset(
    {
        "__sgx_alloc_epc_page_from_node",
        "sgx_free_epc_page",
        "arch_memory_failure",
    }
)
LEAVES = frozenset(
    value
    for module in (encls, enclu)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, Primitive)
)
RESISTED = ("sgx_encl_free_epc_page", "ksgxd", "sgx_vepc_free_page")
RETRYABLE = frozenset({"-EBUSY", "-EAGAIN", "-ERESTARTSYS", "-ESRCH", "NOT_TRACKED", "0"})
"""-ESRCH: the process is not there, not yet or not any more; that is no failure of the call."""
ACCESSES = ("user_touch", "user_run", "user_accept")
DEBUGGER = ("ptrace_peek", "ptrace_poke")
BLAMED = dict.fromkeys(ACCESSES, "sgx_vma_fault") | dict.fromkeys(DEBUGGER, "sgx_vma_access")
"""The kernel's side of a user's or a debugger's access."""
LOOPS = BLAMED | dict.fromkeys(DEBUGGER, "sgx_encl_reserve_page")
"""Where it tries again."""
Outcomes = dict[tuple[int, int], set[str]]
"""(task, call) -> results that some sequential order gives."""

GONE = {"#PF": "-EBADF"}
"""A guest whose host closes its EPC loses it before its leaf, or within it."""


class Yardstick(Protocol):
    """What calls give without overlap."""

    def gives(self, at: tuple[int, int], name: str) -> bool: ...
    def every(self) -> Outcomes: ...


class Checks:
    """Checkers of one world; :meth:`begin` starts a run."""

    def __init__(self, world: World, sequential: Yardstick | None = None) -> None:
        self.world = world
        self.view = View(world)
        self.sequential = sequential
        self.watch = [_group(kind) for kind in world.layout.kinds]
        self.marked = frozenset(
            slot for slot, kind in enumerate(world.layout.kinds) if kind.endswith(".next")
        )
        # The CPU orders leaves on children of one SECS itself (SDM, "Concurrent
        # Operation Restrictions" of EREMOVE and EWB: the SECS is accessed shared).
        self.hardware = frozenset(
            slot
            for slot, kind in enumerate(world.layout.kinds)
            if kind.startswith("cpu.") or kind == "frame.children"
        )
        self.sometimes_seen: Counter[str] = Counter()
        self.results: Counter[tuple[str, str]] = Counter()
        self.leaves: Counter[tuple[str, int]] = Counter()
        self.overlaps = Overlaps()

    # -- a run ----------------------------------------------------------------------------

    def begin(self, system: System) -> None:
        """Watch a fresh run."""
        self.system = system
        self.S = self.view.S = system.state
        self.found: dict[tuple[str, str], Violation] = {}
        self.first_at: dict[tuple[str, str], int] = {}
        self.new: list[Violation] = []
        self.dirty = 0
        self.sites: dict[int, Site] = {}
        self.bad: dict[int, set[Any]] = {group: set() for group in GROUPS}
        self.graph = LockGraph()
        self.scan: dict[int, list[Any]] = {}
        self.looked: set[int] = set()
        self.passed: dict[Any, tuple[int, int]] = {}
        self.page_sites: dict[Any, Site] = {}
        self.drift = count_drift(self.view)
        self.balance = [0] * len(system.tasks)
        self.count_sites: list[Site] = [START] * len(system.tasks)
        self.ready = [self._initialized(t) for t in range(len(system.tasks))]
        self.requested = False
        self.excused = False
        self.overlaps.begin(len(system.tasks))
        self.races = RaceDetector(len(system.tasks), self.marked, self.hardware, self._race)

    def violate(self, violation: Violation) -> None:
        """A run keeps the first violation of each (invariant, function)."""
        if violation.key not in self.found:
            self.found[violation.key] = violation
            self.first_at[violation.key] = self.system.steps
            self.new.append(violation)

    # -- observer -------------------------------------------------------------------------

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        prim = op[0]
        system = self.system
        held = self.S[system.tasks[t].handle.held]
        self.overlaps.stepped[t] = system.steps
        site = system.image.sites.get(system.frames[t][0], START)  # type: ignore[index]
        if not prim.silent:
            self.races.access(t, op, reads, writes, held, site)
        if prim is LOAD:
            return
        if self.scan and t in self.scan and self.view.reclaimable.next in reads:
            self.looked.add(t)
        watch = self.watch
        for slot in writes:
            groups = watch[slot]
            if groups:
                self._written(t, slot, groups, site, prim.silent)
        if prim.lock:
            self._lock(t, op, held, site)
        elif writes and prim.name.startswith("list_"):
            self._moved(t, op[1].container)
        elif prim in LEAVES and type(result) is int:
            self.leaves[prim.name, result] += 1

    def _written(self, t: int, slot: int, groups: int, site: Any, silent: bool) -> None:
        self.dirty |= groups
        for group in GROUPS:
            if groups & group and not (silent and group in self.sites):
                self.sites[group] = site  # a ghost is written beside what made a predicate false
        if groups & COUNT:
            drift = count_drift(self.view)
            if drift != self.drift:
                self.balance[t] += drift - self.drift
                self.drift = drift
                self.count_sites[t] = site
        if groups & PAGE and not silent:
            page = self.world.layout.owners[slot]
            self.page_sites[page] = site
            isolator = self.S[page.isolator]
            if isolator is not None and isolator is not self.system.tasks[t].handle:
                self.violate(
                    InProgress(
                        site.function,
                        f"{self.system.tasks[t].name} changes {page}, isolated by {isolator}",
                        f"{site.text} while {isolator} is reclaiming the page",
                    )
                )
        if silent and self.world.layout.kinds[slot] == "sgx_epc_page.isolator":
            self._isolation(slot, site)
        if groups & REQUEST:
            self.excused = self.requested = True

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        if fault.kind not in FAULTS:
            raise fault
        if self.requested and fault.kind == "10-epcm" and site.function in RESISTED:
            return  # the SECS of a child that was made to resist
        title, _, message = fault.message.partition("\n")
        self.violate(FAULTS[fault.kind](site.function, title, message))

    def sometimes(self, what: str) -> None:
        self.sometimes_seen[what] += 1

    def returned(self, t: int, call: Call, value: Any) -> None:
        name = result_name(value)
        kind, partly, _ = name.partition(" after ")
        self.results[call.text.split()[0], f"{kind} {PARTLY}" if partly else name] += 1
        handle = self.system.tasks[t].handle
        if self.S[handle.held]:
            held = ", ".join(map(str, self.S[handle.held]))
            self.violate(LockOrder(call.function, f"{call.text} returns with {held} held"))
        self.overlaps.returned(self.system, t, call)
        self._benign(t, call, value, name)
        self._justified(t, call, name)
        self.S[handle.exhausted] = 0
        self.ready[t] = self._initialized(t)

    # -- single checks --------------------------------------------------------------------

    def _benign(self, t: int, call: Call, value: Any, name: str) -> None:
        """A result that no order without overlap gives; what follows from it is excused."""
        if self.sequential is None or self.excused:
            return
        at = (t, self.system.position[t] - 1)
        if self.sequential.gives(at, name):
            return
        if name in GONE and GONE[name] in self.sequential.every()[at]:
            return
        self.excused = True
        if name.split()[0] in RETRYABLE or self.S[self.system.tasks[t].handle.exhausted]:
            return
        verb = "kills the process with" if value in KILLED else "fails with"
        self.violate(
            BenignRace(
                BLAMED.get(call.function, call.function),
                f"'{call.text}' of {self.system.tasks[t].name} {verb} {name}",
                "when the calls run one after another, in any order, it gives "
                + " or ".join(sorted(self.sequential.every()[at])),
            )
        )

    def _justified(self, t: int, call: Call, name: str) -> None:
        """A fault on a running enclave may fail for want of memory or a backing page only."""
        if call.function not in ACCESSES or name not in ("SIGBUS", "OOM"):
            return
        if self.excused or self.S[self.system.tasks[t].handle.exhausted] or not self.ready[t]:
            return
        proc, index = call.args
        encl = self.view.mapped(proc, index)
        if encl is None:
            return
        if not self.world.scenario.sgx2 and self.S[encl.page_array.entries + index] is None:
            return
        self.violate(
            Errno(
                "sgx_vma_fault",
                f"'{call.text}' of {self.system.tasks[t].name} is killed with {name}",
                "the enclave is initialized, EPC can be allocated, and no failure was injected",
            )
        )

    def _initialized(self, t: int) -> bool:
        """Whether the enclave that a task's next call touches runs already."""
        spec, at = self.system.tasks[t], self.system.position[t]
        if at >= len(spec.calls) or spec.calls[at].function not in ACCESSES:
            return False
        encl = self.S[spec.calls[at].args[0].file_of.private_data]
        if encl is None or self.S[encl.flags] is FREED:
            return False
        return bool(self.S[encl.flags] & 1 << SGX_ENCL_INITIALIZED)

    def _lock(self, t: int, op: Op, held: Any, site: Site) -> None:
        prim, lock, _ = op
        if prim.lock > 0 and prim.name != "srcu_read_lock":  # which never waits
            classes, now = classes_of(held, lock)
            chain = self.graph.acquire(classes, now, site.function)
            if chain is not None:
                order = " -> ".join([*chain, now])
                first = self.graph.where(chain[0], chain[1]) if len(chain) > 1 else "?"
                self.violate(
                    LockOrder(
                        site.function,
                        f"possible circular locking: {order}",
                        f"here {now} is taken with {', '.join(classes)} held;\n"
                        f"the other order was seen in {first}",
                    )
                )
        if lock is self.view.lru_lock and site.function == self.view.lists.reclaimer:
            self._section(t, prim.lock > 0, site)

    def _section(self, t: int, enter: bool, site: Site) -> None:
        """A locked section that looks at the head of a non-empty list must change the list."""
        now = entries(self.S, self.view.reclaimable, limit=64)
        if enter:
            self.scan[t] = now
            self.looked.discard(t)
            return
        before = self.scan.pop(t, [])
        if before and now == before and t in self.looked:
            self.violate(
                Progress(
                    site.function,
                    "a reclaim pass makes no progress",
                    f"the head is {before[0]} ({self.view.flags(self.S[before[0].flags])}) "
                    "before and after;\nno page is isolated, rotated or removed",
                )
            )

    def _moved(self, t: int, page: Any) -> None:
        """A page that leaves the list or comes back to it waits anew."""
        self.passed.pop(page, None)

    def _isolation(self, slot: int, site: Site) -> None:
        """Count how often each waiting page was passed over by the reclaimer."""
        if self.S[slot] is None:
            return
        taken = self.world.layout.owners[slot]
        waiting = [p for p in entries(self.S, self.view.reclaimable, limit=64) if p is not taken]
        passed: dict[Any, tuple[int, int]] = {}
        for place, page in enumerate(waiting, 1):
            ahead, times = self.passed.get(page, (place, 0))
            passed[page] = (ahead, times + 1)
            # In a queue nobody is passed over by more than were ahead; one pass is leeway.
            if times >= ahead + self.world.scenario.scan:
                self.violate(
                    Progress(
                        site.function,
                        f"{page} starves: the reclaimer takes other pages again and again",
                        f"{ahead} pages were ahead of it; {times + 1} have been taken since",
                    )
                )
        self.passed = passed

    def _race(self, slot: int, first: Access, second: Access) -> None:
        """Name the race by its offender: who holds none of the field's locks."""
        writer, other = (first, second) if first.write else (second, first)
        layout = self.world.layout
        kind = layout.kinds[slot]
        locks = self._locks_of(kind)
        locked = {
            a: any((not locks and not is_srcu(h)) or h.kind in locks for h in a.held)
            for a in (writer, other)
        }
        plain_read = locked[writer] and not other.write
        cls: type[Violation] = PlainRead if plain_read else DataRace
        offender = other if plain_read or (other.write and not locked[other]) else writer
        both = []
        for access in (writer, other):
            verb = "read-modify-write" if access.rmw else "write" if access.write else "read"
            how = "" if access.plain else "marked "
            lock = ", ".join(h.kind for h in access.held) or "no lock"
            both.append(f"{how}{verb} in {access.site.function} ({lock})")
        names = f"{writer.site.function} / {other.site.function}"
        self.violate(
            cls(
                offender.site.function,
                f"data race on {kind} in {names}",
                f"{layout.names[slot]}: {both[0]},\nunordered with {both[1]}",
            )
        )

    def _locks_of(self, kind: str) -> tuple[str, ...]:
        """Lock classes that protect a field, as the flag tables say; empty: whatever is held."""
        if kind.startswith("sgx_epc_page."):
            return (self.view.lru_lock.kind, "sgx_numa_node.lock")
        return ()

    # -- predicates -----------------------------------------------------------------------

    def settle(self, t: int) -> None:
        """After each step of task ``t``: evaluate what was written, where locks are free."""
        for bit, predicate in LOOKED_AT:
            if self.dirty & bit and predicate.holds_when(self.view):
                self._evaluate(bit, predicate.check(self.view))
        if self.dirty & COUNT:
            self._count(t)

    def _count(self, t: int) -> None:
        """A task that leaves the accounting functions has changed list and counter alike."""
        if self.balance[t] and not self._accounting(t):
            S, off = self.S, self.balance[t]
            self.balance[t] = 0
            self.violate(
                FreeCount(
                    self.count_sites[t].function,
                    "sgx_nr_free_pages does not match the free lists",
                    f"the counter is {S[self.view.counter]}, "
                    f"{S[self.view.counter] - self.drift} pages can be allocated\n"
                    f"({off:+d} by {self.system.tasks[t].name}); ksgxd relies on it",
                )
            )
        if not any(self.balance):
            self.dirty &= ~COUNT

    def _accounting(self, t: int) -> bool:
        return any(name in ACCOUNTING for name in self.system.callers(t))

    def _evaluate(self, group: int, findings: Iterable[Finding]) -> None:
        self.dirty &= ~group
        now = set()
        for cls, about, title, message in findings:
            now.add((cls, about))
            if (cls, about) not in self.bad[group]:
                site = self.page_sites.get(about) or self.sites.get(group)
                self.violate(cls(site.function if site else "?", title, message))
        self.bad[group] = now

    # -- the end of a run -----------------------------------------------------------------

    def end(self) -> None:
        """Everything is closed and done."""
        for title, message in check_end(self.view):
            if not self.found:
                self.violate(End(released_by(title), title, message))

    def deadlock(self, blocked: Sequence[int]) -> None:
        """No task can run, and some are not done."""
        system, lines = self.system, []
        for t in blocked:
            prim, a, _ = system.pending[t]  # type: ignore[misc]
            owner = self.S[a.owner] if hasattr(a, "owner") else None
            holder = f", held by {owner}" if owner else ""
            lines.append(f"{system.tasks[t].name} waits in {prim.name}({a or ''}){holder}")
        t = blocked[0]
        self.violate(LockOrder(system.site(t).function, "deadlock", "\n".join(lines)))


def _group(kind: str) -> int:
    """Which predicates, and what else here, a slot of this kind is read by."""
    groups = sum(bit for bit, predicate in LOOKED_AT if predicate.reads(kind))
    struct, _, field = kind.partition(".")
    if struct == "sgx_epc_page" and field not in ("poison", "isolator", "leaked"):
        groups |= PAGE
    if kind in FREE_PAGES:
        groups |= COUNT
    if ".fail" in kind or kind.endswith(".left"):
        groups |= REQUEST
    return groups
