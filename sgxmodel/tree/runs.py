# SPDX-License-Identifier: GPL-2.0-only
"""One scenario on one engine: single runs, and what they find, as plain data."""

from __future__ import annotations

import re

import attrs

from sgxmodel.errors import TreeError
from sgxmodel.invariants.base import SystemCall, Violation
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree import fields
from sgxmodel.tree.api import (
    AFTER_CALLS,
    AT_REST,
    REPLAY,
    RESULT_NONE,
    WALK,
    Pair,
    RawFinding,
    RawResult,
    RawSchedule,
    Stats,
)
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.cell import Denied
from sgxmodel.tree.names import Names
from sgxmodel.tree.plan import SEEN, Plan, result_text

Key = tuple[str, str]
FORGED = "what it left there is no finding that the engine has; no result of it counts"
SYSTEM_CALL = re.compile(r"makes system call (-?\d+)")
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

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self.engine = engine
        self.plan = plan
        self.early = self.boot()
        """What is violated by the end of the set-up: no schedule can be run then."""

    def boot(self) -> list[Found]:
        """Boot and set up, again if need be."""
        if self.engine.denied is not None:
            return [Found(self._denied(self.engine.denied), Schedule(), False, 0, 0)]
        if not self.engine.boot(self.plan.config, self.plan.calls):
            self.stats.runs = self.stats.steps = 0
            return []
        return self.found(False)

    @property
    def names(self) -> Names:
        return self.engine.names

    @property
    def raw(self) -> RawSchedule:
        return self.engine.schedule

    @property
    def result(self) -> RawResult:
        return self.engine.result

    @property
    def stats(self) -> Stats:
        return self.engine.stats

    def _denied(self, denied: Denied) -> Violation:
        """A system call while the driver was loaded."""
        place = self.names.place(denied.offset)
        return SystemCall(
            place.function,
            f"the driver calls {self._system_call(denied.call)} when it is loaded",
            f"at {place.file}:{place.lineno}; the call was refused, and nothing else was run",
        )

    def _must_be_ready(self) -> None:
        """There is no state to begin a run from after a violation in the set-up."""
        if self.early:
            raise TreeError(f"violated by the end of the set-up: {self.early[0].violation.title}")

    def replay(self, schedule: Schedule, memory: bool = False) -> list[Found]:
        """Run one schedule."""
        if self.early:
            return self.boot()
        self._load(schedule, memory)
        self.engine.run()
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
        at = self.engine.search(runs)
        return (at or runs), (self.found(bool(raw.memory)) if at else [])

    def order(self, order: tuple[int, ...], eager: bool) -> bool:
        """Whole calls one after the other.  Whether all of them returned."""
        self._must_be_ready()
        raw = self.raw
        raw.mode, raw.memory, raw.races, raw.eager = 4, 0, 0, int(eager)
        raw.nswitch = raw.nchoice = 0
        raw.norder = len(order)
        raw.order[: len(order)] = order
        self.engine.run()
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
        id = raw.id.decode("ascii", "replace")
        if id not in INVARIANTS:
            return SystemCall("engine", "the driver writes into the results of the check", FORGED)
        if raw.a:
            return self._race(raw)
        function = raw.func.decode("ascii", "replace") or self._function(raw)
        title = self.plan_names(raw.title.decode("ascii", "replace"))
        message = self.plan_names(raw.message.decode("ascii", "replace"))
        where = self.names.place(raw.line or 0)
        if raw.id == b"6-references" and where.lineno:
            message += f"{'; ' * bool(message)}at {where.file}:{where.lineno}"
        return INVARIANTS[raw.id.decode()](function, title, message)

    def _function(self, raw: RawFinding) -> str:
        """Where the driver was; outside of it, which call of user space or which task it is."""
        known = self.names.place(raw.pc or 0).function
        if known != "?":
            return known
        if 0 <= raw.call < len(self.plan.texts):
            return user_function(self.plan.texts[raw.call])
        tasks = self.plan.tasks
        task = tasks[raw.task] if 0 <= raw.task < len(tasks) else "setup"
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
        return fields.enumerator(self.engine.library.path, prefix, value)

    def plan_names(self, text: str) -> str:
        """The engine numbers tasks and results; a scenario names them."""
        for i in range(self.plan.config.tasks - 1, -1, -1):
            text = text.replace(f"task{i}", self.plan.tasks[i])
        text = SYSTEM_CALL.sub(lambda match: f"calls {self._system_call(int(match[1]))}", text)
        if "<" in text:
            text = fields.named(text, self.engine.library.path)
        return RESULT.sub(lambda match: f"with {result_text(int(match[1]))}", text)

    def _system_call(self, number: int) -> str:
        if number < 0:
            return f"system call {-1 - number} of another ABI (int $0x80 or x32)"
        return f"{self.engine.system_calls.get(number, number)}()"

    def trace(self, schedule: Schedule, memory: bool) -> str:
        """The events of one run."""
        if self.engine.denied is not None:
            return ""  # nothing was run
        if self.early:
            return self.engine.traced(self.boot)
        self._load(schedule, memory)
        return self.engine.traced(self.engine.run)

    def observed(self, schedule: Schedule) -> str:
        """The events of one run, and the state after each call."""
        self._must_be_ready()
        self._load(schedule, False)
        return self.engine.traced(self.engine.run, AFTER_CALLS)

    def walked(self, seed: int, probability: int) -> str:
        """The events of one random walk, and the state when all calls have returned."""
        self._must_be_ready()
        raw = self.raw
        raw.mode, raw.seed, raw.probability = WALK, seed, probability
        raw.memory = raw.races = raw.eager = raw.nswitch = raw.nchoice = raw.norder = 0
        return self.engine.traced(self.engine.run, AT_REST)

    def counted(self) -> dict[tuple[str, str], int]:
        """How often each call gave each result."""
        out: dict[tuple[str, str], int] = {}
        if self.engine.denied is not None:
            return out
        self.engine.tables()
        for call in range(self.plan.config.setup, len(self.plan.calls)):
            verb = self.plan.texts[call].split()[0]
            for value, count in self.engine.counted(call).items():
                at = (verb, result_text(value))
                out[at] = out.get(at, 0) + count
        return out

    def seen(self) -> dict[str, int]:
        """How often each path was walked that the engine can tell."""
        self.engine.tables()
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
