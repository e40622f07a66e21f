# SPDX-License-Identifier: GPL-2.0-only
"""The leaves: every outcome by the SDM, and the laws that hold over sequences of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from properties.bench import Epc, examples
from sgxmodel.hardware import enclu, mmu
from sgxmodel.hardware.encls import (
    EADD,
    EAUG,
    EBLOCK,
    ECREATE,
    EDBGRD,
    EDBGWR,
    EEXTEND,
    EINIT,
    ELDU,
    EMODPR,
    EMODT,
    EPA,
    EREMOVE,
    ETRACK,
    EWB,
    erase_pcmd,
)
from sgxmodel.hardware.enclu import EACCEPT, EEXIT, enclave_access
from sgxmodel.hardware.epcm import (
    CLEAR,
    ENCLS_WARN,
    GP,
    NAMES,
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
    SGX_PAGE_ATTRIBUTES_MISMATCH,
    SGX_PAGE_NOT_BLOCKED,
    SGX_PAGE_NOT_MODIFIABLE,
    SGX_PG_INVLD,
    SGX_PG_IS_SECS,
    SGX_PREV_TRK_INCMPL,
    SGX_VA_SLOT_OCCUPIED,
)
from sgxmodel.hardware.mmu import (
    load_mm,
    mm_cpumask,
    on_each_cpu_mask,
    ptep_test_and_clear_young,
    set_pte,
    unload_mm,
    zap_vma_ptes,
)
from sgxmodel.kernel.memory import kfree

Operands = tuple[Any, ...]
Situation = Callable[[Epc], Operands]

# -- situations ---------------------------------------------------------------------------


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


# -- one row per outcome ------------------------------------------------------------------

OUTCOMES: list[tuple[str, str, Any, Situation]] = [
    ("ECREATE", "fresh", 0, lambda m: (ECREATE, m.frame(), 4)),
    ("ECREATE", "destination valid", PF, lambda m: (ECREATE, m.va(), 4)),
    ("ECREATE", "size 0", GP, lambda m: (ECREATE, m.frame(), 0)),
    ("ECREATE", "size no power of two", GP, lambda m: (ECREATE, m.frame(), 6)),
    ("EADD", "REG", 0, lambda m: eadd(m, m.frame(), m.secs(init=False))),
    ("EADD", "TCS", 0, lambda m: eadd(m, m.frame(), m.secs(init=False), 3, PT_TCS)),
    ("EADD", "no page type of a child", GP, lambda m: eadd(m, m.frame(), m.secs(False), 0, PT_VA)),
    ("EADD", "destination valid", PF, lambda m: eadd(m, m.va(), m.secs(init=False))),
    ("EADD", "SECS invalid", PF, lambda m: eadd(m, m.frame(), m.frame())),
    ("EADD", "SECS is a VA page", PF, lambda m: eadd(m, m.frame(), m.va())),
    ("EADD", "initialised", GP, lambda m: eadd(m, m.frame(), m.secs())),
    ("EADD", "after the range", GP, lambda m: eadd(m, m.frame(), m.secs(init=False), 4)),
    ("EADD", "before the range", GP, lambda m: eadd(m, m.frame(), m.secs(init=False), -1)),
    ("EEXTEND", "REG", 0, lambda m: (EEXTEND, *m.enclave(init=False))),
    ("EEXTEND", "TCS", 0, lambda m: (EEXTEND, *m.enclave(PT_TCS, init=False))),
    ("EEXTEND", "invalid", PF, lambda m: (EEXTEND, m.secs(init=False), m.frame())),
    ("EEXTEND", "VA page", PF, lambda m: (EEXTEND, m.secs(init=False), m.va())),
    ("EEXTEND", "TRIM", PF, lambda m: (EEXTEND, *m.enclave(PT_TRIM, init=False))),
    ("EEXTEND", "initialised", GP, lambda m: (EEXTEND, *m.enclave())),
    ("EEXTEND", "another's SECS", GP, lambda m: (EEXTEND, m.secs(False), m.enclave(init=False)[1])),
    ("EINIT", "fresh", 0, lambda m: (EINIT, m.secs(init=False))),
    ("EINIT", "invalid", PF, lambda m: (EINIT, m.frame())),
    ("EINIT", "VA page", PF, lambda m: (EINIT, m.va())),
    ("EINIT", "twice", GP, lambda m: (EINIT, m.secs())),
    ("EREMOVE", "invalid", 0, lambda m: (EREMOVE, m.frame())),
    ("EREMOVE", "VA page", 0, lambda m: (EREMOVE, m.va())),
    ("EREMOVE", "REG", 0, lambda m: (EREMOVE, m.enclave()[1])),
    ("EREMOVE", "childless SECS", 0, lambda m: (EREMOVE, m.secs())),
    ("EREMOVE", "SECS with a child", SGX_CHILD_PRESENT, lambda m: (EREMOVE, m.enclave()[0])),
    ("EREMOVE", "REG, thread", SGX_ENCLAVE_ACT, lambda m: (EREMOVE, beside_a_thread(m))),
    ("EREMOVE", "TCS, thread", SGX_ENCLAVE_ACT, lambda m: (EREMOVE, beside_a_thread(m, PT_TCS))),
    (
        "EREMOVE",
        "TRIM not accepted, thread",
        SGX_ENCLAVE_ACT,
        lambda m: (EREMOVE, beside_a_thread(m, PT_TRIM, modified=1)),
    ),
    ("EREMOVE", "TRIM accepted, thread", 0, lambda m: (EREMOVE, beside_a_thread(m, PT_TRIM))),
    ("EREMOVE", "thread in another enclave", 0, lambda m: (EREMOVE, beside_another_enclave(m))),
    ("EPA", "fresh", 0, lambda m: (EPA, m.frame())),
    ("EPA", "destination valid", PF, lambda m: (EPA, m.secs())),
    ("EBLOCK", "REG", 0, lambda m: (EBLOCK, m.enclave()[1])),
    ("EBLOCK", "TCS", 0, lambda m: (EBLOCK, m.enclave(PT_TCS)[1])),
    ("EBLOCK", "TRIM", 0, lambda m: (EBLOCK, m.enclave(PT_TRIM)[1])),
    ("EBLOCK", "invalid", SGX_PG_INVLD, lambda m: (EBLOCK, m.frame())),
    ("EBLOCK", "SECS", SGX_PG_IS_SECS, lambda m: (EBLOCK, m.secs())),
    ("EBLOCK", "VA page", SGX_NOTBLOCKABLE, lambda m: (EBLOCK, m.va())),
    ("EBLOCK", "twice", SGX_BLKSTATE, lambda m: (EBLOCK, m.blocked(*m.enclave()))),
    ("ETRACK", "nobody inside", 0, lambda m: (ETRACK, m.secs())),
    ("ETRACK", "invalid", PF, lambda m: (ETRACK, m.frame())),
    ("ETRACK", "no SECS", PF, lambda m: (ETRACK, m.enclave()[1])),
    ("ETRACK", "twice, thread", SGX_PREV_TRK_INCMPL, lambda m: (ETRACK, previous_epoch_inside(m))),
    ("EWB", "blocked and tracked", 0, lambda m: ewb(m, m.blocked(*m.enclave()))),
    ("EWB", "thread left", 0, lambda m: ewb(m, thread_left_behind(m, leaves=True))),
    ("EWB", "thread entered after ETRACK", 0, lambda m: ewb(m, thread_entered_late(m))),
    ("EWB", "childless SECS", 0, lambda m: ewb(m, m.secs())),
    ("EWB", "invalid", PF, lambda m: ewb(m, m.frame())),
    ("EWB", "VA page invalid", PF, lambda m: ewb(m, m.blocked(*m.enclave()), m.frame())),
    ("EWB", "VA page is a SECS", PF, lambda m: ewb(m, m.blocked(*m.enclave()), m.secs())),
    ("EWB", "no such slot", GP, lambda m: ewb(m, m.blocked(*m.enclave()), slot=4)),
    ("EWB", "not blocked", SGX_PAGE_NOT_BLOCKED, lambda m: ewb(m, m.enclave()[1])),
    ("EWB", "ETRACK too early", SGX_NOT_TRACKED, lambda m: ewb(m, tracked_before_the_block(m))),
    ("EWB", "thread still inside", SGX_NOT_TRACKED, lambda m: ewb(m, thread_left_behind(m))),
    ("EWB", "SECS with a child", SGX_CHILD_PRESENT, lambda m: ewb(m, m.enclave()[0])),
    ("EWB", "slot in use", SGX_VA_SLOT_OCCUPIED, occupied_slot),
    ("ELDU", "page", 0, eldu),
    ("ELDU", "SECS", 0, evicted_secs),
    ("ELDU", "destination valid", PF, lambda m: eldu(m, frame=m.secs())),
    ("ELDU", "VA page invalid", PF, lambda m: eldu(m, va=m.frame())),
    ("ELDU", "VA page is a SECS", PF, lambda m: eldu(m, va=m.secs())),
    ("ELDU", "SECS invalid", PF, lambda m: eldu(m, secs=m.frame())),
    ("ELDU", "no such slot", GP, lambda m: eldu(m, slot=-1)),
    ("ELDU", "another's SECS", GP, lambda m: eldu(m, secs=m.secs())),
    ("ELDU", "page without SECS", GP, lambda m: eldu(m, secs=None)),
    ("ELDU", "SECS with a SECS", GP, lambda m: evicted_secs(m, m.secs())),
    ("ELDU", "PCMD lost", GP, lost_pcmd),
    ("ELDU", "slot empty", SGX_MAC_COMPARE_FAIL, lambda m: eldu(m, slot=1)),
    ("ELDU", "wrong address", SGX_MAC_COMPARE_FAIL, lambda m: eldu(m, at=1)),
    ("ELDU", "contents lost", SGX_MAC_COMPARE_FAIL, lost_contents),
    ("ELDU", "another page's contents", SGX_MAC_COMPARE_FAIL, foreign_contents),
    ("EAUG", "fresh", 0, lambda m: (EAUG, m.frame(), m.secs(), 3)),
    ("EAUG", "destination valid", PF, lambda m: (EAUG, m.va(), m.secs(), 0)),
    ("EAUG", "SECS invalid", PF, lambda m: (EAUG, m.frame(), m.frame(), 0)),
    ("EAUG", "SECS is a VA page", PF, lambda m: (EAUG, m.frame(), m.va(), 0)),
    ("EAUG", "not initialised", GP, lambda m: (EAUG, m.frame(), m.secs(init=False), 0)),
    ("EAUG", "after the range", GP, lambda m: (EAUG, m.frame(), m.secs(), 4)),
    ("EAUG", "before the range", GP, lambda m: (EAUG, m.frame(), m.secs(), -1)),
    ("EDBGRD", "debug enclave", 0, lambda m: (EDBGRD, debugged(m))),
    ("EDBGRD", "no debug enclave", GP, lambda m: (EDBGRD, m.enclave()[1])),
    ("EDBGRD", "invalid", PF, lambda m: (EDBGRD, m.frame())),
    ("EDBGRD", "VA page", GP, lambda m: (EDBGRD, m.va())),
    ("EDBGRD", "pending", PF, lambda m: (EDBGRD, debugged(m, pending=1))),
    ("EDBGWR", "debug enclave", 0, lambda m: (EDBGWR, debugged(m))),
    ("EDBGWR", "no debug enclave", GP, lambda m: (EDBGWR, m.enclave()[1])),
    ("EMODPR", "REG", 0, lambda m: (EMODPR, m.enclave()[1], "r")),
    ("EMODPR", "invalid", PF, lambda m: (EMODPR, m.frame(), "r")),
    ("EMODPR", "TCS", PF, lambda m: (EMODPR, m.enclave(PT_TCS)[1], "r")),
    ("EMODPR", "VA page", PF, lambda m: (EMODPR, m.va(), "r")),
    ("EMODPR", "TRIM accepted", PF, lambda m: (EMODPR, m.enclave(PT_TRIM)[1], "rwx")),
    (
        "EMODPR",
        "TRIM not accepted",
        SGX_PAGE_NOT_MODIFIABLE,
        lambda m: (EMODPR, m.enclave(PT_TRIM, modified=1)[1], "rwx"),
    ),
    (
        "EMODPR",
        "pending",
        SGX_PAGE_NOT_MODIFIABLE,
        lambda m: (EMODPR, m.enclave(pending=1)[1], "r"),
    ),
    ("EMODPR", "not initialised", GP, lambda m: (EMODPR, m.enclave(init=False)[1], "r")),
    ("EMODT", "REG to TCS", 0, lambda m: (EMODT, m.enclave()[1], PT_TCS)),
    ("EMODT", "REG to TRIM", 0, lambda m: (EMODT, m.enclave()[1], PT_TRIM)),
    ("EMODT", "TCS to TRIM", 0, lambda m: (EMODT, m.enclave(PT_TCS)[1], PT_TRIM)),
    ("EMODT", "TCS to REG", PF, lambda m: (EMODT, m.enclave(PT_TCS)[1], PT_REG)),
    ("EMODT", "TRIM to TCS", PF, lambda m: (EMODT, m.enclave(PT_TRIM)[1], PT_TCS)),
    ("EMODT", "invalid", PF, lambda m: (EMODT, m.frame(), PT_TRIM)),
    ("EMODT", "VA page", PF, lambda m: (EMODT, m.va(), PT_TRIM)),
    ("EMODT", "not initialised", GP, lambda m: (EMODT, m.enclave(init=False)[1], PT_TRIM)),
    (
        "EMODT",
        "pending",
        SGX_PAGE_NOT_MODIFIABLE,
        lambda m: (EMODT, m.enclave(pending=1)[1], PT_TRIM),
    ),
    (
        "EMODT",
        "modified",
        SGX_PAGE_NOT_MODIFIABLE,
        lambda m: (EMODT, m.enclave(modified=1)[1], PT_TRIM),
    ),
    ("EACCEPT", "EAUG", 0, eaccept_after_eaug),
    ("EACCEPT", "EMODT, ETRACK", 0, lambda m: eaccept(m, EMODT, PT_TCS, track=True)),
    ("EACCEPT", "EMODPR, ETRACK", 0, lambda m: eaccept(m, EMODPR, "r", track=True)),
    ("EACCEPT", "EMODT", SGX_NOT_TRACKED, lambda m: eaccept(m, EMODT, PT_TRIM)),
    ("EACCEPT", "EMODPR", SGX_NOT_TRACKED, lambda m: eaccept(m, EMODPR, "r")),
    (
        "EACCEPT",
        "thread still inside",
        SGX_NOT_TRACKED,
        lambda m: eaccept(m, EMODT, PT_TRIM, track=True, thread=True),
    ),
    ("EACCEPT", "nothing to accept", SGX_PAGE_ATTRIBUTES_MISMATCH, eaccept),
    ("EACCEPT", "not mapped", enclu.PAGE_FAULT, lambda m: (EACCEPT, m.mm, 0)),
    ("access", "REG", enclu.OK, touch),
    ("access", "not mapped", enclu.PAGE_FAULT, lambda m: (enclave_access, m.mm, 0)),
    ("access", "pending", mmu.BAD, lambda m: touch(m, pending=1)),
    ("access", "modified", mmu.BAD, lambda m: touch(m, modified=1)),
    ("access", "TCS", mmu.BAD, lambda m: touch(m, PT_TCS)),
    ("access", "TRIM", mmu.BAD, lambda m: touch(m, PT_TRIM)),
]


def epcm(m: Epc) -> list[Any]:
    """What the CPU knows of the pages; an access that fails still enters and leaves."""
    return [m.S[slot] for p in m.frames for slot in p.slots]


@pytest.mark.parametrize(
    ("expected", "situation"),
    [row[2:] for row in OUTCOMES],
    ids=[f"{row[0]}: {row[1]}" for row in OUTCOMES],
)
def test_outcome_and_a_refusal_changes_nothing(expected: Any, situation: Situation) -> None:
    m = Epc()
    prim, *operands = situation(m)
    watch = epcm if prim in (EACCEPT, enclave_access) else Epc.snapshot
    before = watch(m)
    outcome = m.run(prim, *operands)
    assert NAMES.get(outcome, outcome) == NAMES.get(expected, expected)
    if expected not in (0, enclu.OK):
        assert watch(m) == before


def test_codes_have_the_sdms_numbers_and_one_name_each() -> None:
    codes = [value for value in NAMES if 0 < value < GP]
    assert (SGX_NOTBLOCKABLE, SGX_PG_INVLD, SGX_NOT_TRACKED, SGX_CHILD_PRESENT) == (5, 6, 11, 13)
    assert (SGX_PREV_TRK_INCMPL, SGX_PAGE_NOT_MODIFIABLE, SGX_INVALID_SIGNATURE) == (17, 20, 8)
    assert len({NAMES[code] for code in codes}) == len(codes)
    assert (GP, PF) == (0x4000000D, 0x4000000E)


# -- failures on request ------------------------------------------------------------------

REQUESTED: list[tuple[str, int, Situation]] = [
    ("ecreate", GP, lambda m: (ECREATE, m.frame(), 4)),
    ("eadd", PF, lambda m: eadd(m, m.frame(), m.secs(init=False))),
    ("einit", SGX_INVALID_SIGNATURE, lambda m: (EINIT, m.secs(init=False))),
    ("eremove", GP, lambda m: (EREMOVE, m.enclave()[1])),
    ("epa", PF, lambda m: (EPA, m.frame())),
    ("eaug", GP, lambda m: (EAUG, m.frame(), m.secs(), 0)),
    ("emodt", SGX_PAGE_NOT_MODIFIABLE, lambda m: (EMODT, m.enclave()[1], PT_TRIM)),
]


@pytest.mark.parametrize(("leaf", "code", "situation"), REQUESTED, ids=[r[0] for r in REQUESTED])
def test_a_requested_failure_uses_up_its_budget(leaf: str, code: int, situation: Situation) -> None:
    m = Epc()
    prim, *operands = situation(m)
    budget = getattr(m.cpu, f"fail_{leaf}")
    m.S[budget] = 2
    for left in (1, 0):
        before = m.snapshot()
        assert m.outcomes(prim, *operands) == 2
        assert m.run(prim, *operands, choice=1) == code
        before[budget - 2] = left
        assert m.snapshot() == before
    assert m.outcomes(prim, *operands) == 1
    assert m.run(prim, *operands) == 0


# -- what success does --------------------------------------------------------------------

flags = st.integers(0, 1)
PAGES = st.fixed_dictionaries(
    {
        "page_type": st.sampled_from([PT_REG, PT_TCS, PT_TRIM]),
        "perms": st.sampled_from(["", "r", "rw", "rwx"]),
        "pending": flags,
        "modified": flags,
        "pr": flags,
        "contents": st.sampled_from([None, ("data", 0), ("data", 1)]),
    }
)


def read(m: Epc, p: Any, *names: str) -> dict[str, Any]:
    return {name: m.S[getattr(p, name)] for name in names}


@given(fields=PAGES, slot=st.integers(0, 3), moves=st.booleans())
@examples(100)
def test_a_page_survives_eviction(fields: dict[str, Any], slot: int, moves: bool) -> None:
    m = Epc()
    secs, _, p = m.enclave(PT_REG, PT_REG)
    va = m.va()
    m.blocked(secs, m.put(p, **fields))
    operands = m.evict(p, va, slot)
    assert read(m, p, *CLEAR) == CLEAR
    assert [bool(m.S[va.versions + i]) for i in range(4)] == [i == slot for i in range(4)]
    back = m.frame() if moves else p
    m.ok(ELDU, back, *operands)
    rest = {"valid": 1, "enclavesecs": secs, "linaddr": 1, "blocked": None}
    assert read(m, back, *fields, *rest) == {**fields, **rest}
    assert not any(m.S[va.versions + i] for i in range(4))


@given(st.booleans(), st.integers(0, 3))
@examples(20)
def test_a_secs_survives_eviction(init: bool, epoch: int) -> None:
    m = Epc()
    names = ("valid", "page_type", "eid", "elrange", "initialized", "epoch", "children")
    secs, other = m.secs(init), m.secs()
    for _ in range(epoch):
        m.ok(ETRACK, secs)
    before = read(m, secs, *names)
    _, *operands = m.evict(secs, m.va())
    m.ok(ELDU, (back := m.frame()), None, *operands)
    assert read(m, back, *names) == before
    assert m.S[back.eid] != m.S[other.eid]


@given(st.integers(0, 3), st.integers(0, 3))
@examples(20)
def test_an_older_blob_is_refused(first: int, second: int) -> None:
    m = Epc()
    secs, p = m.enclave()
    va = m.va()
    blobs = []
    for slot in (first, second):
        operands = m.evict(m.blocked(secs, p), va, slot)
        blobs.append((m.S[m.contents[0].data], m.S[m.pcmd.data]))
        if len(blobs) == 1:
            m.ok(ELDU, p, *operands)
            m.put(p, contents=("data", 0))
    m.S[m.contents[0].data], m.S[m.pcmd.data] = blobs[0]
    assert m.run(ELDU, p, *operands) == SGX_MAC_COMPARE_FAIL
    m.S[m.contents[0].data], m.S[m.pcmd.data] = blobs[1]
    m.ok(ELDU, p, *operands)


@given(st.sets(st.integers(0, 3), min_size=1), st.permutations(range(4)))
@examples(40)
def test_a_pcmd_page_is_empty_when_all_are_erased(used: set[int], order: list[int]) -> None:
    m = Epc()
    secs, *pages = m.enclave(*[PT_REG] * 4)
    va = m.va()
    for at in used:
        m.evict(m.blocked(secs, pages[at]), va, at)
    left = set(used)
    for at in order:
        left.discard(at)
        assert m.run(erase_pcmd, m.pcmd, at) == (not left)


@pytest.mark.parametrize("situation", [lambda m: ewb(m, m.blocked(*m.enclave())), eldu])
@pytest.mark.parametrize("gone", ["contents", "pcmd"])
def test_eviction_and_reload_use_live_memory_only(situation: Situation, gone: str) -> None:
    m = Epc()
    operation = situation(m)
    m.run(kfree, m.pcmd if gone == "pcmd" else m.contents[0])
    with m.refused("use-after-free"):
        m.run(*operation)


def test_a_va_page_in_use_can_be_removed_and_starts_empty() -> None:
    m = Epc()
    _, _, _, va, *_ = m.evicted()
    m.ok(EREMOVE, va)
    m.ok(EPA, va)
    assert not any(m.S[va.versions + i] for i in range(4))


def test_eaug_gives_a_pending_page_that_emodpr_then_restricts() -> None:
    m = Epc()
    p, secs = m.frame(), m.secs()
    m.ok(EAUG, p, secs, 2)
    assert read(m, p, "page_type", "perms", "pending") == {
        "page_type": PT_REG,
        "perms": "rw",
        "pending": 1,
    }
    m.ok(EACCEPT, m.mm, m.S[m.map(p).linaddr])
    m.ok(EMODPR, p, "rx")
    assert read(m, p, "perms", "pr", "pending") == {"perms": "r", "pr": 1, "pending": 0}


@pytest.mark.parametrize("kind", [PT_TCS, PT_TRIM])
def test_emodt_takes_all_permissions_until_accepted(kind: str) -> None:
    m = Epc()
    secs, p = m.enclave(pr=1)
    m.ok(EMODT, p, kind)
    after = {"page_type": kind, "modified": 1, "changed": 0, "perms": "", "pr": 0}
    assert read(m, p, *after) == after
    m.ok(ETRACK, secs)
    m.ok(EACCEPT, m.mm, m.S[m.map(p).linaddr])
    assert read(m, p, *after) == {**after, "modified": 0, "changed": None}


def test_known_limit_a_va_page_is_not_evicted() -> None:
    """The SDM allows it, Linux never does it: the model refuses."""
    m = Epc()
    assert m.run(*ewb(m, m.va())) == GP


def test_a_failed_leaf_is_told_by_its_name() -> None:
    with Epc().refused("8-evicted", "WARNING: ELDU returned SGX_MAC_COMPARE_FAIL"):
        Epc().run(ENCLS_WARN, SGX_MAC_COMPARE_FAIL, "8-evicted: ELDU")


# -- tracking, against the history --------------------------------------------------------

TRACKING = st.lists(
    st.sampled_from(
        [(verb, cpu) for verb in ("enter", "exit") for cpu in range(3)]
        + [("change", 0), ("track", 0), ("track", 0), ("IPI", 0)]
    ),
    max_size=14,
)


class History:
    """EWB and EACCEPT by the SDM's words: who was inside at the ETRACK after the change?"""

    def __init__(self) -> None:
        self.inside: set[int] = set()
        self.previous: set[int] = set()
        self.changed = False
        self.owed: set[int] | None = None

    def step(self, verb: str, cpu: int) -> int:
        if verb == "enter":
            self.inside.add(cpu)
        elif verb in ("exit", "IPI"):
            for threads in (self.inside, self.previous, self.owed or set()):
                threads -= {cpu} if verb == "exit" else {0, 1, 2}
        elif verb == "change":
            self.changed = True
        elif self.previous:
            return SGX_PREV_TRK_INCMPL
        else:
            self.previous = set(self.inside)
            if self.changed and self.owed is None:
                self.owed = set(self.inside)
        return 0

    def outcome(self, unchanged: int) -> int:
        if not self.changed:
            return unchanged
        return SGX_NOT_TRACKED if self.owed is None or self.owed else 0


