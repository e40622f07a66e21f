# SPDX-License-Identifier: GPL-2.0-only
"""The notation: three ways to run one text agree, and mistakes are told where they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from properties import toy
from properties.toy import World, able, finish, load, slot
from properties.toy_programs import programs, source_of
from sgxmodel.machine.op import Fault
from sgxmodel.machine.plain import PlainRun, WouldBlock
from sgxmodel.machine.system import System

STEPS = 400
numbers = st.lists(st.integers(0, 5), max_size=40)
"""Choices of a run, 0 past the end."""


def random_runs(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    profile = settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=set(Phase) - {Phase.explain},  # a program takes long to compile
    )
    return lambda test: profile(given(programs(), numbers)(test))


def schedule(system: System, picks: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Which task steps next and with which outcome, until nobody can step."""
    for _ in range(STEPS):
        tasks = able(system)
        if not tasks:
            return
        t = tasks[next(picks) % len(tasks)]
        yield t, next(picks) % system.alternatives(t)


def forever(picks: Sequence[int]) -> Iterator[int]:
    return chain(picks, repeat(0))


def two_calls(world: World) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    a, b, _ = world.nodes
    return ("f0", a, b, 1), ("f0", b, a, 2)


# -- three opinions ---------------------------------------------------------------------------


@random_runs(80)
def test_blocks_and_generators_agree_step_by_step(text: str, picks: list[int]) -> None:
    world = World.of(load(text))
    blocks, log = world.system(*two_calls(world))
    generators = world.generators(*two_calls(world))
    for t, choice in schedule(blocks, forever(picks)):
        assert generators.pending == blocks.pending
        log.lines.clear()
        blocks.step(t, choice)
        result = generators.step(t, choice)
        assert log.lines[0][2] == result or log.lines[0][1].startswith("write")
        assert generators.state == blocks.state
    assert generators.returned == log.returns
    assert [f.kind for f in generators.faults] == [f.kind for f in log.faults]
    event(f"returns: {len(log.returns)}, faults: {len(log.faults)}")


def outcome_of_blocks(world: World, picks: Sequence[int]) -> tuple[str, list[Any]]:
    system, log = world.system(two_calls(world)[0])
    choices = forever(picks)
    for _ in range(STEPS):
        if not able(system):
            break
        n = system.alternatives(0)
        system.step(0, next(choices) % n if n > 1 else 0)
    if system.stopped:
        return system.stopped.kind, system.state[2:]
    return (f"returned {log.returns[0][1]}" if log.returns else "blocked"), system.state[2:]


def outcome_of_plain(world: World, picks: Sequence[int]) -> tuple[str, list[Any]]:
    choices = forever(picks)
    state = list(world.layout.values)
    choose = lambda n: next(choices) % n  # noqa: E731
    run = PlainRun(world.program, world.layout, state, world.tasks[0], choose)
    try:
        end = f"returned {run.call(*two_calls(world)[0])}"
    except WouldBlock:
        end = "blocked"
    except AttributeError:
        end = "wild-pointer"
    return end, state[2:]


@random_runs(80)
def test_a_single_task_does_what_plain_python_does(text: str, picks: list[int]) -> None:
    world = World.of(load(text))
    expected = outcome_of_plain(world, picks)
    event(expected[0].split()[0])
    assert outcome_of_blocks(world, picks) == expected


def three_values(world: World, call: tuple[Any, ...]) -> set[Any]:
    """What a call returns, run in three ways."""
    system, log = world.system(call)
    finish(system)
    generators = world.generators(call)
    while generators.enabled(0):
        generators.step(0)
    plain = PlainRun(world.program, world.layout, list(world.layout.values))
    return {*log.returns, *generators.returned, (0, plain.call(*call))}


