# SPDX-License-Identifier: GPL-2.0-only
"""What a reader finds in the interleaving of a tree: the operations that decide, and where."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import attrs
import pytest

from properties.tree.trees import edited, runner, searched
from sgxmodel.report.text import violation
from sgxmodel.trace.events import Trace
from sgxmodel.trace.text import format, parse
from sgxmodel.tree.api import RawFinding
from sgxmodel.tree.minimise import Met, minimise, telling
from sgxmodel.tree.record import record
from sgxmodel.tree.runs import Key

R1 = ("6-references", "sgx_reclaim_pages")
K2 = ("16-benign-race", "sgx_encl_eaug_page")
LEAK = ("20-end", "sgx_open")
UNLISTED = ("1-one-list", "sgx_mark_page_reclaimable")


@cache
def trace_of(tree: Path, scenario: str, key: Key, runs: int = 2000) -> Trace:
    """The trace that a check would write."""
    search = searched(tree, scenario, runs)
    best: dict[Key, object] = dict(search.best)
    assert key in best, sorted(best)
    met: Met = {}
    small = minimise(search.runner, key, search.best[key], None, met)
    return record(search.runner, telling(search.runner, key, small, met), "tree")


def lines(text: str) -> list[str]:
    """Without columns, places and how long lines are broken."""
    return [" ".join(line.split()) for line in text.split("\n")]


def said(trace: Trace, task: str = "") -> list[str]:
    """Operations of a task, with results and changes."""
    return [
        " ".join(filter(None, (s.text, s.result and f"= {s.result}", *s.changes)))
        for s in trace.steps
        if task in ("", s.task)
    ]


def in_order(wanted: list[str], steps: list[str]) -> None:
    """Each is a part of a step, one after the other."""
    at = 0
    for text in wanted:
        while at < len(steps) and text not in steps[at]:
            at += 1
        assert at < len(steps), (text, steps)


def test_a_freed_page(tree: Path) -> None:
    """R1: the list, the flag, the reference, the free and the use after it, in this order."""
    trace = trace_of(tree, "remove-reclaim", R1, 4000)
    in_order(
        [
            "list_del_init(EPC page 2) head of sgx_active_page_list -> no list",
            "kref_get_unless_zero(encl#1) = true encl#1.refcount: 2 -> 3",
        ],
        said(trace, "R"),
    )
    in_order(
        [
            "xa_load(encl#1.page_array, page 0) = encl_page#1",
            "xa_erase(encl#1.page_array, page 0) = encl_page#1",
            "kfree(encl_page#1)",
        ],
        said(trace, "T1"),
    )
    assert trace.steps[-1].text == "read encl_page#1.encl"
    assert trace.steps[-1].result == "freed memory"
    text = violation(trace, "")
    assert re.search(r"^\* kfree\(encl_page#1\) +ioctl\.c:\d+$", text, re.MULTILINE)
    assert re.search(r"^ +\* read encl_page#1\.encl", text, re.MULTILINE)


def test_each_step_of_the_driver_has_its_line(tree: Path) -> None:
    for trace in (trace_of(tree, "remove-reclaim", R1, 4000), trace_of(tree, "eaug-eaug", K2)):
        for step in trace.steps:
            driver = not step.function.startswith("user_") and step.function != step.task
            assert not driver or step.lineno, step
        text = violation(trace, "")
        assert text.count("Files: arch/x86/kernel/cpu/sgx.") == 1
        assert re.search(r" (main|encl|ioctl)\.c:\d+$", text, re.MULTILINE)


def test_a_trace_is_read_back_as_it_was(tree: Path) -> None:
    trace = trace_of(tree, "remove-reclaim", R1, 4000)
    assert parse(format(trace)) == trace


def test_two_faults_on_one_page(tree: Path) -> None:
    """K2: both look, both find nothing, one insertion fails."""
    trace = trace_of(tree, "eaug-eaug", K2)
    steps = [s for s in said(trace) if s.startswith("xa_")]
    in_order(
        [
            "xa_load(encl#1.page_array, page 1) = NULL",
            "xa_load(encl#1.page_array, page 1) = NULL",
            "xa_insert(encl#1.page_array, page 1, encl_page#2) = 0",
            "xa_insert(encl#1.page_array, page 1, encl_page#3) = -EBUSY",
        ],
        steps,
    )
    shown = violation(trace, "")
    assert "-EBUSY" in shown
    assert shown.count("= NULL") >= 2


PUT = "\tkref_put(&encl->refcount, sgx_encl_release);\n\treturn 0;\n}\n\nstatic int sgx_mmap"
LEAKS = {
    "the file's": ("driver.c", PUT, PUT.partition("\n")[2], "exit-close",
                   "kref_init() in sgx_open(), driver.c:"),
    "the mm's": ("encl.c", "\tkref_put(&encl_mm->encl->refcount, sgx_encl_release);\n\n\tkfree(encl_mm);",  # noqa: E501
                 "\tkfree(encl_mm);", "exit-close", "kref_get() in sgx_encl_mm_add(), encl.c:"),
    "the reclaimer's": ("main.c", "\t\tkref_put(&encl_page->encl->refcount, sgx_encl_release);\n\n\t\tchunk[i] = NULL;",  # noqa: E501
                        "\t\tchunk[i] = NULL;", "fault-reclaim",
                        "kref_get_unless_zero() in sgx_reclaim_pages(), main.c:"),
}  # fmt: skip


@pytest.mark.parametrize("whose", LEAKS)
def test_a_leak_says_which_get_has_no_put(tree: Path, tmp_path: Path, whose: str) -> None:
    file, old, new, scenario, get = LEAKS[whose]
    trace = trace_of(edited(tree, tmp_path, [(file, old, new)]), scenario, LEAK, 4000)
    held = trace.message.partition("Who holds it:\n")[2].split("\n")
    missing = [line for line in held if line.endswith("no put")]
    assert [line.startswith(f"- {get}") for line in missing] == [True] * len(missing) != []


def test_the_set_up_shows_what_it_did(tree: Path, tmp_path: Path) -> None:
    """The page was put on no list before the run began."""
    old = "\tlist_add_tail(&page->list, &sgx_active_page_list);\n"
    trace = trace_of(edited(tree, tmp_path, [("main.c", old, "")]), "fault-reclaim", UNLISTED)
    before = [s for s in trace.steps if s.task == "setup"]
    steps = said(trace, "setup")
    in_order(
        [
            "list_del_init(EPC page 2) head of sgx_numa_nodes[0].free_page_list -> no list",
            "EPC page 2.flags: IS_FREE -> 0",
            "EADD(EPC page 2) = 0",
            "EPC page 2.flags: 0 -> RECLAIMER_TRACKED",
        ],
        steps,
    )
    assert not any("list_add" in step for step in steps)
    assert before[-1].function == "sgx_mark_page_reclaimable"
    assert "In the set-up, before that:" in violation(trace, "")


def test_the_wrong_end_of_a_list(tree: Path, tmp_path: Path) -> None:
    tail = "\t\tlist_add_tail(&epc_page->list, &sgx_active_page_list);\n\t\tspin_unlock"
    edit = ("main.c", tail, tail.replace("list_add_tail", "list_add"))
    key = ("14-progress", "sgx_reclaim_pages")
    steps = said(trace_of(edited(tree, tmp_path, [edit]), "young-head", key, 6000))
    moves = [s for s in steps if s.startswith("list_add(EPC page")]
    assert moves
    assert all(s.endswith("no list -> head") for s in moves)


def test_results_of_leaves_are_the_manual_s(tree: Path) -> None:
    steps = trace_of(tree, "remove-reclaim", R1, 4000).steps
    leaf = re.compile(r"E[A-Z]+\(")
    results = {s.result for s in steps if leaf.match(s.text)}
    assert results <= {"0", "#PF", "#GP"} | {r for r in results if r.startswith("SGX_")}
    assert "#PF" in results


def test_no_function_is_a_question_mark(tree: Path) -> None:
    """Outside of the driver it is the call, the set-up, or the task."""
    made = runner(tree, "eaug-eaug")
    tasks, call = made.plan.tasks, made.plan.config.setup

    def blamed(task: str, call: int) -> str:
        raw = RawFinding(id=b"17-lock-order", task=tasks.index(task), call=call)
        return made.violation(raw).function

    assert blamed("T1", call) == "user_accept"
    assert blamed("setup", -1) == "the set-up"
    assert blamed("kworker", -1) == "kworker"
    assert blamed("T1", len(made.plan.texts)) == "T1"


def test_a_run_in_which_the_blamed_function_runs_is_preferred(tree: Path) -> None:
    search = searched(tree, "eaug-eaug", 2000)
    met: Met = {}
    small = minimise(search.runner, K2, search.best[K2], None, met)
    early = attrs.evolve(small, steps=1)  # as if it were found before the function runs
    assert telling(search.runner, K2, small, met) == small
    assert telling(search.runner, K2, early, {small.schedule: small}) == small
    assert telling(search.runner, ("20-end", "sgx_open"), small, met) == small  # it never runs
