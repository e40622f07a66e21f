# SPDX-License-Identifier: GPL-2.0-only
"""Decide one mutant: cheap runs of the likely scenarios first, closed spaces last.

Everything is limited in schedules, steps and states, never in time, so that a
busy machine changes no fate.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from random import Random

import attrs

from sgxmodel.errors import LinkError, NotationError, ScenarioError
from sgxmodel.invariants.catalogue import FAULTS, INVARIANTS
from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.op import Fault
from sgxmodel.mutate.apart import Space, clean_of, difference
from sgxmodel.mutate.catalogue import Changes, with_changes
from sgxmodel.mutate.cover import CLOSED_STATES, is_small, setup_as_task
from sgxmodel.mutate.fate import PROMISE, Fate, Verdict
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.check import Search
from sgxmodel.search.run import STEP_LIMIT, Outcome, Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.sequential import sequential_outcomes

FIRST = 4
"""Schedules of each scenario before any closed space or the full number of any."""
MANY_CALLS = 7
"""A scenario with so many calls has too many orders for the first look."""


@attrs.frozen
class Limits:
    """``schedules`` of each scenario for a survivor; ``without``: invariants that do not count.

    ``thorough``: look at every scenario of the first stages, for the kill matrix.
    """

    schedules: int = 24
    seed: int = 0
    without: tuple[str, ...] = ()
    thorough: bool = False
    states: int = CLOSED_STATES


@attrs.frozen(eq=False)
class Job:
    """One mutant as data: what a worker needs to know.

    ``scenarios`` in the order in which they are tried, each with the promises
    that count; an empty ``changes`` is the clean target.
    """

    id: str
    target: str
    changes: Changes
    scenarios: tuple[tuple[Scenario, tuple[str, ...]], ...]
    limits: Limits
    small: tuple[str, ...] = ()
    """Small scenarios that come to where the change is."""
    missing: str = ""
    """What of the change they do not come to, in words: then it is not equivalent."""


class Killed(Exception):
    """The mutant was noticed."""

    def __init__(self, **evidence: object) -> None:
        super().__init__()
        self.evidence = evidence


def judge(job: Job) -> Verdict:
    """The fate of a mutant.  Never raises: a defect of the tool is a fate, too."""
    began = time.process_time()
    try:
        verdict = _judged(job)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.name}:{where.lineno})"
        verdict = Verdict(job.id, Fate.CRASH, why=why)
    return attrs.evolve(verdict, seconds=round(time.process_time() - began, 3))


def _judged(job: Job) -> Verdict:
    base = revision(job.target)
    if not job.changes:
        return _search(job, base)
    try:
        mutant = with_changes(base, job.id, job.changes)
    except (NotationError, LinkError) as error:
        return Verdict(job.id, Fate.STILLBORN, why=str(error).rpartition(": ")[2])
    return _search(job, mutant)


def _search(job: Job, mutant: Revision) -> Verdict:
    judge_ = _Judge(job, mutant)
    try:
        first = min(FIRST, job.limits.schedules)
        judge_.sample(first, [s for s in job.scenarios if _calls(s[0]) < MANY_CALLS])
        judge_.close()
        same = judge_.same()
        if same is None:
            judge_.sample(job.limits.schedules, job.scenarios)
    except Killed as killed:
        return Verdict(job.id, Fate.KILLED, schedules=judge_.runs, **killed.evidence)  # type: ignore[arg-type]
    return same or judge_.survived()


def _calls(scenario: Scenario) -> int:
    return sum(len(task.calls) for task in scenario.tasks)


class _Judge:
    def __init__(self, job: Job, mutant: Revision) -> None:
        self.job = job
        self.limits = job.limits
        self.mutant = mutant
        self.runs = 0
        self.states = 0
        self.closed: list[str] = []
        self.worlds: dict[str, World] = {}
        self.spaces: dict[str, Space] = {}
        self.searches: dict[str, Search] = {}
        self.first: Killed | None = None
        self.seen: list[str] = []
        self.why = ""

    def sample(self, schedules: int, scenarios: Iterable[tuple[Scenario, tuple[str, ...]]]) -> None:
        """Run up to this number of schedules of each scenario."""
        for scenario, promises in scenarios:
            self._scenario(scenario, promises, schedules, schedules == self.limits.schedules)
        if self.first:
            # Only a thorough look comes here: all that these runs show is known.
            raise Killed(**{**self.first.evidence, "killed_by": tuple(self.seen)})

    def _scenario(
        self, scenario: Scenario, promises: tuple[str, ...], runs: int, last: bool
    ) -> None:
        if scenario.name not in self.searches:
            search = self._begun(scenario)
            if search is None:
                return
            self.searches[scenario.name] = search
        search = self.searches[scenario.name]
        for i in range(search.runs, runs):
            outcome = search.runner.run(search.scheduler(i))
            self._ran(search, outcome)
            if self._noticed(search, scenario, outcome):
                return
        missing = [p for p in promises if not search.runner.checks.sometimes_seen.get(p)]
        if last and missing and PROMISE not in self.limits.without:
            title = "promised but never seen: " + "; ".join(missing)
            self._kill((PROMISE,), title=title, scenario=scenario.name)

    def _ran(self, search: Search, outcome: Outcome) -> None:
        self.runs += 1
        search.runs += 1
        search.steps += outcome.steps
        search.length = max(1, search.steps // search.runs)

    def _begun(self, scenario: Scenario) -> Search | None:
        try:
            world = self.world(scenario)
        except (ScenarioError, Fault) as error:
            self._broken_setup(scenario, error)
            return None
        checks = Checks(world, sequential_outcomes(world))
        return Search(Runner(world, checks), self.limits.seed, scenario.name)

    def world(self, scenario: Scenario) -> World:
        """The mutant in a scenario.  Raises ``ScenarioError`` or ``Fault``."""
        if scenario.name not in self.worlds:
            self.worlds[scenario.name] = build(self.mutant, scenario)
        return self.worlds[scenario.name]

    def _broken_setup(self, scenario: Scenario, error: Exception) -> None:
        """The set-up fails: run it as a task, so that the checkers say why."""
        world = build(self.mutant, setup_as_task(scenario))
        checks = Checks(world)
        outcome = Runner(world, checks).run(Replay(Schedule()))
        self.runs += 1
        found = [key for key in outcome.found if key[0] not in self.limits.without]
        if found:
            first = outcome.found[found[0]][0]
            self._kill(
                tuple(dict.fromkeys(key[0] for key in found)),
                function=first.function,
                title=f"in the set-up: {first.title}",
                scenario=scenario.name,
                setup=True,
            )
        elif isinstance(error, Fault) and error.kind in FAULTS:
            self._kill(
                (FAULTS[error.kind].id,), title=str(error), scenario=scenario.name, setup=True
            )
        else:
            by = "14-progress" if "does not end" in str(error) else "15-errno"
            if by not in self.limits.without:
                self._kill((by,), title=str(error), scenario=scenario.name, setup=True)

    def _noticed(self, search: Search, scenario: Scenario, outcome: Outcome) -> bool:
        keys = [key for key in outcome.found if key[0] not in self.limits.without]
        if keys:
            first = min(keys, key=lambda key: outcome.found[key][1])
            others = [key[0] for key in keys if key is not first]
            violation = outcome.found[first][0]
            self._kill(
                tuple(dict.fromkeys((first[0], *others))),
                function=violation.function,
                title=violation.title,
                scenario=scenario.name,
                switches=outcome.schedule.switches,
                choices=outcome.schedule.choices,
            )
            return True
        if search.runner.cut and "14-progress" not in self.limits.without:
            search.runner.cut = 0
            if endless(search.runner, outcome.schedule):
                self._kill(
                    ("14-progress",),
                    title=f"does not end in {STEP_LIMIT} steps, nor in as many fair ones",
                    scenario=scenario.name,
                    switches=outcome.schedule.switches,
                    choices=outcome.schedule.choices,
                )
                return True
        return False

    def _kill(self, killed_by: tuple[str, ...], **evidence: object) -> None:
        killed = Killed(killed_by=killed_by, **evidence)
        if not self.limits.thorough:
            raise killed
        self.first = self.first or killed
        self.seen += [i for i in killed_by if i not in self.seen]

    def close(self) -> None:
        """Cover every interleaving of the small scenarios; of the clean target, find them."""
        for scenario, _ in self.job.scenarios:
            small = scenario.name in self.job.small
            if not small and (self.job.changes or not is_small(scenario)):
                continue
            space = Space(self.world(scenario), self.limits.states)
            self.spaces[scenario.name], result = space, space.said
            self.states += result.evidence.states
            if result.evidence.closed:
                self.closed.append(scenario.name)
            findings = [f for f in result.findings if f.violation.id not in self.limits.without]
            if findings:
                finding = findings[0]
                raise Killed(
                    killed_by=tuple(dict.fromkeys(f.violation.id for f in findings)),
                    function=finding.violation.function,
                    title=finding.violation.title,
                    scenario=scenario.name,
                    switches=finding.schedule.switches,
                    choices=finding.schedule.choices,
                    states=self.states,
                )

    def same(self) -> Verdict | None:
        """EQUIVALENT, if nothing that can be seen tells it from the clean target.

        What no user sees yet may be wrong already: ``close`` has asked the invariants.
        ``difference`` looks at all scenarios without preemption, ``compare`` at all
        interleavings of small ones that come to the changed line and closed.
        """
        job = self.job
        small = [s for s, _ in job.scenarios if s.name in job.small]
        if not job.changes or self.limits.without or not small or job.missing:
            return None
        base = clean_of(job.target)
        apart = (self.spaces[s.name].apart(base) for s in small)
        self.why = next(filter(None, apart), "")
        self.why = self.why or difference(base, self.world, (s for s, _ in job.scenarios))
        if self.why:
            return None
        self.closed = [s.name for s in small]
        why = "no difference in any interleaving of " + ", ".join(self.closed)
        return self.alive(Fate.EQUIVALENT, why)

    def survived(self) -> Verdict:
        """Nobody noticed, with what is known of whether anybody could."""
        job = self.job
        if not job.scenarios:
            return self.alive(Fate.SURVIVED, "no scenario comes to this function")
        if job.changes and not self.limits.without and not self.why:
            base = clean_of(job.target)
            self.why = difference(base, self.world, (s for s, _ in job.scenarios))
            if not self.why and job.missing:
                self.why = f"no small scenario comes {job.missing}"
        return self.alive(Fate.SURVIVED, self.why)

    def alive(self, fate: Fate, why: str) -> Verdict:
        """A verdict of one that was not killed."""
        return Verdict(
            self.job.id,
            fate,
            schedules=self.runs,
            states=self.states,
            closed=tuple(self.closed),
            why=why,
        )


class Fair:
    """A schedule up to the step limit, and fair choices after it."""

    by_priority = False

    def __init__(self, schedule: Schedule) -> None:
        self.replay = Replay(schedule)
        self.rng = Random(0)

    def begin(self, tasks: int) -> None:
        self.replay.begin(tasks)
        self.next_at = min(self.replay.next_at, STEP_LIMIT)

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        if step >= STEP_LIMIT:
            self.next_at = step + 1 + self.rng.randrange(8)
            return self.rng.choice(enabled)
        wanted = self.replay.pick(enabled, current, default, step)
        self.next_at = min(self.replay.next_at, STEP_LIMIT)
        return wanted

    def choose(self, alternatives: int, step: int) -> int:
        return self.replay.choose(alternatives, step)


def endless(runner: Runner, schedule: Schedule) -> bool:
    """Whether a run that the step limit cut goes on for ever, fairly scheduled."""
    runner.cut = 0
    runner.run(Fair(schedule), limit=2 * STEP_LIMIT)
    cut, runner.cut = runner.cut, 0
    return bool(cut)


def names_of_killers() -> tuple[str, ...]:
    """All that can kill a mutant: the invariants, and promises."""
    return (*INVARIANTS, PROMISE)
