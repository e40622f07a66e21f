# SPDX-License-Identifier: GPL-2.0-only
"""Sleepable RCU: read sections, grace periods, callbacks (kernel/rcu/srcutree.c).

A grace period waits for the read sections that were open when it began, and
for no later one.  Callbacks run in process context with bottom halves off:
they must not sleep (kernel-doc of call_srcu()).
"""

from __future__ import annotations

from typing import Any

from sgxmodel.kernel.lock import might_sleep_at
from sgxmodel.machine.layout import CURRENT, FREED, Embedded, State, Struct
from sgxmodel.machine.op import Fault, primitive


class srcu_struct(Embedded):
    """``readers``: tasks in a read section, sorted; ``waiting``: (who, readers that it waits for).

    Who waits is a task in synchronize_srcu() or an object that call_srcu() was given.
    """

    readers: Any = ()
    waiting: Any = ()


class domain(Struct):
    """A static srcu_struct and the worker that invokes its callbacks."""

    srcu: srcu_struct


def _alive(S: State, ssp: srcu_struct) -> None:
    if S[ssp.readers] is FREED:
        raise Fault("use-after-free", f"{ssp} of a freed object", fatal=True)


@primitive(access="none", acquires=True, lock=1)
def srcu_read_lock(S: State, ssp: srcu_struct) -> None:
    """Enter a read section; it may sleep."""
    _alive(S, ssp)
    task = S[CURRENT]
    S[ssp.readers] = tuple(sorted((*S[ssp.readers], task), key=str))
    S[task.held] = (*S[task.held], ssp)


@primitive(access="none", releases=True, lock=-1)
def srcu_read_unlock(S: State, ssp: srcu_struct) -> None:
    """Leave it; grace periods that waited for this section wait no more."""
    _alive(S, ssp)
    task = S[CURRENT]
    readers = list(S[ssp.readers])
    if task not in readers:
        raise Fault("bad-unlock", f"{task} leaves {ssp}, which it did not enter")
    readers.remove(task)
    S[ssp.readers] = tuple(readers)
    held = list(S[task.held])
    held.remove(ssp)
    S[task.held] = tuple(held)
    if task not in readers and S[ssp.waiting]:
        S[ssp.waiting] = tuple(
            (who, tuple(r for r in waits if r is not task)) for who, waits in S[ssp.waiting]
        )


@primitive(access="none", releases=True, lock=1)
def srcu_gp_start(S: State, ssp: srcu_struct) -> None:
    """synchronize_srcu(), its beginning: who is inside now is waited for."""
    _alive(S, ssp)
    task = S[CURRENT]
    might_sleep_at(S, f"synchronize_srcu({ssp})")
    if task in S[ssp.readers]:
        raise Fault(
            "17-lock-order",
            f"Illegal synchronize_srcu() in same-type SRCU read-side critical section: {ssp}",
            fatal=True,
        )
    S[ssp.waiting] = (*S[ssp.waiting], (task, S[ssp.readers]))


def _over(S: State, ssp: srcu_struct) -> bool:
    waiting = S[ssp.waiting]
    return waiting is FREED or not dict(waiting).get(S[CURRENT])


@primitive(enabled=_over, access="none", acquires=True)
def srcu_gp_end(S: State, ssp: srcu_struct) -> None:
    """synchronize_srcu(), its end: they have all left."""
    _alive(S, ssp)
    task = S[CURRENT]
    S[ssp.waiting] = tuple(w for w in S[ssp.waiting] if w[0] is not task)


@primitive(access="none", releases=True)
def call_srcu(S: State, ssp: srcu_struct, what: Any) -> None:
    """Have a callback invoked for an object after a grace period."""
    _alive(S, ssp)
    S[ssp.waiting] = (*S[ssp.waiting], (what, S[ssp.readers]))


def _ready(S: State, ssp: srcu_struct) -> Any:
    for who, waits in S[ssp.waiting]:
        if not waits and not hasattr(who, "held"):
            return who
    return None


def _callback_due(S: State, ssp: srcu_struct) -> bool:
    return _ready(S, ssp) is not None


@primitive(enabled=_callback_due, access="none", acquires=True)
def srcu_next_callback(S: State, ssp: srcu_struct) -> Any:
    """srcu_invoke_callbacks(): the next object whose grace period is over."""
    what = _ready(S, ssp)
    S[ssp.waiting] = tuple(w for w in S[ssp.waiting] if w[0] is not what)
    return what


@primitive(access="none", silent=True)
def srcu_callbacks_left(S: State, ssp: srcu_struct) -> bool:
    """Whether a callback is queued (srcu_barrier() would wait)."""
    return any(not hasattr(who, "held") for who, _ in S[ssp.waiting])


@primitive(access="none", silent=True)
def cleanup_srcu_struct(S: State, ssp: srcu_struct) -> None:
    """The structure dies: it waits for its work, and nobody may be inside."""
    might_sleep_at(S, f"cleanup_srcu_struct({ssp})", fatal=False)
    if S[ssp.readers] or S[ssp.waiting]:
        raise Fault(
            "6-references",
            f"WARNING: cleanup_srcu_struct({ssp}): {', '.join(map(str, S[ssp.readers]))} inside",
            result=None,
        )