def perform(m: Epc, change: Any, pages: list[Any], verb: str, cpu: int) -> Any:
    secs, door, p = pages
    if verb == "track":
        return m.run(ETRACK, secs)
    if verb == "enter":
        m.enter(door, cpu)
    elif verb == "exit":
        m.run(EEXIT, by=cpu)
    elif verb == "IPI":
        m.run(on_each_cpu_mask, tuple(m.tasks))
    elif m.S[p.blocked] is None and not m.S[p.pr]:
        m.ok(change, p, *(["r"] if change is EMODPR else []))
    return 0


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [(EBLOCK, SGX_PAGE_NOT_BLOCKED), (EMODPR, SGX_PAGE_ATTRIBUTES_MISMATCH)],
    ids=["EWB", "EACCEPT"],
)
@given(steps=TRACKING)
@examples(250)
def test_tracking_follows_the_threads(change: Any, unchanged: int, steps: Any) -> None:
    m, history = Epc(cpus=4), History()
    pages = m.enclave(PT_REG, PT_REG)
    at_end = ewb(m, pages[2]) if change is EBLOCK else (EACCEPT, m.mm, 1)
    m.map(pages[2])
    for verb, cpu in steps:
        assert perform(m, change, pages, verb, cpu) == history.step(verb, cpu)
        saved = list(m.S)
        outcome = m.run(*at_end, by=3)
        assert NAMES[outcome] == NAMES[history.outcome(unchanged)]
        m.S[:] = saved
        event(NAMES[outcome])


