# SPDX-License-Identifier: GPL-2.0-only
"""encl.c and driver.c: who maps an enclave, and what is done in all of those address spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.encl import rights_missing
from sgxmodel.driver.structs import (
    EACCES,
    ENOMEM,
    PFN_DOWN,
    XA_CHECK_SCHED,
    all_cpus,
    cpu,
    encl_mm_cache,
    enclave_file,
    sgx_encl,
    sgx_encl_mm,
    sgx_encl_page,
)
from sgxmodel.hardware.mmu import (
    mm_cpumask,
    on_each_cpu_mask,
    ptep_test_and_clear_young,
    zap_vma_ptes,
)
from sgxmodel.kernel.list import (
    list_add_rcu,
    list_del_rcu,
    list_empty,
    list_first,
    list_for_each_entry,
    list_for_each_entry_rcu,
)
from sgxmodel.kernel.lock import (
    down_read,
    mutex_lock,
    mutex_unlock,
    spin_lock,
    spin_unlock,
    up_read,
)
from sgxmodel.kernel.memory import kfree, kzalloc, xa_load, xa_size
from sgxmodel.kernel.mm import (
    area_at,
    locked,
    mm_struct,
    mmap_assert_write_locked,
    mmget_not_zero,
    vm_area_struct,
)
from sgxmodel.kernel.ref import kref_get
from sgxmodel.kernel.srcu import srcu_gp_end, srcu_gp_start, srcu_read_lock, srcu_read_unlock
from sgxmodel.kernel.task import cond_resched
from sgxmodel.machine.layout import State
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import primitive, pure, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.file import encl_put
    from sgxmodel.driver.mmu_notifier import (
        __mmu_notifier_register,
        mmu_notifier_put,
        mmu_notifier_unregister,
    )
    from sgxmodel.driver.process import mmput_async


@pure
def smp_rmb() -> None:
    """Runs are sequentially consistent: the barrier is said, and does nothing here."""


@pure
def smp_wmb() -> None:
    """As smp_rmb()."""


@primitive(silent=True, access="none")
def sgx_encl_find(S: State, mm: mm_struct, index: int, encl: sgx_encl) -> bool:
    """sgx_encl_find() and ``encl == vma->vm_private_data``; mmap_lock is held."""
    locked(S, mm)
    vma = area_at(S, mm, index)
    return vma is not None and S[vma.vm_private_data] is encl


@kernel
def synchronize_srcu(ssp: Any) -> None:
    """Wait until every read section that is open now has ended."""
    srcu_gp_start(ssp)
    srcu_gp_end(ssp)


# -- the mm list --------------------------------------------------------------------------------


@kernel
def sgx_encl_find_mm(encl: sgx_encl, mm: mm_struct) -> Any:
    """sgx_encl_find_mm()."""
    found = None
    srcu_read_lock(encl.srcu)
    for tmp in list_for_each_entry_rcu(encl.mm_list):
        if tmp.mm is mm:
            found = tmp
            break
    srcu_read_unlock(encl.srcu)
    return found


@kernel
def sgx_encl_mm_add(encl: sgx_encl, mm: mm_struct) -> int:
    """sgx_encl_mm_add(): once for each address space; the mm's write lock says so."""
    mmap_assert_write_locked(mm)
    if sgx_encl_find_mm(encl, mm) is not None:
        return 0
    encl_mm = kzalloc(encl_mm_cache)
    if encl_mm is None:
        sometimes("a struct sgx_encl_mm could not be allocated")
        return -ENOMEM
    kref_get(encl.refcount)
    encl_mm.encl = encl
    encl_mm.mm = mm
    ret = __mmu_notifier_register(encl_mm, mm)
    if ret:
        sgx_mm_add_failed(encl)
        kfree(encl_mm)
        return ret
    spin_lock(encl.mm_lock)
    list_add_rcu(encl_mm.list, encl.mm_list)
    # Pairs with smp_rmb() in sgx_zap_enclave_ptes().
    smp_wmb()
    sgx_mm_list_changed(encl)
    spin_unlock(encl.mm_lock)
    return 0


