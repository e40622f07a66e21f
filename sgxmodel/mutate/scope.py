# SPDX-License-Identifier: GPL-2.0-only
"""Which functions are mutated: the reclaimer's own, in groups that have names."""

from __future__ import annotations

from collections.abc import Iterable

from sgxmodel.errors import UnknownNameError
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import VERBS

GROUPS: dict[str, tuple[str, ...]] = {
    "pass": (
        "__sgx_reclaim_pages",
        "sgx_reclaim_pages",
        "sgx_reclaim_direct",
        "sgx_reclaimer_age",
        "sgx_reclaimer_block",
        "sgx_reclaimer_write",
        "sgx_reclaimer_drop_secs",
        "sgx_can_reclaim",
        "sgx_should_reclaim",
        "ksgxd",
        "sgx_epc_peek_reclaimable",
        "sgx_epc_move_reclaimable",
        "__sgx_epc_page_list_peek",
        "__sgx_epc_page_list_move",
    ),
    "record": (
        "track_page",
        "sgx_mark_page_reclaimable",
        "sgx_record_epc_page",
        "sgx_epc_push_reclaimable",
        "sgx_epc_push_unreclaimable",
        "__sgx_epc_page_list_push",
    ),
    "drop": ("untrack_page", "sgx_unmark_page_reclaimable", "sgx_drop_epc_page"),
    "alloc": (
        "sgx_alloc_epc_page",
        "__sgx_alloc_epc_page",
        "__sgx_alloc_epc_page_from_node",
        "sgx_account_alloc",
        "sgx_alloc_va_page",
        "sgx_alloc_va_slot",
        "sgx_free_va_slot",
        "sgx_va_page_full",
    ),
    "free": (
        "sgx_free_epc_page",
        "sgx_account_free",
        "sgx_encl_free_epc_page",
        "arch_memory_failure",
        "sgx_page_is_free",
        "sgx_poison_free",
        "sgx_poison_tracked",
    ),
    "ewb": ("sgx_encl_ewb", "__sgx_encl_ewb", "on_each_encl_cpu", "sgx_zap_enclave_ptes"),
    "eldu": (
        "sgx_encl_eldu",
        "__sgx_encl_eldu",
        "sgx_may_truncate_pcmd",
        "reclaimer_writing_to_pcmd",
    ),
    "load": (
        "sgx_encl_load_secs",
        "__sgx_encl_load_page",
        "sgx_encl_load_page",
        "sgx_encl_get_backing_page",
        "__sgx_encl_get_backing",
        "sgx_encl_alloc_backing",
        "sgx_encl_lookup_backing",
        "sgx_encl_put_backing",
        "sgx_encl_truncate_backing_page",
    ),
    "release": ("sgx_encl_release", "sgx_release", "encl_put"),
    "faults": (
        "sgx_vma_fault",
        "sgx_encl_eaug_page",
        "sgx_eaug_grow_failed",
        "sgx_eaug_insert_failed",
        "sgx_encl_page_alloc",
        "vmf_insert_pfn",
        "sgx_encl_test_and_clear_young",
    ),
}
"""Group -> functions, of all revisions."""


def reachable(revision: Revision) -> dict[str, KernelFunction]:
    """The functions that some call of a scenario, or ksgxd, can come to."""
    functions = {name: fn.source for name, fn in revision.program.functions.items()}
    found: dict[str, KernelFunction] = {}
    todo = ["ksgxd", *(verb.function for verb in VERBS.values())]
    while todo:
        name = todo.pop()
        if name in functions and name not in found:
            found[name] = functions[name]
            todo += functions[name].calls
    return found


def functions_in(
    revision: Revision, functions: Iterable[str] = (), files: Iterable[str] = ()
) -> dict[str, KernelFunction]:
    """The functions in scope, by name: groups or functions, files; the default is all groups.

    Raises :class:`UnknownNameError` for what is not there.
    """
    there = reachable(revision)
    wanted: list[str] = []
    for name in functions:
        if name in GROUPS:
            wanted += GROUPS[name]
        elif name in there:
            wanted.append(name)
        else:
            raise UnknownNameError(
                f"{revision.name} has no function '{name}' that a scenario can reach; "
                f"the groups are {', '.join(GROUPS)}"
            )
    for file in files:
        here = [name for name, fn in there.items() if fn.filename.endswith("/" + file.lstrip("/"))]
        if not here:
            raise UnknownNameError(f"{revision.name} has no function in a file '{file}'")
        wanted += here
    if not wanted:
        wanted = [name for group in GROUPS.values() for name in group]
    return {name: there[name] for name in wanted if name in there}
