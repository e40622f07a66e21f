# SPDX-License-Identifier: GPL-2.0-only
"""Any leaves in any order."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from properties.bench import Epc, examples
from properties.leaves.situations import Operands, read
from sgxmodel.hardware.encls import (
    EADD,
    EAUG,
    EBLOCK,
    ECREATE,
    EEXTEND,
    EINIT,
    ELDU,
    EMODPR,
    EMODT,
    EPA,
    EREMOVE,
    ETRACK,
    EWB,
)
from sgxmodel.hardware.enclu import EEXIT
from sgxmodel.hardware.epcm import (
    CLEAR,
    NAMES,
    PT_REG,
    PT_SECS,
    PT_TCS,
    PT_TRIM,
    PT_VA,
)

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
