# SPDX-License-Identifier: GPL-2.0-only
"""Locks, reference counts, atomic operations, wait queues: each against a plain model."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.bench import Bench, bench_object, examples
from sgxmodel.kernel import ref
from sgxmodel.kernel.lock import (
    atomic_context,
    down_read,
    down_write,
    might_sleep,
    mutex_lock,
    mutex_unlock,
    spin_lock,
    spin_unlock,
    up_read,
    up_write,
)
from sgxmodel.kernel.memory import kfree, kzalloc
from sgxmodel.kernel.task import (
    TASK_INTERRUPTIBLE,
    TASK_RUNNING,
    cond_resched,
    current,
    fault_budget,
    finish_wait,
    may_fail,
    prepare_to_wait,
    schedule,
    send_signal,
    signal_pending,
    wake_up,
)
from sgxmodel.machine.layout import CURRENT
from sgxmodel.machine.op import Fault

tasks = st.integers(0, 2)
LOCKS = [(spin_lock, spin_unlock, "x_spin"), (mutex_lock, mutex_unlock, "x_mutex")]


@pytest.fixture
def bench() -> Bench:
    return Bench(3)


@pytest.fixture
def it(bench: Bench) -> Any:
    return bench.new(bench_object)


# -- locks --------------------------------------------------------------------------------


@pytest.mark.parametrize(("take", "release", "field"), LOCKS)
@given(steps=st.lists(st.tuples(tasks, st.booleans()), max_size=20))
@examples(60)
def test_a_lock_has_one_owner(take: Any, release: Any, field: str, steps: Any) -> None:
    bench, owner = Bench(3), None
    lock = getattr(bench.new(bench_object), field)
    for by, taking in steps:
        assert bench.enabled(take, lock, by=by) == (owner in (None, by))
        if not taking and owner != by:
            with bench.refused("bad-unlock"):
                bench.run(release, lock, by=by)
        elif not taking:
            bench.run(release, lock, by=by)
            owner = None
        elif owner is None:
            bench.run(take, lock, by=by)
            owner = by
        assert bench.S[lock.owner] is (None if owner is None else bench.tasks[owner])


@pytest.mark.parametrize(("take", "field"), [(spin_lock, "x_spin"), (mutex_lock, "x_mutex")])
def test_a_lock_taken_twice_is_told_at_once(bench: Bench, it: Any, take: Any, field: str) -> None:
    lock = getattr(it, field)
    bench.run(take, lock)
    with bench.refused("recursive-lock", "T0 takes"):
        bench.run(take, lock)


@given(st.permutations(["a", "b", "c"]), st.permutations(["a", "b", "c"]))
@examples(40)
def test_held_locks_are_in_the_order_of_acquisition(takes: list[str], gives: list[str]) -> None:
    bench = Bench()
    locks = {name: bench.new(bench_object).x_spin for name in "abc"}
    held = []
    for name in takes:
        bench.run(spin_lock, locks[name])
        held.append(locks[name])
        assert bench.S[bench.tasks[0].held] == tuple(held)
    for name in gives:
        bench.run(spin_unlock, locks[name])
        held.remove(locks[name])
        assert bench.S[bench.tasks[0].held] == tuple(held)


@pytest.mark.parametrize("take", [mutex_lock, down_read, down_write])
def test_what_sleeps_is_refused_under_a_spinlock(bench: Bench, it: Any, take: Any) -> None:
    lock = it.x_mutex if take is mutex_lock else it.x_rwsem
    bench.run(spin_lock, it.x_spin)
    bench.S[CURRENT] = bench.tasks[0]
    assert atomic_context(bench.S) is it.x_spin
    with bench.refused("sleep-in-atomic", "sleeping function called from invalid context"):
        bench.run(take, lock)
    with bench.refused("sleep-in-atomic", "kzalloc"):
        bench.run(might_sleep, "kzalloc")
    with bench.refused("sleep-in-atomic", "cond_resched"):
        bench.run(cond_resched)
    bench.run(take, lock, by=1)
    bench.run(spin_unlock, it.x_spin)
    bench.run(might_sleep, "kzalloc")
    bench.run(cond_resched)


def test_sleeping_under_a_mutex_is_fine(bench: Bench, it: Any) -> None:
    bench.run(mutex_lock, it.x_mutex)
    bench.run(might_sleep, "kzalloc")
    bench.run(down_read, it.x_rwsem)
    bench.run(spin_lock, it.x_spin)


VERBS = {"read": down_read, "write": down_write, "-read": up_read, "-write": up_write}


@given(st.lists(st.tuples(tasks, st.sampled_from(["read", *VERBS])), max_size=30))
@examples(150)
def test_many_readers_or_one_writer(steps: list[tuple[int, str]]) -> None:
    bench = Bench(3)
    holders: dict[int, str] = {}
    sem = bench.new(bench_object).x_rwsem
    for by, verb in steps:
        if verb[0] == "-" and holders.get(by) != verb[1:]:
            with bench.refused("bad-unlock"):
                bench.run(VERBS[verb], sem, by=by)
        elif verb[0] == "-":
            bench.run(VERBS[verb], sem, by=by)
            del holders[by]
        elif by not in holders:
            clear = not holders if verb == "write" else "write" not in holders.values()
            assert bench.enabled(VERBS[verb], sem, by=by) == clear
            if clear:
                bench.run(VERBS[verb], sem, by=by)
                holders[by] = verb
        held = [bench.S[task.held] for task in bench.tasks]
        assert held == [(sem,) * (t in holders) for t in range(3)]
        readers = {bench.tasks[t] for t, verb in holders.items() if verb == "read"}
        assert bench.S[sem.readers] == len(readers)


@pytest.mark.parametrize("prim", [spin_lock, spin_unlock, mutex_lock, mutex_unlock])
def test_a_lock_of_a_freed_object_is_no_deadlock(bench: Bench, prim: Any) -> None:
    gone = bench.run(kzalloc, bench.cache(bench_object, 1))
    bench.run(kfree, gone)
    with bench.refused("use-after-free"):
        bench.run(prim, gone.x_spin if "spin" in prim.name else gone.x_mutex)


# -- counters and bits --------------------------------------------------------------------


@given(st.lists(st.sampled_from(["get", "put", "unless_zero"]), max_size=30))
@examples(100)
def test_a_kref_counts_and_dies_once(verbs: list[str]) -> None:
    bench, count, released = Bench(), 1, 0
    it = bench.new(bench_object).x_ref
    bench.run(ref.kref_init, it)
    for verb in verbs:
        if verb == "unless_zero":
            assert bench.run(ref.kref_get_unless_zero, it) == (count > 0)
            count += count > 0
        elif count == 0:
            says = "addition on 0" if verb == "get" else "underflow"
            with bench.refused("refcount", f"refcount_t: {says}; use-after-free."):
                bench.run(ref.kref_get if verb == "get" else ref.kref_put, it)
        elif verb == "get":
            bench.run(ref.kref_get, it)
            count += 1
        else:
            count -= 1
            assert bench.run(ref.kref_put, it) == (count == 0)
            released += count == 0
        assert bench.S[it.refs] == count
    assert released == (count == 0)


def test_an_underflow_does_not_release_again(bench: Bench, it: Any) -> None:
    with pytest.raises(Fault) as caught:
        bench.run(ref.kref_put, it.x_ref)
    assert caught.value.result is False
    assert not caught.value.fatal


KREF_OPS = [ref.kref_init, ref.kref_get, ref.kref_get_unless_zero, ref.kref_put]


@pytest.mark.parametrize("prim", KREF_OPS, ids=str)
def test_a_kref_of_a_freed_object_is_noticed(bench: Bench, prim: Any) -> None:
    gone = bench.run(kzalloc, bench.cache(bench_object, 1))
    bench.run(kfree, gone)
    with bench.refused("use-after-free"):
        bench.run(prim, gone.x_ref)


@given(st.lists(st.sampled_from([1, -1]), max_size=20))
@examples(30)
def test_an_atomic_counter_is_a_number(steps: list[int]) -> None:
    bench = Bench()
    it = bench.new(bench_object).x_count
    for n, step in enumerate(steps):
        assert bench.run(ref.atomic_long_read, it) == sum(steps[:n])
        bench.run(ref.atomic_long_inc if step > 0 else ref.atomic_long_dec, it)


VERBS_OF_BITS = ["set", "clear", "test", "test_and_set", "test_and_clear"]
BITS = st.tuples(st.sampled_from(VERBS_OF_BITS), st.integers(0, 9))


@given(st.lists(BITS, max_size=30))
@examples(100)
def test_bits_are_those_of_an_int(steps: list[tuple[str, int]]) -> None:
    bench = Bench()
    bits: set[int] = set()
    field = bench.new(bench_object).x_bits
    for verb, nr in steps:
        result = bench.run(getattr(ref, f"{verb}_bit"), nr, field)
        assert result == (None if verb in ("set", "clear") else nr in bits)
        if verb.endswith("clear"):
            bits.discard(nr)
        elif verb != "test":
            bits.add(nr)
        assert bench.S[field] == sum(1 << b for b in bits)


def test_one_of_many_sets_the_bit(bench: Bench, it: Any) -> None:
    won = [not bench.run(ref.test_and_set_bit, 1, it.x_bits, by=by) for by in range(3)]
    assert won == [True, False, False]


# -- wait queues, signals, requested failures ---------------------------------------------


def sleeps_forever(order: tuple[str, ...], wake_at: tuple[int, int]) -> bool:
    """A waiter (in this order of steps) and a waker, whose two steps come at these moments."""
    bench = Bench()
    queue, satisfied, asleep = bench.new(bench_object).x_wait, False, False
    for moment in range(len(order) + 2):
        if moment == wake_at[0]:
            satisfied = True
        elif moment == wake_at[1]:
            bench.run(wake_up, queue, by=1)
        else:
            step = order[moment - sum(at < moment for at in wake_at)]
            if step == "prepare":
                bench.run(prepare_to_wait, queue)
            else:
                asleep = not satisfied
    return asleep and not bench.enabled(schedule)


STATES = (TASK_RUNNING, TASK_INTERRUPTIBLE)
MOMENTS = list(combinations(range(4), 2))


def test_no_wake_up_is_lost_after_prepare() -> None:
    assert not any(sleeps_forever(("prepare", "test"), at) for at in MOMENTS)


def test_the_other_order_loses_a_wake_up() -> None:
    assert any(sleeps_forever(("test", "prepare"), at) for at in MOMENTS)


@given(st.lists(st.tuples(tasks, st.sampled_from(["prepare", "finish", "wake"])), max_size=20))
@examples(80)
def test_who_sleeps_is_woken_by_wake_up_only(steps: list[tuple[int, str]]) -> None:
    bench = Bench(3)
    queue = bench.new(bench_object).x_wait
    waiting: set[int] = set()
    asleep: set[int] = set()
    for by, verb in steps:
        if verb == "wake":
            bench.run(wake_up, queue, by=by)
            asleep -= waiting
        elif verb == "prepare":
            bench.run(prepare_to_wait, queue, by=by)
            waiting |= {by}
            asleep |= {by}
        else:
            bench.run(finish_wait, queue, by=by)
            waiting -= {by}
            asleep -= {by}
        assert Counter(bench.S[queue.waiters]) == Counter(bench.tasks[t] for t in waiting)
        states = [bench.S[task.state] for task in bench.tasks]
        assert states == [STATES[t in asleep] for t in range(3)]
        assert [bench.enabled(schedule, by=t) for t in range(3)] == [
            t not in asleep for t in range(3)
        ]


def test_a_signal_is_the_tasks_own(bench: Bench) -> None:
    assert bench.run(current, by=1) is bench.tasks[1]
    bench.run(send_signal, bench.tasks[1], by=0)
    assert [bench.run(signal_pending, by=t) for t in range(3)] == [False, True, False]


@given(st.integers(0, 3), st.lists(st.booleans(), max_size=8))
@examples(50)
def test_failures_last_as_long_as_their_budget(left: int, wishes: list[bool]) -> None:
    bench = Bench()
    budget = bench.new(fault_budget)
    bench.S[budget.left] = left
    for wish in wishes:
        assert bench.outcomes(may_fail, budget) == (2 if left else 1)
        failing = wish and left > 0
        assert bench.run(may_fail, budget, choice=int(failing)) == failing
        left -= failing
        assert bench.S[budget.left] == left