CONTROL = {
    "break": ("i = 0\nfor i in range(4):\n    if i == n:\n        break\nreturn i", 1),
    "continue": ("for i in range(4):\n    if i & 1:\n        continue\n    n += i\nreturn n", 3),
    "continue in while": (
        "k = 0\nwhile k < 4:\n    k += 1\n    if k & 1:\n        continue\n    n += k\nreturn n",
        7,
    ),
    "two bounds": ("for i in range(n, n + 2):\n    n += i\nreturn n", 4),
    "counter disturbed": ("for i in range(3):\n    i = 9\n    n += i\nreturn n", 28),
    "bound disturbed": ("for i in range(n + 1):\n    n += 5\nreturn n", 11),
    "break of the inner loop": (
        "for i in range(3):\n    for j in range(3):\n        break\n    n += 1\nreturn n",
        4,
    ),
    "goto out of two loops": (
        "for i in range(3):\n    for j in range(3):\n        n += 1\n        if i:\n"
        "            goto('out')\nn = 90\nlabel('out')\nreturn n",
        5,
    ),
    "goto over a label": (
        "if n:\n    goto('far')\nlabel('near')\nn += 10\nlabel('far')\nreturn n",
        1,
    ),
    "label in a loop": (
        "for i in range(3):\n    if i & 1:\n        goto('next')\n    n += i\n"
        "    label('next')\nreturn n",
        3,
    ),
    "walk": ("for e in toy_each(ring.t_list):\n    n += e.t_b\nreturn n", 7),
    "next deleted": (
        "for e in toy_each(ring.t_list):\n    n += 1\n    if e is p:\n"
        "        toy_del(q.t_list)\nreturn n",
        3,
    ),
    "next deleted, safe": (
        "for e in toy_each_safe(ring.t_list):\n    n += 1\n    if e is p:\n"
        "        toy_del(q.t_list)\nreturn n",
        4,
    ),
    "continue in a walk": (
        "for e in toy_each_safe(ring.t_list):\n    if e is p:\n        continue\n"
        "    n += 1\nreturn n",
        3,
    ),
    "value before target": ("p.t_peer.t_a = toy_set_peer(p)\nreturn p.t_a", 0),
    "fault's result": ("return toy_drop(p.t_lock)", -1),
}
SET_PEER = "\n@kernel\ndef toy_set_peer(p):\n    p.t_peer = p\n    return 0\n"


@pytest.mark.parametrize("case", CONTROL)
def test_control_flow_is_pythons_in_all_three(case: str) -> None:
    text, value = CONTROL[case]
    world = World.of(load(source_of(text) + SET_PEER))
    p, q, _ = world.nodes
    assert three_values(world, ("f", p, q, 1)) == {(0, value)}


def test_known_limit_an_address_is_taken_after_the_reads_beside_it() -> None:
    """C does not read through ``&p->x``, so NULL is found a little later than in Python."""
    world = World.of(load(source_of("return toy_add(p.t_peer.t_b, p.t_a)")))
    last = world.nodes[2]
    system, log = world.system(("f", last, last, 1))
    finish(system)
    assert log.texts() == ["read n2.t_peer", "read n2.t_a", "wild-pointer"]
    generators = world.generators(("f", last, last, 1))
    generators.step(0)
    assert generators.stopped is not None


def test_a_walk_may_delete_where_it_stands() -> None:
    world = World.of(toy)
    a, b, c = world.nodes
    world.layout.values[slot(b, "t_a")] = 9
    plain = list(world.layout.values)
    PlainRun(world.program, world.layout, plain).call("toy_prune", 5)
    blocks = finish(world.system(("toy_prune", 5))[0])
    assert blocks.state[2:] == plain[2:]
    assert plain[slot(a.t_list, "t_next")] is c.t_list


def test_a_parameter_is_what_the_configuration_says() -> None:
    world = World.of(toy)
    assert three_values(world, ("toy_limit",)) == {(0, 2)}
    world.layout.set(toy.LIMIT, 5)
    world.image = world.program.load(world.layout)
    assert three_values(world, ("toy_limit",)) == {(0, 5)}


# -- setting back -----------------------------------------------------------------------------


@random_runs(50)
def test_setting_back_repeats_the_run(text: str, picks: list[int]) -> None:
    world = World.of(load(text))
    system, log = world.system(*two_calls(world))
    log.lines.clear()
    middle, steps = system.snapshot(), list[tuple[int, int]]()
    for i, step in enumerate(schedule(system, forever(picks))):
        if i == len(picks) // 2:
            middle, steps = system.snapshot(), []
            log.lines.clear()
        steps.append(step)
        system.step(*step)
    first, seen = system.snapshot(), list(log.lines)
    log.lines.clear()
    system.restore(middle)
    for step in steps:
        system.step(*step)
    assert (log.lines, system.snapshot()) == (seen, first)


@random_runs(30)
def test_a_snapshot_is_a_value(text: str, picks: list[int]) -> None:
    world = World.of(load(text))
    one, _ = world.system(*two_calls(world))
    other, _ = world.system(*two_calls(world))
    for step in schedule(one, forever(picks)):
        one.step(*step)
        other.step(*step)
        assert one.snapshot() == other.snapshot()
        assert hash(one.snapshot()) == hash(other.snapshot())


