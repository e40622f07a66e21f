# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong in unmodified kernels (6.1, 6.12), each with its code path in findings.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.trees import edited, kinds, runner, searched
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.minimise import minimise
from sgxmodel.tree.record import record, schedule_of

EVICTED_THEN_REMOVED = """
scenario evicted-then-removed
epc 6
scan 1
enclave A 2
setup open A; create A; add A 0; add A 1; init A; modify A 0 trim; accept A 0; reclaim; touch A 1
task T1: remove A 0; remove A 0; remove A 0
task R: reclaim; reclaim
"""


def test_k2_two_faults_on_one_absent_page(tree: Path) -> None:
    assert ("16-benign-race", "sgx_encl_eaug_page") in kinds(tree, "eaug-eaug", 500)


def test_m3_poisoned_pages_are_counted_as_free(tree: Path) -> None:
    found = runner(tree, "poison-stall").replay(Schedule())
    assert ("14-progress", "sgx_vma_fault") in {f.violation.key for f in found}
    found = runner(tree, "poison-close").replay(Schedule())
    assert ("11-free-count", "sgx_free_epc_page") in {f.violation.key for f in found}


@pytest.mark.parametrize("name", ["remove-reclaim", EVICTED_THEN_REMOVED])
def test_reclaimer_uses_a_removed_encl_page(tree: Path, name: str) -> None:
    found = searched(tree, name, 20_000).best
    violation = found["6-references", "sgx_reclaim_pages"].violation
    assert "use after free" in violation.title
    assert "sgx_encl_remove_pages()" in violation.message


def test_both_places_of_the_use_after_free(tree: Path) -> None:
    """The skip of a young page, and the end of the pass: two lines of sgx_reclaim_pages()."""
    lines = set()
    for seed in range(8):
        for name in ("remove-reclaim", EVICTED_THEN_REMOVED):
            best = searched(tree, name, 3000, seed).best
            if found := best.get(("6-references", "sgx_reclaim_pages")):
                lines.add(found.violation.message.rpartition(":")[2])
    assert len(lines) >= 2


def test_a_page_is_touched_while_it_is_removed(tree: Path) -> None:
    found = kinds(tree, "remove-touch", 4000)
    assert found == {("13-mappings", "sgx_vma_fault"), ("16-benign-race", "sgx_vma_fault")}


def test_flags_of_epc_pages_race(tree: Path) -> None:
    found = kinds(tree, "poison-reclaim", 3000)
    assert ("18-data-race", "sgx_reclaim_pages") in found
    assert ("18-plain-read", "arch_memory_failure") in found


def test_no_memory_while_a_reclaimer_holds_the_only_pages(tree: Path) -> None:
    assert ("16-benign-race", "sgx_alloc_epc_page") in kinds(tree, "exhausted", 2000)


PROCESSES = [
    ("mmap-fails", ("20-end", "sgx_open")),
    ("fork-fails-run", ("13-mappings", "sgx_vma_open")),
    ("fork-fails-run", ("19-tracking", "sgx_encl_ewb")),
    ("fork-fails-run", ("10-epcm", "sgx_free_epc_page")),
    ("fork-signal", ("6-references", "sgx_encl_may_map")),
    ("exit-close", ("17-lock-order", "sgx_encl_release")),
    ("fork-reclaim", ("18-plain-read", "sgx_zap_enclave_ptes")),
    ("eextend-fails", ("9-child-count", "sgx_encl_ewb")),
    ("x-vepc-close", ("20-end", "sgx_vepc_release")),
    ("vepc-zombies", ("20-end", "sgx_vepc_release")),
    ("boot-sanitize", ("20-end", "ksgxd")),
    ("boot-sanitize", ("20-end", "__sgx_sanitize_pages")),
    ("boot-sanitize", ("18-plain-read", "__sgx_sanitize_pages")),
    ("peek-mmap", ("14-progress", "sgx_encl_reserve_page")),
]


