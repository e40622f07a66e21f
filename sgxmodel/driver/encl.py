# SPDX-License-Identifier: GPL-2.0-only
"""encl.c: loading, faults, VA pages, release (backing storage: backing.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.ghost import not_allowed
from sgxmodel.driver.seam import (
    PAGE_AUGMENTED,
    PAGE_LOADED,
    SECS_LOADED,
    VA_PAGE,
)
from sgxmodel.driver.structs import (
    EBUSY,
    EFAULT,
    ENOMEM,
    PCMDS_PER_PAGE,
    PFN_DOWN,
    PFN_PHYS,
    PTES_FAIL,
    SGX2,
    SGX_ENCL_INITIALIZED,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_ENCL_PAGE_VA_OFFSET_MASK,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    SGX_VA_SLOT_COUNT,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    XA_CHECK_SCHED,
    encl_page_cache,
    encls_failed,
    leaked,
    pte_budget,
    sgx_encl,
    sgx_encl_page,
    sgx_epc_page,
    sgx_get_epc_virt_addr,
    sgx_va_page,
)
from sgxmodel.hardware.encls import EAUG, ELDU, EPA, EREMOVE, erase_pcmd
from sgxmodel.hardware.epcm import ENCLS_WARN, GP, PT_REG, PT_TCS
from sgxmodel.hardware.mmu import set_pte
from sgxmodel.kernel.list import list_add, list_del, list_empty, list_first, list_move
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR, kfree, kzalloc, xa_erase, xa_insert, xa_load, xa_size
from sgxmodel.kernel.mm import mm_struct, vma_prot_bits
from sgxmodel.kernel.ref import clear_bit, set_bit, test_bit
from sgxmodel.kernel.shmem import (
    fput,
    get_page,
    put_page,
)
from sgxmodel.kernel.srcu import cleanup_srcu_struct
from sgxmodel.kernel.task import WARN_ON, cond_resched, may_fail
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import pure, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.backing import (
        reclaimer_writing_to_pcmd,
        sgx_encl_lookup_backing,
        sgx_encl_put_backing,
        sgx_encl_truncate_backing_page,
    )
    from sgxmodel.driver.ioctl import sgx_encl_grow, sgx_encl_shrink
    from sgxmodel.driver.main import sgx_alloc_epc_page, sgx_free_epc_page
    from sgxmodel.driver.mm import sgx_encl_test_and_clear_young
    from sgxmodel.driver.seam import track_page, untrack_page

TRACKED_FREED = "2-free-flags: sgx_encl_free_epc_page() of a TRACKED page"

# -- loading ------------------------------------------------------------------------------


@kernel
def __sgx_encl_eldu(
    encl_page: sgx_encl_page, epc_page: sgx_epc_page, secs_page: sgx_epc_page | None
) -> Any:
    """__sgx_encl_eldu(): ELDU, then give up the backing that it used."""
    va_offset = encl_page.desc & SGX_ENCL_PAGE_VA_OFFSET_MASK
    encl = encl_page.encl
    if secs_page is not None:
        page_index = PFN_DOWN(encl_page.desc)
        secs = sgx_get_epc_virt_addr(secs_page)
    else:
        page_index = encl.size
        secs = None
    backing = sgx_encl_lookup_backing(encl, page_index)
    if IS_ERR(backing):
        return backing
    _contents, pcmd, at = backing
    va = sgx_get_epc_virt_addr(encl_page.va_page.epc_page)
    ret = ELDU(sgx_get_epc_virt_addr(epc_page), secs, page_index, va, va_offset >> 3, backing)
    if ret:
        if encls_failed(ret):
            ENCLS_WARN(ret, "8-evicted: ELDU")
        ret = -EFAULT
    pcmd_page_empty = erase_pcmd(pcmd, at)
    pcmd.dirty = 1
    get_page(pcmd)
    sgx_encl_put_backing(backing)
    sgx_encl_truncate_backing_page(encl, page_index)
    if pcmd_page_empty:
        if sgx_may_truncate_pcmd(encl, page_index - page_index % PCMDS_PER_PAGE):
            sometimes("an empty PCMD page was truncated")
            sgx_encl_truncate_backing_page(encl, encl.size + 1 + page_index // PCMDS_PER_PAGE)
            WARN_ON(pcmd.data is not None, "8-evicted: PCMD page not empty after truncate")
    put_page(pcmd)
    return ret


@part_of("__sgx_encl_eldu")
def sgx_may_truncate_pcmd(encl: sgx_encl, first: int) -> bool:
    """An empty PCMD page may go unless the reclaimer is about to write to it."""
    return not reclaimer_writing_to_pcmd(encl, first)


@kernel
def sgx_encl_eldu(encl_page: sgx_encl_page, secs_page: sgx_epc_page | None) -> Any:
    """sgx_encl_eldu(): an EPC page with the contents back in it, or -errno."""
    va_offset = encl_page.desc & SGX_ENCL_PAGE_VA_OFFSET_MASK
    encl = encl_page.encl
    epc_page = sgx_alloc_epc_page(encl_page, False)
    if IS_ERR(epc_page):
        return epc_page
    ret = __sgx_encl_eldu(encl_page, epc_page, secs_page)
    if ret:
        sometimes("loading a page failed")
        sgx_encl_free_epc_page(epc_page)
        return ret
    sgx_free_va_slot(encl_page.va_page, va_offset)
    list_move(encl_page.va_page.list, encl.va_pages)
    encl_page.desc &= ~SGX_ENCL_PAGE_VA_OFFSET_MASK
    encl_page.epc_page = epc_page
    return epc_page


@kernel
def sgx_encl_load_secs(encl: sgx_encl) -> Any:
    """sgx_encl_load_secs(): encl->lock keeps it resident from here on."""
    epc_page: Any = encl.secs.epc_page
    if epc_page is None:
        epc_page = sgx_encl_eldu(encl.secs, None)
        if not IS_ERR(epc_page):
            sometimes("the SECS was loaded back")
            track_page(epc_page, SECS_LOADED)
    return epc_page


@kernel
def __sgx_encl_load_page(encl: sgx_encl, entry: Any) -> Any:
    """__sgx_encl_load_page(): the entry with its page resident, or -errno."""
    if entry.epc_page is not None:
        if sgx_encl_page_busy(entry.desc):
            return -EBUSY
        return entry
    epc_page = sgx_encl_load_secs(encl)
    if IS_ERR(epc_page):
        return epc_page
    epc_page = sgx_encl_eldu(entry, encl.secs.epc_page)
    if IS_ERR(epc_page):
        return epc_page
    encl.secs_child_cnt += 1
    sometimes("a page was loaded back")
    track_page(epc_page, PAGE_LOADED)
    return entry


@pure
def rights_missing(wanted: str, granted: str) -> bool:
    """Whether some right is wanted that is not granted."""
    return not set(wanted) <= set(granted)


@kernel
def sgx_encl_load_page_in_vma(encl: sgx_encl, index: int, vm_prot_bits: str) -> Any:
    """sgx_encl_load_page_in_vma(): the page allows at least what the VMA does."""
    entry = xa_load(encl.page_array, index)
    if entry is None:
        return -EFAULT
    if rights_missing(vm_prot_bits, entry.vm_max_prot_bits):
        sometimes("a fault on a page whose rights the VMA exceeds")
        not_allowed()
        return -EFAULT
    return __sgx_encl_load_page(encl, entry)


@part_of("__sgx_encl_load_page")
def sgx_encl_page_busy(desc: int) -> bool:
    """A page that is being reclaimed is about to go."""
    if desc & SGX_ENCL_PAGE_BEING_RECLAIMED:
        sometimes("-EBUSY: the page is being reclaimed")
        return True
    return False


@kernel
def sgx_encl_load_page(encl: sgx_encl, index: int) -> Any:
    """sgx_encl_load_page(): no VMA check; for ioctls."""
    entry = xa_load(encl.page_array, index)
    if entry is None:
        return -EFAULT
    return __sgx_encl_load_page(encl, entry)


# -- faults -------------------------------------------------------------------------------


@pure
def max_prot_bits(page_type: str) -> str:
    """calc_vm_prot_bits() of SECINFO's rights; TCS pages are readable and writable."""
    return "rw" if page_type == PT_TCS else "rwx"


