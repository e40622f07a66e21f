# SPDX-License-Identifier: GPL-2.0-only
"""The driver's structs, statics and constants (sgx.h, encl.h)."""

from __future__ import annotations

from typing import Any, ClassVar

from sgxmodel.hardware.epcm import ENCLS_FAULT_FLAG, PF, frame, processor
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.lock import mutex, spinlock_t
from sgxmodel.kernel.memory import kmem_cache, xarray
from sgxmodel.kernel.mm import mm_struct
from sgxmodel.kernel.ref import atomic_long_t, kref
from sgxmodel.kernel.srcu import domain, srcu_struct
from sgxmodel.kernel.task import completion, fault_budget, wait_queue_head
from sgxmodel.kernel.work import workqueue
from sgxmodel.machine.layout import CURRENT, FREED, Embedded, State, Struct, param, static
from sgxmodel.machine.op import Fault, primitive, pure

EPERM, EIO, EAGAIN, EFAULT, EINVAL, EBADF = 1, 5, 11, 14, 22, 9
EBUSY, ENOMEM, ENODEV, ENXIO, ERESTARTSYS = 16, 12, 19, 6, 512
PROVISION = "provision"
"""The descriptor of an open /dev/sgx_provision."""
ESRCH, EINTR, EACCES = 3, 4, 13

# vm_fault_t, and what becomes of a process whose access cannot be served.
VM_FAULT_NOPAGE, VM_FAULT_SIGBUS, VM_FAULT_OOM = "NOPAGE", "SIGBUS", "OOM"
SIGSEGV = "SIGSEGV"
NOT_TRACKED = "NOT_TRACKED"
"""EACCEPT while the tracking cycle of the change is open: the enclave is to try again."""

SGX_NR_TO_SCAN = param("SGX_NR_TO_SCAN", 16)
SGX_NR_LOW_PAGES = param("SGX_NR_LOW_PAGES", 32)
SGX_NR_HIGH_PAGES = param("SGX_NR_HIGH_PAGES", 64)
SGX_VA_SLOT_COUNT = param("SGX_VA_SLOT_COUNT", 512)
XA_CHECK_SCHED = param("XA_CHECK_SCHED", 0)
PCMDS_PER_PAGE = param("PCMDS_PER_PAGE", 32)
SGX2 = param("SGX2", 1)
THREADS = param("THREADS", 0)
"""Processes begin and end during the run, so each call holds its address space."""
ARGUMENTS_FAIL = param("ARGUMENTS_FAIL", 0)
"""Whether the scenario lets the copy of an ioctl's argument find no memory."""
PTES_FAIL = param("PTES_FAIL", 0)
"""Whether the scenario lets vmf_insert_pfn() fail; where it does not that is no step."""

# Bit numbers in sgx_encl.flags: declared as BIT(n), used as numbers (encl.h).
SGX_ENCL_IOCTL, SGX_ENCL_DEBUG, SGX_ENCL_CREATED, SGX_ENCL_INITIALIZED = 1, 2, 4, 8

# Flags that every revision has (sgx.h); the others are the revision's.
SGX_EPC_PAGE_RECLAIMER_TRACKED = 1 << 0
SGX_EPC_PAGE_IS_FREE = 1 << 1

# sgx_encl_page.desc: address, and below it either the mark or the VA slot (encl.h).
SGX_ENCL_PAGE_BEING_RECLAIMED = 1 << 3
SGX_ENCL_PAGE_VA_OFFSET_MASK = 0xFF8
PAGE_SHIFT = 12


class sgx_epc_page(Struct):
    """One EPC page as the driver sees it; ``sgx_get_epc_virt_addr()`` gives the frame.

    ``flags`` and their locks: see each revision's flags.py.  ``isolator`` is
    ghost state: the task that isolated the page, None otherwise.  ``leaked``
    likewise: EREMOVE failed and the driver said so.
    """

    flags: int = 0
    poison: int = 0
    owner: Any = None
    list: list_head
    isolator: Any = None
    leaked: int = 0
    number: ClassVar[int]
    home: ClassVar[Any]
    frame: ClassVar[Any]


class sgx_numa_node(Struct):
    """Free and poisoned pages of one NUMA node."""

    lock: spinlock_t
    free_page_list: list_head
    sgx_poison_page_list: list_head
    nid: ClassVar[int]


class numa_table(Struct):
    """``sgx_numa_nodes[]`` and ``sgx_numa_mask``, fixed at boot."""

    nodes: ClassVar[tuple[sgx_numa_node, ...]]
    mask: ClassVar[tuple[int, ...]]


class sgx_va_page(Struct):
    """A version array page and which of its slots are in use."""

    epc_page: Any = None
    bitmap: int = 0
    list: list_head


class sgx_encl_page(Embedded):
    """A page of an enclave, resident or not.  ``desc`` as in encl.h."""

    desc: int = 0
    vm_max_prot_bits: Any = ""
    type: Any = None
    epc_page: Any = None
    encl: Any = None
    va_page: Any = None


class sgx_encl(Struct):
    """An enclave.  ``size`` and page indexes are in pages, ``base`` is 0."""

    flags: int = 0
    size: int = 0
    page_cnt: int = 0
    secs_child_cnt: int = 0
    lock: mutex
    page_array: xarray
    secs: sgx_encl_page
    refcount: kref
    va_pages: list_head
    backing: Any = None
    mm_list: list_head
    mm_lock: spinlock_t
    mm_list_version: int = 0
    srcu: srcu_struct


