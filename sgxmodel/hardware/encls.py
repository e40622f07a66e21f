# SPDX-License-Identifier: GPL-2.0-only
"""The ENCLS leaves: 0, an error code, or a fault (``ENCLS_FAULT_FLAG | vector``).

Each docstring names what the leaf needs; order of tests as in the SDM's
operation section of the leaf.  A leaf is one operation; two leaves on one
page that no lock orders would conflict on a CPU, and show as a data race.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sgxmodel.hardware.epcm import (
    GP,
    PF,
    PT_REG,
    PT_SECS,
    PT_TCS,
    PT_TRIM,
    PT_VA,
    SGX_BLKSTATE,
    SGX_CHILD_PRESENT,
    SGX_ENCLAVE_ACT,
    SGX_INVALID_SIGNATURE,
    SGX_MAC_COMPARE_FAIL,
    SGX_NOT_TRACKED,
    SGX_NOTBLOCKABLE,
    SGX_PAGE_NOT_BLOCKED,
    SGX_PAGE_NOT_MODIFIABLE,
    SGX_PG_INVLD,
    SGX_PG_IS_SECS,
    SGX_PREV_TRK_INCMPL,
    SGX_VA_SLOT_OCCUPIED,
    clear,
    frame,
    is_tracked,
    threads_inside,
)
from sgxmodel.machine.layout import CHOICE, State
from sgxmodel.machine.op import LOAD, primitive

CHILD_TYPES = (PT_REG, PT_TCS, PT_TRIM)


def _on_request(leaf: str, at: int = 0) -> Callable[..., int]:
    """A leaf that the scenario lets fail has two outcomes while its budget lasts."""

    def choices(S: State, *args: Any) -> int:
        return 2 if S[getattr(args[at].cpu, f"fail_{leaf}")] > 0 else 1

    return choices


def _fails(S: State, p: frame, leaf: str) -> bool:
    if not S[CHOICE]:
        return False
    budget = getattr(p.cpu, f"fail_{leaf}")
    S[budget] = S[budget] - 1
    return True


def _fresh_child(S: State, p: frame, secs: frame, linaddr: int) -> None:
    S[p.valid] = 1
    S[p.enclavesecs] = secs
    S[p.linaddr] = linaddr
    S[secs.children] = S[secs.children] + 1


def _is_secs(S: State, secs: frame | None) -> bool:
    return secs is not None and bool(S[secs.valid]) and S[secs.page_type] == PT_SECS


@primitive(choices=lambda S, p, size: _on_request("ecreate")(S, p))
def ECREATE(S: State, p: frame, size: int) -> int:
    """A SECS: the destination invalid, the size a power of two."""
    if _fails(S, p, "ecreate"):
        return GP
    if S[p.valid]:
        return PF
    if size <= 0 or size & (size - 1):
        return GP
    clear(S, p)
    S[p.valid] = 1
    S[p.page_type] = PT_SECS
    S[p.cpu.eid] = S[p.cpu.eid] + 1
    S[p.eid] = S[p.cpu.eid]
    S[p.elrange] = size
    return 0


@primitive(choices=lambda S, p, secs, linaddr, page_type, contents: _on_request("eadd")(S, p))
def EADD(S: State, p: frame, secs: frame, linaddr: int, page_type: str, contents: Any) -> int:
    """A page of an enclave that is not initialised yet."""
    if _fails(S, p, "eadd"):
        return PF
    if page_type not in (PT_REG, PT_TCS):
        return GP
    if S[p.valid] or not _is_secs(S, secs):
        return PF
    if S[secs.initialized] or not 0 <= linaddr < S[secs.elrange]:
        return GP
    clear(S, p)
    _fresh_child(S, p, secs, linaddr)
    S[p.page_type] = page_type
    S[p.perms] = "" if page_type == PT_TCS else "rwx"
    S[p.contents] = contents
    return 0


@primitive(choices=_on_request("eextend", 1))
def EEXTEND(S: State, secs: frame, p: frame) -> int:
    """Measure 256 bytes of a page of an enclave that is not initialised yet."""
    if _fails(S, p, "eextend"):
        return PF
    if not S[p.valid] or S[p.page_type] not in (PT_REG, PT_TCS):
        return PF
    return GP if S[p.enclavesecs] is not secs or S[secs.initialized] else 0


@primitive(choices=_on_request("einit"))
def EINIT(S: State, secs: frame) -> int:
    """Make the enclave executable.  On request the signature does not verify."""
    if _fails(S, secs, "einit"):
        return SGX_INVALID_SIGNATURE
    if not _is_secs(S, secs):
        return PF
    if S[secs.initialized]:
        return GP
    S[secs.initialized] = 1
    return 0


@primitive(choices=_on_request("eremove"))
def EREMOVE(S: State, p: frame) -> int:
    """Make a page invalid: not a SECS with children, no thread inside (unless trimmed)."""
    if _fails(S, p, "eremove"):
        return GP
    if not S[p.valid]:
        return 0
    kind = S[p.page_type]
    if kind == PT_SECS and S[p.children]:
        return SGX_CHILD_PRESENT
    if kind in (PT_REG, PT_TCS) or (kind == PT_TRIM and S[p.modified]):
        if threads_inside(S, S[p.enclavesecs]):
            return SGX_ENCLAVE_ACT
    if kind in CHILD_TYPES:
        secs = S[p.enclavesecs]
        S[secs.children] = S[secs.children] - 1
    clear(S, p)
    return 0


@primitive(choices=_on_request("epa"))
def EPA(S: State, p: frame) -> int:
    """A version array page with all slots empty."""
    if _fails(S, p, "epa"):
        return PF
    if S[p.valid]:
        return PF
    clear(S, p)
    S[p.valid] = 1
    S[p.page_type] = PT_VA
    return 0


@primitive()
def EBLOCK(S: State, p: frame) -> int:
    """No new translations for this page; notes the enclave's current epoch."""
    if not S[p.valid]:
        return SGX_PG_INVLD
    if S[p.page_type] not in CHILD_TYPES:
        return SGX_PG_IS_SECS if S[p.page_type] == PT_SECS else SGX_NOTBLOCKABLE
    if S[p.blocked] is not None:
        return SGX_BLKSTATE
    S[p.blocked] = S[S[p.enclavesecs].epoch]
    return 0