@part_of("sgx_encl_mm_add")
def sgx_mm_add_failed(encl: sgx_encl) -> None:
    """Nothing: the reference that was taken for the entry is not given back."""


@part_of("sgx_encl_mm_add")
def sgx_mm_list_changed(encl: sgx_encl) -> None:
    """mm_list_version++ under mm_lock; its readers hold nothing."""
    encl.mm_list_version += 1


@part_of("sgx_zap_enclave_ptes")
def sgx_mm_list_version(encl: sgx_encl) -> int:
    """A plain read, under no lock."""
    return encl.mm_list_version


@kernel
def sgx_mmu_notifier_release(encl_mm: sgx_encl_mm, mm: mm_struct) -> None:
    """sgx_mmu_notifier_release(): the address space ends, or the enclave lets go of it."""
    found = False
    spin_lock(encl_mm.encl.mm_lock)
    for tmp in list_for_each_entry(encl_mm.encl.mm_list):
        if tmp is encl_mm:
            found = True
            list_del_rcu(encl_mm.list)
            break
    spin_unlock(encl_mm.encl.mm_lock)
    if found:
        synchronize_srcu(encl_mm.encl.srcu)
        sgx_mmu_notifier_put(encl_mm)
    else:
        sometimes("an mm ended that sgx_release() had taken off the list")


@part_of("sgx_mmu_notifier_release")
def sgx_mmu_notifier_put(encl_mm: sgx_encl_mm) -> None:
    """The callback gives the enclave back."""
    mmu_notifier_put(encl_mm)


@kernel
def sgx_mmu_notifier_free(encl_mm: sgx_encl_mm) -> None:
    """sgx_mmu_notifier_free(): an SRCU callback."""
    encl_put(encl_mm.encl)
    kfree(encl_mm)


@kernel
def sgx_release(file: enclave_file) -> None:
    """sgx_release(): nobody has the file any more; the address spaces are let go of."""
    encl = file.private_data
    while True:
        spin_lock(encl.mm_lock)
        encl_mm = None
        if not list_empty(encl.mm_list):
            encl_mm = list_first(encl.mm_list)
            list_del_rcu(encl_mm.list)
        spin_unlock(encl.mm_lock)
        if encl_mm is None:
            break
        sometimes("the file was released before the mm ended")
        synchronize_srcu(encl.srcu)
        mmu_notifier_unregister(encl_mm, encl_mm.mm)
        kfree(encl_mm)
        encl_put(encl)
    encl_put(encl)


# -- the VMA's operations -----------------------------------------------------------------------


@kernel
def sgx_mmap(file: enclave_file, vma: vm_area_struct, mm: mm_struct) -> int:
    """sgx_mmap(); mmap_lock is held for writing."""
    encl = file.private_data
    ret = sgx_encl_may_map(encl, vma.vm_start, vma.vm_end, vma.vm_prot)
    if ret:
        return ret
    ret = sgx_encl_mm_add(encl, mm)
    if ret:
        return ret
    vma.vm_private_data = encl
    return 0


@kernel
def sgx_vma_open(vma: vm_area_struct, mm: mm_struct) -> None:
    """sgx_vma_open(): a VMA was copied, by fork or by a split."""
    encl = vma.vm_private_data
    if encl is None:
        return
    if sgx_encl_mm_add(encl, mm):
        sometimes("a forked mm could not be added to the mm list")
        vma.vm_private_data = None
        sgx_vma_open_failed(vma)


@part_of("sgx_vma_open")
def sgx_vma_open_failed(vma: vm_area_struct) -> None:
    """Nothing: fork goes on and copies the PTEs."""


