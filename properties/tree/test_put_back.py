# SPDX-License-Identifier: GPL-2.0-only
"""Faults that the kernel had, put back into a copy by small edits: each is found."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest

from properties.tree.trees import edited, engine_of, first_seen, kinds, runner, searched
from sgxmodel.errors import TreeError
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.source import find

HAND_MADE_FREE = """{
	struct sgx_numa_node *node = sgx_epc_sections[epc_page->section].node;

	spin_lock(&node->lock);
	list_add_tail(&epc_page->list, &node->free_page_list);
	spin_unlock(&node->lock);
	atomic_long_inc(&sgx_nr_free_pages);
	}"""

FAULTS = {
    "U1": [("encl.c", "pcmd_page_empty && !reclaimer_writing_to_pcmd(encl, pcmd_first_page)",
            "pcmd_page_empty")],
    "U6": [("main.c", "atomic_long_dec(&sgx_nr_free_pages)", "sgx_nr_free_pages.counter--"),
           ("main.c", "atomic_long_inc(&sgx_nr_free_pages)", "sgx_nr_free_pages.counter++")],
    "U16": [("encl.c", "if (PTR_ERR(va_page) == -EBUSY)", "if (0)")],
    "U17": [("main.c", "epc_page->flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED;\n\n\t\tsgx_free_epc_page(epc_page);",  # noqa: E501
             "epc_page->flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED;\n" + HAND_MADE_FREE)],
    "U25": [("encl.c", "if (WARN_ONCE(ret, EREMOVE_ERROR_MESSAGE, ret, ret))\n\t\treturn;", "")],
    "08999b2489b4": [("encl.c", "\tsgx_encl_truncate_backing_page(encl, page_index);\n", "")],
    "unmarked": [("ioctl.c", "\t\t\tsgx_mark_page_reclaimable(entry->epc_page);\n\t\t}", "\t\t}")],
    "uncounted": [("ioctl.c", "\t\tsgx_encl_shrink(encl, NULL);\n", "")],
    "secs-busy": [("encl.c", "_load_secs(encl);\n\tif (IS_ERR(epc_page)) {\n\t\tif (PTR_ERR(epc_page) == -EBUSY)",  # noqa: E501
                   "_load_secs(encl);\n\tif (IS_ERR(epc_page)) {\n\t\tif (0)")],
    "head": [("main.c", "\t\tlist_add_tail(&epc_page->list, &sgx_active_page_list);\n\t\tspin_unlock",  # noqa: E501
              "\t\tlist_add(&epc_page->list, &sgx_active_page_list);\n\t\tspin_unlock")],
    "0c9782e204d3": [("encl.c", "= set_active_memcg(encl_memcg);", "= NULL;"),
                     ("encl.c", "\tset_active_memcg(memcg);\n", "\t(void)memcg;\n")],
    "memcg-kept": [("encl.c", "\tmem_cgroup_put(encl_memcg);\n", "")],
    "memcg-left": [("encl.c", "\tset_active_memcg(memcg);\n", "\t(void)memcg;\n")],
    "memcg-early": [("encl.c", "\tint ret;\n\n\tret = __sgx_encl_get_backing(encl, page_index, backing);\n\n\tset_active",  # noqa: E501
                     "\tint ret;\n\n\tmem_cgroup_put(encl_memcg);\n\tret = __sgx_encl_get_backing(encl, page_index, backing);\n\n\tset_active"),  # noqa: E501
                    ("encl.c", "\tset_active_memcg(memcg);\n\tmem_cgroup_put(encl_memcg);\n",
                     "\tset_active_memcg(memcg);\n")],
    "srcu": [("encl.c", "\tcleanup_srcu_struct(&encl->srcu);\n", "")],
    "not-accepted": [("ioctl.c", "if (!encls_faulted(ret) || ENCLS_TRAPNR(ret) != X86_TRAP_PF)",
                      "if (0)")],
    "not-trimmed": [("ioctl.c", "if (entry->type != SGX_PAGE_TYPE_TRIM)", "if (0)")],
    "not-told": [("main.c", "\t\tforce_sig(SIGBUS);\n", "\t\t;\n")],
    "told-anyway": [("main.c", "if (flags & MF_ACTION_REQUIRED)", "if (1)")],
    "any-file": [("main.c", " != &sgx_provision_fops", " == &sgx_provision_fops && 0")],
    "not-allowed": [("main.c", "\t*allowed_attributes |= SGX_ATTR_PROVISIONKEY;\n", "")],
    "another-word": [("encl.c", "sgx_get_epc_virt_addr(page->epc_page) + offset",
                      "sgx_get_epc_virt_addr(page->epc_page) - offset")],
    "failed-leaf": [("ioctl.c", "\t\t\tmodp->result = ret;\n\t\t\tret = -EFAULT;\n\t\t\tgoto out_unlock;\n",  # noqa: E501
                     "\t\t\tmodp->result = ret;\n\t\t\tret = -EFAULT;\n")],
    "count-taken": [("ioctl.c", "\tif (params.count)\n\t\treturn -EINVAL;\n", "")],
    "not-made": [("ioctl.c", "\t\tret = PTR_ERR(backing);\n", "\t\tret = 0;\n")],
    "zombie-lost": [("virt.c", "\t\tlist_del(&epc_page->list);\n\n\t\tif (sgx_vepc_free_page(epc_page))\n\t\t\tlist_add_tail(&epc_page->list, &secs_pages);\n",  # noqa: E501
                     "\t\tlist_del(&epc_page->list);\n\n\t\tsgx_vepc_free_page(epc_page);\n")],
    "never-stops": [("main.c", "\t\t\t\t     kthread_should_stop() ||\n", "")],
    "last-byte": [("main.c", "phys_addr + size - 1,", "phys_addr + size - 2,")],
    "one-page-more": [("main.c", "phys_addr + size - 1,", "phys_addr + size,")],
    "index-kept": [("encl.c", "\txa_destroy(&encl->page_array);\n", "")],
    "source-unlocked": [("ioctl.c", "\tmmap_read_lock(current->mm);\n", ""),
                        ("ioctl.c", "\tmmap_read_unlock(current->mm);\n", "")],
    "mapped-by-none": [("virt.c", "err_delete:\n\txa_erase(&vepc->page_array, index);\n",
                        "err_delete:\n")],
    "mapping-left-locked": [("encl.c", "if (ret != VM_FAULT_NOPAGE) {\n\t\tmutex_unlock(&encl->lock);\n",  # noqa: E501
                             "if (ret != VM_FAULT_NOPAGE) {\n")],
    "listed-unlocked": [("encl.c", "\tspin_lock(&encl->mm_lock);\n\tlist_add_rcu(&encl_mm->list, &encl->mm_list);\n",  # noqa: E501
                         "\tlist_add_rcu(&encl_mm->list, &encl->mm_list);\n\tspin_lock(&encl->mm_lock);\n")],  # noqa: E501
}  # fmt: skip
WHERE = {
    "another-word": ("debug-reclaim", ("15-errno", "sgx_vma_access")),
    "failed-leaf": ("restrict-run", ("15-errno", "sgx_enclave_restrict_permissions")),
    "count-taken": ("refused", ("15-errno", "sgx_ioctl")),
    "not-made": ("create-fails", ("15-errno", "sgx_encl_create")),
    "zombie-lost": ("vepc-zombie-stays", ("20-end", "sgx_vepc_release")),
    "never-stops": ("stop-waiting", ("14-progress", "ksgxd")),
    "last-byte": ("init-one-node", ("15-errno", "arch_is_platform_page")),
    "one-page-more": ("init-one-node", ("15-errno", "arch_memory_failure")),
    "index-kept": ("closed-file", ("20-end", "sgx_encl_release")),
    "source-unlocked": ("init-reclaim", ("17-lock-order", "__sgx_encl_add_page")),
    "mapped-by-none": ("pte-fails", ("1-one-list", "sgx_free_epc_page")),
    "mapping-left-locked": ("pte-fails", ("17-lock-order", "sgx_vma_fault")),
    "listed-unlocked": ("fork-both", ("18-data-race", "sgx_encl_mm_add")),
    "any-file": ("provision", ("15-errno", "sgx_set_attribute")),
    "not-allowed": ("provision", ("15-errno", "sgx_set_attribute")),
    "not-told": ("exit-poison", ("15-errno", "arch_memory_failure")),
    "told-anyway": ("poison-reclaim", ("15-errno", "arch_memory_failure")),
    "head": ("young-head", ("14-progress", "sgx_reclaim_pages")),
    "unmarked": ("retype-reclaim", ("1-one-list", "sgx_mark_page_reclaimable")),
    "uncounted": ("remove-reclaim", ("12-va-slots", "sgx_encl_shrink")),
    "secs-busy": ("eaug-secs", ("15-errno", "sgx_encl_eaug_page")),
    "08999b2489b4": ("fault-reclaim", ("8-evicted", "__sgx_encl_eldu")),
    "U1": ("fault-reclaim", ("8-evicted", "__sgx_encl_eldu")),
    "U6": ("numa", ("11-free-count", "sgx_free_epc_page")),
    "U16": ("eaug-va", ("15-errno", "sgx_encl_eaug_page")),
    "U17": ("poison-reclaim", ("2-free-flags", "sgx_free_epc_page")),
    "U25": ("eremove-fails", ("10-epcm", "sgx_free_epc_page")),
    "0c9782e204d3": ("memcg-exit", ("20-end", "sgx_encl_get_backing_page")),
    "memcg-kept": ("memcg-exit", ("20-end", "sgx_encl_alloc_backing")),
    "memcg-left": ("memcg-exit", ("20-end", "sgx_encl_alloc_backing")),
    "memcg-early": ("memcg-exit", ("6-references", "sgx_encl_get_backing_page")),
    "srcu": ("fault-reclaim", ("20-end", "sgx_encl_release")),
    "not-accepted": ("remove-refused", ("8-evicted", "sgx_encl_free_epc_page")),
    "not-trimmed": ("remove-refused", ("8-evicted", "sgx_encl_free_epc_page")),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("put-back")


@pytest.mark.parametrize("fault", FAULTS)
def test_found(tree: Path, scratch: Path, fault: str) -> None:
    name, key = WHERE[fault]
    copy = edited(tree, scratch / tree.name / fault, FAULTS[fault])
    assert key not in kinds(tree, name, 3000)
    first = [first_seen(copy, name, key, 20_000, seed) for seed in range(10)]
    assert median(first) < 6000, first


STALE = {
    "the driver's": ("\t\t\tsgx_update_lepubkeyhash(mrsigner);\n", "ioctl.c", "-1",
                     "open A; create A; init A"),
    "KVM's": ("\t\tsgx_update_lepubkeyhash(lepubkeyhash);\n", "virt.c", "16",
              "vepc-open V; guest-ecreate V 0; guest-einit V 0"),
}  # fmt: skip


@pytest.mark.parametrize("whose", STALE)
def test_einit_with_the_launch_key_of_somebody_else(tree: Path, scratch: Path, whose: str) -> None:
    line, file, result, calls = STALE[whose]
    text = f"scenario einit\nepc 5\nenclave A 1\nvepc V 1\nsetup {calls}\ntask T: reclaim\n"
    assert not runner(tree, text).early
    copy = edited(tree, scratch / tree.name / file, [(file, line, "")])
    with pytest.raises(TreeError, match=f"gives {result}"):
        runner(copy, text)


CRASHES = {
    "NULL pointer": "*(volatile int *)0 = 1;",
    "wild pointer": "*(volatile int *)0x123456789000UL = 1;",
    "stack overflow": "sgx_reclaim_direct();",
    "a loop does not end": "while (!READ_ONCE(sgx_nr_epc_sections) == 0) ;",
    "a loop does not end ": 'for (;;) __asm__ volatile("");',
    "sleeping function": "spin_lock(&sgx_reclaimer_lock); kfree(kmalloc(8, GFP_KERNEL));"
    " spin_unlock(&sgx_reclaimer_lock);",
    "recursive locking": "spin_lock(&sgx_reclaimer_lock); spin_lock(&sgx_reclaimer_lock);",
    "double free": "{ void *p = kmalloc(8, GFP_KERNEL); kfree(p); kfree(p); }",
    "out of bounds": "{ char *p = kmalloc(8, GFP_KERNEL); WRITE_ONCE(p[9], 1); kfree(p); }",
    "was never freed": "kmalloc(8, GFP_KERNEL);",
    "kernel BUG": "BUG_ON(sgx_nr_epc_sections);",
}


@pytest.mark.parametrize("title", CRASHES)
def test_a_driver_may_do_anything(tree: Path, scratch: Path, title: str) -> None:
    """It is a finding, and the tool goes on."""
    place = "void sgx_reclaim_direct(void)\n{\n"
    name = title.replace(" ", "-")
    copy = edited(tree, scratch / tree.name / name, [("main.c", place, place + CRASHES[title])])
    text = "scenario direct\nepc 4\ntask T: direct\n"
    found = runner(copy, text).replay(Schedule())
    assert any(title.strip() in f.violation.title for f in found), [
        f.violation.title for f in found
    ]
    engine_of(copy)
    assert not runner(tree, text).replay(Schedule())


@pytest.mark.parametrize("title", ["a loop does not end ", "wild pointer"])
def test_on_another_thread_than_the_first(tree: Path, scratch: Path, title: str) -> None:
    """The clock's signal comes to any thread: it is handed on to the one that runs the driver."""
    place = "void sgx_reclaim_direct(void)\n{\n"
    name = f"thread-{title.strip().replace(' ', '-')}"
    copy = edited(tree, scratch / tree.name / name, [("main.c", place, place + CRASHES[title])])
    made = runner(copy, "scenario direct\nepc 4\ntask T: direct\n")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(made.replay, Schedule()).result()
    assert any(title.strip() in f.violation.title for f in found)