@primitive()
def ETRACK(S: State, secs: frame) -> int:
    """Open the next epoch; refused while a thread of the one before the last is inside."""
    if not _is_secs(S, secs):
        return PF
    if threads_inside(S, secs, S[secs.epoch] - 1):
        return SGX_PREV_TRK_INCMPL
    S[secs.epoch] = S[secs.epoch] + 1
    return 0


@primitive()
def EWB(S: State, p: frame, va: frame, slot: int, contents: Any, pcmd: Any, at: int) -> int:
    """Write a page out: contents and PCMD to memory, its version to a VA slot."""
    if not S[p.valid] or not S[va.valid] or S[va.page_type] != PT_VA:
        return PF
    if not 0 <= slot < va.versions_len:
        return GP
    kind = S[p.page_type]
    if kind == PT_VA:
        return GP
    if kind == PT_SECS:
        if S[p.children]:
            return SGX_CHILD_PRESENT
    elif S[p.blocked] is None:
        return SGX_PAGE_NOT_BLOCKED
    elif not is_tracked(S, p, S[p.blocked]):
        return SGX_NOT_TRACKED
    if S[va.versions + slot]:
        return SGX_VA_SLOT_OCCUPIED
    LOAD.apply(S, contents.data, None)
    others = LOAD.apply(S, pcmd.data, None)
    S[p.cpu.version] = S[p.cpu.version] + 1
    version = S[p.cpu.version]
    S[va.versions + slot] = version
    S[contents.data] = _sealed(S, p, version)
    S[pcmd.data] = _replace(others, at, _sealed(S, p, version))
    if kind != PT_SECS:
        secs = S[p.enclavesecs]
        S[secs.children] = S[secs.children] - 1
    clear(S, p)
    return 0


def _sealed(S: State, p: frame, version: int) -> tuple[Any, ...]:
    """What the MAC covers: identity, type, attributes, contents and version."""
    kind = S[p.page_type]
    if kind == PT_SECS:
        own = (S[p.eid], S[p.elrange], S[p.initialized], S[p.epoch], S[p.debug])
        return (kind, own, 0, "", 0, 0, 0, None, version)
    eid = S[S[p.enclavesecs].eid]
    flags = (S[p.perms], S[p.pending], S[p.modified], S[p.pr])
    return (kind, eid, S[p.linaddr], *flags, S[p.contents], version)


def _replace(entries: Any, at: int, value: Any) -> tuple[tuple[int, Any], ...] | None:
    """A PCMD page's entries (index, value), sparse and sorted; an empty page is None."""
    kept = [entry for entry in pcmds(entries) if entry[0] != at]
    if value is not None:
        kept.append((at, value))
    return tuple(sorted(kept, key=lambda entry: entry[0])) or None


def pcmds(data: Any) -> tuple[tuple[int, Any], ...]:
    """What a page of the backing file holds of PCMDs.

    None where a driver mixes the pages up and an enclave page's contents lie there:
    no ELDU takes those for a PCMD, and what EWB writes goes over them.
    """
    return data if data and isinstance(data[0], tuple) else ()


def pcmd_entry(entries: Any, at: int) -> Any:
    """One PCMD of a PCMD page's data, or None where it is zero."""
    return dict(pcmds(entries)).get(at)


