# SPDX-License-Identifier: GPL-2.0-only
"""kzalloc/kfree from typed caches, and the xarray as a map."""

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
    raise Fault(
        "leak",
        f"all {len(cache.objects)} objects of {cache} are in use\n"
        "more than the scenario's calls can have at once: they leak,\n"
        "or this revision keeps more of them than the kernel does",
        fatal=True,
    )


@primitive(access="plain")
def kfree(S: State, obj: Any) -> None:
    """Give an object back.  A write to all of it, for the race detector.  NULL is legal."""
    if obj is None:
        return
    if S[obj.slots[0]] is FREED:
        raise Fault("double-free", f"kfree of {obj}, which is already free", fatal=True)
    for slot in obj.slots:
        S[slot] = FREED


@pure
def IS_ERR(value: object) -> bool:
    """Whether a pointer is an error: errors are negative numbers here, and 0 is NULL."""
    return isinstance(value, int) and value < 0


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
    if not 0 <= index < xa.entries_len:
        return None  # any unsigned long is an index: nothing is stored there
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
    if 0 <= index < xa.entries_len:
        S[_slot(S, xa, index)] = None


@pure
def xa_size(xa: xarray) -> int:
    """How many indexes the layout gave this array."""
    return xa.entries_len
