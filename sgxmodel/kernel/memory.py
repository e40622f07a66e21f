# SPDX-License-Identifier: GPL-2.0-only
"""kzalloc/kfree from typed caches, the xarray as a map, and pages of a shmem file."""

from __future__ import annotations

from typing import Any, ClassVar

from sgxmodel.kernel.lock import spinlock_t
from sgxmodel.machine.layout import CHOICE, FREED, Array, Embedded, Layout, State, Struct
from sgxmodel.machine.op import Fault, primitive, pure

EBUSY = 16
ENOMEM = 12


class kmem_cache(Struct):
    """A supply of objects of one type; which are allocated is part of the state.

    An object is free when its first slot is FREED.  The lowest free one is
    taken, so that a state says which object comes next.
    """

    failures: int = 0
    objects: ClassVar[tuple[Any, ...]]
    blank: ClassVar[dict[Any, tuple[Any, ...]]]


def fill_cache(layout: Layout, cache: kmem_cache, objects: list[Struct]) -> None:
    """Give a cache its objects; all are free at first."""
    vars(cache).update(objects=tuple(objects), blank={})
    for handle in objects:
        cache.blank[handle] = tuple(layout.values[slot] for slot in handle.slots)
        for slot in handle.slots:
            layout.values[slot] = FREED


def _may_fail(S: State, cache: kmem_cache) -> int:
    return 2 if S[cache.failures] > 0 else 1


@primitive(access="none", choices=_may_fail)
def kzalloc(S: State, cache: kmem_cache) -> Any:
    """An object with its first values, or NULL where the scenario lets it fail."""
    if S[CHOICE]:
        S[cache.failures] = S[cache.failures] - 1
        return None
    for handle in cache.objects:
        if S[handle.slots[0]] is FREED:
            for slot, value in zip(handle.slots, cache.blank[handle], strict=True):
                S[slot] = value
            return handle
    raise Fault("model-limit", f"{cache} is too small for this scenario", fatal=True)


@primitive(access="plain")
def kfree(S: State, obj: Any) -> None:
    """Give an object back.  A write to all of it, for the race detector.  NULL is legal."""
    if obj is None:
        return
    if S[obj.slots[0]] is FREED:
        raise Fault("double-free", f"kfree of {obj}, which is free already", fatal=True)
    for slot in obj.slots:
        S[slot] = FREED


@pure
def IS_ERR(value: object) -> bool:
    """Whether a pointer is an error: errors are negative numbers here."""
    return isinstance(value, int)


class xarray(Embedded):
    """An index to pointer map with its internal lock.  Look-ups are RCU reads."""

    xa_lock: spinlock_t
    entries: Array
    entries_len: int


def _slot(S: State, xa: xarray, index: int) -> int:
    if not 0 <= index < xa.entries_len:
        raise Fault("model-limit", f"{xa}: index {index} is out of range", fatal=True)
    slot: int = xa.entries + index
    if S[slot] is FREED:
        raise Fault("use-after-free", f"{xa} of a freed object", fatal=True)
    return slot


@primitive(access="marked", acquires=True)
def xa_load(S: State, xa: xarray, index: int) -> Any:
    """The entry at an index, or NULL; legal without a lock."""
    return S[_slot(S, xa, index)]


@primitive(access="marked", releases=True)
def xa_insert(S: State, xa: xarray, index: int, entry: Any) -> int:
    """Store where nothing is; -EBUSY where something is."""
    slot = _slot(S, xa, index)
    if S[slot] is not None:
        return -EBUSY
    S[slot] = entry
    return 0


@primitive(access="marked", releases=True)
def xa_erase(S: State, xa: xarray, index: int) -> None:
    """Forget what is stored."""
    S[_slot(S, xa, index)] = None


@pure
def xa_size(xa: xarray) -> int:
    """How many indexes the layout gave this array."""
    return xa.entries_len


class page(Struct):
    """``struct page`` of a backing file.

    ``index`` is its place in the file, None once truncated; ``data`` the
    contents: None (zeroes), or what EWB wrote; a PCMD page holds one such
    value per enclave page.
    """

    index: Any = None
    refs: int = 0
    data: Any = None
    dirty: int = 0


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


@primitive(access="none", acquires=True, releases=True)
def shmem_find_get_page(S: State, f: file, index: int) -> Any:
    """The cached page with a reference, or NULL where the file has a hole."""
    found = S[_cached(S, f, index)]
    if found is not None:
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
        raise Fault("use-after-free", f"{p} is free, and used", fatal=True)


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