# -- any leaves in any order --------------------------------------------------------------

WANTED = {
    "EADD": ("free", "SECS"),
    "EAUG": ("free", "SECS"),
    "EBLOCK": ("child", "SECS"),
    "ECREATE": ("free", "SECS"),
    "EEXTEND": ("child", "SECS"),
    "EINIT": ("SECS", "SECS"),
    "ELDU": ("free", "SECS"),
    "EMODPR": ("child", "SECS"),
    "EMODT": ("child", "SECS"),
    "EPA": ("free", "SECS"),
    "EREMOVE": ("child", "SECS"),
    "ETRACK": ("SECS", "SECS"),
    "EWB": ("child", "VA"),
}
"""Which frames make a leaf likely to succeed."""

KINDS = [PT_REG, PT_TCS, PT_TRIM]
numbers = st.integers(0, 6)
STEP = st.tuples(
    st.sampled_from([*WANTED, "EWB", "ELDU", "ELDU", "enter", "EEXIT"]),
    st.sampled_from([False] * 7 + [True]),
    numbers,
    numbers,
    numbers,
)


def kind(m: Epc, p: Any) -> str:
    if not m.S[p.valid]:
        return "free"
    if m.S[p.page_type] in (PT_SECS, PT_VA):
        return str(m.S[p.page_type])
    return "child" if m.S[p.blocked] is None else "blocked child"


