# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts and their evidence, issued here and nowhere else (DESIGN: one choke point)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.schedule import Schedule
from sgxmodel.trace.events import Trace


class Verdict(enum.Enum):
    """What a check says; the value is the command's exit status."""

    HOLDS = ("HOLDS", 0)
    PASSED = ("PASSED", 0)
    VIOLATED = ("VIOLATED", 1)
    ERROR = ("ERROR", 2)
    INCONCLUSIVE = ("INCONCLUSIVE", 3)

    @property
    def status(self) -> int:
        return self.value[1]

    def __str__(self) -> str:
        return self.value[0]


WORST_FIRST = (
    Verdict.VIOLATED,
    Verdict.ERROR,
    Verdict.INCONCLUSIVE,
    Verdict.PASSED,
    Verdict.HOLDS,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of several scenarios together."""
    given = set(verdicts)
    return next((v for v in WORST_FIRST if v in given), Verdict.INCONCLUSIVE)


@attrs.frozen
class Finding:
    """A violation, replayed, with the smallest schedule that was found for it."""

    violation: Violation
    scenario: Scenario
    schedule: Schedule
    steps: int
    """Operations up to the violation."""
    preemptions: int


@attrs.frozen
class Evidence:
    """What was run.  ``closed``: the whole state space was covered."""

    runs: int = 0
    planned: int = 0
    states: int = 0
    transitions: int = 0
    closed: bool = False


@attrs.frozen
class ScenarioResult:
    """One scenario's verdict.  Counters are by companion, (call, result), (leaf, code)."""

    scenario: Scenario
    verdict: Verdict
    findings: tuple[Finding, ...]
    evidence: Evidence
    sometimes: Mapping[str, int]
    results: Mapping[tuple[str, str], int]
    leaves: Mapping[tuple[str, int], int]
    missing: tuple[str, ...] = ()
    message: str = ""
    known: tuple[tuple[str, str], ...] = ()
    """Kinds, (invariant, function), that were seen and do not count."""
    raced: Mapping[tuple[str, str], int] = attrs.field(factory=dict)
    """Pairs of calls that overlapped, in alphabetical order."""
    unlike: tuple[str, ...] = ()
    """Violations of a known kind that the known ones do not look like."""
    unreached: tuple[tuple[str, str], ...] = ()
    """In a closed space: companions that it never reaches, and what they would need."""
    unfinished: bytes = attrs.field(default=b"", repr=False)
    """From which an exhaustive search that was cut short can go on; see ``resume``."""


@attrs.frozen
class TargetResult:
    """All scenarios of one target."""

    target: str
    scenarios: tuple[ScenarioResult, ...]
    message: str = ""

    @property
    def verdict(self) -> Verdict:
        return worst(s.verdict for s in self.scenarios)


def issue(
    findings: Iterable[Finding], evidence: Evidence, missing: Iterable[str]
) -> tuple[Verdict, str]:
    """The one place that says what a search of one scenario amounts to."""
    if list(findings):
        return Verdict.VIOLATED, ""
    if not evidence.closed and evidence.runs < evidence.planned:
        return (
            Verdict.INCONCLUSIVE,
            f"the budget ended after {evidence.runs} of {evidence.planned} schedules",
        )
    absent = list(missing)
    if absent:
        never = "out of reach in this scenario" if evidence.closed else "never seen"
        return Verdict.INCONCLUSIVE, f"promised but {never}: " + "; ".join(absent)
    return (Verdict.HOLDS if evidence.closed else Verdict.PASSED), ""


@attrs.frozen
class Checked:
    """One scenario's result as data that crosses processes: ``traces`` for its findings."""

    result: ScenarioResult
    traces: tuple[Trace, ...] = ()


def unsearched(scenario: Scenario, planned: int) -> Checked:
    """A scenario whose turn came when the budget was over."""
    evidence = Evidence(planned=planned)
    verdict, message = issue((), evidence, ())
    return Checked(ScenarioResult(scenario, verdict, (), evidence, {}, {}, {}, message=message))


def failed(scenario: Scenario, message: str) -> Checked:
    """A scenario that could not be checked."""
    return Checked(
        ScenarioResult(scenario, Verdict.ERROR, (), Evidence(), {}, {}, {}, message=message)
    )
