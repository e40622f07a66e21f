# SPDX-License-Identifier: GPL-2.0-only
"""main.c: the active list, mark and unmark."""

from __future__ import annotations

from sgxmodel.driver.seam import PAGE_ADDED, PAGE_AUGMENTED, PAGE_LOADED, PAGE_RETYPED
from sgxmodel.driver.structs import EBUSY, SGX_EPC_PAGE_RECLAIMER_TRACKED, sgx_epc_page
from sgxmodel.kernel.list import list_add_tail, list_del, list_empty, list_head
from sgxmodel.kernel.lock import spin_lock, spin_unlock, spinlock_t
from sgxmodel.machine.layout import static
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import sometimes

sgx_active_page_list = static("sgx_active_page_list", list_head)
sgx_reclaimer_lock = static("sgx_reclaimer_lock", spinlock_t)

RECLAIMABLE = (PAGE_ADDED, PAGE_LOADED, PAGE_AUGMENTED, PAGE_RETYPED)


@kernel
def sgx_mark_page_reclaimable(page: sgx_epc_page) -> None:
    """sgx_mark_page_reclaimable()."""
    spin_lock(sgx_reclaimer_lock)
    page.flags |= SGX_EPC_PAGE_RECLAIMER_TRACKED
    list_add_tail(page.list, sgx_active_page_list)
    spin_unlock(sgx_reclaimer_lock)


@kernel
def sgx_unmark_page_reclaimable(page: sgx_epc_page) -> int:
    """sgx_unmark_page_reclaimable(): idempotent; -EBUSY if the page is isolated."""
    spin_lock(sgx_reclaimer_lock)
    if page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED:
        if list_empty(page.list):
            spin_unlock(sgx_reclaimer_lock)
            sometimes("-EBUSY: the page to untrack is isolated")
            return -EBUSY
        list_del(page.list)
        page.flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED
    spin_unlock(sgx_reclaimer_lock)
    return 0


@kernel
def track_page(page: sgx_epc_page, kind: str) -> None:
    """Only enclave pages are tracked; SECS and VA pages are on no list."""
    if kind in RECLAIMABLE:
        sgx_mark_page_reclaimable(page)


@kernel
def untrack_page(page: sgx_epc_page, kind: str) -> int:
    """As track_page()."""
    if kind in RECLAIMABLE:
        return sgx_unmark_page_reclaimable(page)
    return 0


@kernel
def sgx_can_reclaim() -> bool:
    """!list_empty(&sgx_active_page_list), without the lock."""
    return not list_empty(sgx_active_page_list)


@part_of("arch_memory_failure")
def sgx_poison_tracked(page: sgx_epc_page) -> None:
    """arch_memory_failure(): off the active list if it is there; -EBUSY is ignored."""
    sgx_unmark_page_reclaimable(page)