@kernel
def sgx_encl_page_alloc(encl: sgx_encl, index: int, page_type: str) -> Any:
    """sgx_encl_page_alloc(): what a mapping may ask for at most; of a TCS no X."""
    encl_page = kzalloc(encl_page_cache)
    if encl_page is None:
        sometimes("a struct sgx_encl_page could not be allocated")
        return -ENOMEM
    encl_page.desc = PFN_PHYS(index)
    encl_page.encl = encl
    encl_page.vm_max_prot_bits = max_prot_bits(page_type)
    return encl_page


@kernel
def vmf_insert_pfn(mm: mm_struct, vma: Any, index: int, epc_page: sgx_epc_page) -> str:
    """vmf_insert_pfn(): install the PTE (VM_FAULT_NOPAGE)."""
    if PTES_FAIL and may_fail(pte_budget):
        sometimes("an EPC page could not be mapped")
        return VM_FAULT_OOM
    set_pte(mm, index, sgx_get_epc_virt_addr(epc_page), vma_prot_bits(vma))
    return VM_FAULT_NOPAGE


@kernel
def sgx_encl_eaug_page(mm: mm_struct, vma: Any, encl: sgx_encl, index: int) -> str:
    """sgx_encl_eaug_page(): add a page to a running enclave at its first touch."""
    vmret = VM_FAULT_SIGBUS
    if not test_bit(SGX_ENCL_INITIALIZED, encl.flags):
        return VM_FAULT_SIGBUS
    encl_page = sgx_encl_page_alloc(encl, index, PT_REG)
    if IS_ERR(encl_page):
        return VM_FAULT_OOM
    mutex_lock(encl.lock)
    epc_page = sgx_encl_load_secs(encl)
    if IS_ERR(epc_page):
        if epc_page == -EBUSY:
            vmret = VM_FAULT_NOPAGE
        goto("err_out_unlock")
    epc_page = sgx_alloc_epc_page(encl_page, False)
    if IS_ERR(epc_page):
        if epc_page == -EBUSY:
            vmret = VM_FAULT_NOPAGE
        goto("err_out_unlock")
    va_page = sgx_encl_grow(encl, False)
    if IS_ERR(va_page):
        vmret = sgx_eaug_grow_failed(va_page)
        goto("err_out_epc")
    if va_page is not None:
        list_add(va_page.list, encl.va_pages)
    ret = xa_insert(encl.page_array, PFN_DOWN(encl_page.desc), encl_page)
    if ret:
        # -EBUSY: another fault added the page since sgx_vma_fault() looked (fault K2).
        sometimes("two faults added the same page")
        vmret = sgx_eaug_insert_failed(ret)
        goto("err_out_shrink")
    ret = EAUG(sgx_get_epc_virt_addr(epc_page), sgx_get_epc_virt_addr(encl.secs.epc_page), index)
    if ret:
        sometimes("EAUG failed")
        goto("err_out")
    encl_page.encl = encl
    encl_page.epc_page = epc_page
    encl_page.type = PT_REG
    encl.secs_child_cnt += 1
    sometimes("a page was added at run time")
    track_page(encl_page.epc_page, PAGE_AUGMENTED)
    vmret = vmf_insert_pfn(mm, vma, index, epc_page)
    if vmret != VM_FAULT_NOPAGE:
        vmret = VM_FAULT_SIGBUS
    mutex_unlock(encl.lock)
    return vmret
    label("err_out")
    xa_erase(encl.page_array, PFN_DOWN(encl_page.desc))
    label("err_out_shrink")
    sgx_encl_shrink(encl, va_page)
    label("err_out_epc")
    sgx_encl_free_epc_page(epc_page)
    label("err_out_unlock")
    mutex_unlock(encl.lock)
    kfree(encl_page)
    return vmret


