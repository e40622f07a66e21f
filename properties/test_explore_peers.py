# SPDX-License-Identifier: GPL-2.0-only
"""The peers' model: the exact counts of every other tool, and the seeded bugs."""

from __future__ import annotations

import os

import pytest

from properties.peers import MEDIUM, SMALL, Peers
from sgxmodel.search.explore.explorer import Budget, Explorer, Result
from sgxmodel.search.explore.machine import Problem
from sgxmodel.search.explore.step import Single
from sgxmodel.search.explore.window import Recording

SEEDED = {1: ("I5", 15), 2: ("I7", 25), 3: ("I5", 17), 4: ("I4", 5), 5: ("I5", 27)}
"""Bug -> the invariant that it breaks, and the length of a shortest trace (small)."""


def search(bug: int, reduction: bool) -> Result:
    return Explorer(Peers(SMALL, bug), reduction=reduction).run()


def test_small_has_exactly_the_states_and_transitions_of_the_other_tools() -> None:
    result = search(0, reduction=False)
    assert (result.closed, result.states, result.transitions) == (True, 9_950, 20_608)
    assert result.findings == ()


@pytest.mark.skipif("SGXMODEL_LARGE" not in os.environ, reason="seconds: set SGXMODEL_LARGE")
def test_medium_has_exactly_the_states_and_transitions_of_the_other_tools() -> None:
    result = Explorer(Peers(MEDIUM), reduction=False).run()
    assert (result.closed, result.states, result.transitions) == (True, 1_087_723, 3_218_826)


def test_with_reduction_small_closes_with_fewer_states() -> None:
    result = search(0, reduction=True)
    assert result.closed
    assert result.states < 6_000


@pytest.mark.parametrize("bug", SEEDED)
def test_each_seeded_bug_is_found_with_a_shortest_trace(bug: int) -> None:
    kind, length = SEEDED[bug]
    (finding,) = search(bug, reduction=False).findings
    assert (finding.problem.kind, len(finding.path)) == (kind, length)


@pytest.mark.parametrize("bug", SEEDED)
def test_reduction_finds_the_same_bugs(bug: int) -> None:
    (finding,) = search(bug, reduction=True).findings
    assert finding.problem.kind == SEEDED[bug][0]


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("bug", SEEDED)
def test_a_path_replays_operation_by_operation(bug: int, reduction: bool) -> None:
    (finding,) = search(bug, reduction).findings
    machine = Peers(SMALL, bug)
    steps = Single(machine)
    first, local_states = machine.first()
    row, problems = tuple(first), list[Problem]()
    for move in finding.path:
        assert not problems
        outcome = steps.step(move.task, local_states[move.task], row).outcomes[move.choice]
        window = Recording(row, 0)
        window.rewind(dict(outcome.delta))
        row, local_states[move.task] = tuple(window.work), outcome.local
        problems = [*machine.check(row), *([outcome.problem] if outcome.problem else [])]
    assert finding.problem in problems


def test_a_limit_ends_the_search_with_what_there_is() -> None:
    result = Explorer(Peers(SMALL), reduction=False, budget=Budget(states=1_000)).run()
    assert not result.closed
    assert result.why == "the limit of 1000 states"
    assert 1_000 <= result.states < 9_950
