# SPDX-License-Identifier: GPL-2.0-only
"""Examples made small: still the same violation, still a run, and less to read."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgxmodel.errors import UserError
from sgxmodel.revisions import revision
from sgxmodel.scenario import text
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.check import check_scenario
from sgxmodel.search.record import Answer, replay
from sgxmodel.search.reduce import Reducer, recorded, reduced, smaller
from sgxmodel.search.schedule import Schedule
from sgxmodel.search.sighting import Sighting, Sightings, sighting
from sgxmodel.testing.strategies import scenarios

F1 = ("14-progress", "__sgx_reclaim_pages")
F3 = ("18-data-race", "sgx_drop_epc_page")
NAMED = st.sampled_from(list(SCENARIOS.values()))


def seen(name: str) -> Sightings:
    """What a short search of a scenario with list_v2 sees."""
    found = check_scenario(revision("list_v2"), SCENARIOS[name], schedules=4, shrink=False)
    out = Sightings()
    for finding in found.findings:
        out.finding(finding)
    return out


def test_the_head_that_stops_all_reclaim_is_one_task_and_six_steps() -> None:
    """The set-up of the named scenario has no such page: a task's call goes there."""
    trace = reduced("list_v2", seen("eaug-eaug-reclaim").best[F1])
    assert trace is not None
    assert (trace.key, trace.length, trace.preemptions) == (F1, 6, 0)
    assert [n for n in trace.scenario_text.splitlines() if n.startswith("task")] == [
        "task R: reclaim"
    ]


@pytest.mark.parametrize("name", ["eaug-eaug-reclaim", "poison-close"])
def test_what_is_small_still_shows_it(name: str) -> None:
    for key, large in seen(name).best.items():
        trace = reduced("list_v2", large)
        assert trace is not None
        assert trace.key == key
        assert trace.preemptions <= large.preemptions
        assert trace.scenario_text.count("task ") <= large.tasks
        assert replay(trace).answer is Answer.REPRODUCED


def test_what_is_small_is_small_again() -> None:
    large = seen("poison-close").best[F3]
    reducer = Reducer(revision("list_v2"), F3)
    assert large.schedule is not None
    first = reducer.minimised(text.parse(large.program), large.schedule)
    assert first is not None
    small = reducer.smallest(first)
    assert small.size < first.size
    assert reducer.smallest(small) == small


def test_as_it_is_it_is_no_smaller() -> None:
    large = seen("poison-close").best[F3]
    trace = recorded("list_v2", large)
    assert trace is not None
    assert (trace.length, trace.preemptions) == (large.steps, large.preemptions)
    assert trace.scenario_text == large.program


def test_without_a_schedule_there_is_nothing_to_run() -> None:
    large = attrs.evolve(seen("poison-close").best[F3], schedule=None)
    assert reduced("list_v2", large) is recorded("list_v2", large) is None


@given(NAMED | scenarios())
def test_a_part_says_less_or_is_refused(scenario: Scenario) -> None:
    for part in smaller(scenario):
        assert part != scenario
        assert part.name.endswith("-part")
        assert not part.about
        assert not part.promises
        with suppress(UserError):
            assert text.parse(text.format(part)) == part


@given(st.permutations([(2, 9, 0), (1, 9, 1), (1, 8, 1), (1, 9, 0)]))
def test_the_smallest_is_kept_whoever_comes_first(sizes: list[tuple[int, int, int]]) -> None:
    """By tasks, then by preemptions, then by steps."""
    kept = Sightings()
    for tasks, steps, preemptions in sizes:
        kept.add(Sighting(F1, "t", "", tasks, steps, preemptions, Schedule()))
    assert (kept.best[F1].steps, kept.best[F1].preemptions) == (9, 0)
    kept.add(attrs.evolve(kept.best[F1], tasks=0, schedule=None))
    assert kept.best[F1].tasks == 1


def test_a_sighting_crosses_processes() -> None:
    for one in seen("poison-close").best.values():
        assert sighting(one.plain()) == one