@part_of("sgx_encl_eaug_page")
def sgx_eaug_grow_failed(ret: int) -> str:
    """-EBUSY: ksgxd makes room, try again (81fa6fd13b5c, U16)."""
    if ret == -EBUSY:
        sometimes("EAUG had to retry for want of a VA page")
        return VM_FAULT_NOPAGE
    return VM_FAULT_SIGBUS


@part_of("sgx_encl_eaug_page")
def sgx_eaug_insert_failed(ret: int) -> str:
    """Any error of xa_insert() is SIGBUS."""
    return VM_FAULT_SIGBUS


@kernel
def sgx_vma_fault(mm: mm_struct, vma: Any, index: int) -> str:
    """sgx_vma_fault(), called with mmap_lock held for reading."""
    encl = vma.vm_private_data
    if encl is None:
        sometimes("a fault in a child that could not be added to the mm list")
        return VM_FAULT_SIGBUS
    if SGX2 and xa_load(encl.page_array, index) is None:
        return sgx_encl_eaug_page(mm, vma, encl, index)
    mutex_lock(encl.lock)
    entry = sgx_encl_load_page_in_vma(encl, index, vma_prot_bits(vma))
    if IS_ERR(entry):
        vmret = sgx_fault_load_failed(encl, index, entry)
        mutex_unlock(encl.lock)
        return vmret
    vmret = vmf_insert_pfn(mm, vma, index, entry.epc_page)
    if vmret != VM_FAULT_NOPAGE:
        mutex_unlock(encl.lock)
        return VM_FAULT_SIGBUS
    sgx_encl_test_and_clear_young(mm, entry)
    mutex_unlock(encl.lock)
    return vmret


@part_of("sgx_vma_fault")
def sgx_fault_load_failed(encl: sgx_encl, index: int, ret: int) -> str:
    """-EBUSY is retried, any other error of sgx_encl_load_page() is SIGBUS."""
    if ret == -EBUSY:
        return VM_FAULT_NOPAGE
    return VM_FAULT_SIGBUS


