# SPDX-License-Identifier: GPL-2.0-only
"""No reduction changes a verdict or loses a visible state, on random small systems.

SGXMODEL_SEEDS says how many systems of each sort are tried, SGXMODEL_FIRST_SEED where
they begin.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from properties.explore_compared import Both
from properties.explore_sleepers import BLOCKING, sleepers
from properties.explore_toys import Open, Toy, toy

SHARDS = 8
ENOUGH = 50
"""So many systems of a shard must have shown everything that can go wrong."""


def number(name: str, default: int, least: int) -> int:
    """A number from the environment."""
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise pytest.UsageError(f"{name} is {text!r}: a whole number from {least} on is wanted")
    return int(text)


SEEDS = number("SGXMODEL_SEEDS", 400, 1)
FIRST = number("SGXMODEL_FIRST_SEED", 0, 0)


def open_toy(seed: int) -> Toy:
    return toy(seed, Open)


MAKERS: dict[str, Callable[[int], Toy]] = {"toys": open_toy, "sleepers": sleepers}


def systems(maker: str, shard: int) -> Iterator[tuple[int, Both]]:
    """The systems of a shard, searched both ways."""
    for seed in range(FIRST + shard, FIRST + SEEDS, SHARDS):
        yield seed, Both(MAKERS[maker](seed))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_verdict_changes_and_no_visible_state_is_lost(shard: int, maker: str) -> None:
    seen: Counter[str] = Counter()
    for seed, both in systems(maker, shard):
        assert not both.lost(), f"{maker}({seed}): {both.lost()}"
        seen["systems"] += 1
        seen["blocked"] += bool(both.blocked() & set(BLOCKING) - {"lock"})
        seen.update(both.kinds or {"nothing wrong"})
    if seen["systems"] >= ENOUGH:
        assert seen["blocked"] >= seen["systems"] / 4
        assert min(seen["deadlock"], seen["nothing wrong"]) >= seen["systems"] / 10
        assert seen["assert"] + seen["final"] + seen["invariant"] >= seen["systems"] / 50


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_race_and_no_fair_cycle_is_lost(shard: int, maker: str) -> None:
    seen: Counter[str] = Counter()
    for seed, both in systems(maker, shard):
        if both.kinds:
            continue
        races, cycles = both.races(), both.cycles()
        assert len(set(races)) == 1, f"{maker}({seed}): races {races}"
        assert len(set(cycles)) == 1, f"{maker}({seed}): fair cycles {cycles}"
        seen["systems"] += 1
        seen["races"] += races[0]
        seen["cycles"] += cycles[0]
    if seen["systems"] >= ENOUGH / 5:
        assert seen["races"]
        assert seen["cycles"]


def test_everything_that_can_block_does_in_some_system() -> None:
    blocked = set().union(*(Both(sleepers(seed)).blocked() for seed in range(150)))
    assert blocked >= set(BLOCKING)


@pytest.mark.parametrize("wrong", ["many", "", "-1", "0", "1.5"])
def test_a_number_of_systems_that_is_none_is_refused(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGXMODEL_SEEDS", wrong)
    with pytest.raises(pytest.UsageError, match=f"SGXMODEL_SEEDS is '{wrong}'"):
        number("SGXMODEL_SEEDS", 400, 1)
