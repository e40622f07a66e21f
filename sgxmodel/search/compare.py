# SPDX-License-Identifier: GPL-2.0-only
"""Whether two revisions can be told apart, within a bound that is said.

For each scenario every interleaving of either side is explored, and what can be
seen (``observe``) along the runs of one is what can be seen along the runs of
the other: equality of traces, steps that change nothing visible left out.  Both
sides are made deterministic on the way (the subset construction), a pair of sets
of states at a time, breadth first, so that a difference comes after as few
visible events as any.  Not compared: who could run for ever without being seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import attrs

from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario, TaskLine
from sgxmodel.search.explore.explorer import INTERRUPT, Budget, Explorer, Move, Result
from sgxmodel.search.observe import Eye, Observed, Told
from sgxmodel.search.record import narrated
from sgxmodel.trace.events import Trace

Event = tuple[tuple[str, str], ...]
"""What changed at one step: (part, how it looks now) of each part that did."""


@attrs.frozen
class Bound:
    """How far to go: states of one side of one scenario, MB, a ``time.monotonic()`` value."""

    states: int = 300_000
    memory_mb: float | None = 4_000
    deadline: float | None = None

    def budget(self) -> Budget:
        return Budget(self.deadline, self.memory_mb, self.states)


@attrs.frozen
class Compared:
    """One scenario in which no difference is: states of either side, visible events."""

    scenario: Scenario
    states: tuple[int, int]
    events: int


@attrs.frozen
class Equivalent:
    """No scenario tells the two apart."""

    scenarios: tuple[Compared, ...]


@attrs.frozen
class Different:
    """A shortest part of a scenario that tells them apart.

    ``before``: the events that both show first.  Then ``only`` shows ``event``,
    while the other one can go on with one of ``instead``.  ``runs``: a run of each side up to
    there, by the side's name; of the other one only if it goes on at all.
    """

    scenario: Scenario
    before: tuple[Event, ...]
    only: str
    event: Event
    instead: tuple[Event, ...]
    runs: tuple[tuple[str, Trace], ...]


@attrs.frozen
class Inconclusive:
    """The bound was reached; ``scenarios``: those in which no difference is."""

    why: str
    scenarios: tuple[Compared, ...]
    interrupted: bool = False


Answer = Equivalent | Different | Inconclusive
Progress = Callable[[int, int, Scenario], None]
"""Called with (scenarios done, how many there are, the next one)."""


def compare(
    a: Revision,
    b: Revision,
    scenarios: Iterable[Scenario],
    bound: Bound | None = None,
    progress: Progress | None = None,
) -> Answer:
    """Tell two revisions apart, or say that these scenarios cannot.

    A scenario that one side cannot set up tells nothing and raises
    :class:`~sgxmodel.errors.ScenarioError`.
    """
    limits = bound or Bound()
    wanted = tuple(scenarios)
    done: list[Compared] = []
    for i, scenario in enumerate(wanted):
        if progress is not None:
            progress(i, len(wanted), scenario)
        try:
            answer = compare_scenario(a, b, scenario, limits)
            if isinstance(answer, _Apart):
                return _shortest(a, b, scenario, answer, limits)
        except KeyboardInterrupt:
            return Inconclusive(f"interrupted in {scenario.name}", tuple(done), interrupted=True)
        if isinstance(answer, str):
            return Inconclusive(f"{scenario.name}: {answer}", tuple(done))
        done.append(answer)
    return Equivalent(tuple(done))


def compare_scenario(
    a: Revision, b: Revision, scenario: Scenario, bound: Bound
) -> Compared | _Apart | str:
    """One scenario as it stands; a string says which limit was reached."""
    one, two = build(a, scenario), build(b, scenario)
    return compare_with(_explored(one, _unreclaimable(one, two), bound), two, bound)


def explored(a: Revision, scenario: Scenario, bound: Bound) -> Side:
    """One side, to be compared with many of the same lists (:func:`compare_with`)."""
    world = build(a, scenario)
    return _explored(world, _unreclaimable(world), bound)


def compare_with(one: Side, two: World, bound: Bound) -> Compared | _Apart | str:
    """The same as :func:`compare_scenario`, of a side that is known."""
    why = one.unfinished()
    if why:
        return why
    return compare_sides(one, _observed(two, one.looks, eye_beside(one, two), bound), bound)


def compare_sides(one: Side, two: Side, bound: Bound) -> Compared | _Apart | str:
    """The same, of two that are known; they have the same ``looks``."""
    return one.unfinished() or two.unfinished() or _Pair(one, two, bound).search()


def eye_beside(one: Side, two: World) -> Eye:
    """What sees of another world what is compared with this side."""
    return Eye(two, unreclaimable=one.eye.unreclaimable)


def _observed(world: World, looks: _Looks, eye: Eye, bound: Bound) -> Side:
    machine = Observed(world)
    explorer = Explorer(machine, reduction=False, budget=bound.budget())
    result = explorer.run()
    if result.why == INTERRUPT:
        raise KeyboardInterrupt
    return Side(world, looks, eye, machine, explorer, result)


def _unreclaimable(*worlds: World) -> bool:
    """Whether all of them have a list of pages that are not to be reclaimed."""
    return all(w.revision.lists.unreclaimable is not None for w in worlds)


def _explored(world: World, unreclaimable: bool, bound: Bound) -> Side:
    eye = Eye(world, unreclaimable=unreclaimable)
    names = [name for name, _ in eye.parts]
    for spec in world.tasks:
        names += [spec.name, f"the kernel warns in {spec.name}"]
    return _observed(world, _Looks([*names, "at rest"]), eye, bound)


def _shortest(
    a: Revision, b: Revision, scenario: Scenario, apart: _Apart, bound: Bound
) -> Different:
    """The first part with fewest calls that still tells the two apart; else the whole."""
    for smaller in parts(scenario):
        answer = compare_scenario(a, b, smaller, bound)
        if isinstance(answer, _Apart):
            return answer.different()
    return apart.different()


def parts(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario with calls of its tasks left out, fewest calls first."""
    places = [(t, i) for t, task in enumerate(scenario.tasks) for i in range(len(task.calls))]
    for count in range(1, len(places)):
        for kept in combinations(places, count):
            tasks = []
            for t, task in enumerate(scenario.tasks):
                calls = tuple(call for i, call in enumerate(task.calls) if (t, i) in kept)
                if calls:
                    tasks.append(TaskLine(task.name, calls, task.node))
            yield attrs.evolve(scenario, tasks=tuple(tasks), promises=())


