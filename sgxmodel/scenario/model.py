# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario is, and the calls that it can make."""

from __future__ import annotations

import attrs

from sgxmodel.driver.structs import (
    EACCES,
    EAGAIN,
    EBADF,
    EBUSY,
    EFAULT,
    EINTR,
    EINVAL,
    EIO,
    ENODEV,
    ENOMEM,
    EPERM,
    ERESTARTSYS,
    ESRCH,
    SIGSEGV,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
)

ERRNO = {
    "EACCES": EACCES,
    "EINTR": EINTR,
    "ESRCH": ESRCH,
    "EAGAIN": EAGAIN,
    "EBADF": EBADF,
    "EBUSY": EBUSY,
    "EFAULT": EFAULT,
    "EINVAL": EINVAL,
    "EIO": EIO,
    "ENODEV": ENODEV,
    "ENOMEM": ENOMEM,
    "EPERM": EPERM,
    "ERESTARTSYS": ERESTARTSYS,
}
ERRNO_NAMES = {-value: f"-{name}" for name, value in ERRNO.items()}
PARTLY = "after some"
"""Of a range of pages, some were done before the result."""
KILLED = (VM_FAULT_SIGBUS, SIGSEGV, VM_FAULT_OOM)


def result_name(value: object) -> str:
    """A call's result in kernel words: 0, -EBUSY, SIGBUS, '-EAGAIN after 2' (pages), ..."""
    if isinstance(value, tuple):
        return f"{result_name(value[0])} after {value[1]}"
    if isinstance(value, int):
        return ERRNO_NAMES.get(value, str(value))
    return "0" if value is None else str(value)


@attrs.frozen
class Verb:
    """A call that scenarios can make: its kernel function, arguments and possible results."""

    name: str
    function: str
    args: tuple[str, ...]
    results: tuple[str, ...]
    about: str


IOCTL = ("0", "-EBADF", "-EBUSY", "-EINVAL")
PARTIAL = tuple(f"{name} {PARTLY}" for name in ("-EINVAL", "-EAGAIN", "-EFAULT"))
GUEST = ("0", "SIGBUS", "-EBADF")
FAULT = ("0", "SIGBUS", "SIGSEGV", "OOM")

VERBS = {
    verb.name: verb
    for verb in (
        Verb("open", "user_open", ("enclave",), ("0", "-ENOMEM", "-EINTR"), "open() and mmap()"),
        Verb("create", "ioctl_create", ("enclave", "size"),
             (*IOCTL, "-ENOMEM", "-EFAULT", "-EIO", "-ERESTARTSYS"), "ECREATE"),
        Verb("add", "ioctl_add_page", ("enclave", "pages", "type"),
             (*IOCTL, "-ENOMEM", "-EFAULT", "-EIO", "-ERESTARTSYS", f"0 {PARTLY}",
              f"-EBUSY {PARTLY}", f"-ENOMEM {PARTLY}", f"-EIO {PARTLY}",
              f"-ERESTARTSYS {PARTLY}"), "EADD, before init"),
        Verb("init", "ioctl_init", ("enclave",), (*IOCTL, "-EIO", "-EPERM", "-EFAULT"),
             "EINIT"),
        Verb("touch", "user_touch", ("enclave", "page"), FAULT, "write to a page"),
        Verb("run", "user_run", ("enclave", "page"), FAULT,
             "stay inside and write to a page several times"),
        Verb("accept", "user_accept", ("enclave", "page"), (*FAULT, "NOT_TRACKED"),
             "EACCEPT; of an absent page, EAUG first"),
        Verb("restrict", "ioctl_restrict", ("enclave", "pages", "permissions"),
             (*IOCTL, "-ENODEV", "-EAGAIN", "-EFAULT", *PARTIAL), "take permissions away"),
        Verb("modify", "ioctl_modify_type", ("enclave", "pages", "type"),
             (*IOCTL, "-ENODEV", "-EAGAIN", "-EFAULT", *PARTIAL), "make pages TCS or TRIM"),
        Verb("remove", "ioctl_remove_page", ("enclave", "pages"),
             (*IOCTL, "-ENODEV", "-EAGAIN", "-EFAULT", "-EPERM", f"-EAGAIN {PARTLY}",
              f"-EFAULT {PARTLY}", f"-EPERM {PARTLY}", f"-EBUSY {PARTLY}"),
             "remove trimmed, accepted pages"),
        Verb("create-debug", "ioctl_create_debug", ("enclave", "size"),
             (*IOCTL, "-ENOMEM", "-EFAULT", "-EIO", "-ERESTARTSYS"), "ECREATE, for a debugger"),
        Verb("peek", "ptrace_peek", ("enclave", "page"), ("0", "-EFAULT", "-EIO"),
             "a debugger reads a word"),
        Verb("poke", "ptrace_poke", ("enclave", "page"), ("0", "-EFAULT", "-EIO"),
             "a debugger writes a word"),
        Verb("mmap", "user_mmap", ("enclave", "rights"),
             ("0", "-EBADF", "-ENOMEM", "-EINTR", "-EACCES"),
             "map the whole enclave"),
        Verb("munmap", "user_munmap", ("enclave",), ("0",), "the mapping goes"),
        Verb("munmap-page", "user_munmap_page", ("enclave", "page"), ("0", "-ENOMEM"),
             "the mapping of one page goes"),
        Verb("mprotect", "user_mprotect", ("enclave", "page", "rights"),
             ("0", "-ENOMEM", "-EACCES"), "change what one page may be used for"),
        Verb("fork", "user_fork", ("enclave", "child"), ("0", "-ENOMEM"),
             "a child process begins, which maps the enclave too"),
        Verb("exit", "user_exit", ("enclave",), ("0",), "the process ends"),
        Verb("close", "user_close", ("enclave",), ("0",), "munmap() and close()"),
        Verb("reclaim", "sgx_reclaim_pages", (), ("0",), "one pass of the reclaimer"),
        Verb("direct", "sgx_reclaim_direct", (), ("0",), "one pass if memory is low"),
        Verb("shrink", "shrink_folio_list", (), ("0",),
             "memory pressure: backing pages go to swap, clean ones are dropped"),
        Verb("poison", "memory_error", ("epc",), ("0",), "a memory error in EPC page n"),
        Verb("poison-at", "memory_error_at", ("enclave", "page"), ("0",),
             "a memory error in the EPC page that an address maps"),
        Verb("vepc-open", "vepc_open", ("vepc",), ("0", "-ENOMEM"), "open() and mmap() a vEPC"),
        Verb("vepc-close", "vepc_close", ("vepc",), ("0",), "munmap() and close()"),
        Verb("vepc-remove-all", "vepc_remove_all", ("vepc",), ("0", "1", "-EBADF", "-EBUSY"),
             "EREMOVE of every page"),
        Verb("guest-touch", "guest_touch", ("vepc", "vpage"), GUEST, "a guest reads a page"),
        Verb("guest-ecreate", "guest_ecreate", ("vepc", "vpage"), (*GUEST, "#PF"),
             "a guest makes a page a SECS"),
        Verb("guest-eadd", "guest_eadd", ("vepc", "vpage", "vepc", "vpage"), (*GUEST, "#PF"),
             "a guest makes a page a child of that SECS"),
        Verb("stop-ksgxd", "stop_ksgxd", (), ("0",), "sgx_init() fails and stops ksgxd"),
        Verb("signal", "send_signal_to", ("task",), ("0",), "a signal for a task"),
    )
}  # fmt: skip