def pick(m: Epc, wanted: str, wild: bool, n: int) -> Any:
    fitting = [p for p in m.frames if wild or kind(m, p) == wanted] or m.frames
    return fitting[n % len(fitting)]


def decode(m: Epc, leaf: str, p: Any, q: Any, n: int, evicted: list[Operands]) -> Operands:
    """A leaf on these frames; with a blob of before, if it is ELDU."""
    at = n % m.size
    if leaf == "ELDU":
        return (ELDU, p, *evicted[n % len(evicted)]) if evicted else (EPA, p)
    return {
        "EADD": (EADD, p, q, at, KINDS[n % 2], None),
        "EAUG": (EAUG, p, q, at),
        "EBLOCK": (EBLOCK, p),
        "ECREATE": (ECREATE, p, n),
        "EEXTEND": (EEXTEND, q, p),
        "EINIT": (EINIT, p),
        "EMODPR": (EMODPR, p, "r"),
        "EMODT": (EMODT, p, KINDS[n % 3]),
        "EPA": (EPA, p),
        "EREMOVE": (EREMOVE, p),
        "ETRACK": (ETRACK, p),
        "EWB": (EWB, p, q, n % 4, *m.backing(m.size if kind(m, p) == "SECS" else at)),
    }[leaf]


def check_counts(m: Epc) -> None:
    """Children are counted, have a SECS, and an invalid entry holds nothing."""
    for p in m.frames:
        children = [c for c in m.frames if m.S[c.enclavesecs] is p]
        assert m.S[p.children] == len(children)
        assert all(m.S[c.valid] for c in children)
        assert not children or (m.S[p.valid], m.S[p.page_type]) == (1, PT_SECS)
        if not m.S[p.valid]:
            assert read(m, p, *CLEAR) == CLEAR
            assert not any(m.S[p.versions + i] for i in range(4))
        if m.S[p.valid] and m.S[p.page_type] in KINDS:
            assert m.S[p.enclavesecs] is not None


