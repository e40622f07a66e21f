# SPDX-License-Identifier: GPL-2.0-only
"""Page-table entries, TLBs, shootdowns and interrupts.

A CPU that is inside an enclave translates by its TLB; on a miss it reads the
PTE, has the EPCM tested (SDM: EPCM checks are made when a translation is
filled), sets the Accessed bit and keeps the translation until it leaves the
enclave.  Leaving is EEXIT or an asynchronous exit: a fault, an interrupt.  A
hit tests nothing and sets no Accessed bit.
"""

from __future__ import annotations

from typing import Any

from sgxmodel.hardware.epcm import PT_REG, PT_SECS, PT_TCS, PT_TRIM, frame
from sgxmodel.kernel.mm import area_at, locked, mm_struct
from sgxmodel.machine.layout import CURRENT, FREED, State
from sgxmodel.machine.op import Fault, primitive

CHILDREN = (PT_REG, PT_TCS, PT_TRIM)
BAD = "SIGSEGV"


# -- in and out of an enclave -------------------------------------------------------------------


def enter(S: State, p: frame) -> None:
    """The CPU is inside the enclave of this page from now on, if it was not."""
    cpu = S[CURRENT]
    secs = S[p.enclavesecs]
    if S[cpu.inside] != S[secs.eid]:
        S[cpu.inside] = S[secs.eid]
        S[cpu.entry_epoch] = S[secs.epoch]
        S[cpu.tlb] = ()


def aex(S: State, cpu: Any) -> None:
    """Asynchronous exit: the CPU leaves the enclave, its translations are flushed."""
    S[cpu.inside] = None
    S[cpu.entry_epoch] = 0
    S[cpu.tlb] = ()


# -- translations -------------------------------------------------------------------------------


def owns(S: State, p: frame, eid: Any, index: int) -> bool:
    """Whether a frame is the page of an enclave at an address."""
    if not S[p.valid] or S[p.page_type] not in CHILDREN or S[p.linaddr] != index:
        return False
    secs = S[p.enclavesecs]
    return bool(S[secs.valid] and S[secs.page_type] == PT_SECS and S[secs.eid] == eid)


def cached(S: State, cpu: Any, index: int) -> frame | None:
    """What a CPU's TLB has for an address."""
    tlb: dict[int, frame] = dict(S[cpu.tlb])
    return tlb.get(index)


def translate(S: State, mm: mm_struct, index: int) -> frame | None:
    """The page behind an address, for a write; None is #PF.

    A PTE whose EPC page the CPU refuses raises #PF with the SGX bit, which
    kills the process: the kernel must never leave such a PTE in place.
    """
    cpu = S[CURRENT]
    p: frame | None = cached(S, cpu, index)
    if p is not None:
        if not owns(S, p, S[cpu.inside], index):
            aex(S, cpu)
            raise Fault("bad-mapping", f"the TLB of {cpu} still maps page {index} to {p}", BAD)
        return p
    if S[mm.mm_users] is FREED:
        return None
    p = S[mm.pte + index]
    if p is None or "w" not in S[mm.pte_prot + index]:
        return None
    own = S[p.page_type] in CHILDREN and S[p.linaddr] == index
    if not S[p.valid] or S[p.blocked] is not None or not own:
        aex(S, cpu)
        if area_at(S, mm, index) is None:
            return None  # munmap() is about to take the PTE; the fault will say so
        state = "blocked" if S[p.blocked] is not None else "no longer this page"
        raise Fault("bad-mapping", f"the PTE of page {index} maps {p}, which is {state}", BAD)
    return p


def fill(S: State, mm: mm_struct, index: int, p: frame) -> None:
    """Keep a translation; the walk that found it set the Accessed bit."""
    cpu = S[CURRENT]
    if cached(S, cpu, index) is None:
        S[cpu.tlb] = tuple(sorted((*S[cpu.tlb], (index, p)), key=lambda entry: int(entry[0])))
        S[mm.young + index] = 1


