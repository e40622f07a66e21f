# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario is, and the calls that it can make."""

from __future__ import annotations

import attrs

from sgxmodel import driver
from sgxmodel.driver.calls import Verb, calls_of
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
from sgxmodel.machine.discover import modules_of

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
KILLED = (VM_FAULT_SIGBUS, SIGSEGV, VM_FAULT_OOM)


def result_name(value: object) -> str:
    """A call's result in kernel words: 0, -EBUSY, SIGBUS, '-EAGAIN after 2' (pages), ..."""
    if isinstance(value, tuple):
        return f"{result_name(value[0])} after {value[1]}"
    if isinstance(value, int):
        return ERRNO_NAMES.get(value, str(value))
    return "0" if value is None else str(value)


VERBS: dict[str, Verb] = calls_of(modules_of(driver))
"""The calls that scenarios can make, as the files of the driver declare them."""


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
    "pte": "vmf_insert_pfn",
    "argument": "kmalloc",
}
"""What a scenario may let fail, and where: an allocation or a leaf."""
MACHINE = {
    "no-sgx": "the CPU has no SGX",
    "no-sgx1": "CPUID does not name SGX1",
    "no-launch-control": "the launch key cannot be set (no FLC)",
    "no-vmx": "there is no KVM",
    "no-section": "the last section is not there",
    "strange-section": "CPUID names the last section with a type that is not known",
    "far-section": "the sections are at addresses that need all bits of CPUID's registers",
    "no-node": "the firmware does not say of which node the sections are",
    "one-node": "all sections are of one node",
    "no-node-memory": "the array of nodes cannot be allocated",
    "no-page-memory": "the pages of the last section cannot be allocated",
    "no-remap": "memremap() of the last section fails",
    "no-thread": "kthread_run() fails",
    "no-provision-device": "misc_register() of sgx_provision fails",
    "no-enclave-device": "misc_register() of sgx_enclave fails",
    "no-vepc-device": "misc_register() of sgx_vepc fails",
}
"""What sgx_init() may meet; the engine has them in this order (enum eng_machine)."""


@attrs.frozen
class Scenario:
    """A configuration and what its tasks do.

    ``epc``: pages per node; ``scan``: SGX_NR_TO_SCAN; ``low`` and ``high``:
    watermarks in pages; ``va_slots``: slots of a VA page; ``check_sched``:
    XA_CHECK_SCHED, 0 for more than there are pages; ``enclaves``: name to size in
    pages, a power of two; ``children``: process to the one that may fork it, each
    once; ``boot``: what the first pages hold when ksgxd begins;
    ``machine``: what sgx_init() meets, on trees only (the model begins after it);
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
    check_sched: int = 0
    pcmds: int = 32
    sgx2: bool = True
    boot: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
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
