# SPDX-License-Identifier: GPL-2.0-only
"""Whether a survivor can be told apart from the clean target at all.

Two looks: runs of every scenario without preemption, whose results and lists are
compared call by call; and ``compare`` over the small scenarios, which covers
every interleaving of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

from sgxmodel.errors import ScenarioError
from sgxmodel.kernel.list import entries
from sgxmodel.machine.op import Fault
from sgxmodel.machine.system import Call, Silent, System
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario, result_name
from sgxmodel.search.compare import Bound, Compared, Side, compare_with, explored
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule

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


def looks(target: Revision, scenario: Scenario) -> list[list[Seen]] | str:
    """What is seen when each task in turn goes first and nobody is preempted."""
    try:
        world = build(target, scenario)
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
            self._looks[scenario] = looks(self.target, scenario)
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


def difference(clean: Clean, mutant: Revision, scenarios: Iterable[Scenario]) -> str:
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


def closed_apart(
    clean: Clean, mutant: Revision, scenarios: Iterable[Scenario], states: int
) -> tuple[int, str]:
    """(states, where they differ or what did not close) of ``compare`` over these scenarios."""
    total = 0
    for scenario in scenarios:
        side, other = clean.side(scenario, states), build(mutant, scenario)
        answer = compare_with(side, other, bound_of(states))
        if isinstance(answer, Compared):
            total += answer.states[1]
        elif isinstance(answer, str):
            return total, f"{scenario.name}: {answer}"
        else:
            return total, f"{scenario.name}: told apart by what can be seen in it"
    return total, ""
