# SPDX-License-Identifier: GPL-2.0-only
"""Whether a survivor can be told apart from the clean target at all.

Two looks: runs of every scenario without preemption, whose results and lists are
compared call by call; and ``compare`` over the small scenarios, which covers
every interleaving of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, partial
from typing import Any

from sgxmodel.errors import ScenarioError
from sgxmodel.kernel.list import entries
from sgxmodel.machine.op import Fault
from sgxmodel.machine.system import Call, Silent, System
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario, result_name
from sgxmodel.search.compare import (
    Bound,
    Compared,
    Side,
    compare_sides,
    compare_with,
    explored,
    eye_beside,
)
from sgxmodel.search.every_state import Heard
from sgxmodel.search.exhaustive import ended
from sgxmodel.search.explore.explorer import Explorer
from sgxmodel.search.explore.program import ProgramMachine
from sgxmodel.search.observe import Said
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.sequential import sequential_outcomes

Seen = tuple[str, str, tuple[Any, ...]]
"""(task and call, result, the page lists) at a call's return."""


class _Looking(Silent):
    """Notes what can be seen at each return; judges nothing."""

    def __init__(self, world: World) -> None:
        lists = world.revision.lists
        space = world.layout.namespace
        self.heads = [
            head
            for path in (lists.reclaimable, lists.unreclaimable)
            if (head := lists.find(space, path)) is not None
        ]
        for node in world.nodes:
            self.heads += [node.free_page_list, node.sgx_poison_page_list]
        self.seen: list[Seen] = []

    def watch(self, system: System) -> None:
        self.system = system

    def fault(self, t: int, site: Any, fault: Fault) -> None:
        self.seen.append((self.system.tasks[t].name, fault.kind, ()))

    def returned(self, t: int, call: Call, value: Any) -> None:
        lists = tuple(
            tuple(getattr(e, "name", "?") for e in entries(self.system.state, head))
            for head in self.heads
        )
        name = self.system.tasks[t].name
        self.seen.append((f"'{call.text}' of {name}", result_name(value), lists))


class _Watched:
    """The least that a runner asks of checkers."""

    def __init__(self, world: World) -> None:
        self.looking = _Looking(world)
        self.dirty = 0
        self.new: list[Any] = []
        self.found: dict[Any, Any] = {}
        self.first_at: dict[Any, int] = {}
        self.races = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.looking, name)

    def begin(self, system: System) -> None:
        self.looking.seen.clear()
        self.looking.watch(system)

    def violate(self, violation: Any) -> None:
        self.looking.seen.append(("violation", str(violation.key), ()))

    def deadlock(self, blocked: Sequence[int]) -> None:
        self.looking.seen.append(("deadlock", str(blocked), ()))

    def end(self) -> None:
        pass

    def join_all(self, t: int) -> None:
        pass


WorldOf = Callable[[Scenario], World]
"""Builds a world, or gives the one that was built.  May raise ``ScenarioError`` or ``Fault``."""


def looks(world_of: WorldOf, scenario: Scenario) -> list[list[Seen]] | str:
    """What is seen when each task in turn goes first and nobody is preempted."""
    try:
        world = world_of(scenario)
    except (ScenarioError, Fault) as error:
        return str(error)
    watched = _Watched(world)
    runner = Runner(world, watched)  # type: ignore[arg-type]
    out = []
    for first in range(len(world.tasks)):
        runner.run(Replay(Schedule(((0, first),) if first else ())))
        out.append(list(watched.looking.seen))
    return out


class Clean:
    """A clean target as its mutants are compared with it: found out once in a process.

    A process that is forked from one that knows need not do it again.
    """

    def __init__(self, target: Revision) -> None:
        self.target = target
        self._looks: dict[Scenario, list[list[Seen]] | str] = {}
        self._sides: dict[tuple[Scenario, int], Side] = {}

    def looks(self, scenario: Scenario) -> list[list[Seen]] | str:
        """What :func:`looks` gives."""
        if scenario not in self._looks:
            self._looks[scenario] = looks(partial(build, self.target), scenario)
        return self._looks[scenario]

    def side(self, scenario: Scenario, states: int) -> Side:
        """All its states in a small scenario, and how they look."""
        key = (scenario, states)
        if key not in self._sides:
            self._sides[key] = explored(self.target, scenario, bound_of(states))
        return self._sides[key]

    def learn(self, scenarios: Iterable[Scenario], small: Collection[str], states: int) -> None:
        """Find out all that there is to know."""
        for scenario in scenarios:
            self.looks(scenario)
            if scenario.name in small:
                side = self.side(scenario, states)
                compare_with(side, build(self.target, scenario), bound_of(states))


@cache
def clean_of(target: str) -> Clean:
    """The one of this process."""
    return Clean(revision(target))


def learnt(target: str, scenarios: Iterable[Scenario], small: Collection[str], states: int) -> None:
    """Have this process know a clean target, and all processes that are forked from it."""
    clean_of(target).learn(scenarios, small, states)


def bound_of(states: int) -> Bound:
    """States only: memory and time must change no fate."""
    return Bound(states=states, memory_mb=None)


def difference(clean: Clean, mutant: WorldOf, scenarios: Iterable[Scenario]) -> str:
    """Where the two look different, in words; empty: nowhere."""
    for scenario in scenarios:
        one, two = clean.looks(scenario), looks(mutant, scenario)
        if one == two:
            continue
        if isinstance(one, str) or isinstance(two, str):
            return f"{scenario.name}: the set-up fails"
        for a, b in zip(one, two, strict=True):
            for x, y in zip(a, b, strict=False):
                if x[:2] != y[:2]:
                    return f"{scenario.name}: {y[0]} gives {y[1]}, unchanged {x[0]} gives {x[1]}"
                if x != y:
                    return f"{scenario.name}: after {y[0]} the page lists differ"
            if len(a) != len(b):
                return f"{scenario.name}: not the same calls return"
    return ""


class Judged(ProgramMachine):
    """A world with all its checkers, which can be compared, too, once they had no objection."""

    def __init__(self, world: World) -> None:
        watch = Heard(world, sequential_outcomes(world))
        super().__init__(world.image, world.tasks, world.first.copy(), watch)

    def said(self, local: Any) -> Said:
        _, last = local[3]
        return last, frozenset()  # a complaint is an objection

    def finished_for_good(self, t: int, local: Any) -> bool:
        return self.done(t, local)


class Space:
    """All states of a small scenario: asked by the invariants first, compared then."""

    def __init__(self, world: World, states: int) -> None:
        self.world, self.states = world, states
        self.machine = Judged(world)
        budget = bound_of(states).budget()
        self.explorer = Explorer(self.machine, reduction=False, budget=budget)
        self.result, self.said = ended(world, self.machine, self.explorer)

    def apart(self, clean: Clean) -> str:
        """Where it differs from a clean target, or what did not close; empty: nowhere."""
        scenario = self.world.scenario
        one = clean.side(scenario, self.states)
        eye = eye_beside(one, self.world)
        two = Side(self.world, one.looks, eye, self.machine, self.explorer, self.result)
        answer = compare_sides(one, two, bound_of(self.states))
        if isinstance(answer, Compared):
            return ""
        said = answer if isinstance(answer, str) else "told apart by what can be seen in it"
        return f"{scenario.name}: {said}"
