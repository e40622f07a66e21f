# SPDX-License-Identifier: GPL-2.0-only
"""One scenario on one engine: single runs, and what they find, as plain data."""

from __future__ import annotations

import ctypes
import re

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree import fields
from sgxmodel.tree.binding import (
    AFTER_CALLS,
    AT_REST,
    REPLAY,
    RESULT_NONE,
    WALK,
    Engine,
    Pair,
    RawFinding,
    RawResult,
    RawSchedule,
    Stats,
    TreeError,
)
from sgxmodel.tree.names import Names
from sgxmodel.tree.plan import SEEN, Plan, result_text

Key = tuple[str, str]
RESULT = re.compile(r"\bwith (-\d+|100[123]|\d{5,})(?!\d)")


def user_function(call: str) -> str:
    """What stands for user space, as in the model: ``user_touch``."""
    return f"user_{call.partition(' ')[0].replace('-', '_')}"


@attrs.frozen
class Found:
    """A run that violates something: all that is needed to repeat it."""

    violation: Violation
    schedule: Schedule
    memory: bool
    """Whether tasks can be preempted at every memory access."""
    preemptions: int
    steps: int

    @property
    def size(self) -> tuple[int, int, int, int]:
        """What minimisation makes smaller."""
        switches = len(self.schedule.switches) + len(self.schedule.choices)
        return (self.preemptions, switches, int(self.memory), self.steps)


