# SPDX-License-Identifier: GPL-2.0-only
"""13-mappings: no PTE and no TLB entry that can be used maps another page than the current one.

A PTE can be used while its address space has users and a VMA covers it: one
that munmap() has taken from the tree waits for its PTEs to be cleared.  A TLB
entry can be used while its CPU is inside the enclave.  Current is the page in
``encl->page_array``; it changes under encl->lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sgxmodel.hardware.mmu import owns
from sgxmodel.invariants.base import Mappings
from sgxmodel.invariants.predicate import Finding, Guard, Predicate
from sgxmodel.invariants.view import View
from sgxmodel.kernel.mm import area_at, mm_struct
from sgxmodel.machine.layout import FREED


def check_mappings(view: View) -> Iterator[Finding]:
    """All PTEs and TLBs, when every enclave's lock is free."""
    S = view.S
    for mm in view.world.mms:
        if S[mm.mm_users] is not FREED and S[mm.mm_users]:
            yield from _ptes(view, mm)
    for cpu in view.world.task_structs:
        for index, p in S[cpu.tlb]:
            if not owns(S, p, S[cpu.inside], index):
                yield (
                    Mappings,
                    cpu,
                    f"the TLB of {cpu} maps page {index} to {p.page}, which now holds another page",
                    f"the CPU has been inside the enclave since epoch {S[cpu.entry_epoch]}",
                )


def _ptes(view: View, mm: mm_struct) -> Iterator[Finding]:
    S = view.S
    for index in range(mm.pte_len):
        p = S[mm.pte + index]
        if p is None:
            continue
        vma = area_at(S, mm, index)
        if vma is None:
            continue
        now = _current(view, S[S[vma.vm_file].private_data], index)
        if now is not p.page:
            yield (
                Mappings,
                mm,
                f"a PTE of {mm} maps page {index} to {p.page}, "
                + (f"but the page is now {now}" if now else "but the page is not resident"),
                f"{p.page} is {_owner(view, p.page)}",
            )


def _current(view: View, encl: Any, index: int) -> Any:
    """The EPC page of an address of an enclave, or None."""
    S = view.S
    entry = S[encl.page_array.entries + index]
    if entry is None or entry is FREED or S[entry.epc_page] is FREED:
        return None
    return S[entry.epc_page]


def _owner(view: View, page: Any) -> str:
    owner = view.S[page.owner]
    if view.is_free(page):
        return "free"
    return "in use for something else" if owner is None else f"the page of {owner}"


READ = frozenset(
    {
        "mm_struct.pte",
        "mm_struct.mm_mt",
        "vm_area_struct.vm_start",
        "vm_area_struct.vm_end",
        "sgx_encl_page.epc_page",
        "sgx_encl.page_array.entries",
        "frame.valid",
        "frame.linaddr",
        "task_struct.tlb",
    }
)
"""What 13-mappings goes by."""
PREDICATES = (Predicate(check_mappings, READ.__contains__, Guard.ENCLAVES),)