def try_to_enter(m: Epc, p: Any, cpu: int) -> None:
    usable = kind(m, p) == "child" and m.S[p.page_type] == PT_REG
    if usable and "w" in m.S[p.perms] and not m.S[p.pending] and not m.S[p.modified]:
        m.enter(p, cpu)


@given(st.lists(STEP, max_size=40))
@examples(300)
def test_any_sequence_keeps_the_counts(steps: list[tuple[str, bool, int, int, int]]) -> None:
    m = Epc(frames=9)
    m.enclave(PT_REG, PT_TCS)
    m.enclave(PT_REG, init=False)
    m.va()
    evicted: list[Operands] = []
    for leaf, wild, a, b, n in steps:
        if leaf == "EEXIT":
            m.run(EEXIT, by=n % 3)
        elif leaf == "enter":
            try_to_enter(m, pick(m, "child", wild, a), n % 3)
        else:
            wanted = WANTED[leaf]
            p, q = pick(m, wanted[0], wild, a), pick(m, wanted[1], wild, b)
            if leaf == "EWB" and kind(m, p) == "child":
                apply_leaf(m, p, (EBLOCK, p), evicted)
                apply_leaf(m, p, (ETRACK, m.S[p.enclavesecs]), evicted)
            apply_leaf(m, p, decode(m, leaf, p, q, n, evicted), evicted)
            check_counts(m)


