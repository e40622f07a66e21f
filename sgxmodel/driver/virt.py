# SPDX-License-Identifier: GPL-2.0-only
"""virt.c: virtual EPC, pages that a guest manages; and the guest's side of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sgxmodel.driver.calls import GUEST, Verb
from sgxmodel.driver.seam import VEPC_PAGE
from sgxmodel.driver.structs import (
    EBADF,
    EBUSY,
    EFAULT,
    ENOMEM,
    PTES_FAIL,
    VM_FAULT_NOPAGE,
    VM_FAULT_SIGBUS,
    encls_faulted,
    out_of_scope,
    pte_budget,
    sgx_epc_page,
    sgx_get_epc_virt_addr,
)
from sgxmodel.hardware.epcm import ENCLS_WARN, GP, NAMES, SGX_CHILD_PRESENT
from sgxmodel.hardware.guest import GUEST_EADD, GUEST_ECREATE, GUEST_EINIT, VEPC_EREMOVE
from sgxmodel.kernel.list import (
    INIT_LIST_HEAD,
    list_add_tail,
    list_del,
    list_empty,
    list_for_each_entry_safe,
    list_head,
    list_splice_tail,
)
from sgxmodel.kernel.lock import mutex, mutex_lock, mutex_unlock
from sgxmodel.kernel.memory import (
    IS_ERR,
    kfree,
    kmem_cache,
    kzalloc,
    xa_erase,
    xa_insert,
    xa_load,
    xa_size,
    xarray,
)
from sgxmodel.kernel.ref import (
    kref,
    kref_get_unless_zero,
    kref_init,
    kref_put,
    set_bit,
    test_and_clear_bit,
)
from sgxmodel.kernel.task import cond_resched, fault_budget, may_fail, retry
from sgxmodel.machine.layout import CURRENT, State, Struct, static
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import READ_ONCE, primitive, pure, rcu_assign_pointer, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.main import sgx_alloc_epc_page, sgx_free_epc_page
    from sgxmodel.driver.seam import track_page, untrack_page


class sgx_vepc(Struct):
    """A virtual EPC: its pages by index."""

    page_array: xarray
    lock: mutex


class vepc_file(Struct):
    """An open /dev/sgx_vepc with its mapping: one reference, and one for each use under way."""

    file_ref: kref
    private_data: Any = None
    fd: int = 0


class virt(Struct):
    """The statics of virt.c."""

    zombie_secs_pages: list_head
    zombie_secs_pages_lock: mutex


class secs_stack(Struct):
    """``LIST_HEAD(secs_pages)`` of each task."""

    secs_of: ClassVar[dict[Any, list_head]]


sgx_virt = static("sgx_virt", virt)
vepc_stack = static("vepc_stack", secs_stack)
vepc_cache = static("sgx_vepc_cache", kmem_cache)
xa_store_budget = static("xa_store", fault_budget)


@primitive(silent=True, access="none")
def SECS_PAGES(S: State, stack: secs_stack) -> list_head:
    """LIST_HEAD(secs_pages): the running task's own list."""
    return stack.secs_of[S[CURRENT]]


@pure
def leaf_name(ret: int) -> Any:
    """What a guest sees of a leaf: 0, or the fault or code by name."""
    return NAMES.get(ret, hex(ret)) if ret else 0


# -- faults -------------------------------------------------------------------------------


@kernel
def __sgx_vepc_fault(vepc: sgx_vepc, index: int) -> Any:
    """__sgx_vepc_fault(): vepc->lock is held."""
    epc_page = xa_load(vepc.page_array, index)
    if epc_page is not None:
        return 0
    epc_page = sgx_alloc_epc_page(vepc, False)
    if IS_ERR(epc_page):
        return epc_page
    if may_fail(xa_store_budget):
        sometimes("a virtual EPC page found no place in its index")
        ret = -ENOMEM
        goto("err_free")
    xa_insert(vepc.page_array, index, epc_page)
    if PTES_FAIL and may_fail(pte_budget):
        sometimes("an EPC page could not be mapped")
        xa_erase(vepc.page_array, index)
        ret = -EFAULT
        goto("err_free")
    track_page(epc_page, VEPC_PAGE)
    sometimes("a guest was given an EPC page")
    return 0
    label("err_free")
    sgx_free_epc_page(epc_page)
    return ret


@kernel
def sgx_vepc_fault(vepc: sgx_vepc, index: int) -> str:
    """sgx_vepc_fault(); "RETRY" is VM_FAULT_RETRY, with mmap_lock released."""
    mutex_lock(vepc.lock)
    ret = __sgx_vepc_fault(vepc, index)
    mutex_unlock(vepc.lock)
    if not ret:
        return VM_FAULT_NOPAGE
    if ret == -EBUSY:
        sometimes("a virtual EPC fault had to be retried")
        return "RETRY"
    return VM_FAULT_SIGBUS


