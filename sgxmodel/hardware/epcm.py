# SPDX-License-Identifier: GPL-2.0-only
"""What the CPU knows of each EPC page, and the codes that leaves return.

Source: Intel SDM vol. 3D, chapters 36 to 38.  Reductions, said in
docs/model.md: permissions and measurement are kept as far as a leaf tests
them; a page's contents are a token that names the page and counts writes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sgxmodel.machine.layout import Array, State, Struct
from sgxmodel.machine.op import Fault, primitive

PT_SECS, PT_TCS, PT_REG, PT_VA, PT_TRIM = "SECS", "TCS", "REG", "VA", "TRIM"

# Error codes in EAX (SDM table 38-3 and the leaf's pages).
SGX_PAGE_NOT_BLOCKED = 10
SGX_NOT_TRACKED = 11
SGX_VA_SLOT_OCCUPIED = 12
SGX_CHILD_PRESENT = 13
SGX_ENCLAVE_ACT = 14
SGX_ENTRYEPOCH_LOCKED = 15
SGX_PREV_TRK_INCMPL = 17
SGX_PG_IS_SECS = 18
SGX_PAGE_NOT_MODIFIABLE = 20
SGX_PAGE_ATTRIBUTES_MISMATCH = 19
SGX_MAC_COMPARE_FAIL = 9
SGX_PG_INVLD = 6
SGX_BLKSTATE = 3
SGX_NOTBLOCKABLE = 5
SGX_INVALID_SIGNATURE = 8
SGX_UNMASKED_EVENT = 128

ENCLS_FAULT_FLAG = 0x40000000
GP = ENCLS_FAULT_FLAG | 13
PF = ENCLS_FAULT_FLAG | 14

NAMES = {
    0: "0",
    GP: "#GP",
    PF: "#PF",
    **{value: name for name, value in vars().items() if name.startswith("SGX_")},
}


class processor(Struct):
    """CPU-wide state: fresh numbers, and how often each leaf may still fail on request.

    ``cpus`` are the tasks: each is also the CPU it runs on.
    """

    eid: int = 0
    version: int = 0
    fail_eremove: int = 0
    fail_epa: int = 0
    fail_eadd: int = 0
    fail_eextend: int = 0
    fail_einit: int = 0
    fail_ecreate: int = 0
    fail_eaug: int = 0
    fail_emodt: int = 0
    fail_emodpr: int = 0
    cpus: ClassVar[tuple[Any, ...]] = ()


class frame(Struct):
    """One EPC page: its EPCM entry, and the state that lives in a SECS or VA page.

    ``enclavesecs`` is the SECS frame of a child; ``blocked`` the epoch of EBLOCK or
    None; ``changed`` likewise that of an EMODPR or EMODT not accepted yet;
    ``versions`` are a VA page's slots, 0 for an empty one.
    """

    valid: int = 0
    page_type: Any = None
    enclavesecs: Any = None
    linaddr: int = 0
    perms: Any = ""
    blocked: Any = None
    pending: int = 0
    modified: int = 0
    pr: int = 0
    changed: Any = None
    contents: Any = None
    # In a SECS:
    eid: int = 0
    epoch: int = 0
    children: int = 0
    initialized: int = 0
    elrange: int = 0
    debug: int = 0
    # In a VA page:
    versions: Array
    versions_len: int
    cpu: ClassVar[processor]


CLEAR = {
    "page_type": None,
    "enclavesecs": None,
    "linaddr": 0,
    "perms": "",
    "blocked": None,
    "pending": 0,
    "modified": 0,
    "pr": 0,
    "changed": None,
    "contents": None,
    "eid": 0,
    "epoch": 0,
    "children": 0,
    "initialized": 0,
    "elrange": 0,
    "debug": 0,
}


@primitive(silent=True, access="none")
def ENCLS_WARN(S: State, ret: int, says: str) -> None:
    """WARN for a leaf that must not fail here; ``says`` is ``invariant: leaf``."""
    invariant, _, leaf = says.partition(": ")
    raise Fault(invariant, f"WARNING: {leaf} returned {NAMES.get(ret, hex(ret))}")


def clear(S: State, p: frame) -> None:
    """Make an entry invalid; what it held is gone."""
    S[p.valid] = 0
    for name, value in CLEAR.items():
        S[getattr(p, name)] = value
    for i in range(p.versions_len):
        S[p.versions + i] = 0


def threads_inside(S: State, secs: frame, upto: int | None = None) -> bool:
    """Whether a CPU executes in the enclave, having entered in epoch ``upto`` or before."""
    eid = S[secs.eid]
    return any(
        S[cpu.inside] == eid and (upto is None or S[cpu.entry_epoch] <= upto)
        for cpu in secs.cpu.cpus
    )


def is_tracked(S: State, p: frame, since: int) -> bool:
    """No CPU can hold a translation made before a change of this page in epoch ``since``.

    The strict reading of the SDM's ETRACK, EWB and EACCEPT: an ETRACK since
    the change (EBLOCK, EMODPR, EMODT), and nobody inside who entered in its
    epoch or before.
    """
    secs = S[p.enclavesecs]
    return S[secs.epoch] > since and not threads_inside(S, secs, since)
