# SPDX-License-Identifier: GPL-2.0-only
"""The list helpers against a plain Python list, and what CONFIG_DEBUG_LIST sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from properties.bench import Bench, bench_node
from sgxmodel.kernel.list import (
    INIT_LIST_HEAD,
    LIST_POISON1,
    LIST_POISON2,
    entries,
    list_add,
    list_add_tail,
    list_del,
    list_del_init,
    list_empty,
    list_first,
    list_first_entry_or_null,
    list_move,
    list_move_tail,
    list_next,
    list_splice,
)
from sgxmodel.kernel.memory import kfree, kzalloc

heads = st.integers(0, 2)
nodes = st.integers(0, 4)
ends = st.sampled_from(["front", "back"])


class Lists(RuleBasedStateMachine):
    """Three lists and five nodes; each node is on one list, pointing to itself, or poisoned."""

    @initialize()
    def start(self) -> None:
        self.bench = Bench()
        self.heads = self.bench.nodes(3)
        self.nodes = self.bench.nodes(5)
        self.lists: list[list[Any]] = [[], [], []]
        self.poisoned: set[Any] = set()

    def linked(self, node: Any) -> list[Any] | None:
        return next((one for one in self.lists if node in one), None)

    def unlink(self, node: Any) -> None:
        for one in self.lists:
            if node in one:
                one.remove(node)

    def insert(self, node: Any, h: int, end: str) -> None:
        self.poisoned.discard(node)
        self.lists[h].insert(0 if end == "front" else len(self.lists[h]), node)

    @rule(n=nodes, h=heads, end=ends)
    def add(self, n: int, h: int, end: str) -> None:
        node, one = self.nodes[n], self.lists[h]
        prim = list_add if end == "front" else list_add_tail
        if self.linked(node) is None:
            self.bench.run(prim, node, self.heads[h])
            self.insert(node, h, end)
        elif one and one[0 if end == "front" else -1] is node:
            with self.bench.refused("list-corruption", "list_add double add: new="):
                self.bench.run(prim, node, self.heads[h])

    @rule(n=nodes, prim=st.sampled_from([list_del, list_del_init]))
    def delete(self, n: int, prim: Any) -> None:
        node = self.nodes[n]
        if node in self.poisoned:
            with self.bench.refused("list-corruption", "->next is LIST_POISON1"):
                self.bench.run(prim, node)
            return
        self.bench.run(prim, node)
        self.unlink(node)
        if prim is list_del:
            self.poisoned.add(node)

    @rule(n=nodes, h=heads, end=ends)
    def move(self, n: int, h: int, end: str) -> None:
        node = self.nodes[n]
        prim = list_move if end == "front" else list_move_tail
        if node in self.poisoned:
            with self.bench.refused("list-corruption", "->next is LIST_POISON1"):
                self.bench.run(prim, node, self.heads[h])
            return
        self.bench.run(prim, node, self.heads[h])
        self.unlink(node)
        self.insert(node, h, end)

    @precondition(lambda self: any(self.lists))
    @rule(giver=heads, taker=heads)
    def splice(self, giver: int, taker: int) -> None:
        if giver == taker:
            return
        self.bench.run(list_splice, self.heads[giver], self.heads[taker])
        self.bench.run(INIT_LIST_HEAD, self.heads[giver])
        self.lists[taker][:0] = self.lists[giver]
        self.lists[giver] = []

    def walk(self, head: Any) -> list[Any]:
        """As list_for_each_entry does."""
        out: list[Any] = []
        pos = self.bench.run(list_next, head)
        while pos is not head and len(out) < 9:
            out.append(pos)
            pos = self.bench.run(list_next, pos)
        return out

    def backwards(self, head: Any) -> list[Any]:
        out: list[Any] = []
        pos = self.bench.S[head.prev]
        while pos is not head and len(out) < 9:
            out.append(pos)
            pos = self.bench.S[pos.prev]
        return out

    @invariant()
    def lists_agree(self) -> None:
        for head, expected in zip(self.heads, self.lists, strict=True):
            objects = [node.container for node in expected]
            assert self.walk(head) == expected
            assert self.backwards(head) == expected[::-1]
            assert entries(self.bench.S, head) == objects
            assert self.bench.run(list_empty, head) == (not expected)
            first = objects[0] if objects else None
            assert self.bench.run(list_first_entry_or_null, head) is first
            assert self.bench.run(list_first, head) is (first or head.container)

    @invariant()
    def loose_nodes_say_so(self) -> None:
        for node in self.nodes:
            pair = self.bench.S[node.next], self.bench.S[node.prev]
            if node in self.poisoned:
                assert pair == (LIST_POISON1, LIST_POISON2)
            elif self.linked(node) is None:
                assert pair == (node, node)
                assert self.bench.run(list_empty, node)


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_walk_into_a_deleted_entry_is_a_wild_pointer(bench: Bench) -> None:
    head, x, y = bench.nodes(3)
    bench.run(list_add_tail, x, head)
    bench.run(list_add_tail, y, head)
    bench.run(list_del, x)
    with bench.refused("wild-pointer", "LIST_POISON1"):
        bench.run(list_next, x)


def test_add_beside_a_broken_neighbour_is_noticed(bench: Bench) -> None:
    head, x, y = bench.nodes(3)
    bench.run(list_add, x, head)
    bench.S[x.prev] = y
    with bench.refused("list-corruption", f"next->prev should be prev ({head}), but was {y}"):
        bench.run(list_add, y, head)
    bench.S[x.prev] = head
    bench.S[x.next] = y
    with bench.refused("list-corruption", f"prev->next should be next ({head}), but was {y}"):
        bench.run(list_add_tail, y, head)


@pytest.mark.parametrize("prim", [list_del, list_del_init])
def test_del_with_broken_neighbours_is_noticed(bench: Bench, prim: Any) -> None:
    head, x, y, z = bench.nodes(4)
    for node in (x, y, z):
        bench.run(list_add_tail, node, head)
    bench.S[x.next] = z
    with bench.refused("list-corruption", f"list_del corruption. prev->next should be {y}"):
        bench.run(prim, y)
    bench.S[x.next] = y
    bench.S[z.prev] = x
    with bench.refused("list-corruption", f"list_del corruption. next->prev should be {y}"):
        bench.run(prim, y)


def test_known_limit_an_entry_that_is_linked_elsewhere_is_not_noticed(bench: Bench) -> None:
    """The checks look at the neighbours, not at the entry; lib/list_debug.c, too."""
    isolated, free, x, y = bench.nodes(4)
    bench.run(list_add_tail, x, isolated)
    bench.run(list_add_tail, y, isolated)
    bench.run(list_add_tail, x, free)
    bench.run(list_add_tail, y, free)
    assert entries(bench.S, free) == [x.container, y.container]
    assert bench.run(list_first, isolated) is x.container
    assert len(entries(bench.S, isolated, limit=9)) == 9, "the old list has no way back"


def test_a_stolen_entry_shows_when_its_old_neighbour_goes(bench: Bench) -> None:
    isolated, free, x, y = bench.nodes(4)
    bench.run(list_add_tail, x, isolated)
    bench.run(list_add_tail, y, isolated)
    bench.run(list_add_tail, x, free)
    with bench.refused("list-corruption", f"prev->next should be {y}, but was {free}"):
        bench.run(list_del, y)


@pytest.mark.parametrize("prim", [list_add, list_add_tail, list_move, list_move_tail])
def test_a_freed_entry_is_not_linked(bench: Bench, prim: Any) -> None:
    (head,) = bench.nodes(1)
    node = bench.run(kzalloc, bench.cache(bench_node, 1))
    bench.run(kfree, node)
    with bench.refused("use-after-free"):
        bench.run(prim, node.x_list, head)


def test_freed_while_linked_shows_at_the_neighbours(bench: Bench) -> None:
    head, x = bench.nodes(2)
    node = bench.run(kzalloc, bench.cache(bench_node, 1))
    bench.run(list_add, node.x_list, head)
    bench.run(kfree, node)
    for prim, args in [
        (list_add, (x, head)),
        (list_del, (node.x_list,)),
        (list_add_tail, (x, head)),
    ]:
        with bench.refused("use-after-free"):
            bench.run(prim, *args)
    with bench.refused("use-after-free"):
        bench.run(list_empty, node.x_list)
