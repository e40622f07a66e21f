# SPDX-License-Identifier: GPL-2.0-only
"""What a search saw: the smallest run of each kind of violation, as plain data."""

from __future__ import annotations

from typing import Any

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.scenario import text
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.run import Outcome
from sgxmodel.search.schedule import Schedule
from sgxmodel.search.verdict import Finding

Key = tuple[str, str]


@attrs.frozen
class Sighting:
    """A run that shows a violation.  ``program``: its scenario as text.

    Without a ``schedule`` it cannot be run again by itself, only by the search that saw it.
    """

    key: Key
    title: str
    program: str
    tasks: int
    steps: int
    """Operations up to the violation."""
    preemptions: int
    schedule: Schedule | None

    @property
    def size(self) -> tuple[bool, int, int, int, int]:
        """The smaller, the better: what can be run again comes first."""
        return (
            self.schedule is None,
            self.tasks,
            self.preemptions,
            self.steps,
            len(self.program),
        )

    def plain(self) -> dict[str, Any]:
        """Strings, numbers, tuples and dictionaries, for another process."""
        return attrs.asdict(self)


def sighting(plain: dict[str, Any]) -> Sighting:
    """What :meth:`Sighting.plain` gave; tuples may have become lists."""
    given = plain["schedule"]
    schedule = given and Schedule(_pairs(given["switches"]), _pairs(given["choices"]))
    return Sighting(**{**plain, "key": tuple(plain["key"]), "schedule": schedule})


def _pairs(values: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(a), int(b)) for a, b in values)


@attrs.define
class Sightings:
    """The smallest sighting of each kind."""

    best: dict[Key, Sighting] = attrs.field(factory=dict)

    def add(self, new: Sighting) -> None:
        old = self.best.get(new.key)
        if old is None or new.size < old.size:
            self.best[new.key] = new

    def outcome(self, scenario: Scenario, outcome: Outcome) -> None:
        """All violations of a run."""
        for violation, steps in outcome.found.values():
            self._note(violation, scenario, steps, outcome.preemptions, outcome.schedule)

    def finding(self, finding: Finding) -> None:
        """What a search of one scenario found."""
        self._note(
            finding.violation,
            finding.scenario,
            finding.steps,
            finding.preemptions,
            finding.schedule,
        )

    def without_schedule(self, violation: Violation, scenario: Scenario, steps: int) -> None:
        """What was seen, and does not happen again by a schedule of the scenario alone."""
        self._note(violation, scenario, steps, 0, None)

    def _note(
        self,
        violation: Violation,
        scenario: Scenario,
        steps: int,
        preemptions: int,
        schedule: Schedule | None,
    ) -> None:
        tasks = len(scenario.tasks)
        program = text.format(scenario)
        self.add(
            Sighting(violation.key, violation.title, program, tasks, steps, preemptions, schedule)
        )