def apply_leaf(m: Epc, p: Any, operation: Operands, evicted: list[Operands]) -> None:
    """A refusal changes nothing; what is evicted is kept for an ELDU."""
    prim, *operands = operation
    before = m.snapshot()
    owner, at = m.S[p.enclavesecs], m.S[p.linaddr]
    code = m.run(prim, *operands)
    event(f"{prim} {NAMES[code]}")
    if code:
        assert m.snapshot() == before
    elif prim is EWB:
        evicted.append((owner, at, operands[1], operands[2], tuple(operands[3:])))


# -- CPUs and PTEs ------------------------------------------------------------------------

cpus = st.sets(st.integers(0, 2))


@given(inside=cpus, mask=cpus)
@examples(40)
def test_an_ipi_throws_out_who_gets_it(inside: set[int], mask: set[int]) -> None:
    m = Epc()
    _, p = m.enclave()
    for cpu in inside:
        m.enter(p, cpu)
    hit = m.run(on_each_cpu_mask, tuple(m.tasks[t] for t in sorted(mask)))
    assert hit == bool(inside & mask)
    assert m.inside() == inside - mask


@given(inside=cpus, loaded=cpus, mapped=st.booleans())
@examples(60)
def test_a_zap_throws_out_who_has_the_mm(inside: set[int], loaded: set[int], mapped: bool) -> None:
    m = Epc()
    _, door, p = m.enclave(PT_REG, PT_REG)
    if mapped:
        m.map(p)
    for cpu in inside:
        m.enter(door, cpu)
    for cpu in range(3):
        m.run(load_mm if cpu in loaded else unload_mm, *([m.mm] * (cpu in loaded)), by=cpu)
    assert set(m.run(mm_cpumask, m.cpu.cpus, m.mm)) == {m.tasks[t] for t in loaded}
    m.run(zap_vma_ptes, m.cpu.cpus, m.mm, 1)
    assert m.S[m.mm.pte + 1] is None
    assert m.S[m.mm.pte] is (door if inside else None)
    assert m.inside() == (inside - loaded if mapped else inside)


