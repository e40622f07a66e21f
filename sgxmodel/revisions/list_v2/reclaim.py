# SPDX-License-Identifier: GPL-2.0-only
"""main.c after the patch: __sgx_reclaim_pages() with its isolate list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sgxmodel.driver.structs import (
    PFN_DOWN,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    SGX_NR_TO_SCAN,
    isolated,
    out_of_scope,
    unisolated,
)
from sgxmodel.kernel.list import (
    INIT_LIST_HEAD,
    list_del_init,
    list_empty,
    list_for_each_entry,
    list_for_each_entry_safe,
    list_head,
    list_move_tail,
)
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.kernel.ref import kref_get_unless_zero
from sgxmodel.kernel.task import WARN_ON
from sgxmodel.machine.layout import CURRENT, State, Struct, static
from sgxmodel.machine.notation import goto, kernel, label
from sgxmodel.machine.op import primitive, sometimes
from sgxmodel.revisions.list_v2.flags import (
    SGX_EPC_PAGE_ENCLAVE,
    SGX_EPC_PAGE_RECLAIM_IN_PROGRESS,
    SGX_EPC_PAGE_VERSION_ARRAY,
)
from sgxmodel.revisions.list_v2.lru import sgx_global_lru

if TYPE_CHECKING:
    from sgxmodel.driver.backing import sgx_encl_alloc_backing
    from sgxmodel.driver.file import encl_put
    from sgxmodel.driver.main import (
        sgx_free_epc_page,
        sgx_reclaimer_age,
        sgx_reclaimer_block,
        sgx_reclaimer_write,
    )
    from sgxmodel.revisions.list_v2.lru import (
        sgx_epc_move_reclaimable,
        sgx_epc_peek_reclaimable,
    )

ALL_FLAGS = (
    SGX_EPC_PAGE_RECLAIMER_TRACKED
    | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
    | SGX_EPC_PAGE_ENCLAVE
    | SGX_EPC_PAGE_VERSION_ARRAY
)

SECOND_LOOK = "14-progress: the reclaimer can neither take nor skip the head of the list"


class stack_lists(Struct):
    """The ``iso`` of each task: LIST_HEAD(iso) on its stack."""

    of: ClassVar[dict[Any, list_head]]


stack = static("stack", stack_lists)


@primitive(silent=True, access="none")
def LIST_HEAD(S: State, stack: stack_lists) -> list_head:
    """LIST_HEAD(iso): the running task's own list."""
    return stack.of[S[CURRENT]]


@kernel
def __sgx_reclaim_pages() -> None:
    """__sgx_reclaim_pages(): isolate, age and pin the backing, block, write and free."""
    backing: tuple[Any, ...] = ()
    iso = LIST_HEAD(stack)
    INIT_LIST_HEAD(iso)
    scanned = 0
    spin_lock(sgx_global_lru.lock)
    for _i in range(SGX_NR_TO_SCAN):
        epc_page = sgx_epc_peek_reclaimable(sgx_global_lru)
        if epc_page is None:
            break
        encl_page = epc_page.owner
        if WARN_ON(not epc_page.flags & SGX_EPC_PAGE_ENCLAVE, SECOND_LOOK):
            continue
        if kref_get_unless_zero(encl_page.encl.refcount):
            isolated(epc_page)
            epc_page.flags |= SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
            list_move_tail(epc_page.list, iso)
            scanned += 1
        else:
            sometimes("the reclaimer met a dying enclave")
            epc_page.flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED
            list_del_init(epc_page.list)
    spin_unlock(sgx_global_lru.lock)
    if scanned == SGX_NR_TO_SCAN:
        sometimes("a scan was full")

    if list_empty(iso):
        out_of_scope(iso)
        return

    for epc_page in list_for_each_entry_safe(iso):
        encl_page = epc_page.owner
        if not sgx_reclaimer_age(epc_page):
            sometimes("a page was skipped as young")
            goto("skip")
        page_index = PFN_DOWN(encl_page.desc)
        mutex_lock(encl_page.encl.lock)
        pinned = sgx_encl_alloc_backing(encl_page.encl, page_index)
        if IS_ERR(pinned):
            sometimes("a page was skipped for want of backing")
            mutex_unlock(encl_page.encl.lock)
            goto("skip")
        backing = (*backing, pinned)
        encl_page.desc |= SGX_ENCL_PAGE_BEING_RECLAIMED
        mutex_unlock(encl_page.encl.lock)
        continue
        label("skip")
        spin_lock(sgx_global_lru.lock)
        unisolated(epc_page)
        epc_page.flags &= ~SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
        sgx_epc_move_reclaimable(sgx_global_lru, epc_page)
        spin_unlock(sgx_global_lru.lock)
        encl_put(encl_page.encl)

    for epc_page in list_for_each_entry(iso):
        sgx_reclaimer_block(epc_page)

    i = 0
    for epc_page in list_for_each_entry_safe(iso):
        encl_page = epc_page.owner
        sgx_reclaimer_write(epc_page, backing[i])
        i += 1
        encl_put(encl_page.encl)
        epc_page.flags &= ~ALL_FLAGS
        unisolated(epc_page)
        sgx_free_epc_page(epc_page)
        sometimes("a page was written out")
    out_of_scope(iso)


@kernel
def sgx_reclaim_pages() -> None:
    """sgx_reclaim_pages(): the pass, then cond_resched()."""
    __sgx_reclaim_pages()
