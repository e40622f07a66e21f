# SPDX-License-Identifier: GPL-2.0-only
"""The page cache of a shmem file and memory pressure on it, against a plain model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from properties.bench import Bench
from sgxmodel.kernel.memory import kfree, kzalloc
from sgxmodel.kernel.shmem import (
    SWAPPED,
    file,
    fput,
    get_page,
    isolate_lru_folios,
    page,
    put_page,
    shmem_add_to_page_cache,
    shmem_find_get_page,
    shmem_swapin_folio,
    shmem_truncate_page,
    shrink_folio,
)
from sgxmodel.machine.layout import FREED
from sgxmodel.machine.op import LOAD, STORE


@pytest.fixture
def bench() -> Bench:
    return Bench()


indexes = st.integers(0, 2)


class PageCache(RuleBasedStateMachine):
    """One file of three pages; readers hold references, truncation makes orphans."""

    @initialize()
    def start(self) -> None:
        self.bench = Bench()
        self.files = self.bench.cache(file, 1, cached=3)
        self.file = self.bench.run(kzalloc, self.files)
        self.pages = self.bench.cache(page, 12)
        self.cached: dict[int, Any] = {}
        self.held: Counter[Any] = Counter()
        self.written: dict[Any, int] = {}
        self.dirty: set[Any] = set()
        self.swapped: set[Any] = set()

    def holding(self, n: int) -> Any:
        held = [p for p in self.pages.objects if self.held[p]]
        return held[n % len(held)] if held else None

    @rule(index=indexes)
    def read(self, index: int) -> None:
        found = self.bench.run(shmem_find_get_page, self.file, index)
        if self.cached.get(index) in self.swapped:
            assert found == SWAPPED
            found = self.bench.run(shmem_swapin_folio, self.pages, self.file, index)
            self.swapped.remove(found)
        assert found is self.cached.get(index)
        if found is None and len(self.alive()) < len(self.pages.objects):
            found = self.bench.run(kzalloc, self.pages)
            assert self.bench.run(shmem_add_to_page_cache, self.file, index, found)
            self.cached[index] = found
            self.written[found] = 0
        if found is not None:
            self.held[found] += 1

    @rule(index=indexes)
    def add_where_one_is(self, index: int) -> None:
        if index in self.cached and len(self.alive()) < len(self.pages.objects):
            late = self.bench.run(kzalloc, self.pages)
            assert not self.bench.run(shmem_add_to_page_cache, self.file, index, late)
            self.bench.run(kfree, late)

    @rule(n=st.integers(0, 20), value=st.integers(1, 9))
    def write(self, n: int, value: int) -> None:
        if (p := self.holding(n)) is not None:
            assert self.bench.run(LOAD, p.data) == (self.written[p] or None)
            self.bench.run(STORE, p.data, value)
            self.bench.run(STORE, p.dirty, 1)
            self.written[p] = value
            self.dirty.add(p)

    @rule(n=st.integers(0, 20))
    def get(self, n: int) -> None:
        if (p := self.holding(n)) is not None:
            self.bench.run(get_page, p)
            self.held[p] += 1

    @rule(n=st.integers(0, 20))
    def put(self, n: int) -> None:
        if (p := self.holding(n)) is not None:
            self.bench.run(put_page, p)
            self.held[p] -= 1

    @rule(index=indexes)
    def truncate(self, index: int) -> None:
        self.bench.run(shmem_truncate_page, self.file, index)
        self.cached.pop(index, None)

    @rule()
    def shrink(self) -> None:
        """Pages that nobody has go: to swap where they are dirty, else for good."""
        folios = self.bench.run(isolate_lru_folios, self.files)
        in_memory = {i for i, p in self.cached.items() if p not in self.swapped}
        assert {index for _, index in folios} == in_memory
        for folio in folios:
            p = self.cached[folio[1]]
            what = "kept" if self.held[p] else "swapped" if p in self.dirty else "dropped"
            assert self.bench.run(shrink_folio, folio) == what
            if what == "swapped":
                self.swapped.add(p)
            elif what == "dropped":
                del self.cached[folio[1]]
            assert self.bench.run(shrink_folio, folio) == ("kept" if what == "kept" else "gone")

    def alive(self) -> set[Any]:
        return set(self.cached.values()) | {p for p in self.held if self.held[p]}

    @invariant()
    def references_agree(self) -> None:
        self.dirty &= self.alive()
        self.swapped &= self.alive()
        index_of = {p: index for index, p in self.cached.items()}
        for p in self.pages.objects:
            expected = self.held[p] + (p in index_of)
            assert self.bench.S[p.refs] == (expected or FREED)
            if expected:
                assert self.bench.S[p.index] == index_of.get(p)
                assert self.bench.S[p.data] == (self.written[p] or None)

    def teardown(self) -> None:
        if not hasattr(self, "file"):
            return
        self.bench.run(fput, self.file)
        self.cached.clear()
        self.references_agree()
        for p in list(self.held.elements()):
            self.bench.run(put_page, p)
        assert {self.bench.S[p.refs] for p in self.pages.objects} == {FREED}
        assert self.bench.run(isolate_lru_folios, self.files) == ()
        with self.bench.refused("use-after-free"):
            self.bench.run(shmem_find_get_page, self.file, 0)


TestPageCache = PageCache.TestCase
TestPageCache.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
def backing(bench: Bench) -> tuple[Any, Any]:
    """A file, and a page of it that was put once too often."""
    f, p = bench.new(file, cached=1), bench.run(kzalloc, bench.cache(page, 1))
    bench.run(shmem_add_to_page_cache, f, 0, p)
    bench.run(put_page, p)
    bench.run(put_page, p)
    return f, p


@pytest.mark.parametrize("prim", [get_page, put_page], ids=str)
def test_a_freed_page_is_not_referenced(bench: Bench, backing: Any, prim: Any) -> None:
    with bench.refused("use-after-free"):
        bench.run(prim, backing[1])


@pytest.mark.parametrize("prim", [shmem_find_get_page, shmem_truncate_page], ids=str)
def test_a_freed_page_in_the_cache_is_noticed(bench: Bench, backing: Any, prim: Any) -> None:
    with bench.refused("use-after-free"):
        bench.run(prim, backing[0], 0)


def test_a_file_goes_once(bench: Bench) -> None:
    f = bench.new(file, cached=2)
    bench.run(fput, f)
    for prim, args in [(fput, (f,)), (shmem_truncate_page, (f, 0))]:
        with bench.refused("use-after-free"):
            bench.run(prim, *args)


# -- memory pressure, one page ------------------------------------------------------------


@pytest.fixture
def cached(bench: Bench) -> tuple[Any, Any, Any]:
    """A cache of pages, a file and the page that only this file has."""
    cache = bench.cache(page, 1)
    f, p = bench.new(file, cached=1), bench.run(kzalloc, cache)
    bench.run(shmem_add_to_page_cache, f, 0, p)
    bench.run(put_page, p)
    return cache, f, p


def test_a_clean_page_is_lost_with_what_is_in_it(bench: Bench, cached: Any) -> None:
    _, f, p = cached
    bench.run(STORE, p.data, "sealed")
    with bench.told("8-evicted", "is clean, so what EWB wrote to it is dropped"):
        bench.run(shrink_folio, (f, 0))
    assert bench.run(shmem_find_get_page, f, 0) is None


def test_swap_keeps_what_is_in_a_page_and_it_comes_back_dirty(bench: Bench, cached: Any) -> None:
    cache, f, p = cached
    bench.run(STORE, p.data, "sealed")
    bench.run(STORE, p.dirty, 1)
    assert bench.run(shrink_folio, (f, 0)) == "swapped"
    bench.S[cache.failures] = 1
    assert bench.run(shmem_swapin_folio, cache, f, 0, choice=1) is None
    assert bench.run(shmem_find_get_page, f, 0) == SWAPPED
    assert bench.run(shmem_swapin_folio, cache, f, 0) is p
    assert (bench.run(LOAD, p.data), bench.run(LOAD, p.dirty)) == ("sealed", 1)


def test_a_page_in_swap_is_truncated(bench: Bench, cached: Any) -> None:
    _, f, p = cached
    bench.run(STORE, p.dirty, 1)
    bench.run(shrink_folio, (f, 0))
    bench.run(shmem_truncate_page, f, 0)
    assert bench.S[p.refs] is FREED
    assert bench.run(shmem_find_get_page, f, 0) is None


def test_pages_of_a_file_that_is_gone_are_left_alone(bench: Bench, cached: Any) -> None:
    _, f, _ = cached
    bench.run(fput, f)
    assert bench.run(shrink_folio, (f, 0)) == "gone"
