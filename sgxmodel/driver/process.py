# SPDX-License-Identifier: GPL-2.0-only
"""kernel/fork.c, mm/mmap.c, mm/mprotect.c: processes that map an enclave, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import Verb
from sgxmodel.driver.structs import (
    ENOMEM,
    ESRCH,
    THREADS,
    all_cpus,
    copy_budget,
    cpu,
    enclave_file,
    file_of,
    mm_of,
    mm_size,
    mmput_work,
    process,
    vm_area_cache,
)
from sgxmodel.hardware.mmu import change_protection, copy_ptes, flush_tlb_mm, unmap_page_range
from sgxmodel.kernel.lock import (
    down_read,
    down_write,
    down_write_begin,
    down_write_nested,
    downgrade_write,
    up_read,
    up_write,
)
from sgxmodel.kernel.memory import IS_ERR, kfree, kzalloc
from sgxmodel.kernel.mm import (
    mm_init,
    mm_last_user_goes,
    mm_struct,
    mm_users_dec_and_test,
    mmdrop,
    vm_area_init,
    vm_area_struct,
    vma_adjust,
    vma_iter_clear,
    vma_iter_store,
    vma_lookup,
    vmas_between,
)
from sgxmodel.kernel.ref import kref_get, kref_put, test_and_clear_bit
from sgxmodel.kernel.task import may_fail
from sgxmodel.kernel.work import next_work, schedule_work
from sgxmodel.machine.layout import FREED, State
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import Fault, primitive, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.file import fdget, fdput
    from sgxmodel.driver.mm import sgx_mmap, sgx_release, sgx_vma_mprotect, sgx_vma_open
    from sgxmodel.driver.mmu_notifier import mmu_notifier_release

# -- processes and their threads ----------------------------------------------------------------


@primitive(access="none")
def thread_begin(S: State, proc: process) -> bool:
    """A thread of a living process makes a call: it is a user of its address space."""
    if S[proc.alive] != 1:
        return False
    mm = proc.mm_of
    if S[mm.mm_users] is FREED:
        raise Fault("use-after-free", f"{mm} of a living process is free", fatal=True)
    S[mm.mm_users] = S[mm.mm_users] + 1
    S[proc.threads] = S[proc.threads] + 1
    return True


@primitive(access="none", releases=True, acquires=True)
def files_dec_and_test(S: State, proc: process) -> bool:
    """exit_files(): whether this was the last thread with these files."""
    S[proc.threads] = S[proc.threads] - 1
    return bool(S[proc.threads] == 0)


@primitive(access="none")
def process_ends(S: State, proc: process) -> bool:
    """do_group_exit(): whether the process was alive; no thread begins a call any more."""
    if S[proc.alive] != 1:
        return False
    S[proc.alive] = 2
    return True


@primitive(access="none", silent=True)
def fatal_signal_pending(S: State, proc: process) -> bool:
    """Whether the process has ended: its threads die on their way back to user mode."""
    return bool(S[proc.alive] != 1)


@primitive(access="none", releases=True)
def process_born(S: State, proc: process) -> None:
    """wake_up_new_task(): the child can make calls."""
    S[proc.alive] = S[proc.threads] = 1


@primitive(access="none")
def dup_fd(S: State, child: process, proc: process) -> None:
    """copy_files(): the child has the file open if the parent has."""
    if S[proc.fd]:
        S[proc.file_of.file_ref.refs] = S[proc.file_of.file_ref.refs] + 1
        S[child.fd] = 1


@part_of("do_exit")
def thread_end(proc: process) -> None:
    """The call is over; where the process ended meanwhile, this may be its last thread."""
    mmput(mm_of(proc))
    exit_files(proc)


@kernel
def user_exit(proc: process) -> int:
    """The process ends: exit_mm(), exit_files()."""
    if not process_ends(proc):
        return -ESRCH
    if THREADS:
        mmput(mm_of(proc))
    else:
        mm_last_user_goes(mm_of(proc))
        exit_mmap(mm_of(proc))
    exit_files(proc)
    return 0


@kernel
def exit_files(proc: process) -> None:
    """exit_files(): the last thread closes what is open."""
    if files_dec_and_test(proc):
        close_fd(proc)


@part_of("exit_files")
def close_fd(proc: process) -> None:
    """close() of the enclave's file descriptor, if it is open."""
    if test_and_clear_bit(0, proc.fd):
        file_put(file_of(proc))


@part_of("fput")
def file_put(file: enclave_file) -> None:
    """fput(): the last reference releases the file, after all locks are dropped (task work)."""
    if kref_put(file.file_ref):
        sgx_release(file)


# -- the end of an address space ----------------------------------------------------------------


@kernel
def mmput(mm: mm_struct) -> None:
    """mmput(): the last user tears the address space down."""
    if mm_users_dec_and_test(mm):
        exit_mmap(mm)


@kernel
def mmput_async(mm: mm_struct) -> None:
    """mmput_async(): likewise, but a kworker does it."""
    if mm_users_dec_and_test(mm):
        sometimes("the reclaimer was the last user of an mm")
        schedule_work(mmput_work, mm)


