# SPDX-License-Identifier: GPL-2.0-only
"""encl.c: a debugger reads and writes a debug enclave (sgx_vma_access)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import CREATE, Verb
from sgxmodel.driver.process import thread_begin
from sgxmodel.driver.structs import (
    EBUSY,
    EFAULT,
    EIO,
    ESRCH,
    SGX_ENCL_DEBUG,
    THREADS,
    mm_of,
    process,
    sgx_encl,
    sgx_get_epc_virt_addr,
)
from sgxmodel.hardware.encls import EDBGRD, EDBGWR, make_debug
from sgxmodel.kernel.lock import down_read, mutex_lock, mutex_unlock, up_read
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.kernel.mm import vm_area_struct, vma_lookup, vma_prot_bits
from sgxmodel.kernel.ref import set_bit, test_bit
from sgxmodel.kernel.task import retry
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.encl import sgx_encl_load_page_in_vma
    from sgxmodel.driver.ioctl import ioctl_begin, ioctl_end, sgx_ioc_enclave_create
    from sgxmodel.driver.process import thread_end


@kernel
def sgx_encl_reserve_page(encl: sgx_encl, index: int, prot: str) -> Any:
    """sgx_encl_reserve_page(): the page, resident, and encl->lock held; or -errno without."""
    while True:
        mutex_lock(encl.lock)
        entry = sgx_encl_load_page_in_vma(encl, index, prot)
        if not sgx_reserve_again(entry):
            break
        mutex_unlock(encl.lock)
        retry()
    if IS_ERR(entry):
        mutex_unlock(encl.lock)
    return entry


@part_of("sgx_encl_reserve_page")
def sgx_reserve_again(entry: Any) -> bool:
    """Whether the debugger waits, with mmap_lock, for what has the page to give it back."""
    if entry == -EBUSY:
        sometimes("a debugger met a page that was being reclaimed")
        return True
    return False


@kernel
def sgx_encl_debug_read(entry: Any) -> int:
    """sgx_encl_debug_read(): EDBGRD of one word."""
    ret = EDBGRD(sgx_get_epc_virt_addr(entry.epc_page))
    if ret:
        sometimes("EDBGRD failed")
        return -EIO
    return 0


@kernel
def sgx_encl_debug_write(entry: Any) -> int:
    """sgx_encl_debug_write(): EDBGWR of one word."""
    ret = EDBGWR(sgx_get_epc_virt_addr(entry.epc_page))
    if ret:
        sometimes("EDBGWR failed")
        return -EIO
    return 0


@kernel
def sgx_vma_access(vma: vm_area_struct, index: int, write: bool) -> Any:
    """sgx_vma_access() of one word: 0, -EFAULT or -EIO."""
    encl = vma.vm_private_data
    if encl is None:
        return -EFAULT
    if not test_bit(SGX_ENCL_DEBUG, encl.flags):
        return -EFAULT
    entry = sgx_encl_reserve_page(encl, index, vma_prot_bits(vma))
    if IS_ERR(entry):
        return entry
    ret = sgx_encl_debug_read(entry)
    if not ret and write:
        ret = sgx_encl_debug_write(entry)
    if not ret:
        sometimes("a debugger reached into an enclave")
    mutex_unlock(encl.lock)
    return ret


@part_of("access_remote_vm")
def ptrace_access(proc: process, index: int, write: bool) -> Any:
    """ptrace(): the VMA under mmap_lock, then its access handler.  -EIO: there is none.

    The debugger holds the address space as any call of the process does.
    """
    if THREADS and not thread_begin(proc):
        return -ESRCH
    mm = mm_of(proc)
    down_read(mm.mmap_lock)
    vma = vma_lookup(mm, index)
    ret: Any = -EIO
    if vma is not None:
        ret = sgx_vma_access(vma, index, write)
    up_read(mm.mmap_lock)
    if THREADS:
        thread_end(proc)
    return ret


@kernel
def ptrace_peek(proc: process, index: int) -> Any:
    """PTRACE_PEEKDATA of a word of an enclave page."""
    return ptrace_access(proc, index, False)


@kernel
def ptrace_poke(proc: process, index: int) -> Any:
    """PTRACE_POKEDATA of a word of an enclave page."""
    return ptrace_access(proc, index, True)


@part_of("sgx_ioctl")
def ioctl_create_debug(proc: process, size: int) -> Any:
    """SGX_IOC_ENCLAVE_CREATE of an enclave whose attributes say DEBUG."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_enclave_create(encl, size)
    if not ret:
        make_debug(sgx_get_epc_virt_addr(encl.secs.epc_page))
        set_bit(SGX_ENCL_DEBUG, encl.flags)
    ioctl_end(proc, encl)
    return ret


CALLS = (
    Verb("create-debug", ioctl_create_debug, ("enclave", "size"), CREATE,
         "ECREATE, for a debugger"),
    Verb("peek", ptrace_peek, ("enclave", "page"), ("0", "-EFAULT", "-EIO", "-EBUSY"),
         "a debugger reads a word"),
    Verb("poke", ptrace_poke, ("enclave", "page"), ("0", "-EFAULT", "-EIO", "-EBUSY"),
         "a debugger writes a word"),
)  # fmt: skip
