# SPDX-License-Identifier: GPL-2.0-only
"""sgx.h and main.c after the patch: the LRU lists and their helpers, record and drop."""

from __future__ import annotations

from typing import Any

from sgxmodel.driver.structs import EBUSY, SGX_EPC_PAGE_RECLAIMER_TRACKED, sgx_epc_page
from sgxmodel.kernel.list import (
    list_add_tail,
    list_del,
    list_del_init,
    list_empty,
    list_first,
    list_head,
    list_move_tail,
)
from sgxmodel.kernel.lock import spin_lock, spin_unlock, spinlock_t
from sgxmodel.kernel.task import WARN_ON
from sgxmodel.machine.layout import Struct, static
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import sometimes
from sgxmodel.revisions.list_v2.flags import (
    SGX_EPC_PAGE_ENCLAVE,
    SGX_EPC_PAGE_RECLAIM_IN_PROGRESS,
    SGX_EPC_PAGE_VERSION_ARRAY,
    flags_of,
)


class sgx_epc_lru_lists(Struct):
    """struct sgx_epc_lru_lists."""

    lock: spinlock_t
    reclaimable: list_head
    unreclaimable: list_head


sgx_global_lru = static("sgx_global_lru", sgx_epc_lru_lists)


@kernel
def __sgx_epc_page_list_push(list: list_head, page: sgx_epc_page) -> None:
    """__sgx_epc_page_list_push()."""
    list_add_tail(page.list, list)


@kernel
def __sgx_epc_page_list_pop(list: list_head) -> Any:
    """__sgx_epc_page_list_pop(): no user is left after the patch."""
    if list_empty(list):
        return None
    page = list_first(list)
    list_del_init(page.list)
    return page


@kernel
def __sgx_epc_page_list_peek(list: list_head) -> Any:
    """__sgx_epc_page_list_peek()."""
    if list_empty(list):
        return None
    return list_first(list)


@kernel
def __sgx_epc_page_list_move(list: list_head, page: sgx_epc_page) -> None:
    """__sgx_epc_page_list_move()."""
    list_move_tail(page.list, list)


@kernel
def sgx_epc_push_reclaimable(lrus: sgx_epc_lru_lists, page: sgx_epc_page) -> None:
    """sgx_epc_push_reclaimable()."""
    __sgx_epc_page_list_push(lrus.reclaimable, page)


@kernel
def sgx_epc_push_unreclaimable(lrus: sgx_epc_lru_lists, page: sgx_epc_page) -> None:
    """sgx_epc_push_unreclaimable()."""
    __sgx_epc_page_list_push(lrus.unreclaimable, page)


@kernel
def sgx_epc_pop_reclaimable(lrus: sgx_epc_lru_lists) -> Any:
    """sgx_epc_pop_reclaimable()."""
    return __sgx_epc_page_list_pop(lrus.reclaimable)


@kernel
def sgx_epc_peek_reclaimable(lrus: sgx_epc_lru_lists) -> Any:
    """sgx_epc_peek_reclaimable()."""
    return __sgx_epc_page_list_peek(lrus.reclaimable)


@kernel
def sgx_epc_peek_unreclaimable(lrus: sgx_epc_lru_lists) -> Any:
    """sgx_epc_peek_unreclaimable(): never called."""
    return __sgx_epc_page_list_peek(lrus.unreclaimable)


@kernel
def sgx_epc_move_reclaimable(lru: sgx_epc_lru_lists, page: sgx_epc_page) -> None:
    """sgx_epc_move_reclaimable()."""
    __sgx_epc_page_list_move(lru.reclaimable, page)


@kernel
def sgx_record_epc_page(page: sgx_epc_page, flags: int) -> None:
    """sgx_record_epc_page(): to the list that the flags mean."""
    spin_lock(sgx_global_lru.lock)
    known = SGX_EPC_PAGE_RECLAIMER_TRACKED | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
    WARN_ON(page.flags & known != 0, "3-tracked: record of a page that is tracked already")
    page.flags |= flags
    if flags & SGX_EPC_PAGE_RECLAIMER_TRACKED:
        sgx_epc_push_reclaimable(sgx_global_lru, page)
    else:
        sgx_epc_push_unreclaimable(sgx_global_lru, page)
    spin_unlock(sgx_global_lru.lock)


@kernel
def sgx_drop_epc_page(page: sgx_epc_page) -> int:
    """sgx_drop_epc_page(): off its list; the flags are cleared after the unlock (F3)."""
    spin_lock(sgx_global_lru.lock)
    if (
        page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED
        and page.flags & SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
    ):
        spin_unlock(sgx_global_lru.lock)
        sometimes("-EBUSY: the page to untrack is isolated")
        return -EBUSY
    list_del(page.list)
    spin_unlock(sgx_global_lru.lock)
    page.flags &= ~(
        SGX_EPC_PAGE_RECLAIMER_TRACKED
        | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
        | SGX_EPC_PAGE_ENCLAVE
        | SGX_EPC_PAGE_VERSION_ARRAY
    )
    return 0


@kernel
def track_page(page: sgx_epc_page, kind: str) -> None:
    """Every kind of page is recorded, with the flags of its call site."""
    sgx_record_epc_page(page, flags_of(kind))


@kernel
def untrack_page(page: sgx_epc_page, kind: str) -> int:
    """Every kind of page is dropped."""
    return sgx_drop_epc_page(page)


@part_of("sgx_reclaimer_write")
def sgx_reclaimer_drop_secs(encl: Any) -> None:
    """sgx_reclaimer_write(): the SECS leaves the unreclaimable list."""
    sgx_drop_epc_page(encl.secs.epc_page)


@kernel
def sgx_can_reclaim() -> bool:
    """!list_empty(&sgx_global_lru.reclaimable), without the lock."""
    return not list_empty(sgx_global_lru.reclaimable)


@part_of("arch_memory_failure")
def sgx_poison_tracked(page: sgx_epc_page) -> None:
    """The series' memory failure leaves a page that is in use where it is."""


@part_of("sgx_vepc_release")
def sgx_vepc_unlink_zombie(epc_page: sgx_epc_page) -> None:
    """The series drops a zombie, which is on no list of the LRU (its comment says so)."""
    sgx_drop_epc_page(epc_page)
