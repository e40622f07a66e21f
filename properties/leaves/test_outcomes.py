# SPDX-License-Identifier: GPL-2.0-only
"""Every outcome of every leaf by the SDM, and failures on request."""

from __future__ import annotations

from typing import Any

import pytest

from properties.bench import Epc
from properties.leaves.situations import (
    Situation,
    beside_a_thread,
    beside_another_enclave,
    debugged,
    eaccept,
    eaccept_after_eaug,
    eadd,
    eldu,
    evicted_secs,
    ewb,
    foreign_contents,
    lost_contents,
    lost_pcmd,
    occupied_slot,
    previous_epoch_inside,
    thread_entered_late,
    thread_left_behind,
    touch,
    tracked_before_the_block,
)
from sgxmodel.hardware import enclu, mmu
from sgxmodel.hardware.encls import (
    EAUG,
    EBLOCK,
    ECREATE,
    EDBGRD,
    EDBGWR,
    EEXTEND,
    EINIT,
    EMODPR,
    EMODT,
    EPA,
    EREMOVE,
    ETRACK,
)
from sgxmodel.hardware.enclu import EACCEPT, enclave_access
from sgxmodel.hardware.epcm import (
    GP,
    NAMES,
    PF,
    PT_REG,
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
