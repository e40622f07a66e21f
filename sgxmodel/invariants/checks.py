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
from typing import Any

from sgxmodel.invariants.base import (
    FAULTS,
    BenignRace,
    DataRace,
    End,
    InProgress,
    LockOrder,
    PlainRead,
    Progress,
    Violation,
)
from sgxmodel.invariants.enclaves import check_enclave, check_references
from sgxmodel.invariants.end import check_end
from sgxmodel.invariants.locks import LockGraph
from sgxmodel.invariants.pages import Finding, check_count, check_lists
from sgxmodel.invariants.race import Access, RaceDetector
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import entries
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.op import LOAD, Fault, Op
from sgxmodel.machine.system import Call, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import KILLED, result_name

LISTS, ENCLAVES, REFERENCES, COUNT, PAGE = 1, 2, 4, 8, 16
GROUPS = (LISTS, ENCLAVES, REFERENCES, COUNT)
ACCOUNTING = frozenset(
    {
        "__sgx_alloc_epc_page_from_node",
        "sgx_account_alloc",
        "sgx_free_epc_page",
        "sgx_account_free",
        "sgx_poison_free",
        "arch_memory_failure",
    }
)
RETRYABLE = frozenset({"-EBUSY", "-EAGAIN", "-ERESTARTSYS", "0"})
Outcomes = dict[tuple[int, int], set[str]]
"""(task, call) -> results that some sequential order gives."""


