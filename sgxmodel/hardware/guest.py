# SPDX-License-Identifier: GPL-2.0-only
"""Leaves on pages that a guest owns: nothing orders the guest's against the host's.

The CPU makes each atomic (or refuses it with #GP, which ``fail eremove`` stands
for), so they are no plain accesses for the race detector.
"""

from __future__ import annotations

from typing import Any, cast

from sgxmodel.hardware import encls
from sgxmodel.hardware.epcm import PF, PT_REG, frame
from sgxmodel.machine.layout import State
from sgxmodel.machine.op import Primitive, primitive

GUEST_SIZE = 4


def _leaf(leaf: Any) -> Any:
    return cast(Primitive, leaf).original


def _may_resist(S: State, p: frame) -> int:
    return 2 if S[p.cpu.fail_eremove] > 0 else 1


@primitive(access="none", choices=_may_resist)
def VEPC_EREMOVE(S: State, p: frame) -> int:
    """EREMOVE by the host of a page that a guest may be using."""
    return int(_leaf(encls.EREMOVE)(S, p))


@primitive(access="none")
def GUEST_ECREATE(S: State, p: frame, mapping: Any) -> int:
    """ECREATE in a guest; a page fault if the host has unmapped its EPC meanwhile."""
    if not S[mapping.fd]:
        return PF
    return int(_leaf(encls.ECREATE)(S, p, GUEST_SIZE))


@primitive(access="none")
def GUEST_EINIT(S: State, p: frame, mapping: Any) -> int:
    """EINIT in a guest."""
    if not S[mapping.fd]:
        return PF
    return int(_leaf(encls.EINIT)(S, p))


@primitive(access="none")
def GUEST_EADD(S: State, p: frame, secs: frame, mappings: tuple[Any, Any]) -> int:
    """EADD in a guest, to a SECS that may lie in another virtual EPC."""
    if not all(S[mapping.fd] for mapping in mappings):
        return PF
    return int(_leaf(encls.EADD)(S, p, secs, 0, PT_REG, None))
