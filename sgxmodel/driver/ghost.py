# SPDX-License-Identifier: GPL-2.0-only
"""Assertions inside the driver that no C statement stands for (invariant 15-errno)."""

from __future__ import annotations

from sgxmodel.driver.structs import SGX_EPC_PAGE_IS_FREE, control
from sgxmodel.kernel.list import entries
from sgxmodel.kernel.task import TASK_RUNNING
from sgxmodel.machine.layout import CURRENT, State
from sgxmodel.machine.op import Fault, primitive


def _free(S: State, control: control) -> list[str]:
    return [p.name for p in control.pages if S[p.flags] & SGX_EPC_PAGE_IS_FREE and not S[p.poison]]


def _isolated(S: State, control: control) -> list[str]:
    return [p.name for p in control.pages if S[p.isolator] is not None]


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


@primitive(silent=True, access="none")
def note_exhaustion(S: State, control: control) -> None:
    """In an attempt to allocate: was there really nothing, at this moment?"""
    if not _available(S, control):
        S[S[CURRENT].exhausted] = 1


@primitive(silent=True, access="none")
def nothing_was_left(S: State, control: control) -> None:
    """-ENOMEM needs a moment in which nothing was free, isolated or reclaimable."""
    where = _available(S, control)
    if where and not S[S[CURRENT].exhausted]:
        S[S[CURRENT].exhausted] = 1
        raise Fault(
            "15-errno",
            "-ENOMEM says that the EPC is exhausted, but at no time of this attempt was\n"
            f"it: nothing was free when it looked there, and now {where}",
        )
    S[S[CURRENT].exhausted] = 1


@primitive(silent=True, access="none")
def busy_means_somebody_makes_room(S: State, control: control) -> None:
    """-EBUSY promises that ksgxd was asked, or that a pass is under way."""
    ksgxd = S[control.ksgxd]
    if ksgxd is None or S[ksgxd.state] == TASK_RUNNING:
        return
    if _free(S, control) or _isolated(S, control):
        return
    if not entries(S, control.reclaimable, limit=1):
        return
    raise Fault(
        "15-errno",
        "-EBUSY asks the caller to try again, but ksgxd sleeps and nobody reclaims:\n"
        f"no page is free, yet sgx_nr_free_pages is {S[control.counter]}",
    )


@primitive(silent=True, access="none")
def not_allowed(S: State) -> None:
    """The mapping asks for more than the page allows: SIGBUS has its cause."""
    S[S[CURRENT].exhausted] = 1