# -- removal ------------------------------------------------------------------------------


@kernel
def sgx_vepc_remove_page(epc_page: sgx_epc_page) -> int:
    """sgx_vepc_remove_page(): whatever the guest left there."""
    return VEPC_EREMOVE(sgx_get_epc_virt_addr(epc_page))


@kernel
def sgx_vepc_free_page(epc_page: sgx_epc_page, tracked: bool) -> int:
    """sgx_vepc_free_page(): SGX_CHILD_PRESENT is expected of a SECS, nothing else."""
    ret = sgx_vepc_remove_page(epc_page)
    if ret:
        if ret != SGX_CHILD_PRESENT:
            ENCLS_WARN(ret, "10-epcm: EREMOVE")
        return ret
    if tracked:
        untrack_page(epc_page, VEPC_PAGE)
    sgx_free_epc_page(epc_page)
    return 0


@kernel
def sgx_vepc_remove_all(vepc: sgx_vepc) -> Any:
    """sgx_vepc_remove_all(): how many SECS pages resist, -EBUSY for any other error."""
    failures = 0
    for index in range(xa_size(vepc.page_array)):
        entry = xa_load(vepc.page_array, index)
        if entry is None:
            continue
        ret = sgx_vepc_remove_page(entry)
        if ret == SGX_CHILD_PRESENT:
            failures += 1
        elif ret:
            sometimes("a guest's page resisted SGX_IOC_VEPC_REMOVE_ALL")
            if encls_faulted(ret) and ret != GP:
                ENCLS_WARN(ret, "10-epcm: EREMOVE")
            return -EBUSY
        cond_resched()
    if failures:
        sometimes("a SECS with children was left by SGX_IOC_VEPC_REMOVE_ALL")
    return failures


@kernel
def sgx_vepc_release(vepc: sgx_vepc) -> None:
    """sgx_vepc_release(): children, then SECS pages, then the zombies of earlier releases."""
    secs_pages = SECS_PAGES(vepc_stack)
    INIT_LIST_HEAD(secs_pages)
    for index in range(xa_size(vepc.page_array)):
        entry = xa_load(vepc.page_array, index)
        if entry is None:
            continue
        if sgx_vepc_free_page(entry, True):
            sometimes("a virtual EPC page was left for the second pass")
            continue
        xa_erase(vepc.page_array, index)
        cond_resched()
    for index in range(xa_size(vepc.page_array)):
        epc_page = xa_load(vepc.page_array, index)
        if epc_page is None:
            continue
        # Its children are in another virtual EPC.
        if sgx_vepc_free_page(epc_page, True):
            sometimes("a SECS became a zombie")
            untrack_page(epc_page, VEPC_PAGE)
            list_add_tail(epc_page.list, secs_pages)
        xa_erase(vepc.page_array, index)
        cond_resched()
    mutex_lock(sgx_virt.zombie_secs_pages_lock)
    sgx_vepc_retry_zombies(secs_pages)
    mutex_unlock(sgx_virt.zombie_secs_pages_lock)
    kfree(vepc)


@part_of("sgx_vepc_release")
def sgx_vepc_retry_zombies(secs_pages: list_head) -> None:
    """The zombies that are known so far; what this release adds is not tried again (V1)."""
    sgx_vepc_try_zombies(secs_pages)
    if not list_empty(secs_pages):
        list_splice_tail(secs_pages, sgx_virt.zombie_secs_pages)
        out_of_scope(secs_pages)


@part_of("sgx_vepc_release")
def sgx_vepc_try_zombies(secs_pages: list_head) -> None:
    """Free every zombie that can be; the others go to ``secs_pages``."""
    for epc_page in list_for_each_entry_safe(sgx_virt.zombie_secs_pages):
        sgx_vepc_unlink_zombie(epc_page)
        if sgx_vepc_free_page(epc_page, False):
            sometimes("a zombie stayed one")
            list_add_tail(epc_page.list, secs_pages)
        else:
            sometimes("a zombie was freed")
        cond_resched()


@part_of("sgx_vepc_release")
def sgx_vepc_unlink_zombie(epc_page: sgx_epc_page) -> None:
    """list_del() of a zombie, under zombie_secs_pages_lock."""
    list_del(epc_page.list)


# -- the user's side ----------------------------------------------------------------------


@part_of("fdget")
def vepc_get(file: vepc_file) -> Any:
    """A reference on the open file; -EBADF if closed."""
    if not kref_get_unless_zero(file.file_ref):
        return -EBADF
    return READ_ONCE(file.private_data)


@part_of("fdput")
def vepc_put(file: vepc_file) -> None:
    """The last reference releases the virtual EPC."""
    vepc = READ_ONCE(file.private_data)
    if kref_put(file.file_ref):
        sgx_vepc_release(vepc)