@attrs.frozen
class CallSpec:
    """A call in the words of a scenario: ``touch A 0``."""

    verb: str
    args: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.verb, *self.args))


@attrs.frozen
class TaskLine:
    """A task: its calls one after the other, on the CPU of a node."""

    name: str
    calls: tuple[CallSpec, ...]
    node: int = 0


FAILURES = {
    "backing": "shmem_page_cache",
    "encl-page": "sgx_encl_page_cache",
    "va-page": "sgx_va_page_cache",
    "file": "shmem_file_cache",
    "open": "sgx_encl_cache",
    "encl-mm": "sgx_encl_mm_cache",
    "vma": "vm_area_cache",
    "page-table": "copy_page_range",
    "ecreate": "ECREATE",
    "eadd": "EADD",
    "eextend": "EEXTEND",
    "einit": "EINIT",
    "eremove": "EREMOVE",
    "epa": "EPA",
    "eaug": "EAUG",
    "emodt": "EMODT",
    "emodpr": "EMODPR",
    "user-copy": "user_copy",
    "vepc": "sgx_vepc_cache",
    "xa-store": "xa_store",
}
"""What a scenario may let fail, and where: an allocation or a leaf."""


@attrs.frozen
class Scenario:
    """A configuration and what its tasks do.

    ``epc``: pages per node; ``scan``: SGX_NR_TO_SCAN; ``low`` and ``high``:
    watermarks in pages; ``va_slots``: slots of a VA page; ``enclaves``: name to
    size in pages, a power of two; ``children``: process to the one that may fork
    it, each once; ``boot``: what the first pages hold when ksgxd begins;
    ``vepcs``: virtual EPCs, name to size in pages; ``fail``: how often each
    failure may happen;
    ``small``: every interleaving can be covered in seconds;
    ``probe``: the first task makes one short call, the others many; schedules that
    preempt it once come first;
    ``promises``: companions that a run of the search must reach.
    """

    name: str
    about: str = ""
    epc: tuple[int, ...] = (8,)
    scan: int = 2
    low: int = 1
    high: int = 2
    va_slots: int = 8
    pcmds: int = 32
    sgx2: bool = True
    boot: tuple[str, ...] = ()
    vepcs: tuple[tuple[str, int], ...] = ()
    ksgxd: bool = False
    schedules: int = 300
    small: bool = False
    probe: bool = False
    enclaves: tuple[tuple[str, int], ...] = ()
    children: tuple[tuple[str, str], ...] = ()
    fail: tuple[tuple[str, int], ...] = ()
    setup: tuple[CallSpec, ...] = ()
    tasks: tuple[TaskLine, ...] = ()
    promises: tuple[str, ...] = ()

    def all_calls(self) -> list[CallSpec]:
        """Every call, those of the set-up first."""
        return [*self.setup, *(c for t in self.tasks for c in t.calls)]

    @property
    def processes_come_and_go(self) -> bool:
        """Whether a process may begin or end while others run."""
        return bool(self.children) or any(c.verb in ("fork", "exit") for c in self.all_calls())

    def size(self, process: str) -> int:
        """Pages of the enclave that a process maps."""
        return dict(self.enclaves)[dict(self.children).get(process, process)]