def test_who_waits_for_whom_is_said(tree: Path, scratch: Path) -> None:
    copy = edited(tree, scratch / tree.name / "stops", FAULTS["never-stops"])
    found = searched(copy, "stop-waiting", 2000).best["14-progress", "ksgxd"]
    assert found.violation.message == "S runs; ksgxd sleeps on ksgxd_waitq"


def test_nothing_runs_after_a_violation_in_the_set_up(tree: Path, scratch: Path) -> None:
    """There is no state to begin from: to run one all the same took the process down."""
    edits = [("ioctl.c", f"\tmmap_read_{word}(current->mm);\n", "") for word in ("lock", "unlock")]
    made = runner(edited(tree, scratch / tree.name / "early", edits), "init-reclaim")
    assert [f.violation.id for f in made.early] == ["17-lock-order"]
    assert [f.violation.key for f in made.replay(Schedule())] == [made.early[0].violation.key]
    for run in (
        lambda: made.observed(Schedule()),
        lambda: made.walked(1, 50),
        lambda: made.order((0,), False),
        lambda: made.search(0, 10, 1),
    ):
        with pytest.raises(TreeError, match="the set-up: get_user_pages"):
            run()


def test_a_tree_that_needs_more_than_the_shim_has(tree: Path, tmp_path: Path) -> None:
    """As another version may: all that is missing, by name."""
    place = "void sgx_reclaim_direct(void)\n{\n"
    more = "alloc_pages_bulk_noprof(1); mutex_lock_killable(&x); folio_batch_init(&fbatch);"
    copy = edited(tree, tmp_path, [("main.c", place, place + more)])
    with pytest.raises(TreeError) as said:
        build(find(copy), compiler(), tmp_path / "cache")
    words = str(said.value)
    assert "the shim of the kernel API lacks" in words
    for name in ("alloc_pages_bulk_noprof", "mutex_lock_killable", "folio_batch_init", "fbatch"):
        assert name in words
