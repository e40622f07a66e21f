# SPDX-License-Identifier: GPL-2.0-only
"""Who sleeps looks at what it waits for: the smallest systems in which that was forgotten.

Most are shrunk from random ones; the name says what was lost.
"""

from __future__ import annotations

import pytest

from properties.explore_compared import Both
from properties.explore_sleepers import (
    ASLEEP,
    DEAD,
    GRACE,
    INSIDE,
    READERS,
    STATE,
    WRITER,
    Sleepers,
)
from properties.explore_toys import LOCKS, Instruction
from sgxmodel.search.explore.discipline import LOCKED, RACY
from sgxmodel.search.explore.explorer import Budget, Explorer
from sgxmodel.search.explore.saved import Saved

A, B = 0, 1
X, Y, Z, V = range(LOCKS, LOCKS + 4)
Program = list[Instruction]

SLEEPS_THEN_LOOKS: Program = [("await", X, 1), ("assert", Y, 0)]
"""Woken in the middle of a step it would find Y as it was."""
FREED_IN_BETWEEN: Program = [("lock", A), ("set", A, DEAD), ("set", A, 0)]


def system(*programs: Program, daemons: tuple[int, ...] = (), **more: object) -> Sleepers:
    made = Sleepers(programs, daemons=frozenset(daemons))
    for name, value in more.items():
        setattr(made, name, value)
    return made


CASES: dict[str, Sleepers] = {
    "an owned slot": system(SLEEPS_THEN_LOOKS, [("increment", X), ("increment", Y)]),
    "a locked slot: its value is there only within the section": system(
        [("await", X, 1), ("assert", Y, 0)],
        [("lock", A), ("set", X, 1), ("set", X, 0), ("unlock", A)],
        daemons=(0,),
    ),
    "a slot of one task: its value is there only within a step": system(
        [("await", X, 1), ("assert", Y, 0)], [("set", X, 1), ("set", X, 0)], daemons=(0,)
    ),
    "the second half of a condition": system(
        [("both", X, 1, Y, 0), ("assert", Z, 0)], [("set", X, 1), ("set", Y, 1)], daemons=(0,)
    ),
    "either of two conditions": system(
        [("either", X, 1, V, 1), ("assert", Z, 0)], [("set", V, 1), ("set", V, 0)], daemons=(0,)
    ),
    "the condition that a lock is taken under": system(
        [("lock_when", A, X, 1), ("unlock", A)], [("set", X, 1), ("set", X, 0)]
    ),
    "a condition waited for with a lock held": system(
        [("lock", A), ("await", X, 1), ("assert", Y, 0), ("unlock", A)],
        [("increment", X), ("increment", Y)],
    ),
    "an invariant between waking and sleeping": system(
        [("lock", A), ("set", Z, 2), ("await", X, 1), ("unlock", A)],
        [("set", Y, 1), ("set", X, 1), ("increment", Y)],
        bad=((Z, 2), (Y, 1)),
        guard=A,
    ),
    "a completion": system([("wait",), ("store", Y, 1)], [("up",), ("increment", Y)]),
    "a semaphore": system([("down",), ("assert", Y, 0)], [("up",), ("increment", Y)]),
    "a work queue": system(
        [("next",), ("assert", Y, 0)], [("push", 1), ("increment", Y)], daemons=(0,)
    ),
    "which of two items": system(
        [("any",), ("assert", Y, 0)], [("push", 1), ("push", 2), ("increment", Y)], daemons=(0,)
    ),
    "the end of a grace period": system(
        [("synchronized",), ("assert", Y, 0)],
        [("leave",), ("increment", Y)],
        start={INSIDE: (1,), GRACE: ((0, (1,)),)},
    ),
    "a callback": system(
        [("callback",), ("assert", Y, 0)], [("begin", 3), ("increment", Y)], daemons=(0,)
    ),
    "a reader behind a writer": system(
        [("down_read",), ("assert", Y, 0)], [("up_write",), ("increment", Y)], start={WRITER: 2}
    ),
    "a writer behind a reader": system(
        [("down_write",), ("assert", Y, 0)], [("up_read",), ("increment", Y)], start={READERS: 1}
    ),
    "the last user": system([("last_user",), ("assert", Y, 0)], [("put_user",), ("increment", Y)]),
    "a sleeper that is woken": system(
        [("schedule",), ("assert", Y, 0)],
        [("wake",), ("increment", Y)],
        start={STATE: 1, ASLEEP: (0,)},
    ),
    "a lock freed and made anew while it is held": system(
        [("lock", A), ("unlock", A)], FREED_IN_BETWEEN
    ),
    "a lock freed and made anew while others hold it": system(
        [("lock", A)], [("set", A, DEAD), ("set", A, 2)], daemons=(0, 1), start={A: 2}
    ),
    "a failing daemon is not at rest": system(
        [("increment", X), ("up",), ("assert", X, 1)], [("wait",)], daemons=(0,)
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_sleeper_is_woken_in_the_middle(case: str) -> None:
    both = Both(CASES[case])
    assert not both.lost()
    # What is looked for in a space without findings.
    if not both.kinds:
        assert len(set(both.races())) == len(set(both.cycles())) == 1


def test_a_race_with_who_was_just_woken_is_found() -> None:
    both = Both(system([("await", X, 1), ("store", Y, 1)], [("increment", X), ("load", Y)]))
    assert both.races() == [True, True]


def test_who_waits_for_a_lock_counts_as_if_it_had_it() -> None:
    """Between its two steps, that of A and that of B, each holder of A is waited for."""
    nested: Program = [("lock", A), ("lock", B), ("increment", X), ("unlock", B), ("unlock", A)]
    explorer = Explorer(system(nested, nested, nested), reduction=True)
    explorer.run()
    assert explorer.discipline.of(A) is LOCKED
    one_at_a_time = 3 * 2**2
    assert len(explorer.seen) == 2**3 + one_at_a_time


def test_a_lock_that_is_freed_while_it_is_held_is_not_its_own_guard() -> None:
    explorer = Explorer(system([("lock", A), ("unlock", A)], FREED_IN_BETWEEN), reduction=True)
    explorer.run()
    assert explorer.discipline.of(A) is RACY


@pytest.mark.parametrize("case", CASES)
def test_what_sleepers_look_at_is_still_known_when_a_search_is_taken_up(case: str) -> None:
    machine = CASES[case]
    whole = Explorer(machine, reduction=True).run()
    for limit in range(1, whole.states + 1):
        explorer = Explorer(machine, reduction=True, budget=Budget(states=limit))
        explorer.run()
        saved = Saved.unpack(explorer.save().pack())
        again = Explorer(machine, reduction=True, saved=saved).run()
        assert (again.states, again.transitions, again.findings) == (
            whole.states,
            whole.transitions,
            whole.findings,
        )
