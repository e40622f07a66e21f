# SPDX-License-Identifier: GPL-2.0-only
"""The explorer on systems small enough to check by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from properties.explore_sleepers import Sleepers
from properties.explore_toys import DATA, LOCKS, Open, Toy, toy
from sgxmodel.search.explore.discipline import LOCKED, RACY, Discipline
from sgxmodel.search.explore.explorer import Budget, Count, Explorer, Finding, Foreign, Result
from sgxmodel.search.explore.liveness import fair_cycle
from sgxmodel.search.explore.memo import Memo
from sgxmodel.search.explore.races import Races
from sgxmodel.search.explore.rows import Rows
from sgxmodel.search.explore.saved import Saved
from sgxmodel.search.explore.step import Step
from sgxmodel.search.explore.zero_one import smallest

A, B = 0, 1
X, Y, Z, W = range(LOCKS, LOCKS + DATA)

CROSSED = Toy(
    [
        [("lock", A), ("lock", B), ("unlock", B), ("unlock", A)],
        [("lock", B), ("lock", A), ("unlock", A), ("unlock", B)],
    ]
)
COUNTERS = Toy([[("increment", LOCKS + t % 4)] * 6 for t in range(3)])
LOST = Toy([[("load", X), ("store", X, 1)]] * 2, want=(X, 1))
SPIN = Toy([[("load", X), ("again", 0, 0)], [("increment", X)]])
GIVEN_UP = Toy([[("load", X), ("again", 0, 0)]] * 2)


def explore(machine: Toy, reduction: bool = False) -> Explorer:
    explorer = Explorer(machine, reduction=reduction)
    explorer.run()
    return explorer


@pytest.mark.parametrize("reduction", [False, True])
def test_crossed_locks_deadlock_after_two_operations(reduction: bool) -> None:
    (finding,) = explore(CROSSED, reduction).findings.values()
    assert finding.problem.kind == "deadlock"
    assert [move.task for move in finding.path] in ([0, 1], [1, 0])


def test_tasks_that_share_nothing_are_one_step_each() -> None:
    assert len(explore(COUNTERS).seen) == 7**3
    assert len(explore(COUNTERS, reduction=True).seen) == 2**3


def test_a_lost_update_needs_one_preemption_and_four_steps() -> None:
    result, preemptions = smallest(LOST, "final")
    assert (preemptions, len(result.findings[0].path)) == (1, 4)


def test_a_deadlock_needs_one_preemption() -> None:
    result, preemptions = smallest(CROSSED)
    assert (preemptions, len(result.findings[0].path)) == (1, 2)


@pytest.mark.parametrize("seed", range(40))
def test_the_smallest_counterexample_is_no_shorter_than_a_shortest_path(seed: int) -> None:
    shortest = Explorer(toy(seed), reduction=False).run().findings
    result, preemptions = smallest(toy(seed))
    assert bool(result.findings) == bool(shortest)
    if shortest:
        assert len(result.findings[0].path) >= len(shortest[0].path)
        assert preemptions <= preemptions_of(toy(seed), shortest[0])


def preemptions_of(machine: Toy, finding: Finding) -> int:
    """Counted on the path itself, step by step; toys do not yield."""
    graph = explore(machine).graph
    state, count, current = graph.start, 0, -1
    for move in finding.path:
        if current >= 0 and move.task != current:
            count += bool(graph.step(current, state).outcomes)
        current = move.task
        wanted = graph.step(current, state).outcomes[move.choice]
        state = next((end for end, o in graph.ends(current, state) if o is wanted), state)
    return count


def test_a_fair_loop_is_shown_as_stem_and_loop() -> None:
    lasso = fair_cycle(explore(GIVEN_UP))
    assert lasso is not None
    assert lasso.stem == ()
    assert {move.task for move in lasso.loop} == {0, 1}


def test_a_loop_that_another_task_ends_is_not_fair() -> None:
    assert fair_cycle(explore(SPIN)) is None


def test_a_plain_load_and_a_store_race() -> None:
    machine = Open([[("load", X)], [("increment", Y), ("store", X, 1)]])
    race = Races(explore(machine), machine).find()
    assert race is not None
    assert [move.task for move in race.path] == [1, 0, 1]


def test_a_lock_keeps_them_apart_and_marked_accesses_do_not_race() -> None:
    section = [("lock", A), ("load", X), ("store", X, 1), ("unlock", A)]
    for programs in ([section, section], [[("increment", X)]] * 2):
        machine = Open(programs)
        assert Races(explore(machine), machine).find() is None


@pytest.mark.parametrize("reduction", [False, True])
def test_a_slot_that_a_lock_protects_may_be_of_a_racy_kind(reduction: bool) -> None:
    section = [("lock", A), ("store", X, 1), ("unlock", A), ("increment", Y)]
    machine = Open([section, section])
    machine.kinds = ["a", "b", *("data" for _ in machine.kinds[LOCKS:])]
    explorer = explore(machine, reduction)
    assert not reduction or explorer.discipline.of(X) is RACY
    assert Races(explorer, machine).find() is None


def test_an_interrupt_gives_what_there_is() -> None:
    def interrupt(count: Count) -> None:
        if count.depth == 5:
            raise KeyboardInterrupt

    result = Explorer(COUNTERS, reduction=False, progress=interrupt).run()
    assert (result.closed, result.why) == (False, "an interrupt")
    assert result.states > 5


def said(result: Result) -> tuple[Any, ...]:
    return (result.closed, result.states, result.transitions, result.depth, result.findings)


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_a_search_cut_anywhere_and_taken_up_says_what_a_whole_one_does(
    seed: int, reduction: bool
) -> None:
    whole = Explorer(toy(seed), reduction=reduction).run()
    saved: Saved | None = None
    for limit in range(1, whole.states + 1, max(1, whole.states // 7)):
        explorer = Explorer(
            toy(seed), reduction=reduction, budget=Budget(states=limit), saved=saved
        )
        explorer.run()
        saved = Saved.unpack(explorer.save().pack())
    assert said(Explorer(toy(seed), reduction=reduction, saved=saved).run()) == said(whole)


class Interrupted(Toy):
    calls = 0

    def apply(self, *args: Any) -> Any:
        self.calls += 1
        if self.calls == 12:
            raise KeyboardInterrupt
        return super().apply(*args)


def test_a_cut_in_the_middle_of_a_level_loses_only_that_level() -> None:
    whole = Explorer(COUNTERS, reduction=False).run()
    explorer = Explorer(Interrupted(COUNTERS.programs), reduction=False)
    assert explorer.run().why == "an interrupt"
    saved = Saved.unpack(explorer.save().pack())
    assert 0 < len(saved.levels) < whole.depth
    assert said(Explorer(COUNTERS, reduction=False, saved=saved).run()) == said(whole)


def test_a_search_is_not_taken_up_by_another_machine() -> None:
    explorer = Explorer(COUNTERS, reduction=False, budget=Budget(states=100))
    explorer.run()
    with pytest.raises(Foreign):
        Explorer(LOST, reduction=False, saved=explorer.save()).run()


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(states=10), "the limit of 10 states"),
        (Budget(deadline=0.0), "the deadline"),
        (Budget(memory_mb=1), "the limit of 1 MB"),
    ],
)
def test_a_budget_ends_the_search_and_says_so(budget: Budget, why: str) -> None:
    result = Explorer(COUNTERS, reduction=False, budget=budget).run()
    assert (result.closed, result.why) == (False, why)


def test_what_is_read_in_two_orders_is_remembered_right() -> None:
    rows = Rows(0, 3, (), frozenset(), lambda row: None)
    memo = Memo[str]()
    states = [rows.fields.state([], rows.pack(row)) for row in product((0, 1), repeat=3)]
    for i, state in enumerate(states):
        memo.put(rows, state, [0, 1, 2] if i % 3 else [2, 0, 1], str(i))
    for i, state in enumerate(states):
        assert memo.get(rows, state) in (None, str(i))
    assert memo.get(rows, states[-1]) == "7"


def test_a_reader_that_keeps_the_writers_out_makes_one_step() -> None:
    """X is written under A and read without it elsewhere: under A a read is no step of its own."""
    reads = [("lock", A), ("load", X), ("increment", Y), ("unlock", A)]
    writes = [("lock", A), ("increment", X), ("unlock", A)]
    glance = [("load", X)]
    explorer = explore(Toy([reads, writes, glance]), reduction=True)
    assert explorer.discipline.of(X) is RACY
    assert {len(o.choices) for o in first_step(explorer, 0).outcomes} == {4}
    first = [("lock", A), ("load", X), ("load", X), ("unlock", A)]
    alone = explore(Toy([first, [("increment", X)], glance]), reduction=True)
    assert {len(o.choices) for o in first_step(alone, 0).outcomes} == {2}


def test_a_write_that_a_reader_did_not_keep_out_ends_the_belief() -> None:
    discipline = Discipline(["of pages", "of pages"])
    discipline.lower(0, RACY)
    discipline.fallen = False
    reader, writer = frozenset({A}), frozenset({B})
    assert discipline.access(1, False, reader) == LOCKED
    assert not discipline.fallen
    assert discipline.access(1, True, reader | writer) == RACY
    assert not discipline.fallen
    discipline.access(1, True, writer)
    assert discipline.fallen
    assert discipline.access(1, False, reader) == RACY


def test_the_middle_of_a_step_that_was_believed_longer_is_no_defect() -> None:
    """A belief falls in the very level in which a predicate sees the middle of a step."""
    machine = Sleepers(
        [
            [("increment", W), ("set", X, 1), ("leave",)],
            [("begin", 3), ("increment", Z)],
            [("increment", Z)],
        ]
    )
    machine.bad, machine.guard = ((Z, 1), (W, 1)), A
    machine.kinds = [*machine.kinds[:LOCKS], *["data"] * DATA, *machine.kinds[LOCKS + DATA :]]
    (finding,) = explore(machine, reduction=True).findings.values()
    assert finding.problem.kind == "invariant"


def test_what_a_reader_relied_on_is_kept_with_a_search_that_was_cut() -> None:
    """A step that is not met again says nothing once more: what it relied on is written down."""
    explorer = Explorer(GIVEN_UP, budget=Budget(states=1))
    explorer.discipline.lower(X, RACY)
    explorer.discipline.access(X, False, frozenset({A}))
    explorer.run()
    taken_up = Discipline(GIVEN_UP.kinds)
    taken_up.knows(Saved.unpack(explorer.save().pack()).mark.learnt)
    taken_up.access(X, True, frozenset({A, B}))
    assert not taken_up.fallen
    taken_up.access(X, True, frozenset({B}))
    assert taken_up.fallen


def first_step(explorer: Explorer, t: int) -> Step:
    return explorer.graph.step(t, explorer.start)
