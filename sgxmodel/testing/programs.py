# SPDX-License-Identifier: GPL-2.0-only
"""Random small scenarios, valid by construction.

The EPC has room for all that the set-up makes, so that the set-up needs no
reclaim, and it changes no type and adds no page at run time before it
reclaims: it succeeds on every revision.  What the tasks do is as they like,
but an enclave that a task opens is that task's own: before open() returns
user space has no file that another task could use or close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import attrs
from hypothesis import strategies as st

from sgxmodel.scenario.model import FAILURES, CallSpec, Scenario, TaskLine
from sgxmodel.scenario.text import DESCRIPTORS

T = TypeVar("T")
TASKS = ("T1", "T2", "T3")
CHILD = "C"
VEPC = ("V", 2)
GUESTS = (
    CallSpec("guest-touch", ("V", "0")),
    CallSpec("guest-ecreate", ("V", "0")),
    CallSpec("guest-eadd", ("V", "1", "V", "0")),
    CallSpec("guest-einit", ("V", "0")),
    CallSpec("vepc-remove-all", ("V",)),
    CallSpec("vepc-close", ("V",)),
)
LEFT = ((), (), ("secs", "reg"), ("va", "secs", "none"), ("secs", "secs", "reg"))
"""What an earlier kernel left in the EPC, for ksgxd to sanitise."""
SELDOM = (False,) * 9 + (True,)


@attrs.frozen
class Rules:
    """What a scenario may contain.

    ``quiet``: no memory error, no failure, no EAUG and no change to a TCS page,
    so that ``list_v2`` and ``mainline`` should not differ.  ``processes``: they
    may end, and the first running enclave's forks.
    """

    quiet: bool
    sgx2: bool
    va_slots: int
    processes: bool = False
    guests: bool = False
    """There is a virtual EPC, too."""


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
    growth: list[CallSpec] = attrs.field(factory=list)
    """The end of the set-up: after the set-up of all enclaves."""

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


def one_of(draw: st.DrawFn, values: Sequence[T]) -> T:
    """One of these; shrinks to the first.  Drawing an index is fast."""
    return values[draw(st.integers(0, len(values) - 1))]


# -- set-up -----------------------------------------------------------------------------------


@st.composite
def enclaves(draw: st.DrawFn, name: str, rules: Rules) -> Enclave:
    """An enclave that runs, is being built, is open, or is not there yet."""
    stage = one_of(draw, ("ready", "ready", "created", "open", "new"))
    encl = Enclave(name, one_of(draw, (2, 4, 1)), stage)
    if stage != "new":
        encl.do("open")
    if stage in ("created", "ready"):
        encl.do(one_of(draw, ("create", "create", "create-debug")) if not rules.quiet else "create")
        encl.added = draw(st.integers(0, encl.size))
        for page in range(encl.added):
            encl.do("add", page, one_of(draw, ("reg", "reg", "reg", "tcs")))
    if stage == "ready":
        encl.do("init")
        _later(draw, encl, rules)
    return encl


def _later(draw: st.DrawFn, encl: Enclave, rules: Rules) -> None:
    """What a running enclave has been through: pages evicted, trimmed, grown."""
    regular = [int(c.args[1]) for c in encl.setup if c.verb == "add" and c.args[2] == "reg"]
    encl.setup += [CallSpec("reclaim")] * draw(st.integers(0, 2))
    if bool(regular) and draw(st.booleans()):
        encl.do("touch", one_of(draw, regular))
    if not rules.sgx2:
        return
    if bool(regular) and draw(st.booleans()):
        page = one_of(draw, regular)
        encl.do("modify", page, "trim")
        if one_of(draw, (True, False)):
            encl.do("accept", page)
    if not rules.quiet:
        encl.grown = draw(st.integers(0, encl.size - encl.added))
        grown = range(encl.added, encl.added + encl.grown)
        encl.growth += [encl.call("accept", page) for page in grown]


@st.composite
def nodes(draw: st.DrawFn, pages: int) -> tuple[int, ...]:
    """At least so many pages on one node, on two, or on two of three."""
    pages = max(1, pages + draw(st.integers(0, 4)))
    split = draw(st.integers(0, 2))
    half = draw(st.integers(0, pages)) if split else 0
    return ((pages,), (half, pages - half), (half, pages - half, 0))[split]


@st.composite
def failures(draw: st.DrawFn) -> tuple[tuple[str, int], ...]:
    """Up to two failures, each once or twice."""
    which = draw(st.lists(st.sampled_from(list(FAILURES)), max_size=2, unique=True))
    return tuple((what, draw(st.integers(1, 2))) for what in which)


# -- tasks ------------------------------------------------------------------------------------


def usual(encl: Enclave, rules: Rules) -> list[CallSpec]:
    """What a loader does at this stage, or the threads of the running enclave."""
    if encl.stage != "ready":
        add = [encl.call("add", page, "reg") for page in range(encl.added, encl.size)]
        return [encl.call("create"), *add, encl.call("init")]
    added = range(encl.added)
    out = [encl.call(verb, page) for verb in ("touch", "run") for page in added]
    out += [encl.call("modify", page, "trim") for page in added]
    if not rules.quiet:
        out += [encl.call("accept", page) for page in range(encl.size)]
        out += [encl.call("modify", page, "tcs") for page in added]
        out += [encl.call("remove", page) for page in added]
        out += [encl.call("restrict", page, kept) for page in added for kept in ("r", "rw")]
        out += [encl.call(verb, page) for verb in ("peek", "poke") for page in added]
    return out


def unusual(encl: Enclave, rules: Rules) -> list[CallSpec]:
    """The end of an enclave, memory errors, and calls that come at the wrong time."""
    out = [encl.call("close"), encl.call("munmap")]
    if rules.quiet:
        return [*out, *(encl.call("accept", page) for page in range(encl.added))]
    out += [encl.call("mmap", "rw"), encl.call("mmap", "rwx")]
    if rules.processes:
        out.append(encl.call("exit"))
    for page in range(encl.size):
        out += [encl.call("munmap-page", page)]
        out += [encl.call("mprotect", page, rights) for rights in ("none", "r", "rw")]
        out += [encl.call(verb, page) for verb in ("poison-at", "touch", "accept", "remove")]
        out += [encl.call("modify", page, "tcs"), encl.call("add", page, "tcs")]
    out += [encl.call("provision", descriptor) for descriptor in DESCRIPTORS]
    return [*out, encl.call("create"), encl.call("init")]


def menu(mine: list[Enclave], names: Sequence[str], epc: int, rules: Rules) -> list[CallSpec]:
    """The calls that a task draws from; what is usual is there three times."""
    out = [CallSpec("reclaim")] * 4
    for encl in mine:
        out += usual(encl, rules) * 3 + unusual(encl, rules)
    out.append(CallSpec("direct"))
    if not rules.quiet:
        out += [CallSpec("shrink")] * 2 + list(GUESTS) * (2 if rules.guests else 0)
        out += [CallSpec("poison", (str(n),)) for n in range(epc)]
        out += [CallSpec("signal", (name,)) for name in names]
    return out


def calls(menu: list[CallSpec], most: int) -> st.SearchStrategy[list[CallSpec]]:
    """One to ``most`` calls."""
    one = st.integers(0, len(menu) - 1).map(menu.__getitem__)
    return st.lists(one, min_size=1, max_size=most)


@st.composite
def failing_boots(draw: st.DrawFn) -> Scenario:
    """sgx_init() fails: ksgxd is stopped while it sanitises, and pages turn bad meanwhile."""
    left = one_of(draw, LEFT[2:])
    epc = draw(nodes(len(left)))
    bad = calls([CallSpec("poison", (str(n),)) for n in range(sum(epc))], 2)
    return Scenario(
        "drawn",
        epc=epc,
        ksgxd=True,
        boot=left,
        fail=one_of(draw, ((), (("eremove", 1),), (("eremove", 3),))),
        tasks=(
            TaskLine("T1", (CallSpec("stop-ksgxd"),)),
            TaskLine("T2", tuple(draw(bad)), draw(st.integers(0, len(epc) - 1))),
        ),
    )


@st.composite
def scenarios(draw: st.DrawFn, tasks: int = 3, most: int = 3, quiet: bool = False) -> Scenario:
    """Programs of one to ``tasks`` tasks with one to ``most`` calls each; see :class:`Rules`."""
    if not quiet and one_of(draw, SELDOM):
        return draw(failing_boots())
    names = TASKS[: draw(st.integers(1, tasks))]
    processes = not quiet and one_of(draw, (False, False, True))
    guests = not quiet and one_of(draw, (False, False, True))
    rules = Rules(quiet, not one_of(draw, (0, 0, 0, 1)), one_of(draw, (8, 2, 3)), processes, guests)
    left = () if quiet else one_of(draw, LEFT)
    made = [draw(enclaves(name, rules)) for name in "AB"[: draw(st.integers(1, 2))]]
    epc = draw(nodes(sum(e.pages(rules.va_slots) for e in made) + len(left)))
    parents = [e for e in made if e.stage == "ready"][: int(rules.processes)]
    children = [attrs.evolve(e, name=CHILD) for e in parents]
    lines = []
    for name in names:
        mine = [e for e in made if e.stage != "new" or name == names[0]]
        opened = [e.call("open") for e in mine if e.stage == "new"]
        if name == names[0]:
            opened += [e.call("fork", CHILD) for e in parents]
        program = draw(calls(menu([*mine, *children], names, sum(epc), rules), most))
        lines.append(TaskLine(name, (*opened, *program), draw(st.integers(0, len(epc) - 1))))
    low = draw(st.integers(1, 3))
    return Scenario(
        "drawn",
        epc=epc,
        scan=draw(st.integers(1, 3)),
        low=low,
        high=low + draw(st.integers(0, 2)),
        va_slots=rules.va_slots,
        pcmds=one_of(draw, (32, 2, 1)),
        sgx2=rules.sgx2,
        ksgxd=draw(st.booleans()) or bool(left),
        boot=left,
        vepcs=(VEPC,) if guests else (),
        enclaves=tuple((e.name, e.size) for e in made),
        children=tuple((CHILD, e.name) for e in parents),
        fail=() if quiet else draw(failures()),
        setup=(
            *(c for e in made for c in e.setup),
            *(c for e in made for c in e.growth),
            *((CallSpec("vepc-open", ("V",)),) if guests else ()),
        ),
        tasks=tuple(lines),
    )
