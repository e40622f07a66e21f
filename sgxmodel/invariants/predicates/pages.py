# SPDX-License-Identifier: GPL-2.0-only
"""Pages, their lists and flags: 1-one-list to 5-in-progress, 10-epcm, 11-free-count."""

from __future__ import annotations

from collections.abc import Iterator

from sgxmodel.driver.structs import (
    SGX_EPC_PAGE_IS_FREE,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    sgx_encl_page,
    sgx_epc_page,
)
from sgxmodel.hardware.epcm import PT_SECS, PT_VA
from sgxmodel.invariants.base import (
    Epcm,
    FreeFlags,
    OneList,
    Tracked,
    Unreclaimable,
)
from sgxmodel.invariants.predicate import Finding, Guard, Predicate
from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import list_head

Where = dict[sgx_epc_page, str]
"""Page -> role of the list that it is on."""


def check_structure(view: View) -> Iterator[Finding]:
    """Links and membership.  A list helper is one operation, so this holds at any time."""
    where: Where = {}
    for head, role in (*view.static_lists, *view.iso_lists):
        yield from _walk(view, head, role, where)


def check_flags(view: View) -> Iterator[Finding]:
    """What flags and owners say against the lists, when no list lock is held."""
    where: Where = {}
    broken = [f for head, role in view.static_lists for f in _walk(view, head, role, where)]
    for head, role in view.iso_lists:
        list(_walk(view, head, role, where))
    S = view.S
    for page in view.pages:
        role = where.get(page, "")
        flags = S[page.flags]
        if role == "free":
            yield from _free(view, page)
        elif role == "reclaimable":
            yield from _reclaimable(view, page)
        elif flags & SGX_EPC_PAGE_RECLAIMER_TRACKED and S[page.isolator] is None:
            yield (
                Tracked,
                page,
                f"{page} is TRACKED but neither reclaimable nor isolated",
                f"flags say {view.flags(flags)}; it is on {role or 'no'} list and no\n"
                "reclaimer has it",
            )
        if flags & SGX_EPC_PAGE_IS_FREE and role not in ("free", "poison") and not broken:
            yield (
                FreeFlags,
                page,
                f"{page} is marked IS_FREE but is not on a free list",
                f"flags say {view.flags(flags)}; it is on {role or 'no'} list",
            )
        if view.lists.in_progress:
            yield from _in_progress(view, page, role)


def _walk(view: View, head: list_head, role: str, where: Where) -> Iterator[Finding]:
    S = view.S
    before, pos = head, S[head.next]
    while pos is not head:
        page = getattr(pos, "container", None)
        if not isinstance(page, sgx_epc_page):
            yield (OneList, head, f"{head} leads to {pos!r}", "the list is corrupted")
            return
        if S[pos.prev] is not before:
            yield (
                OneList,
                page,
                f"{page} is still linked on {head}",
                f"but its own list_head says that it is on {_home(view, page)}",
            )
            return
        if page in where:
            yield (OneList, page, f"{page} is on two lists: {where[page]} and {role}", "")
            return
        where[page] = role
        before, pos = pos, S[pos.next]


def _home(view: View, page: sgx_epc_page) -> str:
    """The head that a page's own pointers lead to."""
    pos = page.list
    for _ in range(2 * len(view.pages) + 2):
        pos = view.S[pos.next]
        if not isinstance(getattr(pos, "container", None), sgx_epc_page):
            return str(pos)
    return "a ring without a head"


def _free(view: View, page: sgx_epc_page) -> Iterator[Finding]:
    S = view.S
    if S[page.flags] != SGX_EPC_PAGE_IS_FREE or S[page.owner] is not None:
        yield (
            FreeFlags,
            page,
            f"{page} is on a free list with flags {view.flags(S[page.flags])}",
            f"owner {S[page.owner]}; a free page has IS_FREE and nothing else",
        )
    if S[page.frame.valid]:
        yield (
            Epcm,
            page,
            f"{page} is on a free list but valid in the EPCM",
            f"the CPU still holds a {S[page.frame.page_type]} page there",
        )
    if S[page.poison]:
        yield (Epcm, page, f"{page} is poisoned and on a free list", "")


def _reclaimable(view: View, page: sgx_epc_page) -> Iterator[Finding]:
    S = view.S
    flags, owner = S[page.flags], S[page.owner]
    if not flags & SGX_EPC_PAGE_RECLAIMER_TRACKED or not isinstance(owner, sgx_encl_page):
        yield (
            Tracked,
            page,
            f"{page} is on the reclaimable list with flags {view.flags(flags)}",
            f"owner {owner}; a reclaimable page is TRACKED and owned by an enclave page",
        )
    if S[page.frame.valid] and S[page.frame.page_type] in (PT_SECS, PT_VA):
        yield (
            Unreclaimable,
            page,
            f"{page}, a {S[page.frame.page_type]} page, is on the reclaimable list",
            "",
        )


def _in_progress(view: View, page: sgx_epc_page, role: str) -> Iterator[Finding]:
    S = view.S
    marked = bool(S[page.flags] & view.lists.in_progress)
    if marked and S[page.isolator] is None:
        yield (
            Tracked,
            page,
            f"{page} is marked RECLAIM_IN_PROGRESS but nobody isolated it",
            f"it is on {role or 'no'} list",
        )
    if role == "isolate" and S[page.frame.page_type] in (PT_SECS, PT_VA):
        yield (
            Unreclaimable,
            page,
            f"{page}, a {S[page.frame.page_type]} page, is on an isolate list",
            "",
        )


def count_drift(view: View) -> int:
    """sgx_nr_free_pages minus the pages on free lists."""
    drift: int = view.S[view.counter] - on_free_lists(view)
    return drift


def on_free_lists(view: View) -> int:
    """How many pages the free lists have."""
    S = view.S
    free = 0
    for node in view.world.nodes:
        pos = S[node.free_page_list.next]
        while isinstance(pos, list_head) and pos is not node.free_page_list:
            free += 1
            if free > len(view.pages):
                break
            pos = S[pos.next]
    return free


def _link(kind: str) -> bool:
    """Of a list of pages."""
    return kind.endswith((".next", ".prev")) and "encl_mm" not in kind and "mm_list" not in kind


def _reads_flags(kind: str) -> bool:
    return kind.startswith("sgx_epc_page.") or _link(kind) or kind == "frame.valid"


PREDICATES = (
    Predicate(check_structure, _link, Guard.LISTS, always=True),
    Predicate(check_flags, _reads_flags, Guard.LISTS),
)
