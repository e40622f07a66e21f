# SPDX-License-Identifier: GPL-2.0-only
"""Reports that were wrong, drawn by chance: the harness was mended, they stay away."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.trees import any_tree, edited, engine_of, runner
from sgxmodel.scenario.text import parse
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.check import check_scenario
from sgxmodel.tree.runs import Key
from sgxmodel.tree.steps import events

NOT_IN_ORDER = """
scenario not-in-order
epc 3
low 3
high 4
va-slots 2
ksgxd
enclave A 4
setup open A; create A
task T1: add A 1; add A 2 tcs; create A
task T2: init A; remove A 2; create A
"""
"""A call in a given order of calls called cond_resched(), and another one came in between."""

OTHER_CALL = """
scenario other-call
epc 6
scan 1
enclave A 1
enclave B 2
fail ecreate 2
fail emodt 2
setup open A; create A; add A 0 tcs; open B; create B; add B 0
task T1: poison-at B 1; accept B 1; poison-at B 0
task T2: init B; accept B 1
task T3: init A; remove B 1
"""
"""The smaller run blamed another call, about which no order had been asked."""

TWO_FILES = """
scenario two-files
epc 4
vepc V 1
vepc W 1
setup vepc-open V; vepc-open W; guest-ecreate V 0
task T1: guest-eadd W 0 V 0
task T2: vepc-close V; vepc-close W
"""
"""The second file that a call gave up was released by a kworker: task work was one file."""

LEAKED = """
scenario leaked
epc 2 4
scan 1
low 3
high 5
va-slots 2
enclave A 2
fail eremove 1
setup open A; create A; add A 0; init A; reclaim; reclaim; modify A 0 trim; accept A 0
task T1 on 1: remove A 0
task T2 on 1: touch A 0
task T3 on 1: remove A 0
"""
"""A page whose EREMOVE was made to fail stays a child of the SECS: EWB of that fails, too."""

HALF_SANITISED = """
scenario half-sanitised
epc 6 2
high 3
va-slots 2
boot secs reg
ksgxd
enclave A 2
task T1 on 1: open A; create A; init A; accept A 0; accept A 1; modify A 0 tcs
task T2 on 1: remove A 1; accept A 1
"""
"""How many pages ksgxd has made free by then no order of whole calls says."""

CLOSED_GUEST = """
scenario closed-guest
epc 0 1 0
scan 1
high 1
ksgxd
vepc V 2
setup vepc-open V
task T2 on 1: reclaim; guest-ecreate V 0
task T3 on 1: vepc-close V
"""
"""The host closes the guest's EPC between its fault and its leaf."""

ALARMS: dict[str, tuple[str, tuple[Key, ...]]] = {
    "not-in-order": (NOT_IN_ORDER, (("16-benign-race", "sgx_ioctl"),)),
    "other-call": (OTHER_CALL, (("16-benign-race", "sgx_ioctl"),)),
    "closed-guest": (CLOSED_GUEST, (("16-benign-race", "sgx_ioctl"),)),
    "half-sanitised": (HALF_SANITISED, (("16-benign-race", "sgx_ioctl"),)),
    "leaked": (LEAKED, (("12-va-slots", "sgx_encl_ewb"), ("9-child-count", "sgx_encl_ewb"))),
}


@pytest.mark.parametrize("name", ALARMS)
def test_stays_away(tree: Path, name: str) -> None:
    text, keys = ALARMS[name]
    result, _ = check_scenario(engine_of(tree), parse(text), runs=12_000, traces=False)
    assert not {f.violation.key for f in result.findings} & set(keys)


def test_a_callback_of_a_page_table_is_one_step(tree: Path) -> None:
    """apply_to_page_range() holds the page table's lock: PTEs are no data race."""
    made = runner(tree, "build-full")
    for step in range(1, 200):
        for found in made.replay(Schedule(((step, 1),)), True):
            assert "young" not in found.violation.function


def test_bytes_that_end_lines_do_not_break_a_trace(tmp_path: Path) -> None:
    """A mutant's node number ran wild: the name of its lock was any bytes."""
    create = "ret = sgx_encl_create(encl, secs);"
    odd = ("ioctl.c", create, 'pr_err("odd \\x1e\\x0b name"); ' + create)
    tree = edited(any_tree(), tmp_path, [odd])
    made = runner(tree, "scenario odd\nepc 8\nenclave A 1\ntask T: open A; create A\n")
    said = [e.text for e in events(made.trace(Schedule(), False))]
    assert [t for t in said if "odd" in t] == ["printk: sgx: odd ?? name"]


def test_a_task_releases_all_files_that_its_call_gave_up(tree: Path) -> None:
    it = runner(tree, TWO_FILES)
    gone, released = "fput() :: the last reference on the file is gone", "kfree(sgx_vepc"
    both = 0
    for seed in range(60):
        lines = events(it.walked(seed, 16000))
        last = [it.plan.tasks[e.task] for e in lines if e.text == gone]
        by = [it.plan.tasks[e.task] for e in lines if e.text.startswith(released)]
        assert sorted(last) == sorted(by)
        both += last == ["T1", "T1"]
    assert both
