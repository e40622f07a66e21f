# SPDX-License-Identifier: GPL-2.0-only
"""Frames and threads as a leaf may find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from properties.bench import Epc
from sgxmodel.hardware.encls import (
    EADD,
    EAUG,
    EBLOCK,
    ELDU,
    ETRACK,
    EWB,
    erase_pcmd,
)
from sgxmodel.hardware.enclu import EACCEPT, EEXIT, enclave_access
from sgxmodel.hardware.epcm import (
    PT_REG,
)

Operands = tuple[Any, ...]
Situation = Callable[[Epc], Operands]


def eadd(m: Epc, p: Any, secs: Any, at: int = 0, kind: str = PT_REG) -> Operands:
    return EADD, p, secs, at, kind, None


def debugged(m: Epc, **fields: Any) -> Any:
    secs, page = m.enclave(**fields)
    m.put(secs, debug=1)
    return page


def ewb(m: Epc, p: Any, va: Any = None, slot: int = 0) -> Operands:
    return EWB, p, va or m.va(), slot, *m.backing(0)


def eldu(m: Epc, **other: Any) -> Operands:
    """An ELDU that succeeds, but for what is named."""
    names = ("frame", "secs", "at", "va", "slot", "source")
    return ELDU, *(dict(zip(names, m.evicted(), strict=True)) | other).values()


def beside_a_thread(m: Epc, kind: str = PT_REG, **fields: Any) -> Any:
    """A page of an enclave that a CPU executes in."""
    _, door, p = m.enclave(PT_REG, kind)
    m.enter(door)
    return m.put(p, **fields)


def beside_another_enclave(m: Epc) -> Any:
    """A page of an enclave that nobody executes in; somebody does in another."""
    m.enter(m.enclave()[1])
    return m.enclave()[1]


def thread_left_behind(m: Epc, leaves: bool = False) -> Any:
    """EBLOCK, then ETRACK with a CPU inside."""
    secs, door, p = m.enclave(PT_REG, PT_REG)
    m.enter(door)
    m.blocked(secs, p)
    if leaves:
        m.run(EEXIT)
    return p


def thread_entered_late(m: Epc) -> Any:
    secs, door, p = m.enclave(PT_REG, PT_REG)
    m.blocked(secs, p)
    m.enter(door)
    return p


def tracked_before_the_block(m: Epc) -> Any:
    secs, p = m.enclave()
    m.ok(ETRACK, secs)
    m.ok(EBLOCK, p)
    return p


def previous_epoch_inside(m: Epc) -> Any:
    secs, p = m.enclave()
    m.enter(p)
    m.ok(ETRACK, secs)
    return secs


def occupied_slot(m: Epc) -> Operands:
    secs, a, b = m.enclave(PT_REG, PT_REG)
    va = m.va()
    m.evict(m.blocked(secs, a), va)
    return ewb(m, m.blocked(secs, b), va)


def lost_pcmd(m: Epc) -> Operands:
    operands = m.evicted()
    assert m.run(erase_pcmd, m.pcmd, 0)
    return ELDU, *operands


def lost_contents(m: Epc) -> Operands:
    operands = m.evicted()
    m.S[m.contents[0].data] = None
    return ELDU, *operands


def foreign_contents(m: Epc) -> Operands:
    secs, a, b = m.enclave(PT_REG, PT_REG)
    va = m.va()
    m.evict(m.blocked(secs, b), va, 1)
    operands = (a, *m.evict(m.blocked(secs, a), va))
    m.S[m.contents[0].data] = m.S[m.contents[1].data]
    return ELDU, *operands


def evicted_secs(m: Epc, parent: Any = None) -> Operands:
    secs = m.secs()
    _, *rest = m.evict(secs, m.va())
    return ELDU, secs, parent, *rest


def eaccept(m: Epc, *leaf: Any, track: bool = False, thread: bool = False) -> Operands:
    """EACCEPT of page 0 after a leaf on it, by a CPU that comes from outside."""
    secs, p, door = m.enclave(PT_REG, PT_REG)
    m.map(p)
    if thread:
        m.enter(door, cpu=1)
    if leaf:
        m.ok(leaf[0], p, *leaf[1:])
    if track:
        m.ok(ETRACK, secs)
    return EACCEPT, m.mm, 0


def eaccept_after_eaug(m: Epc) -> Operands:
    p = m.frame()
    m.ok(EAUG, p, m.secs(), 0)
    return EACCEPT, m.mm, m.S[m.map(p).linaddr]


def touch(m: Epc, kind: str = PT_REG, **fields: Any) -> Operands:
    m.map(m.enclave(kind, **fields)[1])
    return enclave_access, m.mm, 0


def read(m: Epc, p: Any, *names: str) -> dict[str, Any]:
    return {name: m.S[getattr(p, name)] for name in names}