@given(st.lists(st.sampled_from(["set", "touch", "exit", "test", "zap"]), max_size=12))
@examples(60)
def test_the_accessed_bit_is_set_by_walks_and_new_ptes(steps: list[str]) -> None:
    m = Epc()
    _, p = m.enclave()
    m.run(load_mm, m.mm)
    mapped = young = cached = False
    for step in steps:
        if step == "set":
            m.run(set_pte, m.mm, 0, p, "rw")
            mapped, young = True, young or not mapped
        elif step == "touch":
            assert m.run(enclave_access, m.mm, 0) == (enclu.OK if mapped else enclu.PAGE_FAULT)
            young, cached = mapped and (young or not cached), mapped
        elif step == "exit":
            m.run(EEXIT)
            cached = False
        elif step == "test":
            assert m.run(ptep_test_and_clear_young, m.mm, 0) == young
            young = False
        else:
            m.run(zap_vma_ptes, m.cpu.cpus, m.mm, 0)
            mapped = young = cached = False
        assert bool(m.S[m.mm.young]) == young
        assert bool(m.S[m.tasks[0].tlb]) == cached


def test_a_pte_that_is_there_stays() -> None:
    m = Epc()
    _, p, later = m.enclave(PT_REG, PT_REG)
    m.map(p)
    m.run(set_pte, m.mm, 0, later, "rw")
    assert m.S[m.mm.pte] is p


