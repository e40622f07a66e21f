# SPDX-License-Identifier: GPL-2.0-only
"""Assertions inside the driver that no C statement stands for (invariant 15-errno)."""

from __future__ import annotations

from sgxmodel.driver.structs import SGX_EPC_PAGE_IS_FREE, control
from sgxmodel.kernel.list import entries, list_head
from sgxmodel.kernel.task import TASK_RUNNING
from sgxmodel.machine.layout import CURRENT, State
from sgxmodel.machine.op import Fault, primitive


def _free(S: State, control: control) -> list[str]:
    return [p.name for p in control.pages if S[p.flags] & SGX_EPC_PAGE_IS_FREE and not S[p.poison]]


def _isolated(S: State, control: control) -> list[str]:
    return [p.name for p in control.pages if S[p.isolator] is not None]


def _taken_uncounted(S: State, control: control) -> bool:
    """Whether more pages are counted as free than there are, with the poisoned ones."""
    poisoned = [p for p in control.pages if S[p.poison] and S[p.flags] & SGX_EPC_PAGE_IS_FREE]
    return bool(S[control.counter] > len(_free(S, control)) + len(poisoned))


def _available(S: State, control: control) -> str:
    """Where an EPC page is or could soon be had, in words; empty if nowhere."""
    free, isolated = _free(S, control), _isolated(S, control)
    if free:
        return f"{', '.join(free)} free by now"
    if isolated:
        return f"{', '.join(isolated)} in the reclaimer's hands"
    if entries(S, control.reclaimable, limit=1):
        return "a page on the reclaimable list"
    return ""


def _nothing(S: State, control: control) -> bool:
    """Whether there is no such page.  Looks at as little as it can: an exhaustive search
    takes what is read here for something that allocators share."""
    if S[control.reclaimable.next] is not control.reclaimable:
        return False
    for head in dict.fromkeys(p.home.free_page_list for p in control.pages):
        pos = S[head.next]
        while pos is not head and isinstance(pos, list_head):
            if not S[pos.container.poison]:
                return False
            pos = S[pos.next]
    return not _isolated(S, control)


@primitive(silent=True, access="none")
def note_exhaustion(S: State, control: control) -> None:
    """In an attempt to allocate: was there really nothing, at this moment?"""
    if _nothing(S, control):
        S[S[CURRENT].exhausted] = 1


@primitive(silent=True, access="none")
def nothing_was_left(S: State, control: control) -> None:
    """-ENOMEM needs a moment in which nothing was free, isolated or reclaimable."""
    where = _available(S, control)
    if where and not S[S[CURRENT].exhausted]:
        S[S[CURRENT].exhausted] = 1
        raise Fault(
            "15-errno",
            "-ENOMEM says that the EPC is exhausted, but it never was during this\n"
            f"attempt: no page was free when it looked, and now {where}",
        )
    S[S[CURRENT].exhausted] = 1


@primitive(silent=True, access="none")
def busy_means_somebody_makes_room(S: State, control: control) -> None:
    """-EBUSY promises that ksgxd was or will be asked, or that a pass is under way.

    An allocator that took the last page and has not counted it yet (both are
    not one step) asks when it has.
    """
    ksgxd = S[control.ksgxd]
    if ksgxd is None or S[ksgxd.state] == TASK_RUNNING:
        return
    if S[control.reclaimable.next] is control.reclaimable:
        return
    if _free(S, control) or _isolated(S, control) or _taken_uncounted(S, control):
        return
    raise Fault(
        "15-errno",
        "-EBUSY asks the caller to try again, but ksgxd sleeps and no task reclaims:\n"
        f"no page is free, yet sgx_nr_free_pages is {S[control.counter]}",
    )


@primitive(silent=True, access="none")
def not_allowed(S: State) -> None:
    """The mapping asks for more than the page allows: SIGBUS has its cause."""
    S[S[CURRENT].exhausted] = 1