# -- VA pages -----------------------------------------------------------------------------


@pure
def find_first_zero_bit(bitmap: int, size: int) -> int:
    """The lowest clear bit, or ``size``."""
    for bit in range(size):
        if not bitmap & 1 << bit:
            return bit
    return size


@kernel
def sgx_alloc_va_page(reclaim: bool) -> Any:
    """sgx_alloc_va_page(): an EPC page made a version array, or -errno."""
    epc_page = sgx_alloc_epc_page(None, reclaim)
    if IS_ERR(epc_page):
        return epc_page
    ret = EPA(sgx_get_epc_virt_addr(epc_page))
    if ret:
        sometimes("EPA failed")
        sgx_encl_free_epc_page(epc_page)
        return -EFAULT
    track_page(epc_page, VA_PAGE)
    return epc_page


@kernel
def sgx_alloc_va_slot(va_page: sgx_va_page) -> int:
    """sgx_alloc_va_slot(): the offset of a slot now in use."""
    slot = find_first_zero_bit(va_page.bitmap, SGX_VA_SLOT_COUNT)
    if slot < SGX_VA_SLOT_COUNT:
        set_bit(slot, va_page.bitmap)
    return slot << 3


@kernel
def sgx_free_va_slot(va_page: sgx_va_page, offset: int) -> None:
    """sgx_free_va_slot()."""
    clear_bit(offset >> 3, va_page.bitmap)


@kernel
def sgx_va_page_full(va_page: sgx_va_page) -> bool:
    """sgx_va_page_full()."""
    return find_first_zero_bit(va_page.bitmap, SGX_VA_SLOT_COUNT) == SGX_VA_SLOT_COUNT


@kernel
def sgx_encl_free_epc_page(page: sgx_epc_page) -> None:
    """sgx_encl_free_epc_page(): EREMOVE, then free; a page that resists is leaked, loudly."""
    WARN_ON(page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED != 0, TRACKED_FREED)
    ret = EREMOVE(sgx_get_epc_virt_addr(page))
    if ret:
        sometimes("EREMOVE failed, the page is leaked")
        leaked(page)
        sgx_eremove_failed(page, ret)
        return
    sgx_free_epc_page(page)


@part_of("sgx_encl_free_epc_page")
def sgx_eremove_failed(page: sgx_epc_page, ret: int) -> None:
    """The driver's WARN; #GP is what a scenario asks for (b0c7459be067, U25)."""
    if ret != GP:
        ENCLS_WARN(ret, "10-epcm: EREMOVE")


# -- the end of an enclave ----------------------------------------------------------------


@kernel
def sgx_encl_release(encl: sgx_encl) -> None:
    """sgx_encl_release(): the last reference is gone, nobody else can reach the enclave."""
    sometimes("an enclave was released")
    count = 0
    spin_lock(encl.page_array.xa_lock)
    for index in range(xa_size(encl.page_array)):
        entry = xa_load(encl.page_array, index)
        if entry is None:
            continue
        if entry.epc_page is not None:
            # A page that the reclaimer holds cannot be freed (it has a reference, so
            # this does not happen).
            if untrack_page(entry.epc_page, PAGE_LOADED):
                sometimes("release met a page that is being reclaimed")
                continue
            sgx_encl_free_epc_page(entry.epc_page)
            encl.secs_child_cnt -= 1
            entry.epc_page = None
        kfree(entry)
        count += 1
        if XA_CHECK_SCHED and count % XA_CHECK_SCHED == 0:
            spin_unlock(encl.page_array.xa_lock)
            cond_resched()
            spin_lock(encl.page_array.xa_lock)
    spin_unlock(encl.page_array.xa_lock)
    if not encl.secs_child_cnt and encl.secs.epc_page is not None:
        untrack_page(encl.secs.epc_page, SECS_LOADED)
        sgx_encl_free_epc_page(encl.secs.epc_page)
        encl.secs.epc_page = None
    while not list_empty(encl.va_pages):
        va_page = list_first(encl.va_pages)
        list_del(va_page.list)
        untrack_page(va_page.epc_page, VA_PAGE)
        sgx_encl_free_epc_page(va_page.epc_page)
        kfree(va_page)
    if encl.backing is not None:
        fput(encl.backing)
    cleanup_srcu_struct(encl.srcu)
    WARN_ON(not list_empty(encl.mm_list), "6-references: released with an mm on mm_list")
    WARN_ON(encl.secs_child_cnt != 0, "9-child-count: released with secs_child_cnt above 0")
    WARN_ON(encl.secs.epc_page is not None, "9-child-count: released with the SECS resident")
    kfree(encl)
