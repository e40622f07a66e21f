# SPDX-License-Identifier: GPL-2.0-only
"""Orders of whole calls: all of a short scenario, some of a long one."""

from __future__ import annotations

from itertools import permutations

import pytest

from sgxmodel.search.sequential import ORDERS, _order, _orders, _spread


@pytest.mark.parametrize("counts", [(1, 2), (2, 0, 2), (1, 1, 1, 1), (3, 1, 2), (0,)])
def test_all_orders_as_sorted(counts: tuple[int, ...]) -> None:
    calls = [t for t, count in enumerate(counts) for _ in range(count)]
    every = sorted(set(permutations(calls)))
    assert [_order(counts, number) for number in range(_orders(counts))] == every


def test_some_of_many_at_even_distances() -> None:
    """They were walked one by one: 20 and 10 calls took longer than anybody waits."""
    counts = (40, 40, 40)
    drawn = _spread(counts)
    assert ORDERS <= len(drawn) <= 2 * ORDERS
    assert len(set(drawn)) == len(drawn)
    assert all(order.count(t) == 40 for order in drawn for t in range(3))
    assert {order[0] for order in drawn} == {0, 1, 2}