@pytest.mark.parametrize(("name", "key"), PROCESSES)
def test_processes_that_come_and_go(tree: Path, name: str, key: tuple[str, str]) -> None:
    """N1 to N5, E1, V1, S1 and P1, on the driver."""
    assert key in kinds(tree, name, 4000)


FIXES = {
    "exit-close": [
        ("encl.c", "\tkref_put(&encl_mm->encl->refcount, sgx_encl_release);\n\n\tkfree(encl_mm);",
         "\tkfree(encl_mm);"),
        ("encl.c", "\t\tmmu_notifier_put(mn);",
         "\t\tstruct sgx_encl *encl = encl_mm->encl;\n\n"
         "\t\tmmu_notifier_put(mn);\n\t\tkref_put(&encl->refcount, sgx_encl_release);"),
    ],
    "fork-signal": [
        ("encl.c", "\treturn sgx_encl_may_map(vma->vm_private_data, start, end, newflags);",
         "\treturn vma->vm_private_data ?\n"
         "\t\tsgx_encl_may_map(vma->vm_private_data, start, end, newflags) : -EFAULT;"),
    ],
    "x-vepc-close": [
        ("virt.c", "\tmutex_lock(&zombie_secs_pages_lock);\n\tlist_for",
         "\tmutex_lock(&zombie_secs_pages_lock);\n"
         "\tlist_splice_init(&secs_pages, &zombie_secs_pages);\n\tlist_for"),
    ],
    "boot-sanitize": [
        ("main.c", "\t\tif (page->poison) {", "\t\tif (0) {"),
    ],
    "peek-mmap": [
        ("encl.c", "\t\tif (PTR_ERR(entry) != -EBUSY)\n\t\t\tbreak;\n", "\t\tbreak;\n"),
    ],
    "mmap-fails": [
        ("encl.c", "\tif (ret) {\n\t\tkfree(encl_mm);\n",
         "\tif (ret) {\n\t\tkref_put(&encl->refcount, sgx_encl_release);\n\t\tkfree(encl_mm);\n"),
    ],
    "fork-fails-run": [
        ("encl.c", "\t\tvma->vm_private_data = NULL;\n",
         "\t{\n\t\tvma->vm_private_data = NULL;\n"
         "\t\tvm_flags_set(vma, VM_WIPEONFORK);\n\t}\n"),
    ],
    "fork-reclaim": [
        ("encl.c", "encl->mm_list_version++;",
         "WRITE_ONCE(encl->mm_list_version, encl->mm_list_version + 1);"),
        ("encl.c", "mm_list_version = encl->mm_list_version;",
         "mm_list_version = READ_ONCE(encl->mm_list_version);"),
        ("encl.c", "unlikely(encl->mm_list_version != mm_list_version)",
         "unlikely(READ_ONCE(encl->mm_list_version) != mm_list_version)"),
    ],
    "eextend-fails": [
        ("ioctl.c", "__sgx_encl_extend(encl, epc_page);\n\t\tif (ret)\n\t\t\tgoto err_out;",
         "__sgx_encl_extend(encl, epc_page);\n\t\tif (ret) {\n\t\t\tencl->secs_child_cnt--;\n"
         "\t\t\tgoto err_out;\n\t\t}"),
    ],
}  # fmt: skip
"""The fixes of findings.md, by the scenario that finds what they mend."""


@pytest.mark.parametrize("name", FIXES)
def test_fixes_of_processes_that_come_and_go(tree: Path, name: str, tmp_path: Path) -> None:
    fixed = kinds(edited(tree, tmp_path, FIXES[name]), name, 4000)
    assert not fixed & {key for scenario, key in PROCESSES if scenario == name}


@pytest.mark.parametrize("name", ["exit-fault", "exit-reclaim"])
def test_the_last_reference_in_a_callback_and_nothing_else(tree: Path, name: str) -> None:
    assert kinds(tree, name, 4000) <= {("17-lock-order", "sgx_encl_release")}