# -- two sides ------------------------------------------------------------------------------


class _Looks:
    """Ids for what states look like, and for what was seen last; shared by both sides."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.ids: dict[tuple[object, ...], int] = {}
        self.looks: list[tuple[object, ...]] = []
        self.merged: dict[tuple[int, int], int] = {}

    def id(self, look: tuple[object, ...]) -> int:
        known = self.ids.get(look)
        if known is None:
            known = self.ids[look] = len(self.looks)
            self.looks.append(look)
        return known

    def after(self, last: int, look: int) -> int:
        """What is seen last once a state that looks so was reached; hidden parts stay."""
        known = self.merged.get((last, look))
        if known is None:
            both = zip(self.looks[last], self.looks[look], strict=True)
            known = self.id(tuple(old if new is None else new for old, new in both))
            self.merged[last, look] = known
        return known

    def event(self, before: int, after: int) -> Event:
        """What changed."""
        old, new = self.looks[before], self.looks[after]
        return tuple(
            (name, _shown(now))
            for name, was, now in zip(self.names, old, new, strict=True)
            if was != now
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "empty"
    return str(value)


Entries = frozenset[int]
"""States that are reached with the last visible event."""


class Side:
    """One revision's states, and how they look."""

    def __init__(
        self,
        world: World,
        looks: _Looks,
        eye: Eye,
        machine: Told,
        explorer: Explorer,
        result: Result,
    ) -> None:
        self.world, self.looks, self.eye = world, looks, eye
        self.machine, self.explorer, self.result = machine, explorer, result
        self.graph = explorer.graph
        self.rows: dict[int, tuple[object, ...]] = {}
        self.after: dict[int, list[int]] = {}
        self.known: dict[int, int] = {}
        self.told: list[dict[int, tuple[str, str]]] = [{} for _ in self.graph.tasks]

    def unfinished(self) -> str:
        """Which limit was reached; empty: none."""
        return "" if self.result.closed else f"{self.result.why} of {self.world.revision.name}"

    def following(self, state: int) -> list[int]:
        after = self.after.get(state)
        if after is None:
            after = self.after[state] = [
                state + difference
                for t in self.explorer.tasks
                for difference in self.graph.following(t, state)
            ]
        return after

    def look(self, state: int) -> int:
        """How a state looks."""
        known = self.known.get(state)
        if known is None:
            graph = self.graph
            shared = state & graph.fields.shared
            row = self.rows.get(shared)
            if row is None:
                row = self.rows[shared] = self.eye.look(graph.row(state))
            said = [word for t in graph.tasks for word in self._told(t, state)]
            known = self.known[state] = self.looks.id((*row, *said, self._rest(state)))
        return known

    def _told(self, t: int, state: int) -> tuple[str, str]:
        """A task's last result, and what was complained about."""
        number = self.graph.fields.local(t, state)
        told = self.told[t].get(number)
        if told is None:
            (call, result), complaints = self.machine.said(self.graph.local(t, state))
            words = f"call {call} returns {result}" if call else ""
            told = self.told[t][number] = (words, " ".join(sorted(complaints)))
        return told

    def _rest(self, state: int) -> object:
        """Whether nobody can run, and who is not done then."""
        if self.following(state):
            return None
        names = self.machine.names
        stuck = [
            names[t]
            for t in self.graph.tasks
            if not self.machine.finished_for_good(t, self.graph.local(t, state))
        ]
        return f"stuck: {', '.join(stuck)}" if stuck else "all done"

    def step(self, last: int, entries: Entries) -> dict[int, Entries]:
        """What can be seen next: look -> the states that it is reached with."""
        inside = set(entries)
        todo = list(entries)
        groups: dict[int, set[int]] = {}
        merge = self.looks.after
        while todo:
            for state in self.following(todo.pop()):
                now = merge(last, self.look(state))
                if now != last:
                    groups.setdefault(now, set()).add(state)
                elif state not in inside:
                    inside.add(state)
                    todo.append(state)
        return {now: frozenset(states) for now, states in groups.items()}

    def run(self, looks: list[int]) -> list[Move]:
        """A shortest run that shows these looks one after the other."""
        start = (self.explorer.start, 0)
        came: dict[tuple[int, int], list[Move]] = {start: []}
        level = [start]
        while level:
            following = []
            for state, at in level:
                for move, after in self._moves(state):
                    now = self.looks.after(looks[at], self.look(after))
                    place = at if now == looks[at] else at + 1
                    if place > at and now != looks[at + 1]:
                        continue
                    node = (after, place)
                    if node in came:
                        continue
                    came[node] = [*came[state, at], move]
                    if place == len(looks) - 1:
                        return came[node]
                    following.append(node)
            level = following
        raise RuntimeError("a trace without a run: a defect of sgxmodel")

    def _moves(self, state: int) -> Iterator[tuple[Move, int]]:
        for t in self.explorer.tasks:
            for after, outcome in self.graph.ends(t, state):
                yield Move(t, outcome.choices[0]), after


