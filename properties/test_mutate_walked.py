# SPDX-License-Identifier: GPL-2.0-only
"""A mutant is equivalent only where closed spaces walk all that it changes."""

from __future__ import annotations

import ast
from functools import cache

import attrs
import pytest

from sgxmodel.machine.graph import KernelFunction
from sgxmodel.mutate.catalogue import Mutant, mutants_of
from sgxmodel.mutate.cover import Reach, is_small, order, reach, small, walked_by_all
from sgxmodel.mutate.fate import Fate
from sgxmodel.mutate.judge import Job, Limits, judge
from sgxmodel.mutate.operators.base import Suite
from sgxmodel.mutate.walked import PREFIX, changed, needed, walks, watched
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.exhaustive import machine_of
from sgxmodel.search.explore.explorer import Explorer

FIXED = revision("list_fixed")
BEFORE = """
a()
if b():
    c()
    if d():
        e()
    return
while f():
    g()
h()
"""
CHANGED = {
    "a statement": ("h()", "i()", "h()"),
    "one in a suite": ("e()", "pass", "e()"),
    "a test": ("if d():", "if not d():", "if d():\n    e()"),
    "a test with much in it": ("if b():", "if True:", "if b():\n    c()\n    if d():"),
    "a loop's body": ("g()", "break", "g()"),
    "what is put in is between two": ("h()", "i()\nh()", "while f():"),
    "what is put in first": ("a()", "i()\na()", "a()"),
}


def suite(text: str) -> Suite:
    return ast.parse(text).body


@pytest.mark.parametrize("name", CHANGED)
def test_the_innermost_statements_that_differ_are_found(name: str) -> None:
    old, new, first = CHANGED[name]
    found = changed(suite(BEFORE), suite(BEFORE.replace(old, new)))
    assert ast.unparse(found[0]).startswith(first)


def test_statements_that_change_places_are_all_found() -> None:
    swapped = suite(BEFORE)
    swapped[1], swapped[2] = swapped[2], swapped[1]
    assert [type(s) for s in changed(suite(BEFORE), swapped)] == [ast.If, ast.While]


def test_an_if_is_walked_in_and_past() -> None:
    """The reclaimer of x-fault-reclaim gets its backing; that of x-backing-fails may not."""
    line = next(
        stmt.lineno
        for stmt in ast.walk(source("__sgx_encl_get_backing").tree)
        if isinstance(stmt, ast.If)
    )
    in_, past = (
        {w[3] for w in walked(name) if w[1] == line + at and w[0].endswith("/backing.py")}
        for name, at in (("x-fault-reclaim", 1), ("x-fault-reclaim", 0))
    )
    assert in_ == set()
    assert past == {False, True}
    assert any(w[1] == line + 1 and w[0].endswith("/backing.py") for w in walked("x-backing-fails"))


def test_watching_changes_no_state() -> None:
    def states(target: Revision) -> int:
        machine = machine_of(build(target, SCENARIOS["x-signal"]))
        return Explorer(machine, reduction=False).run().states

    assert states(watched(FIXED)) == states(FIXED)


def test_only_what_a_watched_revision_says_is_a_walk() -> None:
    said = [PREFIX + "('a.py', 3, 4, True)", "a page was written out"]
    assert walks(said) == {("a.py", 3, 4, True)}


def source(name: str) -> KernelFunction:
    return FIXED.program.functions[name].source


def mutant_named(name: str) -> Mutant:
    fn = FIXED.program.functions[name.partition(":")[0]].source
    return next(m for m in mutants_of(fn) if m.id == name)


@cache
def walked(name: str) -> frozenset[tuple[str, int, int, bool]]:
    return walked_by_all(FIXED, SCENARIOS[name])[0]


# With some seeds a larger scenario killed each of these, with others a space that never
# comes to the path had closed, and it was called equivalent.
ONCE_BY_THE_SEED = {
    "__sgx_reclaim_pages:drop-path:ae3a0a": "x-backing-fails",
    "__sgx_encl_get_backing:drop-path:ece4f6": "x-backing-fails",
    "sgx_encl_get_backing_page:swap-statements:7196af": "x-backing-fails",
    "sgx_zap_enclave_ptes:widen-section:8ce71b": "x-exit-reclaim",
}


@pytest.mark.parametrize("name", ONCE_BY_THE_SEED)
def test_a_fate_by_closure_is_the_same_with_every_seed(name: str) -> None:
    mutant = mutant_named(name)
    names = ("x-fault-reclaim", ONCE_BY_THE_SEED[name])
    scenarios = tuple((SCENARIOS[n], ()) for n in names)
    wanted = needed(mutant.fn, mutant.tree())
    reaches = [Reach(n, frozenset(), 0, (), walked(n), core=True) for n in names]
    assert small(reaches[:1], wanted)[1].startswith(("to line", "past the if"))
    there, missing = small(reaches, wanted)
    changes = ((mutant.function, mutant.tree()),)
    job = Job(name, "list_fixed", changes, scenarios, Limits(), there, missing)
    for seed in range(3):
        limits = Limits(schedules=1, seed=seed)
        assert judge(attrs.evolve(job, limits=limits)).fate is Fate.KILLED


def test_a_space_that_does_not_come_there_says_nothing() -> None:
    mutant = mutant_named("__sgx_encl_get_backing:drop-path:ece4f6")
    one = SCENARIOS["x-fault-reclaim"]
    reaches = [Reach(one.name, frozenset(), 0, (), walked(one.name), core=True)]
    there, missing = small(reaches, needed(mutant.fn, mutant.tree()))
    changes = ((mutant.function, mutant.tree()),)
    job = Job("x", "list_fixed", changes, ((one, ()),), Limits(schedules=2), there, missing)
    verdict = judge(job)
    assert verdict.fate is Fate.SURVIVED
    assert verdict.why == f"no small scenario comes {missing}"
    assert judge(attrs.evolve(job, missing="")).fate is Fate.EQUIVALENT


def test_a_function_without_operations_is_reached_where_its_callers_are() -> None:
    """By a small scenario's walks, too, but that must not hide the large ones."""
    names = ("x-eaug-fails", "eaug-va-nomem")
    reaches = [reach(FIXED, SCENARIOS[n]) for n in names]
    fn, caller = source("sgx_eaug_grow_failed"), source("sgx_encl_eaug_page")
    assert set(order(reaches, fn, fn.lineno + 2, [caller])) == set(names)


def test_others_than_the_core_count_where_it_does_not_come_cheap_ones_first() -> None:
    def made(name: str, *lines: int, states: int = 0) -> Reach:
        walked = frozenset(("a.py", line, 0, False) for line in lines)
        return Reach(name, frozenset(), 0, (), walked, states, core=not states)

    reaches = [
        made("core", 1, 2),
        made("away", 9),
        made("dear", 3, 4, states=900),
        made("cheap", 2, 3, states=100),
        made("no more", 3, states=200),
    ]
    wanted = frozenset(("a.py", line, 0, False) for line in (1, 2, 3, 4, 5))
    assert small(reaches, wanted) == (("core", "cheap", "dear"), "to line 5")


def test_a_change_of_nothing_is_walked_by_nobody() -> None:
    assert small([], frozenset()) == ((), "to what changes")


def test_small_scenarios_are_named_so() -> None:
    names = {s.name for s in SCENARIOS.values() if is_small(s)}
    assert {s.name for s in SCENARIOS.values() if s.small} <= names
