# SPDX-License-Identifier: GPL-2.0-only
"""Spinlocks and mutexes, with the checks that lockdep and might_sleep() make."""

from __future__ import annotations

from typing import Any

from sgxmodel.machine.layout import CURRENT, FREED, Embedded, State
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
    return owner is None or owner is S[CURRENT] or owner is FREED


def _owner(S: State, lock: Any) -> Any:
    owner = S[lock.owner]
    if owner is FREED:
        raise Fault("use-after-free", f"{lock} of a freed object", fatal=True)
    return owner


def _take(S: State, lock: Any) -> None:
    task = S[CURRENT]
    if _owner(S, lock) is task:
        raise Fault("recursive-lock", f"{task} takes {lock}, which it holds already", fatal=True)
    S[lock.owner] = task
    S[task.held] = (*S[task.held], lock)


def _release(S: State, lock: Any) -> None:
    task = S[CURRENT]
    if _owner(S, lock) is not task:
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


def might_sleep_at(S: State, what: str, fatal: bool = True) -> None:
    """For operations that may sleep: a fault in atomic context."""
    if S[S[CURRENT].prepared]:
        # __might_sleep(): the sleep to come would end the wait that was prepared.
        raise Fault(
            "sleep-in-atomic",
            f"BUG: do not call blocking ops when !TASK_RUNNING: {what} after prepare_to_wait()",
            fatal=fatal,
        )
    not_atomic(S, what, fatal)


def not_atomic(S: State, what: str, fatal: bool = True) -> None:
    """For what may give the CPU away: a fault in atomic context (``__might_resched()``)."""
    lock = atomic_context(S)
    if lock is None and not S[S[CURRENT].bh_off]:
        return
    context = "bottom halves off" if lock is None else f"{lock} held"
    raise Fault(
        "sleep-in-atomic",
        f"BUG: sleeping function called from invalid context: {what} with {context}",
        fatal=fatal,
    )


_might_sleep = might_sleep_at


@primitive(access="none", silent=True)
def might_sleep(S: State, what: str) -> None:
    """What sleeps: allocations, I/O, direct reclaim."""
    _might_sleep(S, what)


class rw_semaphore(Embedded):
    """mmap_lock: many readers or one writer; everybody may sleep.

    ``readers`` is how many there are: in what order they came changes nothing.
    ``waiters``: writers that wait for it; readers that come later do not pass them.
    """

    writer: Any = None
    readers: int = 0
    waiters: Any = ()


def _no_writer(S: State, sem: rw_semaphore) -> bool:
    return S[sem.writer] is FREED or (S[sem.writer] is None and not S[sem.waiters])


def _nobody(S: State, sem: rw_semaphore) -> bool:
    return S[sem.writer] is FREED or (S[sem.writer] is None and not S[sem.readers])


def _sem_alive(S: State, sem: rw_semaphore) -> None:
    if S[sem.writer] is FREED:
        raise Fault("use-after-free", f"{sem} of a freed object", fatal=True)


@primitive(enabled=_no_writer, access="none", acquires=True, lock=1)
def down_read(S: State, sem: rw_semaphore) -> None:
    """Share with other readers; sleeps while there is a writer, or one that waits."""
    _sem_alive(S, sem)
    _might_sleep(S, f"down_read({sem})")
    task = S[CURRENT]
    S[sem.readers] = S[sem.readers] + 1
    S[task.held] = (*S[task.held], sem)


@primitive(access="none", releases=True, lock=-1)
def up_read(S: State, sem: rw_semaphore) -> None:
    """Release a shared hold."""
    task = S[CURRENT]
    if sem not in S[task.held] or S[sem.writer] is task:
        raise Fault("bad-unlock", f"{task} releases {sem}, which it does not hold")
    S[sem.readers] = S[sem.readers] - 1
    held = list(S[task.held])
    held.remove(sem)
    S[task.held] = tuple(held)


@primitive(access="none")
def down_write_begin(S: State, sem: rw_semaphore) -> None:
    """Of down_write(): who cannot have it queues (rwsem_down_write_slowpath())."""
    _sem_alive(S, sem)
    if not _nobody(S, sem):
        S[sem.waiters] = tuple(sorted((*S[sem.waiters], S[CURRENT]), key=str))


@primitive(enabled=_nobody, access="none", acquires=True, lock=1)
def down_write(S: State, sem: rw_semaphore) -> None:
    """Hold alone; sleeps while anybody holds it."""
    _down_write(S, sem)


@primitive(enabled=_nobody, access="none", acquires=True, lock=1)
def down_write_nested(S: State, sem: rw_semaphore) -> None:
    """down_write() of a second one of the class, in an order that lockdep was told."""
    _down_write(S, sem)


def _down_write(S: State, sem: rw_semaphore) -> None:
    _sem_alive(S, sem)
    _might_sleep(S, f"down_write({sem})")
    task = S[CURRENT]
    S[sem.writer] = task
    S[sem.waiters] = tuple(waiter for waiter in S[sem.waiters] if waiter is not task)
    S[task.held] = (*S[task.held], sem)


@primitive(access="none", releases=True, lock=-1)
def up_write(S: State, sem: rw_semaphore) -> None:
    """Release the exclusive hold."""
    task = S[CURRENT]
    if S[sem.writer] is not task:
        raise Fault("bad-unlock", f"{task} releases {sem}, held by {S[sem.writer]}")
    S[sem.writer] = None
    S[task.held] = tuple(held for held in S[task.held] if held is not sem)


@primitive(access="none", releases=True)
def downgrade_write(S: State, sem: rw_semaphore) -> None:
    """Go on as a reader: nobody else can write in between."""
    task = S[CURRENT]
    if S[sem.writer] is not task:
        raise Fault("bad-unlock", f"{task} downgrades {sem}, held by {S[sem.writer]}")
    S[sem.writer] = None
    S[sem.readers] = 1
