# SPDX-License-Identifier: GPL-2.0-only
"""kref, atomic counters and atomic bit operations."""

from __future__ import annotations

from sgxmodel.machine.layout import FREED, Embedded, State
from sgxmodel.machine.op import Fault, primitive


class kref(Embedded):
    """A reference count that never rises from zero."""

    refs: int = 0


class atomic_long_t(Embedded):
    """A counter whose changes are single operations."""

    counter: int = 0


def _live(S: State, slot: int) -> int:
    value = S[slot]
    if value is FREED:
        raise Fault("use-after-free", "reference count of a freed object", fatal=True)
    return int(value)


@primitive(access="marked")
def kref_init(S: State, ref: kref) -> None:
    """One reference, the caller's."""
    _live(S, ref.refs)
    S[ref.refs] = 1


@primitive(access="marked")
def kref_get(S: State, ref: kref) -> None:
    """Take a reference beside one that the caller knows to be held."""
    count = _live(S, ref.refs)
    if count == 0:
        raise Fault("refcount", "refcount_t: addition on 0; use-after-free.")
    S[ref.refs] = count + 1


@primitive(access="marked")
def kref_get_unless_zero(S: State, ref: kref) -> bool:
    """Take a reference if the object is not dying; False if it is."""
    count = _live(S, ref.refs)
    if count == 0:
        return False
    S[ref.refs] = count + 1
    return True


@primitive(access="marked", acquires=True, releases=True)
def kref_put(S: State, ref: kref) -> bool:
    """Give a reference back; True: it was the last, and the caller must release."""
    count = _live(S, ref.refs)
    if count == 0:
        raise Fault("refcount", "refcount_t: underflow; use-after-free.", result=False)
    S[ref.refs] = count - 1
    return count == 1


@primitive(access="marked")
def atomic_long_inc(S: State, v: atomic_long_t) -> None:
    """One operation; orders nothing."""
    S[v.counter] = S[v.counter] + 1


@primitive(access="marked")
def atomic_long_dec(S: State, v: atomic_long_t) -> None:
    """One operation; orders nothing."""
    S[v.counter] = S[v.counter] - 1


@primitive(access="marked")
def atomic_long_read(S: State, v: atomic_long_t) -> int:
    """A marked read."""
    value: int = S[v.counter]
    return value


@primitive(access="marked", addresses=("field",), acquires=True, releases=True)
def test_and_set_bit(S: State, nr: int, field: int) -> bool:
    """Set a bit and say whether it was set; fully ordered."""
    old = _live(S, field)
    S[field] = old | 1 << nr
    return bool(old & 1 << nr)


@primitive(access="marked", addresses=("field",), acquires=True, releases=True)
def test_and_clear_bit(S: State, nr: int, field: int) -> bool:
    """Clear a bit and say whether it was set; fully ordered."""
    old = _live(S, field)
    S[field] = old & ~(1 << nr)
    return bool(old & 1 << nr)


@primitive(access="marked", addresses=("field",), releases=True)
def set_bit(S: State, nr: int, field: int) -> None:
    """Atomic; on x86 it also publishes what was written before."""
    S[field] = _live(S, field) | 1 << nr


@primitive(access="marked", addresses=("field",), releases=True)
def clear_bit(S: State, nr: int, field: int) -> None:
    """Atomic; on x86 it also publishes what was written before."""
    S[field] = _live(S, field) & ~(1 << nr)


@primitive(access="marked", addresses=("field",), acquires=True)
def test_bit(S: State, nr: int, field: int) -> bool:
    """A marked read of one bit."""
    return bool(_live(S, field) & 1 << nr)
