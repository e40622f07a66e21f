# SPDX-License-Identifier: GPL-2.0-only
"""ioctl.c: create, add pages, init, and how ioctls exclude each other (SGX2: sgx2.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import CREATE, IOCTL, Verb, partly
from sgxmodel.driver.seam import PAGE_ADDED, SECS_CREATED, VA_PAGE
from sgxmodel.driver.structs import (
    ARGUMENTS_FAIL,
    EBUSY,
    EFAULT,
    EINVAL,
    EIO,
    ENOMEM,
    EPERM,
    ERESTARTSYS,
    PFN_DOWN,
    PROVISION,
    SGX_ENCL_CREATED,
    SGX_ENCL_INITIALIZED,
    SGX_ENCL_IOCTL,
    SGX_VA_SLOT_COUNT,
    argument_budget,
    backing_cache,
    encls_faulted,
    mm_of,
    process,
    sgx_encl,
    sgx_get_epc_virt_addr,
    va_page_cache,
)
from sgxmodel.driver.user import progress
from sgxmodel.hardware.encls import (
    EADD,
    ECREATE,
    EEXTEND,
    EINIT,
)
from sgxmodel.hardware.epcm import PT_SECS
from sgxmodel.kernel.list import list_add, list_del
from sgxmodel.kernel.lock import down_read, mutex_lock, mutex_unlock, up_read
from sgxmodel.kernel.memory import IS_ERR, kfree, kzalloc, xa_erase, xa_insert
from sgxmodel.kernel.ref import clear_bit, set_bit, test_and_set_bit, test_bit
from sgxmodel.kernel.shmem import fput
from sgxmodel.kernel.task import WARN_ON, may_fail, signal_pending
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.encl import (
        sgx_alloc_va_page,
        sgx_encl_free_epc_page,
        sgx_encl_page_alloc,
    )
    from sgxmodel.driver.file import fdget, fdput
    from sgxmodel.driver.main import sgx_alloc_epc_page
    from sgxmodel.driver.seam import track_page, untrack_page
    from sgxmodel.driver.user import copy_from_user, copy_to_user
    from sgxmodel.kernel.mm import mm_struct


@kernel
def sgx_encl_grow(encl: sgx_encl, reclaim: bool) -> Any:
    """sgx_encl_grow(): count a page; a VA page for every SGX_VA_SLOT_COUNT of them."""
    va_page = None
    if not encl.page_cnt % SGX_VA_SLOT_COUNT:
        va_page = kzalloc(va_page_cache)
        if va_page is None:
            sometimes("a struct sgx_va_page could not be allocated")
            return -ENOMEM
        epc_page = sgx_alloc_va_page(reclaim)
        if IS_ERR(epc_page):
            kfree(va_page)
            return epc_page
        va_page.epc_page = epc_page
        sometimes("an enclave grew by a VA page")
        WARN_ON(encl.page_cnt % SGX_VA_SLOT_COUNT != 0, "12-va-slots: page_cnt moved in grow")
    encl.page_cnt += 1
    return va_page


@kernel
def sgx_encl_shrink(encl: sgx_encl, va_page: Any) -> None:
    """sgx_encl_shrink(): undo sgx_encl_grow(), or (NULL) a page was removed."""
    encl.page_cnt -= 1
    if va_page is not None:
        sometimes("an enclave gave a VA page back")
        untrack_page(va_page.epc_page, VA_PAGE)
        sgx_encl_free_epc_page(va_page.epc_page)
        list_del(va_page.list)
        kfree(va_page)


@kernel
def sgx_encl_create(encl: sgx_encl, size: int) -> Any:
    """sgx_encl_create(): no encl->lock, as nobody can use the enclave before CREATED."""
    if size <= 0 or size & (size - 1):
        return -EINVAL
    va_page = sgx_encl_grow(encl, True)
    if IS_ERR(va_page):
        return va_page
    if va_page is not None:
        list_add(va_page.list, encl.va_pages)
    backing = kzalloc(backing_cache)
    if backing is None:
        sometimes("the backing file could not be made")
        ret = -ENOMEM
        goto("err_out_shrink")
    encl.backing = backing
    secs_epc = sgx_alloc_epc_page(encl.secs, True)
    if IS_ERR(secs_epc):
        ret = secs_epc
        goto("err_out_backing")
    encl.secs.epc_page = secs_epc
    if ECREATE(sgx_get_epc_virt_addr(secs_epc), size):
        sometimes("ECREATE failed")
        ret = -EIO
        goto("err_out")
    encl.secs.encl = encl
    encl.secs.type = PT_SECS
    encl.size = size
    track_page(encl.secs.epc_page, SECS_CREATED)
    set_bit(SGX_ENCL_CREATED, encl.flags)
    return 0
    label("err_out")
    sgx_encl_free_epc_page(encl.secs.epc_page)
    encl.secs.epc_page = None
    label("err_out_backing")
    fput(encl.backing)
    encl.backing = None
    label("err_out_shrink")
    sgx_encl_shrink(encl, va_page)
    return ret


@kernel
def sgx_ioc_enclave_create(encl: sgx_encl, size: int) -> Any:
    """sgx_ioc_enclave_create()."""
    if test_bit(SGX_ENCL_CREATED, encl.flags):
        return -EINVAL
    if copy_from_user():
        return -EFAULT
    if ARGUMENTS_FAIL and may_fail(argument_budget):
        sometimes("an ioctl's argument found no memory")
        return -ENOMEM
    return sgx_encl_create(encl, size)


@kernel
def sgx_encl_add_page(mm: mm_struct, encl: sgx_encl, index: int, page_type: str) -> Any:
    """sgx_encl_add_page(): EADD and measure one page."""
    encl_page = sgx_encl_page_alloc(encl, index, page_type)
    if IS_ERR(encl_page):
        return encl_page
    epc_page = sgx_alloc_epc_page(encl_page, True)
    if IS_ERR(epc_page):
        kfree(encl_page)
        return epc_page
    va_page = sgx_encl_grow(encl, True)
    if IS_ERR(va_page):
        ret = va_page
        goto("err_out_free")
    down_read(mm.mmap_lock)
    mutex_lock(encl.lock)
    if va_page is not None:
        list_add(va_page.list, encl.va_pages)
    ret = xa_insert(encl.page_array, PFN_DOWN(encl_page.desc), encl_page)
    if ret:
        sometimes("a page was added twice")
        goto("err_out_unlock")
    secs = sgx_get_epc_virt_addr(encl.secs.epc_page)
    ret = EADD(sgx_get_epc_virt_addr(epc_page), secs, index, page_type, None)
    if ret:
        sometimes("EADD failed")
        ret = -EIO
        goto("err_out")
    encl_page.encl = encl
    encl_page.epc_page = epc_page
    encl_page.type = page_type
    encl.secs_child_cnt += 1
    ret = EEXTEND(secs, sgx_get_epc_virt_addr(epc_page))
    if ret:
        sometimes("EEXTEND failed")
        sgx_encl_undo_add(encl)
        ret = -EIO
        goto("err_out")
    track_page(encl_page.epc_page, PAGE_ADDED)
    mutex_unlock(encl.lock)
    up_read(mm.mmap_lock)
    return 0
    label("err_out")
    xa_erase(encl.page_array, PFN_DOWN(encl_page.desc))
    label("err_out_unlock")
    sgx_encl_shrink(encl, va_page)
    mutex_unlock(encl.lock)
    up_read(mm.mmap_lock)
    label("err_out_free")
    sgx_encl_free_epc_page(epc_page)
    kfree(encl_page)
    return ret


@part_of("sgx_encl_add_page")
def sgx_encl_undo_add(encl: sgx_encl) -> None:
    """The page counts as a child since EADD; nothing takes it off again."""


@kernel
def sgx_ioc_enclave_add_pages(
    mm: mm_struct, encl: sgx_encl, first: int, length: int, page_type: str
) -> Any:
    """sgx_ioc_enclave_add_pages(): a failed EADD or EEXTEND is not undone.

    A signal ends it: -ERESTARTSYS before the first page, else a short count.
    """
    if not test_bit(SGX_ENCL_CREATED, encl.flags) or test_bit(SGX_ENCL_INITIALIZED, encl.flags):
        return -EINVAL
    if copy_from_user():
        return -EFAULT
    if first + length > encl.size:
        return -EINVAL
    ret: Any = 0
    c = 0
    while c < length:
        if signal_pending():
            if not c:
                ret = -ERESTARTSYS
            else:
                sometimes("a signal ended an ioctl half way")
            break
        ret = sgx_encl_add_page(mm, encl, first + c, page_type)
        if ret:
            break
        c += 1
    if ret and c:
        sometimes("an ioctl failed half way")
    if copy_to_user():
        return -EFAULT
    return progress(ret, c, length)


@kernel
def sgx_ioc_enclave_init(encl: sgx_encl) -> int:
    """sgx_encl_init(): EINIT under encl->lock.  The SECS is resident: see sgx_reclaimer_write."""
    if not test_bit(SGX_ENCL_CREATED, encl.flags) or test_bit(SGX_ENCL_INITIALIZED, encl.flags):
        return -EINVAL
    if copy_from_user():
        return -EFAULT
    if ARGUMENTS_FAIL and may_fail(argument_budget):
        sometimes("an ioctl's argument found no memory")
        return -ENOMEM
    mutex_lock(encl.lock)
    ret = EINIT(sgx_get_epc_virt_addr(encl.secs.epc_page))
    if encls_faulted(ret):
        ret = -EIO
    elif ret:
        sometimes("EINIT refused the signature")
        ret = -EPERM
    else:
        set_bit(SGX_ENCL_INITIALIZED, encl.flags)
    mutex_unlock(encl.lock)
    return ret


@kernel
def sgx_ioc_enclave_provision(encl: sgx_encl, descriptor: str) -> int:
    """sgx_ioc_enclave_provision(): attributes_mask is not modelled, but who may change it."""
    if copy_from_user():
        return -EFAULT
    if descriptor != PROVISION:
        return -EINVAL
    return 0


# -- sgx_ioctl(): one at a time an enclave, by SGX_ENCL_IOCTL -----------------------------


@part_of("sgx_ioctl")
def ioctl_begin(proc: process) -> Any:
    """fdget() and the bit that makes ioctls of one enclave exclusive."""
    encl = fdget(proc)
    if IS_ERR(encl):
        return encl
    if test_and_set_bit(SGX_ENCL_IOCTL, encl.flags):
        sometimes("-EBUSY: another ioctl is under way")
        fdput(proc)
        return -EBUSY
    return encl


@part_of("sgx_ioctl")
def ioctl_end(proc: process, encl: sgx_encl) -> None:
    """Clear the bit, fdput()."""
    clear_bit(SGX_ENCL_IOCTL, encl.flags)
    fdput(proc)


@part_of("sgx_ioctl")
def ioctl_create(proc: process, size: int) -> Any:
    """SGX_IOC_ENCLAVE_CREATE."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_create(encl, size)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def ioctl_add_page(proc: process, first: int, length: int, page_type: str) -> Any:
    """SGX_IOC_ENCLAVE_ADD_PAGES."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_add_pages(mm_of(proc), encl, first, length, page_type)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def ioctl_init(proc: process) -> Any:
    """SGX_IOC_ENCLAVE_INIT."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_init(encl)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def ioctl_provision(proc: process, descriptor: str) -> Any:
    """SGX_IOC_ENCLAVE_PROVISION."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_provision(encl, descriptor)
    ioctl_end(proc, encl)
    return ret


CALLS = (
    Verb("create", ioctl_create, ("enclave", "size"), CREATE, "ECREATE"),
    Verb("add", ioctl_add_page, ("enclave", "pages", "type"),
         (*CREATE, *partly("0", "-EBUSY", "-ENOMEM", "-EIO", "-ERESTARTSYS")),
         "EADD, before init"),
    Verb("init", ioctl_init, ("enclave",),
         (*IOCTL, "-EIO", "-EPERM", "-EFAULT", "-ENOMEM"), "EINIT"),
    Verb("provision", ioctl_provision, ("enclave", "descriptor"), (*IOCTL, "-EFAULT"),
         "allows the enclave the provision key"),
)  # fmt: skip
