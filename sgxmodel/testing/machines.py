# SPDX-License-Identifier: GPL-2.0-only
"""A state machine over the model: rules make enclaves, give tasks calls and step them."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import FAILURES, CallSpec, Scenario
from sgxmodel.search.sighting import Sightings
from sgxmodel.testing.live import LiveRun
from sgxmodel.testing.programs import GUESTS, VEPC
from sgxmodel.testing.steer import Seen

SLOTS = 3
LEFT = ("secs", "reg", "secs")
"""What an earlier kernel left in the EPC."""
ENCLAVES = (("A", 4), ("B", 2))
EPC = 12
ONE_PAGE = ("touch", "run", "accept", "poison-at", "peek", "poke")

slots = st.integers(0, SLOTS - 1)
names = st.sampled_from([name for name, _ in ENCLAVES])
pages = st.integers(0, 3)
seldom = st.sampled_from((False, False, False, True))


def typed(name: str, page: str) -> list[tuple[str, tuple[str, ...]]]:
    """The ioctls about a page."""
    types = (("modify", "trim"), ("modify", "tcs"), ("add", "reg"), ("add", "tcs"))
    rights = [("restrict", (name, page, kept)) for kept in ("r", "rw")]
    return [
        *((verb, (name, page, kind)) for verb, kind in types),
        *rights,
        ("remove", (name, page)),
        ("remove", (name, f"0-{page}")),
        ("modify", (name, f"0-{page}", "trim")),
    ]


def loading(name: str, added: int) -> list[CallSpec]:
    """What a loader does up to EINIT."""
    added = min(added, dict(ENCLAVES)[name])
    adds = [CallSpec("add", (name, str(page), "reg")) for page in range(added)]
    return [CallSpec("create", (name,)), *adds]


def disturbing() -> list[CallSpec]:
    """Calls that are rare."""
    out = [CallSpec(verb, (name,)) for verb in ("close", "munmap") for name, _ in ENCLAVES]
    for name, _ in ENCLAVES:
        out += [CallSpec("mmap", (name, "rw")), CallSpec("munmap-page", (name, "0"))]
        out += [CallSpec("mprotect", (name, "0", rights)) for rights in ("none", "rw")]
    out += [CallSpec("poison", (str(n),)) for n in range(EPC)]
    out += [CallSpec("signal", (f"T{i + 1}",)) for i in range(SLOTS)]
    return out + [CallSpec(verb, ("B",)) for verb in ("create", "init")]


def menu() -> list[CallSpec]:
    """Every call that a rule can give to a task."""
    out = [
        CallSpec("reclaim"),
        CallSpec("direct"),
        CallSpec("shrink"),
        *DISTURBING,
        *GUESTS,
        CallSpec("init", ("A",)),
    ]
    for name, size in ENCLAVES:
        out += [CallSpec("create", (name,))]
        for page in map(str, range(size)):
            out += [CallSpec(verb, (name, page)) for verb in ONE_PAGE]
            out += [CallSpec(*call) for call in typed(name, page)]
    return out


DISTURBING = disturbing()
MENU = menu()


class EpcMachine(RuleBasedStateMachine):
    """Tasks in idle slots, stepped by operations, by locked sections or by whole calls.

    A rule that is not possible does nothing: preconditions that leave no rule
    would end the run as an error.  The files are open from the start, as no
    task can use a file before another one's open() returned it.
    """

    target: ClassVar[Revision]
    sightings: ClassVar[Sightings]

    def __init__(self) -> None:
        super().__init__()
        self.run: LiveRun | None = None
        self.over = False

    @initialize(
        room=st.integers(0, EPC - 8),
        scan=st.integers(1, 3),
        low=st.integers(1, 3),
        va_slots=st.sampled_from((8, 3)),
        ksgxd=st.booleans(),
        sgx1=st.sampled_from((False, False, False, True)),
        added=st.integers(1, 4),
        dirty=seldom,
    )
    def boot(
        self,
        room: int,
        scan: int,
        low: int,
        va_slots: int,
        ksgxd: bool,
        sgx1: bool,
        added: int,
        dirty: bool,
    ) -> None:
        """Enclave A runs, with so many pages; B is to be built.  ``room``: pages left free.

        ``dirty``: an earlier kernel left pages that ksgxd has not sanitised yet.
        """
        left = LEFT if dirty else ()
        used = 1 + added + -(-(1 + added) // va_slots) + len(left)
        setup = [CallSpec("open", ("A",)), CallSpec("open", ("B",)), *loading("A", added)]
        scenario = Scenario(
            "machine",
            epc=(used, room) if room % 2 else (used + room,),
            boot=left,
            vepcs=(VEPC,),
            scan=scan,
            low=low,
            high=low + 1,
            va_slots=va_slots,
            pcmds=2 if scan % 2 else 32,
            sgx2=not sgx1,
            ksgxd=ksgxd or dirty,
            enclaves=ENCLAVES,
            setup=(*setup, CallSpec("init", ("A",)), CallSpec("vepc-open", ("V",))),
            fail=tuple((what, 1) for what in FAILURES),
        )
        calls = [c for c in MENU if c.verb != "poison" or int(c.args[0]) < used + room]
        self.run = LiveRun(self.target, scenario, calls, SLOTS)
        self.seen = Seen(self.run.checks)

    # -- rules that make things -----------------------------------------------------------

    @rule(t=slots, added=st.integers(0, 2), init=st.booleans())
    def build_enclave(self, t: int, added: int, init: bool) -> None:
        """A loader builds enclave B, undisturbed as far as it gets without the others."""
        for call in loading("B", added) + [CallSpec("init", ("B",))] * init:
            if self.may_begin(t):
                self.live.give(t, call)
                self.live.call(t)

    @rule(t=slots, name=names, page=pages, verb=st.sampled_from(ONE_PAGE))
    def access(self, t: int, name: str, page: int, verb: str) -> None:
        """A thread of the enclave needs a page."""
        self.give(t, verb, name, str(page))

    @rule(t=slots, name=names, page=pages, which=st.integers(0, 4))
    def manage(self, t: int, name: str, page: int, which: int) -> None:
        """An ioctl about a page."""
        verb, args = typed(name, str(page))[which]
        self.give(t, verb, *args)

    @rule(t=slots, verb=st.sampled_from(("reclaim", "direct", "shrink")))
    def reclaim(self, t: int, verb: str) -> None:
        self.give(t, verb)

    @rule(t=slots, call=st.sampled_from(GUESTS))
    def guest(self, t: int, call: CallSpec) -> None:
        """A guest uses its virtual EPC, or its monitor takes it away."""
        self.give(t, call.verb, *call.args)

    @rule(t=slots, call=st.sampled_from(DISTURBING))
    def disturb(self, t: int, call: CallSpec) -> None:
        """A memory error, a signal, the beginning or the end of an enclave."""
        self.give(t, call.verb, *call.args)

    def give(self, t: int, verb: str, *args: str) -> None:
        """A call for an idle slot, if there is such a call here."""
        call = CallSpec(verb, args)
        if str(call) in self.live.calls and self.may_begin(t):
            self.live.give(t, call)

    def may_begin(self, t: int) -> bool:
        return not self.over and self.live.system.done(t)

    # -- rules that step ------------------------------------------------------------------

    @rule(t=st.integers(0, SLOTS), fail=seldom)
    def step(self, t: int, fail: bool) -> None:
        """One operation of a slot, or of ksgxd."""
        if self.may_step(t):
            self.live.step(t, fail)

    @rule(t=st.integers(0, SLOTS), fail=seldom)
    def section(self, t: int, fail: bool) -> None:
        """One operation, or one locked section."""
        if self.may_step(t):
            self.live.section(t, fail)

    @rule(t=st.integers(0, SLOTS), count=st.integers(1, 60), fail=seldom)
    def steps(self, t: int, count: int, fail: bool) -> None:
        """Some way into a call."""
        for _ in range(count):
            if self.may_step(t):
                self.live.step(t, fail)

    @rule(t=st.integers(0, SLOTS), fail=seldom)
    def call(self, t: int, fail: bool) -> None:
        """To the end of a call."""
        if self.may_step(t):
            self.live.call(t, fail)

    @rule(really=seldom)
    def finish(self, really: bool) -> None:
        """The end of the run: everybody comes to rest, everything is closed."""
        if really and not self.over:
            self.over = True
            self.live.finish()

    def may_step(self, t: int) -> bool:
        return not self.over and t in self.live.others and self.live.can_step(t)

    @property
    def live(self) -> LiveRun:
        assert self.run is not None
        return self.run

    def teardown(self) -> None:
        """An example is over: note what it violated, whichever rule that was."""
        if self.run is not None:
            self.seen.tell()
            self.run.note(self.sightings)
