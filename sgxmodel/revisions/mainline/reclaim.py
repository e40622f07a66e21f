# SPDX-License-Identifier: GPL-2.0-only
"""main.c: sgx_reclaim_pages() with its array of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.structs import (
    PFN_DOWN,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    SGX_NR_TO_SCAN,
    isolated,
    unisolated,
)
from sgxmodel.kernel.list import list_add_tail, list_del_init, list_empty, list_first
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.kernel.ref import kref_get_unless_zero
from sgxmodel.machine.notation import goto, kernel, label
from sgxmodel.machine.op import sometimes
from sgxmodel.revisions.mainline.lru import sgx_active_page_list, sgx_reclaimer_lock

if TYPE_CHECKING:
    from sgxmodel.driver.backing import sgx_encl_alloc_backing
    from sgxmodel.driver.file import encl_put
    from sgxmodel.driver.main import (
        sgx_free_epc_page,
        sgx_reclaimer_age,
        sgx_reclaimer_block,
        sgx_reclaimer_write,
    )


@kernel
def sgx_reclaim_pages() -> None:
    """sgx_reclaim_pages(): isolate, age and pin the backing, block, write and free."""
    chunk: tuple[Any, ...] = ()
    kept: tuple[Any, ...] = ()
    spin_lock(sgx_reclaimer_lock)
    for _i in range(SGX_NR_TO_SCAN):
        if list_empty(sgx_active_page_list):
            break
        epc_page = list_first(sgx_active_page_list)
        list_del_init(epc_page.list)
        encl_page = epc_page.owner
        if kref_get_unless_zero(encl_page.encl.refcount):
            isolated(epc_page)
            chunk = (*chunk, epc_page)
        else:
            sometimes("the reclaimer met a dying enclave")
            epc_page.flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED
    spin_unlock(sgx_reclaimer_lock)
    if len(chunk) == SGX_NR_TO_SCAN:
        sometimes("a scan was full")

    for i in range(len(chunk)):
        epc_page = chunk[i]
        encl_page = epc_page.owner
        if not sgx_reclaimer_age(epc_page):
            sometimes("a page was skipped as young")
            goto("skip")
        page_index = PFN_DOWN(encl_page.desc)
        mutex_lock(encl_page.encl.lock)
        backing = sgx_encl_alloc_backing(encl_page.encl, page_index)
        if IS_ERR(backing):
            sometimes("a page was skipped for want of backing")
            mutex_unlock(encl_page.encl.lock)
            goto("skip")
        encl_page.desc |= SGX_ENCL_PAGE_BEING_RECLAIMED
        mutex_unlock(encl_page.encl.lock)
        kept = (*kept, (epc_page, backing))
        continue
        label("skip")
        spin_lock(sgx_reclaimer_lock)
        unisolated(epc_page)
        list_add_tail(epc_page.list, sgx_active_page_list)
        spin_unlock(sgx_reclaimer_lock)
        encl_put(encl_page.encl)

    for i in range(len(kept)):
        sgx_reclaimer_block(kept[i][0])

    for i in range(len(kept)):
        epc_page = kept[i][0]
        encl_page = epc_page.owner
        sgx_reclaimer_write(epc_page, kept[i][1])
        encl_put(encl_page.encl)
        epc_page.flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED
        unisolated(epc_page)
        sgx_free_epc_page(epc_page)
        sometimes("a page was written out")
