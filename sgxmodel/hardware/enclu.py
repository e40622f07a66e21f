# SPDX-License-Identifier: GPL-2.0-only
"""The user side: a CPU enters an enclave, touches pages, accepts changes, leaves.

A CPU is inside from its first access to its exit or an AEX (a fault or an
IPI).  Translations are the MMU's (mmu.py).
"""

from __future__ import annotations

from typing import Any

from sgxmodel.hardware.epcm import (
    PT_REG,
    SGX_NOT_TRACKED,
    SGX_PAGE_ATTRIBUTES_MISMATCH,
    is_tracked,
)
from sgxmodel.hardware.mmu import BAD, aex, cached, enter, fill, translate
from sgxmodel.kernel.mm import mm_struct
from sgxmodel.machine.layout import CURRENT, State
from sgxmodel.machine.op import Fault, primitive

OK, PAGE_FAULT = "ok", "#PF"


@primitive(access="none")
def enclave_access(S: State, mm: mm_struct, index: int) -> str:
    """Enter if need be and write to a page.  ``ok``, or #PF with an AEX, or no access.

    Data that is not what was last written is data that was lost.
    """
    p = translate(S, mm, index)
    if p is None:
        aex(S, S[CURRENT])
        return PAGE_FAULT
    fresh = cached(S, S[CURRENT], index) is None
    if fresh:
        # The page walk sets Accessed (SDM vol. 3A, 4.8); the EPCM is looked at after it.
        S[mm.young + index] = 1
    refused = S[p.pending] or S[p.modified] or S[p.page_type] != PT_REG
    if fresh and (refused or "w" not in S[p.perms]):
        aex(S, S[CURRENT])
        return BAD
    enter(S, p)
    fill(S, mm, index, p)
    if S[p.contents] != S[mm.expected + index]:
        raise Fault(
            "lost-data",
            f"page {index}: wrote {S[mm.expected + index]!r}, reads {S[p.contents]!r}",
        )
    S[p.contents] = S[mm.expected + index] = ("data", index)
    return OK


@primitive(access="none")
def EACCEPT(S: State, mm: mm_struct, index: int) -> Any:
    """Accept a pending (EAUG) or modified (EMODT, EMODPR) page.  0, an error code or #PF.

    The page itself is looked at through a translation that is not kept.
    """
    p = translate(S, mm, index)
    if p is None:
        aex(S, S[CURRENT])
        return PAGE_FAULT
    enter(S, p)
    S[mm.young + index] = 1
    if not (S[p.pending] or S[p.modified] or S[p.pr]):
        return SGX_PAGE_ATTRIBUTES_MISMATCH
    if S[p.changed] is not None and not is_tracked(S, p, S[p.changed]):
        return SGX_NOT_TRACKED
    if S[p.pending]:
        S[mm.expected + index] = S[p.contents]  # a new page, all zero
    S[p.pending] = S[p.modified] = S[p.pr] = 0
    S[p.changed] = None
    return 0


@primitive(access="none")
def EEXIT(S: State) -> None:
    """Leave the enclave."""
    aex(S, S[CURRENT])