@primitive()
def ELDU(
    S: State, p: frame, secs: frame | None, linaddr: int, va: frame, slot: int, source: Any
) -> int:
    """Load a page back, unblocked.  ``source`` = (contents page, PCMD page, entry)."""
    contents, pcmd, at = source
    if S[p.valid] or not S[va.valid] or S[va.page_type] != PT_VA:
        return PF
    if not 0 <= slot < va.versions_len:
        return GP
    version = S[va.versions + slot]
    sealed = LOAD.apply(S, contents.data, None)
    mac = pcmd_entry(LOAD.apply(S, pcmd.data, None), at)
    if mac is None or (secs is None) != (mac[0] == PT_SECS):
        return GP
    if sealed != mac or sealed[-1] != version:
        return SGX_MAC_COMPARE_FAIL
    if secs is not None:
        if not _is_secs(S, secs):
            return PF
        if mac[1] != S[secs.eid]:
            return GP
        if mac[2] != linaddr:
            return SGX_MAC_COMPARE_FAIL
    clear(S, p)
    S[p.page_type] = mac[0]
    if secs is None:
        S[p.valid] = 1
        S[p.eid], S[p.elrange], S[p.initialized], S[p.epoch], S[p.debug] = mac[1]
    else:
        _fresh_child(S, p, secs, linaddr)
        S[p.perms], S[p.pending], S[p.modified], S[p.pr], S[p.contents] = mac[3:8]
    S[va.versions + slot] = 0
    return 0


@primitive(choices=lambda S, p, secs, linaddr: _on_request("eaug")(S, p))
def EAUG(S: State, p: frame, secs: frame, linaddr: int) -> int:
    """A zeroed page of a running enclave; pending until the enclave accepts it."""
    if _fails(S, p, "eaug"):
        return GP
    if S[p.valid] or not _is_secs(S, secs):
        return PF
    if not S[secs.initialized] or not 0 <= linaddr < S[secs.elrange]:
        return GP
    clear(S, p)
    _fresh_child(S, p, secs, linaddr)
    S[p.page_type] = PT_REG
    S[p.perms] = "rw"
    S[p.pending] = 1
    return 0


@primitive(choices=lambda S, p, perms: _on_request("emodpr")(S, p))
def EMODPR(S: State, p: frame, perms: str) -> int:
    """Restrict permissions of a regular page; also how an accepted TRIM page shows (#PF)."""
    if _fails(S, p, "emodpr"):
        return SGX_PAGE_NOT_MODIFIABLE
    if not S[p.valid]:
        return PF
    if S[p.pending] or S[p.modified]:
        return SGX_PAGE_NOT_MODIFIABLE
    if S[p.page_type] != PT_REG:
        return PF
    if not S[S[p.enclavesecs].initialized]:
        return GP
    S[p.perms] = "".join(c for c in S[p.perms] if c in perms)
    S[p.pr] = 1
    S[p.changed] = S[S[p.enclavesecs].epoch]
    return 0


@primitive(choices=lambda S, p, page_type: _on_request("emodt")(S, p))
def EMODT(S: State, p: frame, page_type: str) -> int:
    """Change a page's type: REG to TCS or TRIM, TCS to TRIM."""
    if _fails(S, p, "emodt"):
        return SGX_PAGE_NOT_MODIFIABLE
    if not S[p.valid]:
        return PF
    if S[p.pending] or S[p.modified]:
        return SGX_PAGE_NOT_MODIFIABLE
    old = S[p.page_type]
    if old not in (PT_REG, PT_TCS) or page_type not in (PT_TCS, PT_TRIM) or old == page_type:
        return PF
    if not S[S[p.enclavesecs].initialized]:
        return GP
    S[p.page_type] = page_type
    S[p.modified] = 1
    S[p.changed] = S[S[p.enclavesecs].epoch]
    S[p.perms] = ""
    S[p.pr] = 0
    return 0


@primitive(access="none", silent=True)
def make_debug(S: State, secs: frame) -> None:
    """ATTRIBUTES.DEBUG of the template that ECREATE was given."""
    S[secs.debug] = 1


@primitive()
def EDBGRD(S: State, p: frame) -> int:
    """Read 8 bytes of a page of a debug enclave."""
    if not S[p.valid]:
        return PF
    if S[p.page_type] not in CHILD_TYPES:
        return GP
    if S[p.pending] or S[p.modified] or S[p.page_type] == PT_TRIM:
        return PF
    return 0 if S[S[p.enclavesecs].debug] else GP


@primitive()
def EDBGWR(S: State, p: frame) -> int:
    """Write 8 bytes of a page; of the token that stands for its contents nothing changes."""
    if not S[p.valid]:
        return PF
    if S[p.page_type] not in CHILD_TYPES:
        return GP
    if S[p.pending] or S[p.modified] or S[p.page_type] == PT_TRIM:
        return PF
    return 0 if S[S[p.enclavesecs].debug] else GP


@primitive()
def erase_pcmd(S: State, pcmd: Any, at: int) -> bool:
    """memset() of one PCMD to zero, then memchr_inv(): is the whole PCMD page zero now?"""
    data = LOAD.apply(S, pcmd.data, None)
    if data and not pcmds(data):
        return False  # contents of an enclave page, of which this zeroes a part
    S[pcmd.data] = _replace(data, at, None)
    return S[pcmd.data] is None