@kernel
def exit_mmap(mm: mm_struct) -> None:
    """__mmput() and exit_mmap(): notifiers first, then the PTEs, then the VMAs."""
    mmu_notifier_release(mm)
    down_read(mm.mmap_lock)
    vmas = vmas_between(mm, 0, mm_size(mm))
    if len(vmas):
        unmap_page_range(all_cpus(cpu), mm, 0, mm_size(mm))
    up_read(mm.mmap_lock)
    files: tuple[Any, ...] = ()
    if len(vmas):
        down_write_begin(mm.mmap_lock)
        down_write(mm.mmap_lock)
        vma_iter_clear(mm, vmas)
        files = remove_vmas(vmas)
        up_write(mm.mmap_lock)
    mmdrop(mm)
    put_files(files)


@part_of("remove_vma")
def remove_vmas(vmas: tuple[Any, ...]) -> Any:
    """remove_vma() of each; the files are put when locks are dropped."""
    files: tuple[Any, ...] = ()
    for i in range(len(vmas)):
        files = (*files, vmas[i].vm_file)
        kfree(vmas[i])
    return files


@part_of("remove_vma")
def put_files(files: tuple[Any, ...]) -> None:
    """The task work of remove_vma()'s fput()."""
    for i in range(len(files)):
        file_put(files[i])


@part_of("mmput_async_fn")
def kworker() -> int:
    """The worker that ends address spaces for mmput_async(), for ever."""
    while True:
        exit_mmap(next_work(mmput_work))


# -- mmap, munmap, mprotect ---------------------------------------------------------------------


@kernel
def user_mmap(proc: process, prot: str) -> Any:
    """mmap() of the whole enclave with MAP_FIXED."""
    mm = mm_of(proc)
    encl = fdget(proc)
    if IS_ERR(encl):
        return encl
    down_write_begin(mm.mmap_lock)
    down_write(mm.mmap_lock)
    old = vmas_between(mm, 0, mm_size(mm))
    files: tuple[Any, ...] = ()
    if len(old):
        sometimes("a mapping replaced another one")
        vma_iter_clear(mm, old)
        unmap_page_range(all_cpus(cpu), mm, 0, mm_size(mm))
        files = remove_vmas(old)
    ret = mmap_region(file_of(proc), mm, prot)
    up_write(mm.mmap_lock)
    put_files(files)
    fdput(proc)
    return ret


@kernel
def mmap_region(file: enclave_file, mm: mm_struct, prot: str) -> int:
    """mmap_region(): a VMA of the file, linked when the driver agrees."""
    vma = kzalloc(vm_area_cache)
    if vma is None:
        sometimes("a VMA could not be allocated")
        return -ENOMEM
    vm_area_init(vma, file, 0, mm_size(mm))
    vma.vm_prot = prot
    kref_get(file.file_ref)
    ret = sgx_mmap(file, vma, mm)
    if ret:
        # The caller still has the file.
        kref_put(file.file_ref)
        kfree(vma)
        return ret
    vma_iter_store(mm, vma)
    return 0


@kernel
def __split_vma(mm: mm_struct, vma: vm_area_struct, at: int) -> int:
    """__split_vma(): a new VMA from ``at`` on."""
    new = kzalloc(vm_area_cache)
    if new is None:
        sometimes("a VMA could not be allocated")
        return -ENOMEM
    vm_area_init(new, vma, at, vma.vm_end)
    kref_get(new.vm_file.file_ref)
    sgx_vma_open(new, mm)
    vma_adjust(vma, vma.vm_start, at)
    vma_iter_store(mm, new)
    sometimes("a VMA was split")
    return 0


@part_of("__split_vma")
def isolate_range(mm: mm_struct, start: int, end: int) -> int:
    """Split at both ends of a range, where a VMA goes on beyond it."""
    vma = vma_lookup(mm, start)
    if vma is not None and vma.vm_start < start:
        ret = __split_vma(mm, vma, start)
        if ret:
            return ret
    vma = vma_lookup(mm, end - 1)
    if vma is not None and vma.vm_end > end:
        return __split_vma(mm, vma, end)
    return 0


@part_of("__vm_munmap")
def vm_munmap(mm: mm_struct, start: int, end: int) -> int:
    """__vm_munmap(): the VMAs go under the write lock, their PTEs when it is a read lock."""
    down_write_begin(mm.mmap_lock)
    down_write(mm.mmap_lock)
    ret = isolate_range(mm, start, end)
    vmas = vmas_between(mm, start, end)
    if ret or not len(vmas):
        up_write(mm.mmap_lock)
        return ret
    vma_iter_clear(mm, vmas)
    downgrade_write(mm.mmap_lock)
    unmap_page_range(all_cpus(cpu), mm, start, end)
    files = remove_vmas(vmas)
    up_read(mm.mmap_lock)
    put_files(files)
    return 0