class Checks:
    """Checkers of one world; :meth:`begin` starts a run."""

    def __init__(self, world: World, sequential: Outcomes | None = None) -> None:
        self.world = world
        self.view = View(world)
        self.sequential = sequential
        self.watch = [_group(kind) for kind in world.layout.kinds]
        self.marked = frozenset(
            slot for slot, kind in enumerate(world.layout.kinds) if kind.endswith(".next")
        )
        self.sometimes_seen: Counter[str] = Counter()
        self.results: Counter[tuple[str, str]] = Counter()
        self.leaves: Counter[tuple[str, int]] = Counter()
        self.failed_on_request = {
            slot for slot, kind in enumerate(world.layout.kinds) if ".fail" in kind
        }

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
        self.passed: dict[Any, int] = {}
        self.requested = False
        self.races = RaceDetector(len(system.tasks), self.marked, self._race)

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
        site = system.image.sites.get(system.frames[t][0])  # type: ignore[index]
        if not prim.silent:
            self.races.access(t, op, reads, writes, held, site)
        if prim is LOAD:
            return
        watch = self.watch
        for slot in writes:
            groups = watch[slot]
            if groups:
                self._written(t, slot, groups, site, prim.silent)
        if prim.lock:
            self._lock(t, op, held, site)
        elif prim.name.isupper() and type(result) is int:
            self.leaves[prim.name, result] += 1

    def _written(self, t: int, slot: int, groups: int, site: Any, silent: bool) -> None:
        self.dirty |= groups
        for group in GROUPS:
            if groups & group:
                self.sites[group] = site
        if groups & PAGE and not silent:
            page = self.world.layout.owners[slot]
            isolator = self.S[page.isolator]
            if isolator is not None and isolator is not self.system.tasks[t].handle:
                self.violate(
                    InProgress(
                        site.function,
                        f"{self.system.tasks[t].name} changes {page}, isolated by {isolator}",
                        f"{site.text} while the page is in the reclaimer's hands",
                    )
                )
        if silent and self.world.layout.kinds[slot] == "sgx_epc_page.isolator":
            self._isolation(slot, site)
        if slot in self.failed_on_request:
            self.requested = True

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        if fault.kind not in FAULTS:
            raise fault
        title, _, message = fault.message.partition("\n")
        self.violate(FAULTS[fault.kind](site.function, title, message))

    def sometimes(self, what: str) -> None:
        self.sometimes_seen[what] += 1

    def returned(self, t: int, call: Call, value: Any) -> None:
        name = result_name(value)
        self.results[call.text.split()[0], name] += 1
        handle = self.system.tasks[t].handle
        if self.S[handle.held]:
            held = ", ".join(map(str, self.S[handle.held]))
            self.violate(
                LockOrder(call.function, f"{call.text} returns with {held} held")
            )
        self._benign(t, call, value, name)
        self.S[handle.exhausted] = 0

    # -- single checks --------------------------------------------------------------------

    def _benign(self, t: int, call: Call, value: Any, name: str) -> None:
        if self.sequential is None or name in RETRYABLE or self.requested:
            return
        key = (t, self.system.position[t] - 1)
        allowed = self.sequential.get(key)
        if allowed is None or name in allowed or self.S[self.system.tasks[t].handle.exhausted]:
            return
        verb = "kills the process with" if value in KILLED else "fails with"
        self.violate(
            BenignRace(
                call.function,
                f"'{call.text}' of {self.system.tasks[t].name} {verb} {name}",
                "in every order without overlap it gives " + " or ".join(sorted(allowed)),
            )
        )

    def _lock(self, t: int, op: Op, held: Any, site: Site) -> None:
        prim, lock, _ = op
        if prim.lock > 0:
            classes = [h.kind for h in held if h is not lock]
            chain = self.graph.acquire(classes, lock.kind, site.function)
            if chain is not None:
                order = " -> ".join([*chain, lock.kind])
                first = self.graph.where(chain[0], chain[1]) if len(chain) > 1 else "?"
                self.violate(
                    LockOrder(
                        site.function,
                        f"possible circular locking: {order}",
                        f"here {lock.kind} is taken with {', '.join(classes)} held;\n"
                        f"the other order was seen in {first}",
                    )
                )
        if lock is self.view.lru_lock and site.function == self.view.lists.reclaimer:
            self._section(t, prim.lock > 0, site)

    def _section(self, t: int, enter: bool, site: Site) -> None:
        """A locked section of the reclaim pass must change a list that is not empty."""
        now = entries(self.S, self.view.reclaimable, limit=64)
        if enter:
            self.scan[t] = now
            return
        before = self.scan.pop(t, [])
        if before and now == before:
            self.violate(
                Progress(
                    site.function,
                    "a pass over the reclaimable list moves nothing",
                    f"the head is {before[0]} ({self.view.flags(self.S[before[0].flags])}) "
                    "before and after;\nno page is isolated, rotated or removed",
                )
            )

    def _isolation(self, slot: int, site: Site) -> None:
        """Count how often each waiting page was passed over by the reclaimer."""
        if self.S[slot] is None:
            return
        taken = self.world.layout.owners[slot]
        waiting = entries(self.S, self.view.reclaimable, limit=64)
        passed = {p: self.passed.get(p, 0) + 1 for p in waiting if p is not taken}
        self.passed = passed
        bound = len(self.world.pages)
        for page, times in passed.items():
            if times > bound:
                self.violate(
                    Progress(
                        site.function,
                        f"{page} waits while the reclaimer takes others again and again",
                        f"{times} isolations of {bound} pages passed it over",
                    )
                )

    def _race(self, slot: int, first: Access, second: Access) -> None:
        writer, other = (first, second) if first.write else (second, first)
        layout = self.world.layout
        kind = layout.kinds[slot]
        locked_write = writer.locked and not other.write
        cls: type[Violation] = PlainRead if locked_write else DataRace
        offender = other if locked_write or (other.write and not other.locked) else writer
        both = []
        for access in (writer, other):
            verb = "read-modify-write" if access.rmw else "write" if access.write else "read"
            how = "" if access.plain else "marked "
            lock = "locked" if access.locked else "no lock"
            both.append(f"{how}{verb} in {access.site.function} ({lock})")
        names = f"{writer.site.function} / {other.site.function}"
        self.violate(
            cls(
                offender.site.function,
                f"data race on {kind} in {names}",
                f"{layout.names[slot]}: {both[0]},\nunordered with {both[1]}",
            )
        )

    # -- predicates -----------------------------------------------------------------------

    def settle(self) -> None:
        """After each step: evaluate what was written, where the locks are free."""
        if self.dirty & LISTS and self.view.lists_quiet():
            self._evaluate(LISTS, check_lists(self.view))
        if self.dirty & COUNT and self._no_accounting() and self.view.lists_quiet():
            self._evaluate(COUNT, check_count(self.view))
        if self.dirty & REFERENCES:
            self._evaluate(REFERENCES, check_references(self.view))
        if self.dirty & ENCLAVES:
            self._enclaves()

    def _enclaves(self) -> None:
        free = []
        for encl in self.world.encls:
            owner = self.S[encl.lock.owner]
            if owner is None:
                free.append(encl)
            elif not isinstance(owner, type(self.world.tasks[0].handle)):
                continue  # freed
            else:
                return  # wait until every enclave's lock is free
        self._evaluate(ENCLAVES, (f for e in free for f in check_enclave(self.view, e)))

    def _no_accounting(self) -> bool:
        system = self.system
        return not any(
            name in ACCOUNTING
            for t in range(len(system.tasks))
            if system.frames[t] is not None
            for name in system.callers(t)
        )

    def _evaluate(self, group: int, findings: Iterable[Finding]) -> None:
        self.dirty &= ~group
        now = set()
        site = self.sites.get(group)
        for cls, about, title, message in findings:
            now.add((cls, about))
            if (cls, about) not in self.bad[group]:
                self.violate(cls(site.function if site else "?", title, message))
        self.bad[group] = now

    # -- the end of a run -----------------------------------------------------------------

    def end(self) -> None:
        """Everything is closed and done."""
        for title, message in check_end(self.view):
            if not self.found:
                self.violate(End("sgx_encl_release", title, message))

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
    """Which predicates read a slot of this kind."""
    struct, _, field = kind.partition(".")
    groups = 0
    if struct == "sgx_epc_page":
        groups |= LISTS
        if field not in ("poison", "isolator", "leaked"):
            groups |= PAGE
        if field == "isolator":
            groups |= REFERENCES | ENCLAVES
    elif kind.endswith((".next", ".prev")):
        groups |= LISTS
        if "free_page_list" in kind:
            groups |= COUNT
    elif kind == "frame.valid":
        groups |= LISTS
    elif kind == "sgx_nr_free_pages.counter":
        groups |= COUNT
    if kind.endswith(".refs") and not struct == "page" or kind == "sgx_encl.mm":
        groups |= REFERENCES
    if struct in ("sgx_encl", "sgx_encl_page", "sgx_va_page", "frame", "page", "file"):
        if not kind.endswith(("lock.owner", ".refcount.refs")):
            groups |= ENCLAVES
    return groups