Node = tuple[int, Entries, Entries]
"""What was seen last, and where either side may be then."""


class _Pair:
    """The product of both sides, each made deterministic."""

    def __init__(self, one: Side, two: Side, bound: Bound) -> None:
        self.bound = bound
        self.looks = one.looks
        self.blank = self.looks.id(tuple(None for _ in self.looks.names))
        """Nothing seen yet."""
        self.sides = [one, two]

    def search(self) -> Compared | _Apart | str:
        """Breadth first over visible events."""
        one, two = self.sides
        first = [side.look(side.explorer.start) for side in self.sides]
        if first[0] != first[1]:
            return _Apart(self, [self.blank], first[0], [first[1]], 0)
        start = (first[0], frozenset((one.explorer.start,)), frozenset((two.explorer.start,)))
        came: dict[Node, Node | None] = {start: None}
        level = [start]
        while level:
            following: list[Node] = []
            for node in level:
                last, here, there = node
                ours, theirs = one.step(last, here), two.step(last, there)
                for look in ours.keys() | theirs.keys():
                    if look not in ours or look not in theirs:
                        only = 0 if look in ours else 1
                        instead = list((theirs, ours)[only])
                        return _Apart(self, self._way(came, node), look, instead, only)
                for look in ours:
                    after = (look, ours[look], theirs[look])
                    if after not in came:
                        came[after] = node
                        following.append(after)
                why = self._over()
                if why:
                    return why
            level = following
        states = (one.result.states, two.result.states)
        return Compared(one.world.scenario, states, len(came))

    def _over(self) -> str:
        deadline = self.bound.deadline
        return "the deadline" if deadline is not None and time.monotonic() >= deadline else ""

    @staticmethod
    def _way(came: dict[Node, Node | None], node: Node) -> list[int]:
        way: list[int] = []
        at: Node | None = node
        while at is not None:
            way.insert(0, at[0])
            at = came[at]
        return way


@attrs.frozen
class _Apart:
    """Two sides part after ``way``: one of them can show ``look``, the other one cannot."""

    pair: _Pair
    way: list[int]
    look: int
    instead: list[int]
    only: int

    def different(self) -> Different:
        """In words, with runs that show it."""
        looks, sides = self.pair.looks, self.pair.sides
        events = [looks.event(x, y) for x, y in zip(self.way, self.way[1:], strict=False)]
        ends: list[int | None] = [None, None]
        ends[self.only] = self.look
        ends[1 - self.only] = min(self.instead, default=None)
        runs = []
        for side, end in zip(sides, ends, strict=True):
            if end is not None and self.way[0] != self.pair.blank:
                runs.append((side.world.revision.name, self._narrated(side, end)))
        return Different(
            sides[0].world.scenario,
            tuple(events),
            sides[self.only].world.revision.name,
            looks.event(self.way[-1], self.look),
            tuple(looks.event(self.way[-1], look) for look in sorted(self.instead)),
            tuple(runs),
        )

    def _narrated(self, side: Side, end: int) -> Trace:
        return narrated(side.world, tuple(side.run([*self.way, end])))
