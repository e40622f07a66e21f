# SPDX-License-Identifier: GPL-2.0-only
"""Assertions inside the driver that no C statement stands for."""

from __future__ import annotations

from typing import Any

from sgxmodel.kernel.task import TASK_RUNNING
from sgxmodel.machine.layout import State, Struct
from sgxmodel.machine.op import Fault, primitive


@primitive(silent=True, access="none")
def busy_means_somebody_makes_room(S: State, control: Any) -> None:
    """-EBUSY promises that ksgxd was asked, or that a pass is under way."""
    ksgxd: Struct | None = S[control.ksgxd]
    if ksgxd is None or S[ksgxd.state] == TASK_RUNNING:  # type: ignore[attr-defined]
        return
    pages = control.pages
    if any(S[p.isolator] is not None for p in pages):
        return
    if any(S[p.flags] & 2 and not S[p.poison] for p in pages):
        return
    free = S[control.counter]
    raise Fault(
        "15-errno",
        f"-EBUSY asks the caller to retry, but ksgxd sleeps and nobody reclaims;\n"
        f"no page is free, yet sgx_nr_free_pages is {free}",
    )