@kernel
def sgx_encl_may_map(encl: sgx_encl, start: int, end: int, vm_prot: str) -> int:
    """sgx_encl_may_map(): no page of the range allows less than is asked for."""
    ret = 0
    count = 0
    mutex_lock(encl.lock)
    spin_lock(encl.page_array.xa_lock)
    for index in range(start, min(end, xa_size(encl.page_array))):
        page = xa_load(encl.page_array, index)
        if page is None:
            continue
        if rights_missing(vm_prot, page.vm_max_prot_bits):
            sometimes("-EACCES: a page allows less than the mapping asks for")
            ret = -EACCES
            break
        count += 1
        if XA_CHECK_SCHED and count % XA_CHECK_SCHED == 0:
            sometimes("a walk of the pages let others run")
            spin_unlock(encl.page_array.xa_lock)
            mutex_unlock(encl.lock)
            cond_resched()
            mutex_lock(encl.lock)
            spin_lock(encl.page_array.xa_lock)
    spin_unlock(encl.page_array.xa_lock)
    mutex_unlock(encl.lock)
    return ret


@part_of("sgx_vma_mprotect")
def sgx_vma_mprotect(vma: vm_area_struct, start: int, end: int, prot: str) -> int:
    """sgx_vma_mprotect(): passes vm_private_data on, NULL or not."""
    return sgx_encl_may_map(vma.vm_private_data, start, end, prot)


# -- in every address space ---------------------------------------------------------------------


@kernel
def sgx_encl_test_and_clear_young(mm: mm_struct, encl_page: sgx_encl_page) -> bool:
    """sgx_encl_test_and_clear_young(): one address space; mmap_lock is held."""
    index = PFN_DOWN(encl_page.desc)
    if not sgx_encl_find(mm, index, encl_page.encl):
        return False
    return ptep_test_and_clear_young(mm, index)


@part_of("sgx_reclaimer_age")
def sgx_encl_is_young(encl: sgx_encl, encl_page: sgx_encl_page) -> bool:
    """The walk of sgx_reclaimer_age(): was the page used through any mapping?"""
    young = False
    srcu_read_lock(encl.srcu)
    for encl_mm in list_for_each_entry_rcu(encl.mm_list):
        mm = encl_mm.mm
        if not mmget_not_zero(mm):
            sometimes("the reclaimer met a dying mm")
            continue
        down_read(mm.mmap_lock)
        young = sgx_encl_test_and_clear_young(mm, encl_page)
        up_read(mm.mmap_lock)
        mmput_async(mm)
        if young:
            break
    srcu_read_unlock(encl.srcu)
    return young


@kernel
def sgx_zap_enclave_ptes(encl: sgx_encl, index: int) -> None:
    """sgx_zap_enclave_ptes(): never with encl->lock held, as it takes mmap_lock."""
    while True:
        version = sgx_mm_list_version(encl)
        # Pairs with smp_wmb() in sgx_encl_mm_add().
        smp_rmb()
        srcu_read_lock(encl.srcu)
        for encl_mm in list_for_each_entry_rcu(encl.mm_list):
            mm = encl_mm.mm
            if not mmget_not_zero(mm):
                continue
            down_read(mm.mmap_lock)
            if sgx_encl_find(mm, index, encl):
                zap_vma_ptes(all_cpus(cpu), mm, index)
            up_read(mm.mmap_lock)
            mmput_async(mm)
        srcu_read_unlock(encl.srcu)
        if sgx_mm_list_version(encl) == version:
            break
        sometimes("an mm was added while PTEs were zapped")


@kernel
def sgx_encl_cpumask(encl: sgx_encl) -> Any:
    """sgx_encl_cpumask(): who might be inside; to be made after ETRACK.

    ``encl->cpumask`` in the kernel, which encl->lock protects; a local here.
    """
    mask: Any = ()
    srcu_read_lock(encl.srcu)
    for encl_mm in list_for_each_entry_rcu(encl.mm_list):
        mm = encl_mm.mm
        if not mmget_not_zero(mm):
            continue
        mask = (*mask, *mm_cpumask(all_cpus(cpu), mm))
        mmput_async(mm)
    srcu_read_unlock(encl.srcu)
    return mask


@part_of("sgx_encl_cpumask")
def on_each_encl_cpu(encl: sgx_encl) -> None:
    """on_each_cpu_mask(sgx_encl_cpumask(encl), ...): interrupt who might be inside, wait."""
    if on_each_cpu_mask(sgx_encl_cpumask(encl)):
        sometimes("an IPI found a CPU inside the enclave")