@kernel
def user_munmap(proc: process) -> int:
    """munmap() of the whole enclave."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    ret = vm_munmap(mm_of(proc), 0, mm_size(mm_of(proc)))
    if THREADS:
        thread_end(proc)
    return ret


@kernel
def user_munmap_page(proc: process, index: int) -> int:
    """munmap() of one page: the VMA is split."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    ret = vm_munmap(mm_of(proc), index, index + 1)
    if THREADS:
        thread_end(proc)
    return ret


@kernel
def user_mprotect(proc: process, index: int, prot: str) -> int:
    """mprotect() of one page."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    ret = do_mprotect(mm_of(proc), index, prot)
    if THREADS:
        thread_end(proc)
    return ret


@kernel
def do_mprotect(mm: mm_struct, index: int, prot: str) -> int:
    """do_mprotect_pkey() and mprotect_fixup(): the driver is asked, the VMA split, PTEs follow."""
    down_write_begin(mm.mmap_lock)
    down_write(mm.mmap_lock)
    vma = vma_lookup(mm, index)
    ret = -ENOMEM
    if vma is not None:
        ret = sgx_vma_mprotect(vma, index, index + 1, prot)
        if not ret:
            ret = isolate_range(mm, index, index + 1)
        if not ret:
            vma = vma_lookup(mm, index)
            vma.vm_prot = prot
            change_protection(all_cpus(cpu), mm, index, prot)
    up_write(mm.mmap_lock)
    return ret


@kernel
def user_close(proc: process) -> int:
    """munmap() and close()."""
    if THREADS and not thread_begin(proc):
        return -ESRCH
    vm_munmap(mm_of(proc), 0, mm_size(mm_of(proc)))
    close_fd(proc)
    if THREADS:
        thread_end(proc)
    return 0


# -- fork ---------------------------------------------------------------------------------------


@kernel
def user_fork(proc: process, child: process) -> int:
    """fork(): files, then the address space; a child is born only once."""
    if not thread_begin(proc):
        return -ESRCH
    dup_fd(child, proc)
    ret = dup_mm(mm_of(child), mm_of(proc))
    if ret:
        close_fd(child)
    else:
        process_born(child)
        sometimes("a process was forked")
    thread_end(proc)
    return ret


@kernel
def dup_mm(mm: mm_struct, oldmm: mm_struct) -> int:
    """dup_mm()."""
    mm_init(mm)
    ret = dup_mmap(mm, oldmm)
    if ret:
        mmput(mm)
    return ret


@kernel
def dup_mmap(mm: mm_struct, oldmm: mm_struct) -> int:
    """dup_mmap(): each VMA is linked and opened, then its PTEs are copied."""
    ret = 0
    down_write_begin(oldmm.mmap_lock)
    down_write(oldmm.mmap_lock)
    down_write_nested(mm.mmap_lock)
    vmas = vmas_between(oldmm, 0, mm_size(oldmm))
    for i in range(len(vmas)):
        mpnt = vmas[i]
        tmp = kzalloc(vm_area_cache)
        if tmp is None:
            sometimes("a VMA could not be allocated")
            ret = -ENOMEM
            break
        vm_area_init(tmp, mpnt, mpnt.vm_start, mpnt.vm_end)
        vma_iter_store(mm, tmp)
        sgx_vma_open(tmp, mm)
        kref_get(tmp.vm_file.file_ref)
        if not tmp.vm_wipeonfork:
            ret = copy_page_range(mm, oldmm, tmp)
        if ret:
            break
    up_write(mm.mmap_lock)
    flush_tlb_mm(all_cpus(cpu), oldmm)
    up_write(oldmm.mmap_lock)
    return ret


@kernel
def copy_page_range(mm: mm_struct, oldmm: mm_struct, vma: vm_area_struct) -> int:
    """copy_page_range() of a VM_PFNMAP mapping: all PTEs are copied."""
    if may_fail(copy_budget):
        sometimes("fork had no memory for page tables")
        return -ENOMEM
    copy_ptes(mm, oldmm, vma.vm_start, vma.vm_end)
    return 0


CALLS = (
    Verb("mmap", user_mmap, ("enclave", "rights"),
         ("0", "-EBADF", "-ENOMEM", "-EINTR", "-EACCES"), "map the whole enclave"),
    Verb("munmap", user_munmap, ("enclave",), ("0",), "the mapping goes"),
    Verb("munmap-page", user_munmap_page, ("enclave", "page"), ("0", "-ENOMEM"),
         "the mapping of one page goes"),
    Verb("mprotect", user_mprotect, ("enclave", "page", "rights"), ("0", "-ENOMEM", "-EACCES"),
         "change what one page may be used for"),
    Verb("fork", user_fork, ("enclave", "child"), ("0", "-ENOMEM"),
         "a child process begins, which maps the enclave too"),
    Verb("exit", user_exit, ("enclave",), ("0",), "the process ends"),
    Verb("close", user_close, ("enclave",), ("0",), "munmap() and close()"),
)  # fmt: skip
