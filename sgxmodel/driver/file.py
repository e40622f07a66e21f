# SPDX-License-Identifier: GPL-2.0-only
"""driver.c and the user's side of it: open, mmap, touch, accept, munmap, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.structs import (
    EBADF,
    ENOMEM,
    NOT_TRACKED,
    SIGSEGV,
    VM_FAULT_NOPAGE,
    all_cpus,
    cpu,
    encl_cache,
    mm_of,
    mm_size,
    page_behind,
    process,
    sgx_encl,
    sgx_epc_page,
)
from sgxmodel.hardware.enclu import (
    EACCEPT,
    EEXIT,
    OK,
    PAGE_FAULT,
    enclave_access,
    is_mapped,
    load_mm,
    unload_mm,
    zap_vma_ptes,
)
from sgxmodel.hardware.epcm import SGX_NOT_TRACKED, SGX_PAGE_ATTRIBUTES_MISMATCH
from sgxmodel.kernel.lock import down_read, down_write, up_read, up_write
from sgxmodel.kernel.memory import kzalloc
from sgxmodel.kernel.ref import (
    kref_get,
    kref_get_unless_zero,
    kref_init,
    kref_put,
    set_bit,
    test_and_clear_bit,
)
from sgxmodel.kernel.task import retry, send_signal, task_struct
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import READ_ONCE, rcu_assign_pointer, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.encl import sgx_encl_release, sgx_vma_fault
    from sgxmodel.driver.main import arch_memory_failure


@kernel
def sgx_open(proc: process) -> int:
    """sgx_open(): an empty enclave with one reference, the file's."""
    encl = kzalloc(encl_cache)
    if encl is None:
        return -ENOMEM
    kref_init(encl.refcount)
    proc.private_data = encl
    kref_init(proc.file_ref)
    set_bit(0, proc.fd)
    return 0


@kernel
def sgx_mmap(proc: process) -> int:
    """sgx_mmap() with sgx_encl_mm_add(): the VMA holds the file, the mm holds the enclave."""
    mm = mm_of(proc)
    encl = proc.private_data
    down_write(mm.mmap_lock)
    kref_get(encl.refcount)
    rcu_assign_pointer(encl.mm, mm)
    kref_get(proc.file_ref)
    proc.mapped = encl
    up_write(mm.mmap_lock)
    return 0


@kernel
def sgx_release(encl: sgx_encl) -> None:
    """sgx_release(): the file is gone; give back the mm's reference and the file's."""
    if READ_ONCE(encl.mm) is not None:
        rcu_assign_pointer(encl.mm, None)
        encl_put(encl)
    encl_put(encl)


@part_of("kref_put")
def encl_put(encl: sgx_encl) -> None:
    """kref_put(&encl->refcount, sgx_encl_release)."""
    if kref_put(encl.refcount):
        sgx_encl_release(encl)


@kernel
def fdget(proc: process) -> Any:
    """A reference on the open file, as every system call on it takes; -EBADF if closed."""
    if not kref_get_unless_zero(proc.file_ref):
        sometimes("-EBADF: the file is closed")
        return -EBADF
    return proc.private_data


@kernel
def fdput(proc: process) -> None:
    """Give the file back; the last one releases it."""
    encl = proc.private_data
    if kref_put(proc.file_ref):
        sgx_release(encl)


@kernel
def user_open(proc: process) -> int:
    """open() and mmap() of /dev/sgx_enclave."""
    ret = sgx_open(proc)
    if ret:
        return ret
    return sgx_mmap(proc)


@kernel
def user_munmap(proc: process) -> int:
    """munmap() of the enclave: the PTEs go under mmap_lock, then the VMA's file reference."""
    mm = mm_of(proc)
    down_write(mm.mmap_lock)
    mapped = proc.mapped
    if mapped is not None:
        zap_range(proc)
        proc.mapped = None
    up_write(mm.mmap_lock)
    if mapped is not None:
        fdput(proc)
    return 0


@part_of("unmap_vmas")
def zap_range(proc: process) -> None:
    """unmap_vmas() over the enclave's range."""
    mm = mm_of(proc)
    for index in range(mm_size(mm)):
        zap_vma_ptes(all_cpus(cpu), mm, index)


@kernel
def user_close(proc: process) -> int:
    """The process ends: munmap() and close()."""
    user_munmap(proc)
    if test_and_clear_bit(0, proc.fd):
        fdput(proc)
    return 0


@kernel
def handle_mm_fault(proc: process, index: int) -> str:
    """A page fault of user space: mmap_lock for reading, the VMA, its fault handler."""
    mm = mm_of(proc)
    down_read(mm.mmap_lock)
    mapped = proc.mapped
    if mapped is None:
        up_read(mm.mmap_lock)
        return SIGSEGV
    ret = sgx_vma_fault(mm, mapped, index)
    up_read(mm.mmap_lock)
    return ret


@kernel
def user_touch(proc: process, index: int) -> Any:
    """An enclave thread writes to a page; faults are served until it can, or is killed."""
    load_mm(mm_of(proc))
    while True:
        got = enclave_access(mm_of(proc), index)
        if got != PAGE_FAULT:
            break
        got = handle_mm_fault(proc, index)
        if got != VM_FAULT_NOPAGE:
            break
        if not is_mapped(mm_of(proc), index):
            retry()
    EEXIT()
    unload_mm()
    return 0 if got == OK else got


@kernel
def user_run(proc: process, index: int) -> Any:
    """An enclave thread stays inside for a while and writes to a page again and again."""
    got: Any = OK
    load_mm(mm_of(proc))
    for _i in range(8):
        while True:
            got = enclave_access(mm_of(proc), index)
            if got != PAGE_FAULT:
                break
            got = handle_mm_fault(proc, index)
            if got != VM_FAULT_NOPAGE:
                break
            if not is_mapped(mm_of(proc), index):
                retry()
        if got != OK:
            break
    EEXIT()
    unload_mm()
    return 0 if got == OK else got


@kernel
def user_accept(proc: process, index: int) -> Any:
    """An enclave thread accepts a page (EACCEPT); the first touch of a new one is EAUG."""
    load_mm(mm_of(proc))
    while True:
        got = EACCEPT(mm_of(proc), index)
        if got != PAGE_FAULT:
            break
        got = handle_mm_fault(proc, index)
        if got != VM_FAULT_NOPAGE:
            break
        if not is_mapped(mm_of(proc), index):
            retry()
    EEXIT()
    unload_mm()
    if got == SGX_PAGE_ATTRIBUTES_MISMATCH:
        sometimes("a page was accepted already")
        return 0
    if got == SGX_NOT_TRACKED:
        sometimes("EACCEPT came before the change was tracked")
        return NOT_TRACKED
    return got


@kernel
def memory_error(page: sgx_epc_page) -> int:
    """The machine check handler reports an EPC page, by its number."""
    return arch_memory_failure(page)


@kernel
def memory_error_at(proc: process, index: int) -> int:
    """The machine check handler reports the EPC page that an address is mapped to."""
    page = page_behind(mm_of(proc), index)
    if page is None:
        sometimes("a memory error hit an address that was not mapped")
        return 0
    return arch_memory_failure(page)


@kernel
def send_signal_to(task: task_struct) -> int:
    """Another task's signal: waits that can be interrupted end."""
    send_signal(task)
    return 0