def test_orders_that_commute_meet_in_one_snapshot() -> None:
    world = World.of(toy)
    a, b, _ = world.nodes
    snapshots = set()
    for order in [(0, 1, 0, 1), (1, 1, 0, 0)]:
        system, _ = world.system(("toy_set_flag", a, 1), ("toy_set_flag", b, 1))
        for t in order:
            system.step(t)
        snapshots.add(system.snapshot())
    assert len(snapshots) == 1


def test_a_retry_loop_closes() -> None:
    world = World.of(toy)
    system, _ = world.system(("toy_spin", world.nodes[0]))
    system.step(0)
    before = system.snapshot()
    system.step(0)
    assert system.snapshot() == before


# -- what becomes an operation, and in which order --------------------------------------------


@pytest.mark.parametrize(
    ("function", "a", "reads", "value"),
    [
        ("toy_both", 0, ["t_a"], 0),
        ("toy_both", 1, ["t_a", "t_b"], 1),
        ("toy_either", 0, ["t_a", "t_b"], 2),
        ("toy_either", 5, ["t_a"], 5),
        ("toy_neither", 0, ["t_a", "t_b"], 0),
        ("toy_neither", 1, ["t_a"], 0),
    ],
)
def test_tests_are_cut_short_as_in_c(function: str, a: int, reads: list[str], value: int) -> None:
    world = World.of(toy)
    node = world.nodes[0]
    world.layout.values[slot(node, "t_a")] = a
    system, log = world.system((function, node))
    finish(system)
    assert log.texts() == [f"read n0.{field}" for field in reads]
    assert log.returns == [(0, value)]


def test_an_augmented_assignment_is_a_read_and_a_write() -> None:
    world = World.of(toy)
    node = world.nodes[0]
    system, log = world.system(("toy_set_flag", node, 1), ("toy_set_flag", node, 2))
    for t in (0, 1, 0, 1):
        system.step(t)
    assert log.texts() == ["read n0.t_flags"] * 2 + ["write n0.t_flags"] * 2
    assert system.state[slot(node, "t_flags")] == 4 | 2  # task 0's flag is lost


def test_a_dead_local_is_not_carried() -> None:
    world = World.of(toy)
    node = world.nodes[0]
    frames = []
    for value in (1, 2):
        world.layout.values[slot(node, "t_a")] = value
        system, _ = world.system(("toy_copy", node))
        system.step(0)
        assert value in system.pending[0]  # type: ignore[operator]
        assert system.frames[0] is not None
        assert system.frames[0][1] == (node,)
        system.step(0)
        frames.append((system.pending[0], system.frames[0]))
    assert frames[0] == frames[1]


@pytest.mark.parametrize("how", [0, 1, 2])
def test_using_a_freed_object_is_a_fault(how: int) -> None:
    world = World.of(toy)
    system, log = world.system(("toy_free_and_use", world.nodes[0], how))
    finish(system)
    assert [fault.kind for fault in log.faults] == ["use-after-free"]
    assert system.stopped is log.faults[0]
    assert log.returns == []


@pytest.mark.parametrize("how", [0, 1, 2])
def test_the_other_opinions_see_the_same_fault(how: int) -> None:
    world = World.of(toy)
    node = world.nodes[0]
    generators = world.generators(("toy_free_and_use", node, how))
    generators.step(0)
    generators.step(0)
    assert [fault.kind for fault in generators.faults] == ["use-after-free"]
    run = PlainRun(world.program, world.layout, list(world.layout.values))
    with pytest.raises(Fault, match="freed object"):
        run.call("toy_free_and_use", node, how)


def test_an_operation_knows_where_it_stands() -> None:
    world = World.of(toy)
    system, _ = world.system(("toy_prune", 0))
    texts = []
    for _ in range(4):
        site = system.site(0)
        line = inspect.getsource(toy).splitlines()[site.lineno - 1]
        assert site.text in line
        texts.append(str(site.text))
        system.step(0)
    walk = "toy_each_safe(ring.t_list)"
    assert texts == [walk, walk, "entry.t_a", "toy_del(entry.t_list)"]


def test_an_error_in_local_code_stands_at_its_line() -> None:
    source = source_of("x = p.t_a\nx = n << (x - 2)  # here\nreturn x")
    world = World.of(load(source))
    system, _ = world.system(("f", *world.nodes[:2], 1))
    with pytest.raises(ValueError, match="negative shift") as caught:
        system.step(0)
    assert source.splitlines()[caught.traceback[-1].lineno].endswith("# here")
