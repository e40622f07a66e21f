# SPDX-License-Identifier: GPL-2.0-only
"""Enclaves: 6-references to 9-child-count, 12-va-slots, 19-tracking.

These hold whenever nobody has encl->lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sgxmodel.driver.structs import (
    SGX_ENCL_CREATED,
    SGX_ENCL_INITIALIZED,
    SGX_ENCL_IOCTL,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_ENCL_PAGE_VA_OFFSET_MASK,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    sgx_encl,
    sgx_epc_page,
)
from sgxmodel.hardware.encls import pcmd_entry
from sgxmodel.invariants.base import (
    BeingReclaimed,
    ChildCount,
    Evicted,
    OneList,
    References,
    Tracking,
    VaSlots,
)
from sgxmodel.invariants.predicate import Finding, Guard, Predicate
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import entries, list_head
from sgxmodel.machine.layout import FREED


def check_enclaves(view: View) -> Iterator[Finding]:
    """Every enclave that is there; one that was freed has no lock."""
    for encl in view.world.encls:
        if view.S[encl.lock.owner] is None:
            yield from check_enclave(view, encl)


def check_enclave(view: View, encl: sgx_encl) -> Iterator[Finding]:
    """An enclave whose lock is free and that is neither unborn nor dying."""
    S = view.S
    if not view.alive(encl) or not S[encl.flags] & 1 << SGX_ENCL_CREATED:
        return
    slots: dict[tuple[Any, int], str] = {}
    resident = 0
    for index, entry in view.entries(encl):
        if S[entry.epc_page] is not None:
            resident += 1
            if S[entry.desc] & SGX_ENCL_PAGE_BEING_RECLAIMED:
                yield from _marked(view, encl, index, entry)
            else:
                yield from _resident(view, encl, index, entry, f"page {index}")
            yield from _tracked(view, encl, entry, f"page {index}")
        else:
            yield from _evicted(view, encl, index, entry, f"page {index}", slots)
    yield from _secs(view, encl, resident, slots)
    yield from _slots(view, encl, resident, slots)
    if view.unreclaimable is not None:
        yield from _recorded(view, encl, view.unreclaimable)


def _recorded(view: View, encl: sgx_encl, unreclaimable: list_head) -> Iterator[Finding]:
    """A revision with a list of what cannot be reclaimed has all of it there.

    The lists are there to find every EPC page of a cgroup, to reclaim or kill it.
    """
    S = view.S
    listed = set(entries(S, unreclaimable, limit=len(view.pages) + 1))
    pages = [(S[encl.secs.epc_page], "the SECS")]
    pages += [(S[va.epc_page], f"{va}") for va in entries(S, encl.va_pages, limit=64)]
    for page, name in pages:
        if isinstance(page, sgx_epc_page) and page not in listed and not S[page.leaked]:
            yield (
                OneList,
                page,
                f"{page}, {name} of {encl}, is on no list",
                "code that looks for all pages of an enclave on the LRU lists misses it",
            )


def _tracked(view: View, encl: sgx_encl, entry: Any, name: str) -> Iterator[Finding]:
    """What is resident can be reclaimed, but for what an ioctl has in hand (sgx2.py).

    A page with bad memory is off the list for good: arch_memory_failure() takes it off.
    """
    S = view.S
    page = S[entry.epc_page]
    if not isinstance(page, sgx_epc_page) or S[encl.flags] & 1 << SGX_ENCL_IOCTL:
        return
    if S[page.poison]:
        return
    if not S[page.flags] & SGX_EPC_PAGE_RECLAIMER_TRACKED and S[page.isolator] is None:
        yield (
            OneList,
            page,
            f"{page}, {name} of {encl}, is resident and not tracked",
            "it can never be reclaimed",
        )


def _marked(view: View, encl: sgx_encl, index: int, entry: Any) -> Iterator[Finding]:
    S = view.S
    page = S[entry.epc_page]
    contents, pcmd = _backing(view, encl, index)
    if S[page.isolator] is None:
        yield (
            BeingReclaimed,
            entry,
            f"page {index} is marked BEING_RECLAIMED, but nobody reclaims it",
            f"its {page} was isolated by no task",
        )
    elif contents is None or pcmd is None or S[contents.refs] < 2 or S[pcmd.refs] < 2:
        what = "contents" if contents is None or S[contents.refs] < 2 else "PCMD page"
        yield (
            BeingReclaimed,
            entry,
            f"page {index} is marked BEING_RECLAIMED, but its {what} is not pinned",
            f"{S[page.isolator]} is about to write it into a page that the backing file\n"
            "no longer has",
        )


def _resident(view: View, encl: sgx_encl, index: int, entry: Any, name: str) -> Iterator[Finding]:
    """What was loaded back is given back to the kernel (08999b2489b4)."""
    contents, _ = _backing(view, encl, index)
    if contents is not None and view.S[contents.data] is not None:
        yield (
            Evicted,
            entry,
            f"{name} is resident, but its old contents are still in the backing file",
            "that backing memory is not freed while the page is resident",
        )


def _backing(view: View, encl: sgx_encl, index: int) -> tuple[Any, Any]:
    """The cached contents page and PCMD page of a page index, or None."""
    S, world = view.S, view.world
    backing = S[encl.backing]
    if backing is None or S[backing.f_count] is FREED:
        return None, None
    pcmd = S[encl.size] + 1 + index // world.scenario.pcmds
    return S[backing.cached + index], S[backing.cached + pcmd]


def _evicted(
    view: View, encl: sgx_encl, index: int, entry: Any, name: str, slots: dict[Any, str]
) -> Iterator[Finding]:
    S = view.S
    va = S[entry.va_page]
    if va is None or va is FREED or S[va.epc_page] is FREED:
        yield (Evicted, entry, f"{name} is not resident and has no VA page", "its data is lost")
        return
    slot = (S[entry.desc] & SGX_ENCL_PAGE_VA_OFFSET_MASK) >> 3
    if (va, slot) in slots:
        yield (VaSlots, entry, f"{name} and {slots[va, slot]} share VA slot {slot} of {va}", "")
    slots[va, slot] = name
    frame = S[va.epc_page].frame
    version = S[frame.versions + slot] if slot < frame.versions_len else 0
    contents, pcmd = _backing(view, encl, index)
    sealed, macs = (S[p.data] if p and S[p.data] is not FREED else None for p in (contents, pcmd))
    mac = pcmd_entry(macs, index % view.world.scenario.pcmds)
    if not version:
        lost = f"VA slot {slot} of {va} is empty"
    elif sealed is None:
        lost = "the backing file has no contents for it"
    elif mac is None:
        lost = "the backing file has no PCMD for it"
    elif mac != sealed or mac[-1] != version:
        lost = "slot, PCMD and contents are of different evictions"
    elif not (S[contents.dirty] and S[pcmd.dirty]):
        lost = "a clean backing page is dropped under memory pressure, not swapped (6bd429643cc2)"
    else:
        return
    yield (Evicted, entry, f"{name} was written out and cannot be loaded back", lost)


def _secs(view: View, encl: sgx_encl, resident: int, slots: dict[Any, str]) -> Iterator[Finding]:
    S = view.S
    page, count, flags = S[encl.secs.epc_page], S[encl.secs_child_cnt], S[encl.flags]
    if count != resident:
        yield (
            ChildCount,
            encl,
            f"secs_child_cnt is {count}, but {resident} pages are resident",
            "",
        )
    if page is None:
        if count > 0:
            yield (ChildCount, encl, f"the SECS is evicted while {count} children are resident", "")
        yield from _evicted(view, encl, S[encl.size], encl.secs, "the SECS", slots)
        return
    yield from _resident(view, encl, S[encl.size], encl.secs, "the SECS")
    secs = page.frame
    # sgx_encl_add_page() undoes a failed EEXTEND after it has released encl->lock.
    building = not flags & 1 << SGX_ENCL_INITIALIZED and flags & 1 << SGX_ENCL_IOCTL
    # A child that EREMOVE refused is no page of the driver's any more, but one of the EPCM's.
    leaked = sum(
        bool(S[p.leaked] and S[p.frame.valid]) and S[p.frame.enclavesecs] is secs
        for p in view.world.pages
    )
    if S[secs.children] != resident + leaked and not S[page.leaked] and not building:
        yield (
            ChildCount,
            encl,
            f"the SECS has {S[secs.children]} children, but {resident} pages are resident",
            "",
        )
    for cpu in view.world.task_structs:
        if S[cpu.inside] == S[secs.eid] and S[cpu.entry_epoch] < S[secs.epoch]:
            yield (
                Tracking,
                encl,
                f"a tracking cycle is left open: {cpu} entered in epoch "
                f"{S[cpu.entry_epoch]}, now it is {S[secs.epoch]}",
                "the next ETRACK would fail",
            )


def _slots(view: View, encl: sgx_encl, resident: int, slots: dict[Any, str]) -> Iterator[Finding]:
    S = view.S
    free = 0
    for va in entries(S, encl.va_pages, limit=64):
        bitmap = S[va.bitmap]
        if bitmap is FREED:
            yield (References, encl, f"{va} on encl->va_pages is freed", "")
            return
        for slot in range(view.world.scenario.va_slots):
            used = bool(bitmap >> slot & 1)
            free += not used
            if used != ((va, slot) in slots):
                owner = slots.get((va, slot), "nobody")
                yield (
                    VaSlots,
                    encl,
                    f"VA slot {slot} of {va} is {'in use' if used else 'free'}, "
                    f"but belongs to {owner}",
                    "",
                )
    need = resident + (S[encl.secs.epc_page] is not None)
    if free < need:
        yield (
            VaSlots,
            encl,
            f"{free} free VA slots for {need} resident pages",
            "eviction would run out of slots",
        )


def check_references(view: View) -> Iterator[Finding]:
    """An enclave's count is at least what the file, the mms and the reclaimers hold."""
    S = view.S
    for encl in view.world.encls:
        refs = S[encl.refcount.refs]
        if refs is FREED:
            continue
        isolated = [
            page
            for page in view.pages
            if S[page.isolator] is not None and _belongs(view, page, encl)
        ]
        held = len(isolated)
        for mm in view.world.mms:
            if S[mm.subscriptions] is not FREED:
                held += sum(S[mn.encl] is encl for mn in S[mm.subscriptions])
        for file in view.files:
            held += S[file.private_data] is encl and S[file.file_ref.refs] > 0
        if refs < held:
            names = ", ".join(f"{p} by {S[p.isolator]}" for p in isolated) or "none"
            yield (
                References,
                encl,
                f"{encl} has {refs} references, but {held} users",
                f"isolated pages: {names}",
            )


def _belongs(view: View, page: Any, encl: sgx_encl) -> bool:
    """Whether an isolated page still is the resident page of its owner in this enclave."""
    S = view.S
    owner = S[page.owner]
    if owner is None or not hasattr(owner, "encl"):
        return False
    return S[owner.encl] is encl and S[owner.epc_page] is page


def _reads_enclaves(kind: str) -> bool:
    struct = kind.partition(".")[0]
    if struct not in ("sgx_encl", "sgx_encl_page", "sgx_va_page", "frame", "page", "file"):
        return kind == "sgx_epc_page.isolator"
    return not (kind.endswith(("lock.owner", ".refcount.refs")) or "mm_l" in kind or "srcu" in kind)


def _reads_references(kind: str) -> bool:
    counted = kind.endswith(".refs") and kind.partition(".")[0] not in ("page", "mem_cgroup")
    return counted or kind in ("mm_struct.subscriptions", "sgx_epc_page.isolator")


PREDICATES = (
    Predicate(check_references, _reads_references),
    Predicate(check_enclaves, _reads_enclaves, Guard.ENCLAVES),
)
