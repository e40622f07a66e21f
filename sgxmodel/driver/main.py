# SPDX-License-Identifier: GPL-2.0-only
"""main.c: EPC allocation, ageing, blocking and writing out, ksgxd, memory failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import Verb
from sgxmodel.driver.ghost import (
    busy_means_somebody_makes_room,
    note_exhaustion,
    nothing_was_left,
)
from sgxmodel.driver.sanitize import BOOT
from sgxmodel.driver.structs import (
    EBUSY,
    ENOMEM,
    ERESTARTSYS,
    PFN_DOWN,
    SGX_ENCL_INITIALIZED,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_EPC_PAGE_IS_FREE,
    SGX_NR_HIGH_PAGES,
    SGX_NR_LOW_PAGES,
    encls_failed,
    ksgxd_control,
    next_node,
    node_isset,
    numa_node,
    sgx_dirty_page_list,
    sgx_epc_page,
    sgx_epc_page_node,
    sgx_get_epc_virt_addr,
    sgx_nr_free_pages,
    sgx_numa,
)
from sgxmodel.hardware.encls import EBLOCK, ETRACK, EWB
from sgxmodel.hardware.epcm import ENCLS_WARN, SGX_NOT_TRACKED
from sgxmodel.kernel.list import (
    list_add,
    list_add_tail,
    list_del_init,
    list_empty,
    list_first,
    list_move,
    list_move_tail,
)
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.kernel.ref import (
    atomic_long_dec,
    atomic_long_inc,
    atomic_long_read,
    test_bit,
)
from sgxmodel.kernel.task import (
    WARN_ON,
    complete,
    cond_resched,
    finish_wait,
    numa_node_id,
    prepare_to_wait,
    schedule,
    signal_pending,
    wake_up,
)
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import READ_ONCE, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.backing import sgx_encl_alloc_backing, sgx_encl_put_backing
    from sgxmodel.driver.encl import (
        sgx_alloc_va_slot,
        sgx_encl_free_epc_page,
        sgx_free_va_slot,
        sgx_va_page_full,
    )
    from sgxmodel.driver.mm import on_each_encl_cpu, sgx_encl_is_young, sgx_zap_enclave_ptes
    from sgxmodel.driver.sanitize import __sgx_sanitize_pages
    from sgxmodel.driver.seam import sgx_can_reclaim, sgx_poison_tracked, sgx_reclaim_pages

# -- the reclaim pass, as far as the revisions share it -----------------------------------


@kernel
def sgx_reclaimer_age(epc_page: sgx_epc_page) -> bool:
    """sgx_reclaimer_age(): old unless a mapping was used since the last look."""
    encl_page = epc_page.owner
    return not sgx_encl_is_young(encl_page.encl, encl_page)


@kernel
def sgx_reclaimer_block(epc_page: sgx_epc_page) -> None:
    """sgx_reclaimer_block(): zap the PTEs, then EBLOCK under encl->lock."""
    encl_page = epc_page.owner
    index = PFN_DOWN(encl_page.desc)
    encl = encl_page.encl
    sgx_zap_enclave_ptes(encl, index)
    mutex_lock(encl.lock)
    ret = EBLOCK(sgx_get_epc_virt_addr(epc_page))
    if encls_failed(ret):
        ENCLS_WARN(ret, "19-tracking: EBLOCK")
    mutex_unlock(encl.lock)


@kernel
def __sgx_encl_ewb(epc_page: sgx_epc_page, va_page: Any, va_offset: int, backing: Any) -> int:
    """__sgx_encl_ewb(): EWB into the backing pages, which it leaves dirty."""
    contents, pcmd, at = backing
    va = sgx_get_epc_virt_addr(va_page.epc_page)
    ret = EWB(sgx_get_epc_virt_addr(epc_page), va, va_offset >> 3, contents, pcmd, at)
    pcmd.dirty = 1
    contents.dirty = 1
    return ret


@kernel
def sgx_encl_ewb(epc_page: sgx_epc_page, backing: Any) -> None:
    """sgx_encl_ewb(): EWB; ETRACK and EWB; IPI and EWB.  encl->lock is held."""
    encl_page = epc_page.owner
    encl = encl_page.encl
    encl_page.desc &= ~SGX_ENCL_PAGE_BEING_RECLAIMED
    va_page = list_first(encl.va_pages)
    va_offset = sgx_alloc_va_slot(va_page)
    if sgx_va_page_full(va_page):
        sometimes("a VA page became full")
        list_move_tail(va_page.list, encl.va_pages)
    ret = __sgx_encl_ewb(epc_page, va_page, va_offset, backing)
    if ret == SGX_NOT_TRACKED:
        ret = ETRACK(sgx_get_epc_virt_addr(encl.secs.epc_page))
        if ret:
            if encls_failed(ret):
                ENCLS_WARN(ret, "19-tracking: ETRACK")
        ret = __sgx_encl_ewb(epc_page, va_page, va_offset, backing)
        if ret == SGX_NOT_TRACKED:
            sometimes("EWB needed an IPI")
            # The mask must be made after ETRACK (main.c: sgx_encl_ewb).
            on_each_encl_cpu(encl)
            ret = __sgx_encl_ewb(epc_page, va_page, va_offset, backing)
    if ret:
        if encls_failed(ret):
            ENCLS_WARN(ret, "19-tracking: EWB")
        sgx_free_va_slot(va_page, va_offset)
    else:
        encl_page.desc |= va_offset
        encl_page.va_page = va_page


@kernel
def sgx_reclaimer_write(epc_page: sgx_epc_page, backing: Any) -> None:
    """sgx_reclaimer_write(): write a page out, and the SECS after its last child."""
    encl_page = epc_page.owner
    encl = encl_page.encl
    mutex_lock(encl.lock)
    sgx_encl_ewb(epc_page, backing)
    encl_page.epc_page = None
    encl.secs_child_cnt -= 1
    sgx_encl_put_backing(backing)
    if not encl.secs_child_cnt and test_bit(SGX_ENCL_INITIALIZED, encl.flags):
        secs_backing = sgx_encl_alloc_backing(encl, encl.size)
        if IS_ERR(secs_backing):
            sometimes("backing for the SECS failed")
            goto("out")
        sgx_encl_ewb(encl.secs.epc_page, secs_backing)
        sgx_reclaimer_drop_secs(encl)
        sgx_encl_free_epc_page(encl.secs.epc_page)
        encl.secs.epc_page = None
        sometimes("the SECS was written out")
        sgx_encl_put_backing(secs_backing)
    label("out")
    mutex_unlock(encl.lock)


@part_of("sgx_reclaimer_write")
def sgx_reclaimer_drop_secs(encl: Any) -> None:
    """Nothing in mainline: a SECS is on no list there."""


@kernel
def sgx_should_reclaim(watermark: int) -> bool:
    """sgx_should_reclaim(): both reads without a lock."""
    return atomic_long_read(sgx_nr_free_pages) < watermark and sgx_can_reclaim()


@kernel
def sgx_reclaim_direct() -> None:
    """sgx_reclaim_direct(): one pass if memory is low; encl->lock is not held."""
    if sgx_should_reclaim(SGX_NR_LOW_PAGES):
        sometimes("an ioctl reclaimed directly")
        sgx_reclaim_pages()


@kernel
def ksgxd() -> int:
    """ksgxd(): sanitise, then reclaim up to the high watermark and sleep, again and again.

    The second pass is for SECS pages, whose children made the first EREMOVE fail.
    """
    if BOOT:
        __sgx_sanitize_pages(sgx_dirty_page_list)
        left = __sgx_sanitize_pages(sgx_dirty_page_list)
        WARN_ON(left, "10-epcm: pages are dirty after both passes")
    while not READ_ONCE(ksgxd_control.stop):
        while True:
            prepare_to_wait(ksgxd_control.ksgxd_waitq)
            if READ_ONCE(ksgxd_control.stop) or sgx_should_reclaim(SGX_NR_HIGH_PAGES):
                break
            schedule()
        finish_wait(ksgxd_control.ksgxd_waitq)
        if sgx_should_reclaim(SGX_NR_HIGH_PAGES):
            sgx_reclaim_pages()
        cond_resched()
    kthread_exit()
    return 0


@part_of("kthread")
def kthread_exit() -> None:
    """kthread() after its function: kthread_stop() waits for it."""
    complete(ksgxd_control.exited)


# -- allocation ---------------------------------------------------------------------------


@kernel
def __sgx_alloc_epc_page_from_node(nid: int) -> Any:
    """__sgx_alloc_epc_page_from_node(): the first free page of a node, or NULL."""
    node = numa_node(sgx_numa, nid)
    spin_lock(node.lock)
    if list_empty(node.free_page_list):
        spin_unlock(node.lock)
        return None
    page = list_first(node.free_page_list)
    list_del_init(page.list)
    page.flags = 0
    spin_unlock(node.lock)
    sgx_account_alloc(page)
    return page


@part_of("__sgx_alloc_epc_page_from_node")
def sgx_account_alloc(page: sgx_epc_page) -> None:
    """The page leaves sgx_nr_free_pages (atomic since ac5d272a0ad0)."""
    atomic_long_dec(sgx_nr_free_pages)


@kernel
def __sgx_alloc_epc_page() -> Any:
    """__sgx_alloc_epc_page(): the own node first, then the others in mask order."""
    start = numa_node_id()
    if not node_isset(start, sgx_numa):
        sometimes("a CPU on a node without EPC allocated")
        start = next_node(sgx_numa, start)
    nid = start
    while True:
        page = __sgx_alloc_epc_page_from_node(nid)
        if page is not None:
            return page
        nid = next_node(sgx_numa, nid)
        if nid == start:
            break
        sometimes("allocation went to another node")
    return -ENOMEM


@kernel
def sgx_alloc_epc_page(owner: Any, reclaim: bool) -> Any:
    """sgx_alloc_epc_page(): a page, -ENOMEM, -EBUSY (if not to reclaim), -ERESTARTSYS."""
    while True:
        page = __sgx_alloc_epc_page()
        if not IS_ERR(page):
            page.owner = owner
            break
        note_exhaustion(ksgxd_control)
        if not sgx_can_reclaim():
            sometimes("-ENOMEM: nothing free, nothing to reclaim")
            nothing_was_left(ksgxd_control)
            return -ENOMEM
        if not reclaim:
            sometimes("-EBUSY: nothing free, no direct reclaim")
            page = -EBUSY
            break
        if signal_pending():
            sometimes("-ERESTARTSYS: a signal ended the wait for EPC")
            page = -ERESTARTSYS
            break
        sometimes("an allocation reclaimed directly")
        sgx_reclaim_pages()
        cond_resched()
    if sgx_should_reclaim(SGX_NR_LOW_PAGES):
        wake_up(ksgxd_control.ksgxd_waitq)
    if page == -EBUSY:
        busy_means_somebody_makes_room(ksgxd_control)
    return page


@kernel
def sgx_free_epc_page(page: sgx_epc_page) -> None:
    """sgx_free_epc_page(): to the free list, or to the poison list."""
    node = sgx_epc_page_node(page)
    spin_lock(node.lock)
    page.owner = None
    if page.poison:
        sometimes("a poisoned page was freed to the poison list")
        list_add(page.list, node.sgx_poison_page_list)
    else:
        list_add_tail(page.list, node.free_page_list)
    page.flags = SGX_EPC_PAGE_IS_FREE
    spin_unlock(node.lock)
    sgx_account_free(page)


@part_of("sgx_free_epc_page")
def sgx_account_free(page: sgx_epc_page) -> None:
    """The page enters sgx_nr_free_pages, poisoned or not."""
    atomic_long_inc(sgx_nr_free_pages)


# -- memory failure -----------------------------------------------------------------------


@kernel
def arch_memory_failure(page: sgx_epc_page) -> int:
    """arch_memory_failure(): mark the page; a free one leaves circulation."""
    node = sgx_epc_page_node(page)
    spin_lock(node.lock)
    if page.poison:
        sometimes("a page was reported bad twice")
        goto("out")
    page.poison = 1
    if sgx_page_is_free(page):
        sometimes("a free page was poisoned")
        sgx_poison_free(page)
        goto("out")
    sometimes("a page in use was poisoned")
    sgx_poison_tracked(page)
    label("out")
    spin_unlock(node.lock)
    return 0


@part_of("arch_memory_failure")
def sgx_page_is_free(page: sgx_epc_page) -> bool:
    """The test of IS_FREE in arch_memory_failure(): under node->lock, plain."""
    return page.flags & SGX_EPC_PAGE_IS_FREE != 0


@part_of("arch_memory_failure")
def sgx_poison_free(page: sgx_epc_page) -> None:
    """A free page turned bad: to the poison list.  The counter keeps it (fault M3)."""
    list_move(page.list, sgx_epc_page_node(page).sgx_poison_page_list)


CALLS = (
    Verb("reclaim", "sgx_reclaim_pages", (), ("0",), "one pass of the reclaimer"),
    Verb("direct", sgx_reclaim_direct, (), ("0",), "one pass if memory is low"),
)
