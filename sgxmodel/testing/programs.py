# SPDX-License-Identifier: GPL-2.0-only
"""Random small scenarios, valid by construction.

The EPC has room for all that the set-up makes, so that the set-up needs no
reclaim, and it changes no type and adds no page at run time before it
reclaims: it succeeds on every revision.  What the tasks do is as they like,
but an enclave that a task opens is that task's own: before open() returns
user space has no file that another task could use or close.
"""

from __future__ import annotations

from typing import TypeVar

import attrs
from hypothesis import strategies as st

from sgxmodel.scenario.model import FAILURES, CallSpec, Scenario, TaskLine

T = TypeVar("T")
TASKS = ("T1", "T2", "T3")


@attrs.define
class Enclave:
    """What the set-up does to one enclave."""

    name: str
    size: int
    stage: str
    added: int = 0
    grown: int = 0
    """Pages added at run time."""
    setup: list[CallSpec] = attrs.field(factory=list)

    def do(self, verb: str, *args: object) -> None:
        self.setup.append(self.call(verb, *args))

    def call(self, verb: str, *args: object) -> CallSpec:
        return CallSpec(verb, (self.name, *map(str, args)))

    def pages(self, va_slots: int) -> int:
        """EPC pages that all this takes: the SECS, pages, VA pages."""
        if self.stage in ("new", "open"):
            return 0
        pages = self.added + self.grown
        return 1 + pages + -(-(1 + pages) // va_slots)


class Drawing:
    """One scenario in the making."""

    def __init__(self, draw: st.DrawFn, quiet: bool) -> None:
        self.draw = draw
        self.quiet = quiet

    def one_of(self, *values: T) -> T:
        """One of these; shrinks to the first."""
        return values[self.upto(len(values) - 1)]

    def upto(self, most: int) -> int:
        return self.draw(st.integers(0, most))

    def scenario(self, tasks: int, calls: int) -> Scenario:
        self.sgx2 = self.one_of(True, True, True, False)
        self.va_slots = self.one_of(8, 2, 3)
        names = self.one_of("A", "AB")
        self.enclaves = [self.enclave(name) for name in names]
        epc = self.nodes(sum(e.pages(self.va_slots) for e in self.enclaves) + self.upto(4))
        self.epc = sum(epc)
        low = 1 + self.upto(2)
        self.tasks = TASKS[: self.one_of(*range(1, tasks + 1))]
        return Scenario(
            "drawn",
            epc=epc,
            scan=1 + self.upto(2),
            low=low,
            high=low + self.upto(2),
            va_slots=self.va_slots,
            pcmds=self.one_of(32, 2, 1),
            sgx2=self.sgx2,
            ksgxd=self.one_of(False, True),
            enclaves=tuple((e.name, e.size) for e in self.enclaves),
            fail=() if self.quiet else self.failures(),
            setup=tuple(call for e in self.enclaves for call in e.setup),
            tasks=tuple(
                TaskLine(name, self.program(i, calls), self.upto(len(epc) - 1))
                for i, name in enumerate(self.tasks)
            ),
        )

    def nodes(self, pages: int) -> tuple[int, ...]:
        """So many pages on one node, on two, or on two of three."""
        pages = max(1, pages)
        split = self.one_of(0, 1, 2)
        half = self.upto(pages) if split else 0
        return ((pages,), (half, pages - half), (half, pages - half, 0))[split]

    def failures(self) -> tuple[tuple[str, int], ...]:
        which = self.draw(st.lists(st.sampled_from(list(FAILURES)), max_size=2, unique=True))
        return tuple((what, 1 + self.upto(1)) for what in which)

    # -- set-up ---------------------------------------------------------------------------

    def enclave(self, name: str) -> Enclave:
        stages = ("ready", "ready", "created", "open", "new")
        encl = Enclave(name, self.one_of(2, 4, 1), self.one_of(*stages))
        if encl.stage != "new":
            encl.do("open")
        if encl.stage in ("created", "ready"):
            encl.do("create")
            encl.added = self.upto(encl.size)
            for page in range(encl.added):
                encl.do("add", page, self.one_of("reg", "reg", "reg", "tcs"))
        if encl.stage == "ready":
            encl.do("init")
            self.later(encl)
        return encl

    def later(self, encl: Enclave) -> None:
        """What a running enclave has been through: pages evicted, trimmed, grown."""
        for _ in range(self.upto(2)):
            encl.setup.append(CallSpec("reclaim"))
        regular = [int(c.args[1]) for c in encl.setup if c.verb == "add" and c.args[2] == "reg"]
        if regular and self.one_of(False, True):
            encl.do("touch", self.one_of(*regular))
        if not self.sgx2:
            return
        if regular and self.one_of(False, True):
            page = self.one_of(*regular)
            encl.do("modify", page, "trim")
            if self.one_of(True, False):
                encl.do("accept", page)
        if not self.quiet:
            encl.grown = self.upto(encl.size - encl.added)
            for page in range(encl.added, encl.added + encl.grown):
                encl.do("accept", page)

    # -- tasks ----------------------------------------------------------------------------

    def program(self, task: int, calls: int) -> tuple[CallSpec, ...]:
        """The calls of a task.  The first task opens what is not open."""
        mine = [e for e in self.enclaves if e.stage != "new" or not task]
        opened = [e.call("open") for e in mine if e.stage == "new"]
        menu = [CallSpec("reclaim")] * 4
        for encl in mine:
            menu += self.usual(encl) * 3
            menu += self.unusual(encl)
        menu.append(CallSpec("direct"))
        if not self.quiet:
            menu += [CallSpec("poison", (str(n),)) for n in range(self.epc)]
            menu += [CallSpec("signal", (name,)) for name in self.tasks]
        return (*opened, *(self.one_of(*menu) for _ in range(1 + self.upto(calls - 1))))

    def usual(self, encl: Enclave) -> list[CallSpec]:
        """What a loader does at this stage, or the threads of the running enclave."""
        if encl.stage != "ready":
            add = [encl.call("add", page, "reg") for page in range(encl.added, encl.size)]
            return [encl.call("create"), *add, encl.call("init")]
        added = range(encl.added)
        out = [encl.call("touch", page) for page in (*added, *added)]
        out += [encl.call("modify", page, "trim") for page in added]
        if not self.quiet:
            out += [encl.call("accept", page) for page in range(encl.size)]
            out += [encl.call("modify", page, "tcs") for page in added]
            out += [encl.call("remove", page) for page in added]
        return out

    def unusual(self, encl: Enclave) -> list[CallSpec]:
        """The end of an enclave, memory errors, and calls that come at the wrong time."""
        out = [encl.call("close"), encl.call("munmap")]
        if self.quiet:
            return [*out, *(encl.call("accept", page) for page in range(encl.added))]
        for page in range(encl.size):
            verbs = ("poison-at", "touch", "accept", "remove")
            out += [encl.call(verb, page) for verb in verbs]
            out += [encl.call("modify", page, "tcs"), encl.call("add", page, "tcs")]
        return [*out, encl.call("create"), encl.call("init")]
