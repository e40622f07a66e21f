# SPDX-License-Identifier: GPL-2.0-only
"""Spinlocks and mutexes, with the checks that lockdep and might_sleep() make."""

from __future__ import annotations

from typing import Any

from sgxmodel.machine.layout import CURRENT, Embedded, State
from sgxmodel.machine.op import Fault, primitive


class spinlock_t(Embedded):
    """A spinlock; ``owner`` is the task that holds it."""

    owner: Any = None


class mutex(Embedded):
    """A mutex: its holder may sleep, so it must not be taken in atomic context."""

    owner: Any = None


def _free(S: State, lock: Any) -> bool:
    # A task that waits for itself would wait for ever: let the operation run and say so.
    owner = S[lock.owner]
    return owner is None or owner is S[CURRENT]


def _take(S: State, lock: Any) -> None:
    task = S[CURRENT]
    if S[lock.owner] is task:
        raise Fault("recursive-lock", f"{task} takes {lock}, which it holds already", fatal=True)
    S[lock.owner] = task
    S[task.held] = (*S[task.held], lock)


def _release(S: State, lock: Any) -> None:
    task = S[CURRENT]
    if S[lock.owner] is not task:
        raise Fault("bad-unlock", f"{task} releases {lock}, held by {S[lock.owner]}")
    S[lock.owner] = None
    S[task.held] = tuple(held for held in S[task.held] if held is not lock)


def atomic_context(S: State) -> Any:
    """A spinlock that the running task holds, or None."""
    for lock in S[S[CURRENT].held]:
        if isinstance(lock, spinlock_t):
            return lock
    return None


@primitive(enabled=_free, access="none", acquires=True, lock=1)
def spin_lock(S: State, lock: spinlock_t) -> None:
    """Acquire; waits while another task holds it."""
    _take(S, lock)


@primitive(access="none", releases=True, lock=-1)
def spin_unlock(S: State, lock: spinlock_t) -> None:
    """Release."""
    _release(S, lock)


@primitive(enabled=_free, access="none", acquires=True, lock=1)
def mutex_lock(S: State, lock: mutex) -> None:
    """Acquire; sleeps while another task holds it."""
    _might_sleep(S, f"mutex_lock({lock})")
    _take(S, lock)


@primitive(access="none", releases=True, lock=-1)
def mutex_unlock(S: State, lock: mutex) -> None:
    """Release."""
    _release(S, lock)


def _might_sleep(S: State, what: str) -> None:
    held = atomic_context(S)
    if held is not None:
        raise Fault(
            "sleep-in-atomic",
            f"BUG: sleeping function called from invalid context: {what} with {held} held",
            fatal=True,
        )


@primitive(access="none", silent=True)
def might_sleep(S: State, what: str) -> None:
    """What sleeps: allocations, I/O, direct reclaim."""
    _might_sleep(S, what)
