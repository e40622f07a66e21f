# SPDX-License-Identifier: GPL-2.0-only
"""driver.c and the user's side of it: open, touch, accept; memory errors, signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import FAULT, Verb
from sgxmodel.driver.process import fatal_signal_pending, thread_begin
from sgxmodel.driver.structs import (
    EBADF,
    ENOMEM,
    ESRCH,
    NOT_TRACKED,
    SIGSEGV,
    THREADS,
    VM_FAULT_NOPAGE,
    encl_cache,
    file_of,
    mm_of,
    page_behind,
    process,
    sgx_encl,
    sgx_epc_page,
)
from sgxmodel.hardware.enclu import EACCEPT, EEXIT, OK, PAGE_FAULT, enclave_access
from sgxmodel.hardware.epcm import SGX_NOT_TRACKED, SGX_PAGE_ATTRIBUTES_MISMATCH
from sgxmodel.hardware.mmu import is_mapped, load_mm, unload_mm
from sgxmodel.kernel.lock import down_read, down_write, down_write_begin, up_read, up_write
from sgxmodel.kernel.memory import kzalloc
from sgxmodel.kernel.mm import mm_struct, vma_lookup, vma_prot_bits
from sgxmodel.kernel.ref import kref_init, kref_put
from sgxmodel.kernel.task import retry, send_signal, task_struct
from sgxmodel.machine.layout import State
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import primitive, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.encl import sgx_encl_release, sgx_vma_fault
    from sgxmodel.driver.main import arch_memory_failure
    from sgxmodel.driver.process import file_put, mmap_region, thread_end


@primitive(silent=True, access="none")
def forget_data(S: State, mm: mm_struct) -> None:
    """Ghost: nothing was written to the enclave that is about to be made."""
    for index in range(mm.expected_len):
        S[mm.expected + index] = None


@kernel
def sgx_open(proc: process) -> int:
    """sgx_open(): an empty enclave with one reference, the file's."""
    encl = kzalloc(encl_cache)
    if encl is None:
        return -ENOMEM
    kref_init(encl.refcount)
    file = file_of(proc)
    file.private_data = encl
    kref_init(file.file_ref)
    return 0


@primitive(access="marked", releases=True)
def fd_install(S: State, proc: process) -> None:
    """fd_install(): other threads can find the file, with all that was written before.

    mmap() of the descriptor follows; its reference is taken here, so that a close()
    in between is as one after it.
    """
    refs = proc.file_of.file_ref.refs
    S[refs] = S[refs] + 1
    S[proc.fd] = 1


@part_of("kref_put")
def encl_put(encl: sgx_encl) -> None:
    """kref_put(&encl->refcount, sgx_encl_release)."""
    if kref_put(encl.refcount):
        sgx_encl_release(encl)


@primitive(access="marked", acquires=True)
def fget(S: State, proc: process) -> bool:
    """__fget_files(): a reference on the open file; False where the descriptor is closed."""
    refs = proc.file_of.file_ref.refs
    if not S[proc.fd] or not S[refs]:
        return False
    S[refs] = S[refs] + 1
    return True


@kernel
def fdget(proc: process) -> Any:
    """A reference on the open file, as every system call on it takes; -EBADF if closed."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    if not fget(proc):
        sometimes("-EBADF: the file is closed")
        if THREADS:
            thread_end(proc)
        return -EBADF
    return file_of(proc).private_data


@kernel
def fdput(proc: process) -> None:
    """Give the file back; the last one releases it."""
    file_put(file_of(proc))
    if THREADS:
        thread_end(proc)


@kernel
def user_open(proc: process) -> int:
    """open() and mmap() of /dev/sgx_enclave."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    mm = mm_of(proc)
    ret = sgx_open(proc)
    if not ret:
        forget_data(mm)
        fd_install(proc)
        down_write_begin(mm.mmap_lock)
        down_write(mm.mmap_lock)
        ret = mmap_region(file_of(proc), mm, "rw")
        up_write(mm.mmap_lock)
        file_put(file_of(proc))
    if THREADS:
        thread_end(proc)
    return ret


# -- a thread inside the enclave ----------------------------------------------------------------


@kernel
def handle_mm_fault(mm: mm_struct, index: int) -> str:
    """A page fault of user space: mmap_lock for reading, the VMA, its fault handler."""
    down_read(mm.mmap_lock)
    vma = vma_lookup(mm, index)
    if vma is None or "w" not in vma_prot_bits(vma):
        sometimes("an access that no mapping allows")
        up_read(mm.mmap_lock)
        return SIGSEGV
    ret = sgx_vma_fault(mm, vma, index)
    up_read(mm.mmap_lock)
    return ret


@kernel
def user_touch(proc: process, index: int) -> Any:
    """An enclave thread writes to a page; faults are served until it can, or is killed."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    mm = mm_of(proc)
    load_mm(mm)
    while True:
        got: Any = enclave_access(mm, index)
        if got != PAGE_FAULT:
            break
        if THREADS and fatal_signal_pending(proc):
            got = -ESRCH
            break
        got = handle_mm_fault(mm, index)
        if got != VM_FAULT_NOPAGE:
            break
        if not is_mapped(mm, index):
            retry()
    EEXIT()
    unload_mm()
    if THREADS:
        thread_end(proc)
    return 0 if got == OK else got


@kernel
def user_run(proc: process, index: int) -> Any:
    """An enclave thread stays inside for a while and writes to a page again and again."""
    got: Any = OK
    if THREADS and not thread_begin(proc):
        return -ESRCH
    mm = mm_of(proc)
    load_mm(mm)
    for _i in range(8):
        while True:
            got = enclave_access(mm, index)
            if got != PAGE_FAULT:
                break
            if THREADS and fatal_signal_pending(proc):
                got = -ESRCH
                break
            got = handle_mm_fault(mm, index)
            if got != VM_FAULT_NOPAGE:
                break
            if not is_mapped(mm, index):
                retry()
        if got != OK:
            break
    EEXIT()
    unload_mm()
    if THREADS:
        thread_end(proc)
    return 0 if got == OK else got


@kernel
def user_accept(proc: process, index: int) -> Any:
    """An enclave thread accepts a page (EACCEPT); the first touch of a new one is EAUG."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    mm = mm_of(proc)
    load_mm(mm)
    while True:
        got = EACCEPT(mm, index)
        if got != PAGE_FAULT:
            break
        if THREADS and fatal_signal_pending(proc):
            got = -ESRCH
            break
        got = handle_mm_fault(mm, index)
        if got != VM_FAULT_NOPAGE:
            break
        if not is_mapped(mm, index):
            retry()
    EEXIT()
    unload_mm()
    if THREADS:
        thread_end(proc)
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


CALLS = (
    Verb("open", user_open, ("enclave",), ("0", "-ENOMEM", "-EINTR"), "open() and mmap()"),
    Verb("touch", user_touch, ("enclave", "page"), FAULT, "write to a page"),
    Verb("run", user_run, ("enclave", "page"), FAULT,
         "stay inside and write to a page several times"),
    Verb("accept", user_accept, ("enclave", "page"), (*FAULT, "NOT_TRACKED"),
         "EACCEPT; of an absent page, EAUG first"),
    Verb("poison", memory_error, ("epc",), ("0",), "a memory error in EPC page n"),
    Verb("poison-at", memory_error_at, ("enclave", "page"), ("0",),
         "a memory error in the EPC page that an address maps"),
    Verb("signal", send_signal_to, ("task",), ("0",), "a signal for a task"),
)  # fmt: skip