@part_of("sgx_vepc_open")
def vepc_open(file: vepc_file) -> int:
    """sgx_vepc_open() and mmap()."""
    vepc = kzalloc(vepc_cache)
    if vepc is None:
        return -ENOMEM
    rcu_assign_pointer(file.private_data, vepc)
    kref_init(file.file_ref)
    set_bit(0, file.fd)
    return 0


@part_of("close")
def vepc_close(file: vepc_file) -> int:
    """munmap() and close()."""
    if test_and_clear_bit(0, file.fd):
        vepc_put(file)
    return 0


@part_of("sgx_vepc_ioctl")
def vepc_remove_all(file: vepc_file) -> Any:
    """SGX_IOC_VEPC_REMOVE_ALL."""
    vepc = vepc_get(file)
    if IS_ERR(vepc):
        return vepc
    ret = sgx_vepc_remove_all(vepc)
    vepc_put(file)
    return ret


@part_of("handle_mm_fault")
def vepc_populate(vepc: sgx_vepc, index: int) -> str:
    """A guest's access: faults are served until the page is there, or it is killed."""
    while True:
        vmret = sgx_vepc_fault(vepc, index)
        if vmret != "RETRY":
            break
        retry()
    return vmret


@kernel
def guest_touch(file: vepc_file, index: int) -> Any:
    """A guest reads a page of its EPC."""
    vepc = vepc_get(file)
    if IS_ERR(vepc):
        return vepc
    vmret = vepc_populate(vepc, index)
    vepc_put(file)
    return 0 if vmret == VM_FAULT_NOPAGE else vmret


@kernel
def guest_ecreate(file: vepc_file, index: int) -> Any:
    """A guest makes a page a SECS; KVM may trap ECREATE: sgx_virt_ecreate()."""
    vepc = vepc_get(file)
    if IS_ERR(vepc):
        return vepc
    ret: Any = vepc_populate(vepc, index)
    if ret == VM_FAULT_NOPAGE:
        epc_page = xa_load(vepc.page_array, index)
        ret = leaf_name(GUEST_ECREATE(sgx_get_epc_virt_addr(epc_page), file))
    vepc_put(file)
    return ret


@kernel
def guest_einit(file: vepc_file, index: int) -> Any:
    """A guest makes its enclave executable; KVM traps EINIT: sgx_virt_einit()."""
    vepc = vepc_get(file)
    if IS_ERR(vepc):
        return vepc
    ret: Any = vepc_populate(vepc, index)
    if ret == VM_FAULT_NOPAGE:
        epc_page = xa_load(vepc.page_array, index)
        ret = leaf_name(GUEST_EINIT(sgx_get_epc_virt_addr(epc_page), file))
    vepc_put(file)
    return ret


@kernel
def guest_eadd(file: vepc_file, index: int, other: vepc_file, at: int) -> Any:
    """A guest makes a page a child of a SECS, perhaps in another virtual EPC of its own."""
    vepc = vepc_get(file)
    if IS_ERR(vepc):
        return vepc
    ret: Any = vepc_get(other)
    if IS_ERR(ret):
        goto("out")
    secs_vepc = ret
    ret = vepc_populate(vepc, index)
    if ret == VM_FAULT_NOPAGE:
        ret = vepc_populate(secs_vepc, at)
    if ret == VM_FAULT_NOPAGE:
        epc_page = xa_load(vepc.page_array, index)
        secs = sgx_get_epc_virt_addr(xa_load(secs_vepc.page_array, at))
        ret = leaf_name(GUEST_EADD(sgx_get_epc_virt_addr(epc_page), secs, (file, other)))
    vepc_put(other)
    label("out")
    vepc_put(file)
    return ret


CALLS = (
    Verb("vepc-open", vepc_open, ("vepc",), ("0", "-ENOMEM"), "open() and mmap() a vEPC"),
    Verb("vepc-close", vepc_close, ("vepc",), ("0",), "munmap() and close()"),
    Verb("vepc-remove-all", vepc_remove_all, ("vepc",), ("0", "1", "-EBADF", "-EBUSY"),
         "EREMOVE of every page"),
    Verb("guest-touch", guest_touch, ("vepc", "vpage"), GUEST, "a guest reads a page"),
    Verb("guest-ecreate", guest_ecreate, ("vepc", "vpage"), (*GUEST, "#PF"),
         "a guest makes a page a SECS"),
    Verb("guest-einit", guest_einit, ("vepc", "vpage"), (*GUEST, "#PF", "#GP"),
         "a guest makes the enclave of a SECS executable"),
    Verb("guest-eadd", guest_eadd, ("vepc", "vpage", "vepc", "vpage"), (*GUEST, "#PF", "#GP"),
         "a guest makes a page a child of that SECS"),
)  # fmt: skip
