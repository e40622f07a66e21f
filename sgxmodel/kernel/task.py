# SPDX-License-Identifier: GPL-2.0-only
"""``struct task_struct`` as far as it is seen here, and what a task is made to do."""

from __future__ import annotations

from typing import Any, ClassVar

from sgxmodel.kernel.lock import not_atomic
from sgxmodel.machine.layout import CHOICE, CURRENT, Embedded, State, Struct
from sgxmodel.machine.op import Fault, primitive

TASK_RUNNING = "RUNNING"
TASK_INTERRUPTIBLE = "INTERRUPTIBLE"


class task_struct(Struct):
    """A task, which is also the CPU that it runs on.

    ``held``: locks in the order of acquisition; ``inside``: the enclave that
    the CPU executes in, entered in tracking epoch ``entry_epoch``; ``mm``: the
    address space that the CPU has loaded, ``tlb`` the translations that it
    holds while it is inside; ``bh_off``: bottom halves are off, so the task must
    not sleep; ``prepared``: its state says that it sleeps, though it still runs;
    ``exhausted``: ghost, this task saw a moment in which no EPC page was free or could
    be had.  ``memcg_of``: its control group; ``active_memcg``: who is charged instead
    (set_active_memcg()).
    """

    held: Any = ()
    state: Any = TASK_RUNNING
    signal: int = 0
    node: int = 0
    daemon: int = 0
    inside: Any = None
    entry_epoch: int = 0
    mm: Any = None
    tlb: Any = ()
    bh_off: int = 0
    prepared: int = 0
    exhausted: int = 0
    active_memcg: Any = None
    memcg_of: ClassVar[Any]


class fault_budget(Struct):
    """How often a named failure may still happen in this run; the scenario says it."""

    left: int = 0


def _failures(S: State, budget: fault_budget) -> int:
    return 2 if S[budget.left] > 0 else 1


@primitive(choices=_failures, access="none", shown=lambda b: f"may_fail({b})")
def may_fail(S: State, budget: fault_budget) -> bool:
    """A failure on request: choice 0 is success, choice 1 uses up one failure."""
    if not S[CHOICE]:
        return False
    S[budget.left] = S[budget.left] - 1
    return True


@primitive(access="none")
def current(S: State) -> task_struct:
    """The running task."""
    task: task_struct = S[CURRENT]
    return task


@primitive(access="marked")
def signal_pending(S: State) -> bool:
    """Whether the running task has a signal.

    Who is told so gives up and handles it on the way back to user mode, so it is
    asked once.  One that nobody has asked for yet counts as sent later.
    """
    task = S[CURRENT]
    if not S[task.signal]:
        return False
    S[task.signal] = 0
    return True


@primitive(access="marked")
def send_signal(S: State, task: task_struct) -> None:
    """Make ``signal_pending`` true for a task."""
    S[task.signal] = 1


@primitive(silent=True, access="none")
def numa_node_id(S: State) -> int:
    """The node of the CPU; fixed during a run."""
    node: int = S[S[CURRENT].node]
    return node


@primitive(silent=True, access="none")
def current_is_ksgxd(S: State) -> bool:
    """``current == ksgxd_tsk``."""
    return bool(S[S[CURRENT].daemon])


@primitive(access="none", silent=True)
def local_bh_disable(S: State) -> None:
    """From here on the task must not sleep."""
    S[S[CURRENT].bh_off] = 1


@primitive(access="none", silent=True)
def local_bh_enable(S: State) -> None:
    """It may sleep again."""
    S[S[CURRENT].bh_off] = 0


class wait_queue_head(Embedded):
    """Tasks that sleep on a condition."""

    waiters: Any = ()


@primitive(access="marked", acquires=True, releases=True)
def prepare_to_wait(S: State, queue: wait_queue_head) -> None:
    """Enqueue and set the task's state; a wake-up from here on is not lost."""
    task = S[CURRENT]
    if task not in S[queue.waiters]:
        S[queue.waiters] = (*S[queue.waiters], task)
    S[task.state] = TASK_INTERRUPTIBLE
    S[task.prepared] = 1


def _runnable(S: State) -> bool:
    return bool(S[S[CURRENT].state] == TASK_RUNNING)


@primitive(access="none", enabled=_runnable)
def schedule(S: State) -> None:
    """Sleep until somebody sets the task running."""
    S[S[CURRENT].prepared] = 0


@primitive(access="marked", acquires=True)
def finish_wait(S: State, queue: wait_queue_head) -> None:
    """Dequeue and run on."""
    task = S[CURRENT]
    S[queue.waiters] = tuple(w for w in S[queue.waiters] if w is not task)
    S[task.state] = TASK_RUNNING
    S[task.prepared] = 0


@primitive(access="marked", releases=True)
def wake_up(S: State, queue: wait_queue_head) -> None:
    """Set every waiter running."""
    for task in S[queue.waiters]:
        S[task.state] = TASK_RUNNING


class completion(Embedded):
    """Something that is waited for once."""

    completed: int = 0


@primitive(access="marked", releases=True)
def complete(S: State, x: completion) -> None:
    """Let everybody on who waits for it."""
    S[x.completed] = 1


def _completed(S: State, x: completion) -> bool:
    return bool(S[x.completed])


@primitive(access="marked", acquires=True, enabled=_completed)
def wait_for_completion(S: State, x: completion) -> None:
    """Sleep until it is complete."""


def warn(kind: str, message: str) -> Fault:
    """What a WARN of the modelled code says; the kernel goes on after it."""
    return Fault(kind, message, result=True)


@primitive(silent=True, access="none")
def WARN_ON(S: State, condition: Any, says: str) -> bool:
    """The driver's own assertion; ``says`` is ``invariant: message``."""
    if condition:
        invariant, _, message = says.partition(": ")
        raise warn(invariant, f"WARNING: {message}")
    return False


@primitive(access="none", yields=True)
def retry(S: State) -> None:
    """A fault was served and the access is tried again."""


@primitive(access="none", yields=True)
def cond_resched(S: State) -> None:
    """Let others run."""
    not_atomic(S, "cond_resched()")
