# SPDX-License-Identifier: GPL-2.0-only
"""What a leaf that succeeds does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.bench import Epc, examples
from properties.leaves.situations import Situation, eldu, ewb, read
from sgxmodel.hardware.encls import (
    EAUG,
    ELDU,
    EMODPR,
    EMODT,
    EPA,
    EREMOVE,
    ETRACK,
    erase_pcmd,
)
from sgxmodel.hardware.enclu import EACCEPT
from sgxmodel.hardware.epcm import (
    CLEAR,
    ENCLS_WARN,
    GP,
    PT_REG,
    PT_TCS,
    PT_TRIM,
    SGX_MAC_COMPARE_FAIL,
)
from sgxmodel.kernel.memory import kfree

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


def test_contents_where_pcmds_should_be_are_none() -> None:
    """A driver that mixes the two pages up loses data; the CPU takes none for the other."""
    m = Epc()
    secs, p = m.enclave()
    va = m.va()
    operands = m.evict(m.blocked(secs, p), va, 0)
    good, m.S[m.pcmd.data] = m.S[m.pcmd.data], m.S[m.contents[0].data]
    assert m.run(ELDU, p, *operands) == GP
    assert m.run(erase_pcmd, m.pcmd, 0) is False
    m.S[m.pcmd.data] = good
    m.ok(ELDU, p, *operands)
    m.S[m.pcmd.data] = m.S[m.contents[0].data]
    m.evict(m.blocked(secs, p), va, 0)
    assert [at for at, _ in m.S[m.pcmd.data]] == [0]


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
