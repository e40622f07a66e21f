# SPDX-License-Identifier: GPL-2.0-only
"""Allocation, the xarray and the page cache, each against a plain model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.bench import Bench, bench_map, bench_object, examples
from sgxmodel.kernel.memory import (
    EBUSY,
    IS_ERR,
    kfree,
    kzalloc,
    xa_erase,
    xa_insert,
    xa_load,
    xa_size,
)
from sgxmodel.kernel.shmem import (
    page,
)
from sgxmodel.machine.layout import FREED
from sgxmodel.machine.op import LOAD, READ_ONCE, STORE

OBJECTS = 3


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- kzalloc, kfree -----------------------------------------------------------------------


@given(st.lists(st.integers(-OBJECTS, OBJECTS), max_size=30))
@examples(100)
def test_the_lowest_free_object_comes_next(steps: list[int]) -> None:
    """A positive number allocates, another one frees that object."""
    bench = Bench()
    cache = bench.cache(bench_object, OBJECTS)
    used: set[int] = set()
    for step in steps:
        if step <= 0:
            if -step in used:
                bench.run(kfree, cache.objects[-step])
                used.remove(-step)
        elif len(used) == OBJECTS:
            with bench.refused("leak", f"all {OBJECTS} objects of"):
                bench.run(kzalloc, cache)
        else:
            lowest = min(set(range(OBJECTS)) - used)
            assert bench.run(kzalloc, cache) is cache.objects[lowest]
            used.add(lowest)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
@examples(40)
def test_an_object_comes_back_blank(dirt: list[int]) -> None:
    bench = Bench()
    cache = bench.cache(bench_object, 1)
    it = bench.run(kzalloc, cache)
    first = [bench.S[slot] for slot in it.slots]
    assert bench.S[it.x_value] == "born"
    for i, value in enumerate(dirt):
        bench.run(STORE, it.slots[i % len(it.slots)], value)
    bench.run(kfree, it)
    assert {bench.S[slot] for slot in it.slots} == {FREED}
    assert bench.run(kzalloc, cache) is it
    assert [bench.S[slot] for slot in it.slots] == first


def test_an_object_is_freed_once(bench: Bench) -> None:
    cache = bench.cache(bench_object, 2)
    it = bench.run(kzalloc, cache)
    bench.run(kfree, it)
    with bench.refused("double-free"):
        bench.run(kfree, it)


def test_kfree_of_null_is_legal(bench: Bench) -> None:
    before = bench.snapshot()
    bench.run(kfree, None)
    assert bench.snapshot() == before


@given(st.data())
@examples(40)
def test_a_freed_object_is_neither_read_nor_written(data: st.DataObject) -> None:
    bench = Bench()
    it = bench.run(kzalloc, bench.cache(bench_object, 1))
    slot = data.draw(st.sampled_from(it.slots))
    bench.run(STORE, slot, 7)
    assert bench.run(LOAD, slot) == 7
    bench.run(kfree, it)
    for prim, args in [(LOAD, (slot,)), (READ_ONCE, (slot,)), (STORE, (slot, 0))]:
        with bench.refused("use-after-free"):
            bench.run(prim, *args)


@given(st.integers(0, 2), st.lists(st.booleans(), max_size=6))
@examples(40)
def test_allocations_fail_as_often_as_asked(left: int, wishes: list[bool]) -> None:
    bench = Bench()
    cache = bench.cache(bench_object, len(wishes))
    bench.S[cache.failures] = left
    for wish in wishes:
        assert bench.outcomes(kzalloc, cache) == (2 if left else 1)
        failing = wish and left > 0
        assert (bench.run(kzalloc, cache, choice=int(failing)) is None) == failing
        left -= failing
        assert bench.S[cache.failures] == left


def test_errors_are_negative_numbers_and_objects_are_not(bench: Bench) -> None:
    assert IS_ERR(-EBUSY)
    assert not IS_ERR(bench.new(page))
    assert not IS_ERR(None)


# -- xarray -------------------------------------------------------------------------------

XA_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["load", "insert", "erase"]), st.integers(0, 3), st.sampled_from("abc")
    ),
    max_size=30,
)


@given(XA_STEPS)
@examples(100)
def test_an_xarray_is_a_map(steps: list[tuple[str, int, str]]) -> None:
    bench = Bench()
    xa = bench.new(bench_map, entries=4).x_array
    model: dict[int, str] = {}
    for verb, index, entry in steps:
        if verb == "insert":
            expected = -EBUSY if index in model else 0
            assert bench.run(xa_insert, xa, index, entry) == expected
            model.setdefault(index, entry)
        elif verb == "erase":
            bench.run(xa_erase, xa, index)
            model.pop(index, None)
        assert [bench.run(xa_load, xa, i) for i in range(4)] == [model.get(i) for i in range(4)]


@pytest.mark.parametrize("index", [-1, 4])
def test_nothing_is_stored_out_of_range_and_to_store_there_is_the_models_limit(
    bench: Bench, index: int
) -> None:
    xa = bench.new(bench_map, entries=4).x_array
    assert xa_size(xa) == 4
    assert bench.run(xa_load, xa, index) is None
    bench.run(xa_erase, xa, index)
    with bench.refused("model-limit"):
        bench.run(xa_insert, xa, index, "entry")


@pytest.mark.parametrize("prim", [xa_load, xa_insert, xa_erase], ids=str)
def test_an_xarray_of_a_freed_object_is_noticed(bench: Bench, prim: Any) -> None:
    gone = bench.run(kzalloc, bench.cache(bench_map, 1, entries=4))
    bench.run(kfree, gone)
    with bench.refused("use-after-free"):
        bench.run(prim, gone.x_array, 0, *(["entry"] if prim is xa_insert else []))