class Runner:
    """An engine that has booted a scenario."""

    def __init__(self, engine: Engine, plan: Plan, names: Names) -> None:
        self.engine = engine
        self.plan = plan
        self.names = names
        self.raw = RawSchedule()
        self.result = RawResult()
        self.stats = Stats()
        self.early = self.boot()
        """What is violated by the end of the set-up: no schedule can be run then."""

    def boot(self) -> list[Found]:
        """Boot and set up, again if need be."""
        self.result.nswitch = self.result.nchoice = 0
        self.engine.boot(self.plan.config, self.plan.calls, self.result)
        return self.found(False)

    def _must_be_ready(self) -> None:
        """There is no state to begin a run from after a violation in the set-up."""
        if self.early:
            raise TreeError(f"violated by the end of the set-up: {self.early[0].violation.title}")

    def replay(self, schedule: Schedule, memory: bool = False) -> list[Found]:
        """Run one schedule."""
        if self.early:
            return self.boot()
        self._load(schedule, memory)
        self.engine.run(self.raw, self.result)
        return self.found(memory)

    def search(self, mode: int, runs: int, seed: int, **how: int) -> tuple[int, list[Found]]:
        """Up to ``runs`` runs, until one finds something: how many there were, and what."""
        self._must_be_ready()
        raw = self.raw
        raw.mode, raw.seed = mode, seed & (1 << 64) - 1
        raw.races = how.get("races", 0)
        raw.memory, raw.length = how.get("memory", 0), how.get("length", 200)
        raw.depth, raw.probability = how.get("depth", 0), how.get("probability", 0)
        raw.nswitch = raw.nchoice = raw.norder = 0
        at = self.engine.search(raw, runs, self.result, self.stats)
        return (at or runs), (self.found(bool(raw.memory)) if at else [])

    def order(self, order: tuple[int, ...], eager: bool) -> bool:
        """Whole calls one after the other.  Whether all of them returned."""
        self._must_be_ready()
        raw = self.raw
        raw.mode, raw.memory, raw.races, raw.eager = 4, 0, 0, int(eager)
        raw.nswitch = raw.nchoice = 0
        raw.norder = len(order)
        raw.order[: len(order)] = order
        self.engine.run(raw, self.result)
        first = self.plan.config.setup
        return RESULT_NONE not in self.result.result[first : len(self.plan.calls)]

    def found(self, memory: bool) -> list[Found]:
        """What the latest run violates."""
        result = self.result
        schedule = Schedule(
            tuple((p.step, p.what) for p in result.switches[: result.nswitch]),
            tuple((p.step, p.what) for p in result.choices[: result.nchoice]),
        )
        return [
            Found(self.violation(raw), schedule, memory, result.preemptions, raw.step)
            for raw in result.found[: result.nfound]
        ]

    def violation(self, raw: RawFinding) -> Violation:
        """A finding of the engine, named."""
        if raw.a:
            return self._race(raw)
        function = raw.func.decode() or self._function(raw)
        title = self.plan_names(raw.title.decode("ascii", "replace"))
        message = self.plan_names(raw.message.decode("ascii", "replace"))
        where = self.names.place(raw.line or 0)
        if raw.id == b"6-references" and where.lineno:
            message += f"{'; ' * bool(message)}at {where.file}:{where.lineno}"
        return INVARIANTS[raw.id.decode()](function, title, message)

    def _function(self, raw: RawFinding) -> str:
        """Where the driver was; outside of it, which call of user space or which task it is."""
        if raw.pc:
            return self.names.place(raw.pc).function
        if 0 <= raw.call < len(self.plan.texts):
            return user_function(self.plan.texts[raw.call])
        task = self.plan.tasks[raw.task]
        return "the set-up" if task == "setup" else task

    def _race(self, raw: RawFinding) -> Violation:
        """Named by both places."""
        self.names.learn((raw.pc, raw.a, raw.b))
        places = [self.names.place(pc) for pc in (raw.a, raw.b)]
        title = self.plan_names(raw.title.decode("ascii", "replace"))
        title += f" in {places[0].function} / {places[1].function}"
        message = self.plan_names(raw.message.decode("ascii", "replace"))
        for mark, place in zip(("$A", "$B"), places, strict=True):
            message = message.replace(mark, f"{place.function}() ({place.file}:{place.lineno})")
        return INVARIANTS[raw.id.decode()](self.names.place(raw.pc).function, title, message)

    def enumerator(self, prefix: str, value: int) -> str:
        """What the driver calls a number: ``SGX_ENCL_CREATED``."""
        return fields.enumerator(self.names.library, prefix, value)

    def plan_names(self, text: str) -> str:
        """The engine numbers tasks and results; a scenario names them."""
        for i in range(self.plan.config.tasks - 1, -1, -1):
            text = text.replace(f"task{i}", self.plan.tasks[i])
        if "<" in text:
            text = fields.named(text, self.names.library)
        return RESULT.sub(lambda match: f"with {result_text(int(match[1]))}", text)

    def trace(self, schedule: Schedule, memory: bool) -> str:
        """The events of one run."""
        if self.early:
            return self.engine.traced_boot(self.boot)
        self._load(schedule, memory)
        return self.engine.traced(self.raw, self.result)

    def observed(self, schedule: Schedule) -> str:
        """The events of one run, and the state after each call."""
        self._must_be_ready()
        self._load(schedule, False)
        return self.engine.traced(self.raw, self.result, AFTER_CALLS)

    def walked(self, seed: int, probability: int) -> str:
        """The events of one random walk, and the state when all calls have returned."""
        self._must_be_ready()
        raw = self.raw
        raw.mode, raw.seed, raw.probability = WALK, seed, probability
        raw.memory = raw.races = raw.eager = raw.nswitch = raw.nchoice = raw.norder = 0
        return self.engine.traced(raw, self.result, AT_REST)

    def counted(self) -> dict[tuple[str, str], int]:
        """How often each call gave each result."""
        out: dict[tuple[str, str], int] = {}
        value, count = ctypes.c_int(), ctypes.c_uint64()
        for call in range(self.plan.config.setup, len(self.plan.calls)):
            verb = self.plan.texts[call].split()[0]
            for i in range(8):
                if not self.engine.dll.eng_counted(
                    call, i, ctypes.byref(value), ctypes.byref(count)
                ):
                    break
                at = (verb, result_text(value.value))
                out[at] = out.get(at, 0) + count.value
        return out

    def seen(self) -> dict[str, int]:
        """How often each path was walked that the engine can tell."""
        return {name: self.engine.seen(number) for number, name in SEEN.items()}

    def _load(self, schedule: Schedule, memory: bool) -> None:
        raw = self.raw
        raw.mode, raw.memory, raw.races = REPLAY, int(memory), 1
        raw.norder = 0
        raw.nswitch, raw.nchoice = len(schedule.switches), len(schedule.choices)
        for i, pair in enumerate(schedule.switches):
            raw.switches[i] = Pair(*pair)
        for i, pair in enumerate(schedule.choices):
            raw.choices[i] = Pair(*pair)
