# SPDX-License-Identifier: GPL-2.0-only
"""What the model's state looks like after each call: the lines of shim/observe.c."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sgxmodel.driver.structs import (
    SGX_ENCL_CREATED,
    SGX_ENCL_INITIALIZED,
    SGX_EPC_PAGE_IS_FREE,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    sgx_encl,
    sgx_epc_page,
)
from sgxmodel.hardware.epcm import PT_SECS, PT_VA
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.task import retry
from sgxmodel.machine.op import Fault, Op
from sgxmodel.machine.system import Call, Silent, System
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario, result_name
from sgxmodel.twoway.state import STUCK, After

STEPS_MAX = 200_000
RETRIES = 200
"""Of one call, after which it is taken to go on for ever: nobody else does anything."""


class _Watch(Silent):
    def __init__(self) -> None:
        self.results: list[tuple[int, str]] = []
        self.said: list[str] = []
        self.retries = 0

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        self.retries += op[0] is retry

    def returned(self, t: int, call: Call, value: Any) -> None:
        if t == 0:
            self.results.append((t, result_name(value)))
            self.retries = 0

    def fault(self, t: int, site: Any, fault: Fault) -> None:
        self.said.append(str(fault))


def run(revision: Revision, scenario: Scenario) -> list[After]:
    """One task's calls, one after the other."""
    world = build(revision, scenario)
    watch = _Watch()
    system = world.system(watch)
    system.start()
    eye = Eye(View(world), scenario)
    out: list[After] = []
    while not system.done(0):
        endless = system.steps > STEPS_MAX or watch.retries > RETRIES
        if endless or not (system.enabled(0) or settle(system)):
            out.append(After(STUCK, {}))
            break
        if not system.enabled(0):
            continue
        system.step(0)
        if len(out) < len(watch.results):
            settle(system)
            out.append(After(watch.results[len(out)][1], dict(eye.lines(system.state))))
    return out


def settle(system: System) -> bool:
    """What a call left for daemons is part of it here.  Whether there was something."""
    before = system.steps
    helpers = [t for t, task in enumerate(system.tasks) if task.daemon]
    while able := [t for t in helpers if not system.done(t) and system.enabled(t)]:
        if system.steps > STEPS_MAX:
            break
        system.step(able[0])
    return system.steps > before


class Eye:
    """Reads a state as lines."""

    def __init__(self, view: View, scenario: Scenario) -> None:
        self.view = view
        self.names = [name for name, _ in scenario.enclaves]
        self.children = scenario.children

    def _family(self, name: str) -> list[str]:
        return [name, *(child for child, of in self.children if of == name)]

    def lines(self, S: Any) -> Iterator[tuple[str, str]]:
        """Every line of one state."""
        view, world = self.view, self.view.world
        view.S = S
        for node, count in zip(world.nodes, world.scenario.epc, strict=True):
            if count:
                yield f"free{node.nid}", self._list(S, node.free_page_list)
                yield f"poison{node.nid}", self._list(S, node.sgx_poison_page_list)
        yield "reclaimable0", self._list(S, view.reclaimable)
        yield "count", str(S[view.counter])
        for page in view.pages:
            yield f"flags{page.number}", self._flags(S, page)
            yield f"epcm{page.number}", self._epcm(S, page.frame)
        for i, name in enumerate(self.names):
            process = world.processes[name]
            encl = S[process.file_of.private_data]
            if any(S[world.processes[p].fd] for p in self._family(name)) and encl is not None:
                yield from self._encl(S, i, encl)

    def _list(self, S: Any, head: list_head) -> str:
        out, pos = [], S[head.next]
        while pos is not head:
            out.append(str(pos.container.number))
            pos = S[pos.next]
        return " ".join(out)

    def _flags(self, S: Any, page: sgx_epc_page) -> str:
        value = S[page.flags]
        names = (
            ("TRACKED", value & SGX_EPC_PAGE_RECLAIMER_TRACKED),
            ("FREE", value & SGX_EPC_PAGE_IS_FREE),
            ("POISON", S[page.poison]),
        )
        return " ".join(name for name, is_set in names if is_set)

    def _epcm(self, S: Any, p: Any) -> str:
        if not S[p.valid]:
            return ""
        kind = S[p.page_type]
        if kind == PT_SECS:
            return f"SECS children {S[p.children]} init {int(S[p.initialized])}"
        if kind == PT_VA:
            return f"VA used {sum(S[p.versions + i] != 0 for i in range(p.versions_len))}"
        secs = S[p.enclavesecs]
        name = str(kind).removeprefix("PT_").upper()
        marks = (
            ("PENDING", S[p.pending]),
            ("MODIFIED", S[p.modified]),
            ("BLOCKED", S[p.blocked] is not None),
        )
        said = "".join(f" {mark}" for mark, is_set in marks if is_set)
        return f"{name} of {secs.page.number} page {S[p.linaddr]}{said}"

    def _encl(self, S: Any, i: int, encl: sgx_encl) -> Iterator[tuple[str, str]]:
        flags, secs = S[encl.flags], S[encl.secs.epc_page]
        names = (("CREATED", SGX_ENCL_CREATED), ("INITIALIZED", SGX_ENCL_INITIALIZED))
        said = "".join(f"{name} " for name, bit in names if flags >> bit & 1)
        yield (
            f"encl{i}",
            f"{said}children {S[encl.secs_child_cnt]} pages {S[encl.page_cnt]} "
            f"secs {self._number(secs)} references {S[encl.refcount.refs]}",
        )
        entries = (f"{k}={self._number(S[entry.epc_page])}" for k, entry in self.view.entries(encl))
        yield f"entries{i}", " ".join(entries)
        va, pos = [], S[encl.va_pages.next]
        while pos is not encl.va_pages:
            page = pos.container
            va.append(f"{self._number(S[page.epc_page])}:{S[page.bitmap]:x}")
            pos = S[pos.next]
        yield f"va{i}", " ".join(va)
        yield f"backing{i}", " ".join(self._backing(S, S[encl.backing]))

    @staticmethod
    def _backing(S: Any, backing: Any) -> Iterator[str]:
        """What is in memory, and what in swap: contents, the SECS's, and their PCMDs."""
        for k in range(0 if backing is None else backing.cached_len):
            page = S[backing.cached + k]
            if page is not None:
                yield f"{k}{'s' * S[page.swapped]}"

    @staticmethod
    def _number(page: Any) -> int:
        return -1 if page is None else int(page.number)