class sgx_encl_mm(Struct):
    """An address space that maps an enclave; it is an mmu notifier, ``users`` its count."""

    encl: Any = None
    mm: Any = None
    list: list_head
    users: int = 0


class enclave_file(Struct):
    """``struct file`` of an open /dev/sgx_enclave.  ``file_ref``: fds, VMAs, calls under way."""

    file_ref: kref
    private_data: Any = None


class process(Struct):
    """User side: a process with one enclave file; a child shares its parent's.

    ``fd`` says whether the file descriptor is open; ``alive`` is 0 before the
    process was forked, 1 while it runs, 2 once it has ended; ``threads`` are those
    that share its files, itself and one for each call under way.
    """

    fd: int = 0
    alive: int = 0
    threads: int = 0
    mm_of: ClassVar[Any]
    file_of: ClassVar[Any]


class control(Struct):
    """ksgxd's corner: its wait queue, and whether it is to stop."""

    ksgxd_waitq: wait_queue_head
    ksgxd: Any = None
    stop: int = 0
    exited: completion
    pages: ClassVar[tuple[sgx_epc_page, ...]]
    counter: ClassVar[int]
    reclaimable: ClassVar[Any]


sgx_nr_free_pages = static("sgx_nr_free_pages", atomic_long_t)
sgx_dirty_page_list = static("sgx_dirty_page_list", list_head)
ksgxd_control = static("ksgxd", control)
encl_cache = static("sgx_encl_cache", kmem_cache)
encl_page_cache = static("sgx_encl_page_cache", kmem_cache)
va_page_cache = static("sgx_va_page_cache", kmem_cache)
backing_cache = static("shmem_file_cache", kmem_cache)
shmem_page_cache = static("shmem_page_cache", kmem_cache)
encl_mm_cache = static("sgx_encl_mm_cache", kmem_cache)
vm_area_cache = static("vm_area_cache", kmem_cache)
copy_budget = static("copy_page_range", fault_budget)
argument_budget = static("kmalloc", fault_budget)
pte_budget = static("vmf_insert_pfn", fault_budget)
mmput_work = static("mmput_work", workqueue)
mmu_notifier_domain = static("mmu_notifier", domain)
sgx_numa = static("sgx_numa_nodes", numa_table)
cpu = static("cpu", processor)


@pure
def sgx_get_epc_virt_addr(page: sgx_epc_page) -> frame:
    """Index arithmetic in the kernel: a page's frame never changes."""
    virt: frame = page.frame
    return virt


@pure
def sgx_epc_page_node(page: sgx_epc_page) -> sgx_numa_node:
    """``sgx_epc_sections[page->section].node``: fixed at boot."""
    node: sgx_numa_node = page.home
    return node


@pure
def numa_node(table: numa_table, nid: int) -> sgx_numa_node:
    """``&sgx_numa_nodes[nid]``."""
    return table.nodes[nid]


@pure
def next_node(table: numa_table, nid: int) -> int:
    """``next_node_in(nid, sgx_numa_mask)``: the next node with EPC, round and round."""
    after = [n for n in table.mask if n > nid]
    return after[0] if after else table.mask[0]


@pure
def node_isset(nid: int, table: numa_table) -> bool:
    """Whether a node has EPC."""
    return nid in table.mask


@pure
def mm_of(proc: process) -> mm_struct:
    """The address space of a process."""
    mm: mm_struct = proc.mm_of
    return mm


@pure
def mm_size(mm: mm_struct) -> int:
    """Pages of the enclave's address range."""
    return mm.pte_len


@pure
def file_of(proc: process) -> enclave_file:
    """What the process's file descriptor stands for."""
    file: enclave_file = proc.file_of
    return file


@pure
def all_cpus(cpu: processor) -> tuple[Any, ...]:
    """Every CPU: each task runs on its own."""
    return cpu.cpus


@pure
def PFN_DOWN(address: int) -> int:
    """Address to page number."""
    return address >> PAGE_SHIFT


@pure
def PFN_PHYS(number: int) -> int:
    """Page number to address."""
    return number << PAGE_SHIFT


@pure
def encls_faulted(ret: int) -> bool:
    """The instruction faulted, rather than returned a code (encls.h)."""
    return bool(ret & ENCLS_FAULT_FLAG)


@pure
def encls_failed(ret: int) -> bool:
    """Anything but success and #PF: the EPC may vanish on suspend (encls.h)."""
    return ret != 0 and ret != PF


@primitive(silent=True, access="none")
def isolated(S: State, page: sgx_epc_page) -> None:
    """Ghost: the running task isolated this page."""
    S[page.isolator] = S[CURRENT]


@primitive(silent=True, access="none")
def unisolated(S: State, page: sgx_epc_page) -> None:
    """Ghost: the running task's isolation of this page ends."""
    S[page.isolator] = None


@primitive(silent=True, access="none")
def leaked(S: State, page: sgx_epc_page) -> None:
    """Ghost: EREMOVE failed, the page is on no list for good, and the driver warned."""
    S[page.leaked] = 1


@primitive(silent=True, access="none")
def out_of_scope(S: State, head: list_head) -> None:
    """A list head on the stack dies here; what is still linked to it dangles."""
    if S[head.next] is not head and S[S[head.next].prev] is head:
        left = S[head.next].container
        raise Fault("1-one-list", f"{left} is still on {head} when the function returns")
    S[head.next] = S[head.prev] = head


@primitive(access="none")
def page_behind(S: State, mm: mm_struct, index: int) -> Any:
    """The EPC page that a PTE maps, or NULL; what a machine check reports."""
    p = None if S[mm.mm_users] is FREED else S[mm.pte + index]
    return None if p is None else p.page