@pytest.mark.parametrize(
    "name",
    ["fork-ipi", "fork-young", "munmap-close", "munmap-reclaim",
     "mprotect-reclaim", "debug-reclaim", "debug-refused", "restrict-run", "restrict-refused",
     "user-copy-build", "range-errors", "modify-range", "signal-add", "vepc-zombie",
     "vepc-zombie-stays"],
)  # fmt: skip
def test_nothing_with_processes_ranges_and_debuggers(tree: Path, name: str) -> None:
    assert kinds(tree, name, 4000) == set()


@pytest.mark.parametrize(
    "name",
    ["fault-reclaim", "fault-reclaim-close", "open-close", "two-reclaimers", "full-va",
     "retype-reclaim", "young-rotation", "eaug-eaug-reclaim", "init-reclaim", "backing-fails",
     "closed-file", "eremove-fails", "ipi", "sgx1"],
)  # fmt: skip
def test_nothing_else(tree: Path, name: str) -> None:
    assert kinds(tree, name, 3000) == set()


BAD_PAGES_AT_BOOT = {
    ("11-free-count", "sgx_free_epc_page"),
    ("18-plain-read", "__sgx_sanitize_pages"),
    ("20-end", "ksgxd"),
}


@pytest.mark.parametrize("name", ["boot-fails", "boot-stop", "boot-poison", "stop-waiting"])
def test_nothing_but_bad_pages_at_boot(tree: Path, name: str) -> None:
    """A task that has called cond_resched() once waited until no other one could go on."""
    found = kinds(tree, name, 4000)
    assert ("18-plain-read", "__sgx_sanitize_pages") in found
    assert found <= BAD_PAGES_AT_BOOT


def test_ksgxd_may_hold_the_only_page(tree: Path) -> None:
    """While it reclaims it, or while it still sanitises it."""
    assert kinds(tree, "boot-clean", 4000) <= {("16-benign-race", "sgx_alloc_epc_page")}
    assert kinds(tree, "create-fails", 15_000) == {("15-errno", "sgx_alloc_epc_page")}


def test_a_trace_names_source_and_leads_back(tree: Path) -> None:
    search = searched(tree, "eaug-eaug", 500)
    key = ("16-benign-race", "sgx_encl_eaug_page")
    small = minimise(search.runner, key, search.best[key])
    assert small.preemptions == 1
    trace = record(search.runner, small, "tree")
    assert any(s.function == "sgx_encl_eaug_page" and s.lineno for s in trace.steps)
    assert any(s.text.startswith("xa_insert(") and s.result == "-EBUSY" for s in trace.steps)
    found = search.runner.replay(schedule_of(search.runner, trace), trace.memory)
    assert key in {f.violation.key for f in found}


REMEMBERED = [
    ("main.c", "\tpgoff_t page_index;\n\tint cnt", "\tstruct sgx_encl *encl;\n\tpgoff_t page_index;\n\tint cnt"),  # noqa: E501
    ("main.c", "encl_page = epc_page->owner;\n\n\t\tif (!sgx_reclaimer_age",
     "encl_page = epc_page->owner;\n\t\tencl = encl_page->encl;\n\n\t\tif (!sgx_reclaimer_age"),
    ("main.c", "encl_page = epc_page->owner;\n\t\tsgx_reclaimer_write",
     "encl_page = epc_page->owner;\n\t\tencl = encl_page->encl;\n\t\tsgx_reclaimer_write"),
    ("main.c", "kref_put(&encl_page->encl->refcount", "kref_put(&encl->refcount"),
]  # fmt: skip
"""The enclave is remembered before the page is given up: the fix that findings.md gives."""


@pytest.mark.parametrize("name", ["remove-reclaim", EVICTED_THEN_REMOVED])
def test_the_fix_of_the_use_after_free(tree: Path, name: str, tmp_path: Path) -> None:
    assert kinds(edited(tree, tmp_path, REMEMBERED), name, 20_000) == set()