def test_a_tlb_hit_tests_nothing_but_a_stale_one_is_told() -> None:
    m = Epc()
    _, p = m.enclave()
    m.enter(p)
    m.ok(EBLOCK, p)
    assert m.run(enclave_access, m.mm, 0) == enclu.OK
    m.put(p, linaddr=1)
    with m.told("bad-mapping", "the TLB of T0"):
        m.run(enclave_access, m.mm, 0)
    assert m.inside() == set()


def test_a_stale_pte_outside_every_mapping_is_a_fault() -> None:
    # munmap() takes the VMA from the tree, then clears the PTEs.
    m = Epc()
    _, p = m.enclave()
    m.map(p)
    m.ok(EREMOVE, p)
    m.S[m.mm.mm_mt] = ()
    assert m.run(enclave_access, m.mm, 0) == enclu.PAGE_FAULT


def test_a_read_only_mapping_refuses_a_write() -> None:
    m = Epc()
    _, p = m.enclave()
    m.run(set_pte, m.mm, 0, p, "r")
    assert m.run(enclave_access, m.mm, 0) == enclu.PAGE_FAULT


def test_an_access_keeps_the_epoch_of_the_entry() -> None:
    m = Epc()
    secs, p = m.enclave()
    cpu = m.tasks[0]
    m.enter(p)
    m.ok(ETRACK, secs)
    m.enter(p)
    assert m.S[cpu.entry_epoch] == 0
    m.run(EEXIT)
    m.enter(p)
    assert (m.S[cpu.entry_epoch], m.S[cpu.inside]) == (1, m.S[secs.eid])


def test_a_fault_and_a_refused_access_leave_the_enclave() -> None:
    m = Epc()
    _, door, tcs = m.enclave(PT_REG, PT_TCS)
    for at in (3, m.S[m.map(tcs).linaddr]):
        m.enter(door)
        assert m.inside() == {0}
        assert m.run(enclave_access, m.mm, at) in (enclu.PAGE_FAULT, mmu.BAD)
        assert m.inside() == set()


def test_lost_data_is_told() -> None:
    m = Epc()
    _, p = m.enclave()
    m.enter(p)
    m.put(p, contents=None)
    with m.told("lost-data", "page 0"):
        m.run(enclave_access, m.mm, 0)


@pytest.mark.parametrize("what", ["blocked", "removed", "reused", "a VA page", "a SECS"])
@pytest.mark.parametrize("prim", [enclave_access, EACCEPT], ids=str)
def test_a_stale_pte_is_told(prim: Any, what: str) -> None:
    m = Epc()
    _, p, later = m.enclave(PT_REG, PT_REG)
    m.map(p)
    if what == "blocked":
        m.ok(EBLOCK, p)
    elif what == "reused":
        m.S[m.mm.pte] = later
    else:
        m.ok(EREMOVE, p)
        if what != "removed":
            m.ok(*((EPA, p) if what == "a VA page" else (ECREATE, p, 4)))
    with m.told("bad-mapping", "the PTE of page 0"):
        m.run(prim, m.mm, 0)
    assert m.inside() == set()
