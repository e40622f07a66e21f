# SPDX-License-Identifier: GPL-2.0-only
"""Memory control groups as far as a charge has an owner (mm/memcontrol.c).

There are no limits: what is modelled is who pays, and the references.
"""

from __future__ import annotations

from typing import Any

from sgxmodel.kernel.mm import mm_struct
from sgxmodel.kernel.shmem import page
from sgxmodel.machine.layout import CURRENT, State, Struct
from sgxmodel.machine.op import Fault, primitive


class mem_cgroup(Struct):
    """``refs``: references beyond those of its tasks and of what is charged to it."""

    refs: int = 0


def _of_current(S: State) -> Any:
    task = S[CURRENT]
    return S[task.active_memcg] or task.memcg_of


@primitive(silent=True, access="none")
def mem_cgroup_charge(S: State, p: page) -> None:
    """Without an address space the active group pays, or else the task's own.

    What ksgxd allocates is never its own to pay for (0c9782e204d3).
    """
    memcg = S[p.memcg] = _of_current(S)
    active = S[S[CURRENT].active_memcg]
    if active is not None and S[memcg.refs] == 0:
        raise Fault("refcount", f"{memcg} is charged after its reference was dropped")
    if active is None and S[S[CURRENT].daemon]:
        raise Fault("20-end", "backing pages that ksgxd allocates are charged to no memory cgroup")


@primitive(silent=True, access="none")
def get_mem_cgroup_from_mm(S: State, mm: mm_struct | None) -> mem_cgroup:
    """The group of an address space, with a reference; of the running task for NULL."""
    memcg: mem_cgroup = mm.memcg_of if mm is not None else _of_current(S)
    S[memcg.refs] = S[memcg.refs] + 1
    return memcg


@primitive(silent=True, access="none")
def mem_cgroup_put(S: State, memcg: mem_cgroup) -> None:
    """Give a reference back."""
    if S[memcg.refs] == 0:
        raise Fault("refcount", f"{memcg}: a reference is dropped that was never taken")
    S[memcg.refs] = S[memcg.refs] - 1


@primitive(silent=True, access="none")
def set_active_memcg(S: State, memcg: Any) -> Any:
    """Charge what the task allocates from now on to this group; gives the one before."""
    slot = S[CURRENT].active_memcg
    old = S[slot]
    S[slot] = memcg
    return old
