# SPDX-License-Identifier: GPL-2.0-only
"""ioctl.c, SGX2: restrict permissions, modify types, remove pages, each over a range.

Each returns (result, pages done): the kernel's ``params.count``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import IOCTL, Verb, partly
from sgxmodel.driver.seam import PAGE_LOADED, PAGE_RETYPED
from sgxmodel.driver.structs import (
    EAGAIN,
    EBUSY,
    EFAULT,
    EINVAL,
    ENODEV,
    EPERM,
    PFN_DOWN,
    SGX2,
    SGX_ENCL_INITIALIZED,
    encls_failed,
    encls_faulted,
    process,
    sgx_encl,
    sgx_encl_page,
    sgx_get_epc_virt_addr,
)
from sgxmodel.driver.user import progress
from sgxmodel.hardware.encls import EMODPR, EMODT, ETRACK
from sgxmodel.hardware.epcm import PF, PT_REG, PT_TCS, PT_TRIM, frame, is_tracked
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock
from sgxmodel.kernel.memory import IS_ERR, kfree, xa_erase
from sgxmodel.kernel.ref import test_bit
from sgxmodel.machine.layout import State
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import Fault, primitive, pure, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.encl import (
        sgx_encl_free_epc_page,
        sgx_encl_load_page,
    )
    from sgxmodel.driver.ioctl import ioctl_begin, ioctl_end, sgx_encl_shrink
    from sgxmodel.driver.main import sgx_reclaim_direct
    from sgxmodel.driver.mm import on_each_encl_cpu, sgx_zap_enclave_ptes
    from sgxmodel.driver.seam import track_page, untrack_page
    from sgxmodel.driver.user import copy_from_user, copy_to_user


@pure
def writes_only(permissions: str) -> bool:
    """W without R, which EMODPR refuses."""
    return "w" in permissions and "r" not in permissions


@kernel
def sgx_ioc_sgx2_ready(encl: sgx_encl) -> int:
    """sgx_ioc_sgx2_ready()."""
    if not SGX2:
        return -ENODEV
    if not test_bit(SGX_ENCL_INITIALIZED, encl.flags):
        return -EINVAL
    return 0


@kernel
def sgx_enclave_etrack(encl: sgx_encl) -> int:
    """sgx_enclave_etrack(): open an epoch and drive everybody out; encl->lock is held."""
    secs = sgx_get_epc_virt_addr(encl.secs.epc_page)
    ret = ETRACK(secs)
    if ret:
        sometimes("ETRACK had to be repeated")
        on_each_encl_cpu(encl)
        ret = ETRACK(secs)
        if ret:
            return -EFAULT
    on_each_encl_cpu(encl)
    return 0


@primitive(silent=True, access="none")
def old_rights_are_out_of_use(S: State, p: frame) -> None:
    """Ghost: the ioctl promises that no CPU goes on with the permissions of before.

    The tracking flow is there for it (uapi sgx.h, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS).
    """
    if S[p.changed] is not None and not is_tracked(S, p, S[p.changed]):
        raise Fault(
            "19-tracking",
            "permissions are restricted, but a CPU inside may still use the old ones\n"
            "its TLB was filled before EMODPR, and the CPU has not left the enclave since",
        )


@kernel
def sgx_enclave_restrict_permissions(
    encl: sgx_encl, first: int, length: int, permissions: str
) -> Any:
    """sgx_enclave_restrict_permissions(): EMODPR, then no CPU with the old rights inside."""
    c = 0
    while c < length:
        sgx_reclaim_direct()
        mutex_lock(encl.lock)
        entry = sgx_encl_load_page(encl, first + c)
        if IS_ERR(entry):
            ret = -EAGAIN if entry == -EBUSY else -EFAULT
            goto("out_unlock")
        if entry.type != PT_REG:
            ret = -EINVAL
            goto("out_unlock")
        ret = EMODPR(sgx_get_epc_virt_addr(entry.epc_page), permissions)
        if encls_faulted(ret):
            ret = -EFAULT
            goto("out_unlock")
        if encls_failed(ret):
            sometimes("EMODPR refused the page")
            ret = -EFAULT
            goto("out_unlock")
        ret = sgx_enclave_etrack(encl)
        if ret:
            ret = -EFAULT
            goto("out_unlock")
        old_rights_are_out_of_use(sgx_get_epc_virt_addr(entry.epc_page))
        sometimes("permissions were restricted")
        mutex_unlock(encl.lock)
        c += 1
    return (0, c)
    label("out_unlock")
    mutex_unlock(encl.lock)
    return (ret, c)


@kernel
def sgx_enclave_modify_types(encl: sgx_encl, first: int, length: int, page_type: str) -> Any:
    """sgx_enclave_modify_types(): REG to TCS, REG or TCS to TRIM."""
    c = 0
    while c < length:
        sgx_reclaim_direct()
        mutex_lock(encl.lock)
        entry = sgx_encl_load_page(encl, first + c)
        if IS_ERR(entry):
            ret = -EAGAIN if entry == -EBUSY else -EFAULT
            goto("out_unlock")
        if not (entry.type == PT_REG or (entry.type == PT_TCS and page_type == PT_TRIM)):
            ret = -EINVAL
            goto("out_unlock")
        max_prot_restore = entry.vm_max_prot_bits
        if entry.type == PT_REG and page_type == PT_TCS:
            entry.vm_max_prot_bits = "rw"
            # Nobody may reclaim the page while the mutex is released.
            if untrack_page(entry.epc_page, PAGE_RETYPED):
                sometimes("-EAGAIN: the page to retype is being reclaimed")
                ret = -EAGAIN
                goto("out_entry_changed")
            mutex_unlock(encl.lock)
            sgx_zap_enclave_ptes(encl, first + c)
            mutex_lock(encl.lock)
            track_page(entry.epc_page, PAGE_RETYPED)
        ret = EMODT(sgx_get_epc_virt_addr(entry.epc_page), page_type)
        if encls_faulted(ret):
            ret = -EFAULT
            goto("out_entry_changed")
        if encls_failed(ret):
            sometimes("EMODT refused the page")
            ret = -EFAULT
            goto("out_entry_changed")
        ret = sgx_enclave_etrack(encl)
        if ret:
            ret = -EFAULT
            goto("out_unlock")
        entry.type = page_type
        sometimes("a page changed its type")
        mutex_unlock(encl.lock)
        c += 1
    return (0, c)
    label("out_entry_changed")
    entry.vm_max_prot_bits = max_prot_restore
    label("out_unlock")
    mutex_unlock(encl.lock)
    return (ret, c)


@kernel
def sgx_encl_remove_pages(encl: sgx_encl, first: int, length: int) -> Any:
    """sgx_encl_remove_pages(): trimmed and accepted ones."""
    c = 0
    while c < length:
        sgx_reclaim_direct()
        mutex_lock(encl.lock)
        entry = sgx_encl_load_page(encl, first + c)
        if IS_ERR(entry):
            ret = -EAGAIN if entry == -EBUSY else -EFAULT
            goto("out_unlock")
        if entry.type != PT_TRIM:
            ret = -EPERM
            goto("out_unlock")
        # An accepted TRIM page faults here, one not yet accepted is not modifiable.
        ret = EMODPR(sgx_get_epc_virt_addr(entry.epc_page), "rwx")
        if ret != PF:
            sometimes("a trimmed page was not accepted yet")
            ret = -EPERM
            goto("out_unlock")
        if untrack_page(entry.epc_page, PAGE_LOADED):
            sometimes("-EBUSY: the page to remove is being reclaimed")
            ret = -EBUSY
            goto("out_unlock")
        sgx_encl_announce_removal(entry)
        mutex_unlock(encl.lock)
        sgx_zap_enclave_ptes(encl, first + c)
        mutex_lock(encl.lock)
        sgx_encl_free_epc_page(entry.epc_page)
        encl.secs_child_cnt -= 1
        entry.epc_page = None
        xa_erase(encl.page_array, PFN_DOWN(entry.desc))
        sgx_encl_shrink(encl, None)
        kfree(entry)
        sometimes("a page was removed")
        mutex_unlock(encl.lock)
        c += 1
    return (0, c)
    label("out_unlock")
    mutex_unlock(encl.lock)
    return (ret, c)


@part_of("sgx_encl_remove_pages")
def sgx_encl_announce_removal(entry: sgx_encl_page) -> None:
    """Nothing tells a fault between here and the free that the page is going."""


# -- the ioctls: copy the arguments, check them, work, say how much was done ----------------


@kernel
def sgx_ioc_enclave_restrict_permissions(
    encl: sgx_encl, first: int, length: int, permissions: str
) -> Any:
    """sgx_ioc_enclave_restrict_permissions()."""
    ret = sgx_ioc_sgx2_ready(encl)
    if ret:
        return ret
    if copy_from_user():
        return -EFAULT
    if first + length > encl.size:
        return -EINVAL
    if writes_only(permissions):
        return -EINVAL
    ret, count = sgx_enclave_restrict_permissions(encl, first, length, permissions)
    return sgx_ioc_result(ret, count, length)


@kernel
def sgx_ioc_enclave_modify_types(encl: sgx_encl, first: int, length: int, page_type: str) -> Any:
    """sgx_ioc_enclave_modify_types()."""
    ret = sgx_ioc_sgx2_ready(encl)
    if ret:
        return ret
    if copy_from_user():
        return -EFAULT
    if first + length > encl.size:
        return -EINVAL
    if page_type != PT_TCS and page_type != PT_TRIM:
        return -EINVAL
    ret, count = sgx_enclave_modify_types(encl, first, length, page_type)
    return sgx_ioc_result(ret, count, length)


@kernel
def sgx_ioc_enclave_remove_pages(encl: sgx_encl, first: int, length: int) -> Any:
    """sgx_ioc_enclave_remove_pages()."""
    ret = sgx_ioc_sgx2_ready(encl)
    if ret:
        return ret
    if copy_from_user():
        return -EFAULT
    if first + length > encl.size:
        return -EINVAL
    ret, count = sgx_encl_remove_pages(encl, first, length)
    return sgx_ioc_result(ret, count, length)


@part_of("sgx_ioctl")
def sgx_ioc_result(ret: int, count: int, length: int) -> Any:
    """params.count goes back to the user, whatever the result."""
    if ret and count:
        sometimes("an ioctl failed half way")
    if copy_to_user():
        return -EFAULT
    return progress(ret, count, length)


@part_of("sgx_ioctl")
def ioctl_restrict(proc: process, first: int, length: int, permissions: str) -> Any:
    """SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_restrict_permissions(encl, first, length, permissions)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def ioctl_modify_type(proc: process, first: int, length: int, page_type: str) -> Any:
    """SGX_IOC_ENCLAVE_MODIFY_TYPES."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_modify_types(encl, first, length, page_type)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def ioctl_remove_page(proc: process, first: int, length: int) -> Any:
    """SGX_IOC_ENCLAVE_REMOVE_PAGES."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_remove_pages(encl, first, length)
    ioctl_end(proc, encl)
    return ret


CHANGE = (*IOCTL, "-ENODEV", "-EAGAIN", "-EFAULT")
CALLS = (
    Verb("restrict", ioctl_restrict, ("enclave", "pages", "permissions"),
         (*CHANGE, *partly("-EINVAL", "-EAGAIN", "-EFAULT")), "take permissions away"),
    Verb("modify", ioctl_modify_type, ("enclave", "pages", "type"),
         (*CHANGE, *partly("-EINVAL", "-EAGAIN", "-EFAULT")), "make pages TCS or TRIM"),
    Verb("remove", ioctl_remove_page, ("enclave", "pages"),
         (*CHANGE, "-EPERM", *partly("-EAGAIN", "-EFAULT", "-EPERM", "-EBUSY")),
         "remove trimmed, accepted pages"),
)  # fmt: skip