# -- what the kernel does with PTEs -------------------------------------------------------------


def _flush(S: State, cpus: tuple[Any, ...], mm: mm_struct) -> None:
    """A shootdown interrupts the CPUs that have the address space loaded."""
    for cpu in cpus:
        if S[cpu.mm] is mm:
            aex(S, cpu)


@primitive(access="none")
def set_pte(S: State, mm: mm_struct, index: int, p: frame, prot: str) -> None:
    """insert_pfn(): a young PTE.  One that is there already stays, whatever it maps."""
    if S[mm.pte + index] is None:
        S[mm.pte + index] = p
        S[mm.pte_prot + index] = prot
        S[mm.young + index] = 1


@primitive(access="none")
def ptep_test_and_clear_young(S: State, mm: mm_struct, index: int) -> bool:
    """The Accessed bit of a PTE, cleared.  No flush: a TLB may go on without setting it."""
    locked(S, mm)
    young = bool(S[mm.pte + index] is not None and S[mm.young + index])
    S[mm.young + index] = 0
    return young


def _zap(S: State, mm: mm_struct, index: int) -> bool:
    if S[mm.pte + index] is None:
        return False
    S[mm.pte + index] = None
    S[mm.pte_prot + index] = ""
    S[mm.young + index] = 0
    return True


@primitive(access="none", shown=lambda cpus, mm, index: f"zap_vma_ptes({mm}, {index})")
def zap_vma_ptes(S: State, cpus: tuple[Any, ...], mm: mm_struct, index: int) -> None:
    """Clear a PTE and flush it."""
    locked(S, mm)
    if _zap(S, mm, index):
        _flush(S, cpus, mm)


@primitive(
    access="none", shown=lambda cpus, mm, start, end: f"unmap_page_range({mm}, {start}, {end})"
)
def unmap_page_range(S: State, cpus: tuple[Any, ...], mm: mm_struct, start: int, end: int) -> None:
    """Clear the PTEs of a range and flush them."""
    locked(S, mm)
    zapped = [_zap(S, mm, index) for index in range(start, end)]
    if any(zapped):
        _flush(S, cpus, mm)


@primitive(
    access="none", shown=lambda cpus, mm, at, prot: f"change_protection({mm}, {at}, {prot or 0})"
)
def change_protection(S: State, cpus: tuple[Any, ...], mm: mm_struct, at: int, prot: str) -> None:
    """Give a PTE other rights and flush it."""
    locked(S, mm, write=True)
    if S[mm.pte + at] is not None and S[mm.pte_prot + at] != prot:
        S[mm.pte_prot + at] = prot
        _flush(S, cpus, mm)


@primitive(access="none")
def copy_ptes(S: State, mm: mm_struct, source: mm_struct, start: int, end: int) -> None:
    """copy_page_range() of a VM_PFNMAP mapping: the child's PTEs are old."""
    locked(S, mm, write=True)
    locked(S, source, write=True)
    for index in range(start, end):
        S[mm.pte + index] = S[source.pte + index]
        S[mm.pte_prot + index] = S[source.pte_prot + index]
        S[mm.young + index] = 0


@primitive(access="none", shown=lambda cpus, mm: f"flush_tlb_mm({mm})")
def flush_tlb_mm(S: State, cpus: tuple[Any, ...], mm: mm_struct) -> None:
    """Flush all of an address space."""
    _flush(S, cpus, mm)


# -- CPUs ---------------------------------------------------------------------------------------


@primitive(access="none")
def load_mm(S: State, mm: mm_struct) -> None:
    """switch_mm(): the CPU runs a thread of this process, and is in mm_cpumask."""
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


@primitive(silent=True, access="none")
def is_mapped(S: State, mm: mm_struct, index: int) -> bool:
    """Whether a fault left a PTE behind: if not, the access only waits for others."""
    return S[mm.mm_users] is not FREED and S[mm.pte + index] is not None
