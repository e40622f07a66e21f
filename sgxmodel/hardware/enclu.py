# SPDX-License-Identifier: GPL-2.0-only
"""The user side: a CPU enters an enclave, touches pages, accepts changes, leaves.

A CPU is inside from its first access to its exit or an AEX (a fault or an
IPI).  What a translation needs is in ``mm_struct``: the PTE the kernel
installed; the EPCM is tested at each access, as the CPU does when it fills
its TLB.
"""

from __future__ import annotations

from typing import Any

from sgxmodel.hardware.epcm import (
    PT_REG,
    PT_TCS,
    PT_TRIM,
    SGX_NOT_TRACKED,
    SGX_PAGE_ATTRIBUTES_MISMATCH,
    frame,
    is_tracked,
)
from sgxmodel.kernel.lock import rw_semaphore
from sgxmodel.machine.layout import CURRENT, Array, State, Struct
from sgxmodel.machine.op import Fault, primitive


class mm_struct(Struct):
    """An address space as far as one enclave's mapping goes: PTEs by enclave page index.

    ``pte`` holds the mapped frame or NULL, ``young`` the Accessed bit,
    ``expected`` what the process last wrote there (ghost: the data oracle).
    """

    mmap_lock: rw_semaphore
    users: int = 1
    pte: Array
    pte_len: int
    young: Array
    young_len: int
    expected: Array
    expected_len: int


OK, PAGE_FAULT, BAD = "ok", "#PF", "SIGSEGV"


def _translate(S: State, mm: mm_struct, index: int) -> frame | None:
    """The frame behind an address, or None where no PTE is (#PF).

    A PTE whose EPC page the CPU refuses raises #PF with the SGX bit, which
    kills the process: the kernel must never leave such a PTE in place.
    """
    p: frame | None = S[mm.pte + index]
    if p is None:
        return None
    own = S[p.page_type] in (PT_REG, PT_TCS, PT_TRIM) and S[p.linaddr] == index
    if not S[p.valid] or S[p.blocked] is not None or not own:
        aex(S, S[CURRENT])
        state = "blocked" if S[p.blocked] is not None else "not this page any more"
        raise Fault("bad-mapping", f"the PTE of page {index} maps {p}, which is {state}", BAD)
    return p


def _enter(S: State, p: frame) -> None:
    cpu = S[CURRENT]
    secs = S[p.enclavesecs]
    if S[cpu.inside] != S[secs.eid]:
        S[cpu.inside] = S[secs.eid]
        S[cpu.entry_epoch] = S[secs.epoch]


def aex(S: State, cpu: Any) -> None:
    """Asynchronous exit: the CPU leaves the enclave, its translations are flushed."""
    S[cpu.inside] = None
    S[cpu.entry_epoch] = 0


@primitive(access="none")
def enclave_access(S: State, mm: mm_struct, index: int) -> str:
    """Enter if need be and write to a page.  ``ok``, or #PF with an AEX, or no access.

    Data that is not what the process last wrote is data that was lost.
    """
    p = _translate(S, mm, index)
    if p is None:
        aex(S, S[CURRENT])
        return PAGE_FAULT
    refused = S[p.pending] or S[p.modified] or S[p.page_type] != PT_REG
    if refused or "w" not in S[p.perms]:
        aex(S, S[CURRENT])
        return BAD
    _enter(S, p)
    S[mm.young + index] = 1
    if S[p.contents] != S[mm.expected + index]:
        raise Fault(
            "lost-data",
            f"page {index}: wrote {S[mm.expected + index]!r}, reads {S[p.contents]!r}",
        )
    S[p.contents] = S[mm.expected + index] = ("data", index)
    return OK


@primitive(access="none")
def EACCEPT(S: State, mm: mm_struct, index: int) -> Any:
    """Accept a pending (EAUG) or modified (EMODT, EMODPR) page.  0, an error code or #PF."""
    p = _translate(S, mm, index)
    if p is None:
        aex(S, S[CURRENT])
        return PAGE_FAULT
    _enter(S, p)
    S[mm.young + index] = 1
    if not (S[p.pending] or S[p.modified] or S[p.pr]):
        return SGX_PAGE_ATTRIBUTES_MISMATCH
    if S[p.changed] is not None and not is_tracked(S, p, S[p.changed]):
        return SGX_NOT_TRACKED
    S[p.pending] = S[p.modified] = S[p.pr] = 0
    S[p.changed] = None
    return 0


@primitive(access="none")
def EEXIT(S: State) -> None:
    """Leave the enclave."""
    aex(S, S[CURRENT])


@primitive(access="none")
def load_mm(S: State, mm: mm_struct) -> None:
    """The CPU runs a thread of this process from now on: it is in mm_cpumask."""
    S[S[CURRENT].mm] = mm


@primitive(access="none")
def unload_mm(S: State) -> None:
    """The CPU runs something else."""
    S[S[CURRENT].mm] = None


@primitive(access="none", shown=lambda cpus, mm: f"mm_cpumask({mm})")
def mm_cpumask(S: State, cpus: tuple[Any, ...], mm: mm_struct) -> tuple[Any, ...]:
    """The CPUs that have an address space loaded."""
    return tuple(cpu for cpu in cpus if S[cpu.mm] is mm)


@primitive(access="none")
def on_each_cpu_mask(S: State, mask: tuple[Any, ...]) -> bool:
    """IPI and wait.  An interrupt makes a CPU leave its enclave.  Whether one was inside."""
    hit = False
    for cpu in mask:
        if S[cpu.inside] is not None:
            hit = True
            aex(S, cpu)
    return hit


@primitive(access="none")
def set_pte(S: State, mm: mm_struct, index: int, p: frame) -> None:
    """vmf_insert_pfn(): idempotent; an existing entry for the same frame stays."""
    if S[mm.pte + index] is not p:
        S[mm.pte + index] = p
        S[mm.young + index] = 1


@primitive(access="none")
def test_and_clear_young(S: State, mm: mm_struct, index: int) -> bool:
    """The Accessed bit of a PTE, cleared."""
    young = bool(S[mm.pte + index] is not None and S[mm.young + index])
    S[mm.young + index] = 0
    return young


@primitive(access="none", shown=lambda cpus, mm, index: f"zap_vma_ptes({mm}, {index})")
def zap_vma_ptes(S: State, cpus: tuple[Any, ...], mm: mm_struct, index: int) -> None:
    """Clear a PTE and flush it: the flush interrupts the CPUs that have the mm loaded."""
    if S[mm.pte + index] is None:
        return
    S[mm.pte + index] = None
    S[mm.young + index] = 0
    for cpu in cpus:
        if S[cpu.mm] is mm:
            aex(S, cpu)


@primitive(silent=True, access="none")
def is_mapped(S: State, mm: mm_struct, index: int) -> bool:
    """Whether a fault left a PTE behind: if not, the access only waits for others."""
    return S[mm.pte + index] is not None
