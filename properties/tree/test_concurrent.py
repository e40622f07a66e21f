# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's tasks did, the model's can do; what only overlap shows is told apart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from properties.tree.trees import any_tree, edited, engine_of
from sgxmodel.driver.structs import VM_FAULT_NOPAGE
from sgxmodel.machine.notation import part_of
from sgxmodel.machine.system import Call, Silent
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.plan import plan
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.steps import events
from sgxmodel.twoway.compare import Pair
from sgxmodel.twoway.concurrent import UNDECIDED, Apart, RefusedError, Seen, Threads
from sgxmodel.twoway.model import settle
from sgxmodel.twoway.moves import FINE, of_model, of_tree
from sgxmodel.twoway.programs import concurrent, program


def compared(
    scenario: Scenario, tree: Path, model: Revision | None = None, runs: int = 16, **how: int
) -> tuple[Seen, Apart | None]:
    seen = Seen()
    threads = Threads(model or revision("mainline"), engine_of(tree), **how)
    return seen, threads.compare(scenario, seen, runs)


@pytest.mark.parametrize("first", [0, 30])
def test_what_the_tree_did_the_model_can_do(tree: Path, first: int) -> None:
    seen = Seen()
    threads = Threads(revision("mainline"), engine_of(tree), 5_000)
    for seed in range(first, first + 5):
        with suppress(RefusedError):
            assert threads.compare(concurrent(seed), seen, 2) is None, seed
    assert seen.decided() >= seen.runs - 1 > 6
    assert seen.raced


TOUCHES = """
scenario touches
epc 6
enclave A 1
setup open A; create A; init A
task T1: touch A 0
task T2: touch A 0
"""


@part_of("sgx_encl_eaug_page")
def try_again(ret: int) -> str:
    return VM_FAULT_NOPAGE


def test_a_model_without_k2_is_told_apart(tree: Path) -> None:
    """The loser's SIGBUS is a retry in this model: no call alone shows it."""
    model = revision("mainline").with_functions("no-k2", {"sgx_eaug_insert_failed": try_again})
    pair = Pair(model, engine_of(tree))
    assert all(pair.compare(program(seed)) is None for seed in range(10))
    assert compared(parse(TOUCHES), tree)[1] is None
    seen, found = compared(parse(TOUCHES), tree, model)
    assert found is not None
    assert sorted(r for rs in found.ran.outcome.results.values() for r in rs) == [
        "SIGBUS",
        "SIGSEGV",
    ]
    assert not seen.answers[UNDECIDED]


def test_a_search_that_is_cut_short_is_no_agreement_and_no_difference() -> None:
    model = revision("mainline").with_functions("no-k2", {"sgx_eaug_insert_failed": try_again})
    seen, found = compared(parse(TOUCHES), any_tree(), model, states=10)
    assert found is None
    assert seen.answers[UNDECIDED] == len(seen.undecided) > 0
    assert seen.decided() < seen.runs


IOCTLS = """
scenario ioctls
epc 8
enclave A 2
setup open A; create A
task T1: add A 0 reg
task T2: add A 1 reg
"""
EDITS = {
    "a result": (
        IOCTLS, "ioctl.c",
        "if (test_and_set_bit(SGX_ENCL_IOCTL, &encl->flags))\n\t\treturn -EBUSY;",
        "if (test_and_set_bit(SGX_ENCL_IOCTL, &encl->flags))\n\t\treturn -EACCES;", "",
    ),
    "a page that is leaked": (
        TOUCHES, "encl.c", "err_out_epc:\n\tsgx_encl_free_epc_page(epc_page);", "err_out_epc:",
        "free0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_that_only_overlap_shows(tmp_path: Path, edit: str) -> None:
    text, name, old, new, part = EDITS[edit]
    tree = edited(any_tree(), tmp_path, [(name, old, new)])
    pair = Pair(revision("mainline"), engine_of(tree))
    assert all(pair.compare(program(seed)) is None for seed in range(10))
    _, found = compared(parse(text), tree)
    assert found is not None
    assert not part or part in {key for key, _, _ in found.parts}


def test_calls_are_left_out_while_the_two_differ(tmp_path: Path) -> None:
    text, name, old, new, _ = EDITS["a result"]
    tree = edited(any_tree(), tmp_path, [(name, old, new)])
    longer = text.replace("T1: add A 0 reg", "T1: reclaim; add A 0 reg; reclaim")
    threads = Threads(revision("mainline"), engine_of(tree))
    found = threads.compare(parse(longer), Seen(), 24)
    assert found is not None
    small, found = threads.smaller(parse(longer), found)
    assert [len(task.calls) for task in small.tasks] == [1, 1]


KEPT = {
    "a signal that comes before the call": """
scenario signalled
epc 12
enclave B 4
task T1: signal T2; modify B 2 trim
task T2: open B; create B
""",
    "a guest's leaf on an EPC that the host unmapped": """
scenario unmapped
epc 5
vepc V 1
setup vepc-open V
task T1: guest-ecreate V 0
task T2: vepc-close V
""",
    "a thread that faults when its process has ended": """
scenario killed
epc 7
scan 3
enclave A 1
setup open A; create A; add A 0 tcs; init A
task T1: exit A
task T2: reclaim; reclaim
task T3: touch A 0
""",
    "ksgxd is awake when the calls begin": """
scenario awake
epc 5
low 2
high 5
ksgxd
enclave A 1
setup open A; create A; add A 0 reg; init A
task T1: touch A 0
task T2: reclaim
""",
    "leaves of a guest, which do not fail on request": """
scenario guest
epc 8
enclave A 1
vepc V 2
fail ecreate 1
fail eadd 1
fail einit 1
setup vepc-open V; open A
task T1: guest-ecreate V 0; guest-eadd V 1 V 0; guest-einit V 0
task T2: create A
""",
    "failures on request": """
scenario failing
epc 6
enclave A 1
fail encl-page 1
fail eaug 1
setup open A; create A; init A
task T1: touch A 0
task T2: accept A 0
""",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_was_different_once(tree: Path, name: str) -> None:
    seen, found = compared(parse(KEPT[name]), tree, runs=16)
    assert found is None, found
    assert seen.decided() == seen.runs > 3


class _Returns(Silent):
    def __init__(self) -> None:
        self.count = 0

    def returned(self, t: int, call: Call, value: Any) -> None:
        self.count += t == 0

    def fault(self, t: int, site: Any, fault: Any) -> None:
        pass


@pytest.mark.parametrize("seed", range(0, 6))
def test_a_call_alone_makes_the_same_moves_on_both(tree: Path, seed: int) -> None:
    """Else the guide would lead astray.  An exit leaves the rest to a worker."""
    scenario = program(seed)
    engine = engine_of(tree)
    runner = Runner(engine, plan(scenario))
    lines = [e for e in events(runner.observed(Schedule())) if not e.text.startswith("state ")]
    theirs = [what for task, what in of_tree(runner.plan, lines) if task == "T"]
    watch = _Returns()
    system = build(revision("mainline"), scenario).system(watch)
    system.start()
    mine: list[str] = []
    while not system.done(0) and len(mine) < len(theirs):
        if not system.enabled(0) and not settle(system):
            break
        if system.enabled(0):
            made, before = of_model(system, 0), watch.count
            mine += [made] if made else []
            system.step(0)
            mine += ["returns"] * (watch.count - before)
    assert mine == theirs[: len(mine)]
    assert len(mine) > 40
    assert set(mine) <= FINE
