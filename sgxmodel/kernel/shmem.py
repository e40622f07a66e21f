# SPDX-License-Identifier: GPL-2.0-only
"""A shmem file, its page cache and what memory pressure does to it (mm/shmem.c, mm/vmscan.c).

shmem keeps its pages in memory and in swap, nowhere else: a dirty page goes to
swap, a clean one that nobody has is dropped, and the file has a hole again.
"""

from __future__ import annotations

from typing import Any

from sgxmodel.kernel.memory import kmem_cache
from sgxmodel.machine.layout import CHOICE, FREED, Array, State, Struct
from sgxmodel.machine.op import Fault, primitive


class page(Struct):
    """``struct page`` of a backing file.

    ``index`` is its place in the file, None once truncated; ``data`` the
    contents: None (zeroes), or what EWB wrote; a PCMD page holds one such
    value per enclave page.  ``dirty``: what is in it must not be lost.
    ``swapped``: only a swap entry is left in the file, which the object stands
    for.  ``memcg``: who is charged for the memory.
    """

    index: Any = None
    refs: int = 0
    data: Any = None
    dirty: int = 0
    swapped: int = 0
    memcg: Any = None


class file(Struct):
    """A shmem file: its page cache, by page index.  The cache holds one reference a page."""

    cached: Array
    cached_len: int
    f_count: int = 1


def _cached(S: State, f: file, index: int) -> int:
    slot: int = f.cached + index
    if S[slot] is FREED:
        raise Fault("use-after-free", f"page cache of {f}, which is gone", fatal=True)
    return slot


SWAPPED = "a swap entry"


@primitive(access="none", acquires=True, releases=True)
def shmem_find_get_page(S: State, f: file, index: int) -> Any:
    """The cached page with a reference, SWAPPED, or NULL where the file has a hole."""
    found = S[_cached(S, f, index)]
    if found is None:
        return None
    _live(S, found)
    if S[found.swapped]:
        return SWAPPED
    _get(S, found)
    return found


def _no_memory(S: State, cache: kmem_cache, f: file, index: int) -> int:
    return 2 if S[cache.failures] > 0 else 1


@primitive(access="none", acquires=True, releases=True, choices=_no_memory)
def shmem_swapin_folio(S: State, cache: kmem_cache, f: file, index: int) -> Any:
    """The page read back from swap, with a reference; NULL where no memory can be had.

    The swap entry is given up, so the page is dirty from the start.  It is
    charged to whom the entry was charged to (swap_cgroup).
    """
    if S[CHOICE]:
        S[cache.failures] = S[cache.failures] - 1
        return None
    found = S[_cached(S, f, index)]
    S[found.swapped] = 0
    S[found.dirty] = 1
    _get(S, found)
    return found


@primitive(access="none", acquires=True, releases=True)
def shmem_add_to_page_cache(S: State, f: file, index: int, new: page) -> bool:
    """Insert a fresh zeroed page with one reference for the caller; False: somebody did."""
    slot = _cached(S, f, index)
    if S[slot] is not None:
        return False
    S[slot] = new
    S[new.index] = index
    S[new.refs] = 2
    return True


@primitive(access="none", acquires=True, releases=True)
def shmem_truncate_page(S: State, f: file, index: int) -> None:
    """shmem_truncate_range() over one page: whoever holds the page keeps an orphan."""
    slot = _cached(S, f, index)
    old = S[slot]
    if old is None:
        return
    _live(S, old)
    S[slot] = None
    S[old.index] = None
    _put(S, old)


def _live(S: State, p: page) -> None:
    if S[p.refs] is FREED:
        raise Fault("use-after-free", f"{p} is used after it was freed", fatal=True)


def _get(S: State, p: page) -> None:
    _live(S, p)
    S[p.refs] = S[p.refs] + 1


def _put(S: State, p: page) -> None:
    _live(S, p)
    if S[p.refs] == 1:
        for slot in p.slots:
            S[slot] = FREED
    else:
        S[p.refs] = S[p.refs] - 1


@primitive(access="none")
def get_page(S: State, p: page) -> None:
    """Take a reference."""
    _get(S, p)


@primitive(access="none")
def put_page(S: State, p: page) -> None:
    """Give a reference back; the last one frees the page."""
    _put(S, p)


@primitive(access="none", releases=True)
def fput(S: State, f: file) -> None:
    """The last reference of the backing file: its pages and itself go."""
    if S[f.f_count] is FREED:
        raise Fault("use-after-free", f"fput of {f}, which is gone", fatal=True)
    for i in range(f.cached_len):
        cached = S[f.cached + i]
        if cached is not None:
            _live(S, cached)
            S[cached.index] = None
            _put(S, cached)
    for slot in f.slots:
        S[slot] = FREED


# -- memory pressure ----------------------------------------------------------------------


@primitive(access="none")
def isolate_lru_folios(S: State, files: kmem_cache) -> tuple[Any, ...]:
    """The pages of shmem files that are in memory, as (file, index)."""
    return tuple(
        (f, index)
        for f in files.objects
        if S[f.f_count] is not FREED
        for index in range(f.cached_len)
        if S[f.cached + index] is not None and not S[S[f.cached + index].swapped]
    )


@primitive(access="none", acquires=True, releases=True)
def shrink_folio(S: State, folio: tuple[file, int]) -> str:
    """shrink_folio_list() of one page; the page lock makes it one step.

    Whoever has a reference keeps the page (is_page_cache_freeable(),
    __remove_mapping()); a dirty one goes to swap (shmem_writepage()), a clean
    one is dropped with what is in it.
    """
    f, index = folio
    if S[f.f_count] is FREED:
        return "gone"
    p = S[f.cached + index]
    if p is None or S[p.swapped]:
        return "gone"
    if S[p.refs] != 1:
        return "kept"
    if S[p.dirty]:
        S[p.swapped] = 1
        return "swapped"
    lost = S[p.data]
    S[f.cached + index] = None
    _put(S, p)
    if lost is not None:
        raise Fault(
            "8-evicted",
            f"{p}, page {index} of {f}, is clean, so what EWB wrote to it is dropped",
            result="dropped",
        )
    return "dropped"
