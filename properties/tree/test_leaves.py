# SPDX-License-Identifier: GPL-2.0-only
"""The engine's EPCM, leaf by leaf: what each needs, faults at and returns (SDM vol. 3D)."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import (
    CDLL,
    Structure,
    byref,
    c_char_p,
    c_size_t,
    c_uint,
    c_uint64,
    c_void_p,
    create_string_buffer,
)
from typing import Any

import pytest

from properties.tree.trees import any_tree, library_of
from sgxmodel.scenario.text import parse
from sgxmodel.tree.api import Call
from sgxmodel.tree.plan import plan

VIRT = 0x7E0000000000
PF, GP = 0x4000000E, 0x4000000D
BASE = 1 << 32
REG, TCS, TRIM = 2, 1, 4


class Secs(Structure):
    _fields_ = (("size", c_uint64), ("base", c_uint64), ("attributes", c_uint64))


class Cpu:
    """The leaves, with EPC pages by number."""

    def __init__(self, leaf: Callable[..., Any]) -> None:
        self.leaf = leaf
        self.contents = create_string_buffer(4096)
        self.pcmd = create_string_buffer(128)

    def __call__(self, name: str, *args: Any) -> int:
        return int(self.leaf(f"hw_{name.lower()}")(*args))

    def ecreate(self, n: int, size: int = 4096 * 4, base: int = BASE) -> int:
        return self("ecreate", byref(Secs(size, base, 0)), page(n))

    def eadd(self, n: int, secs: int, at: int = 0, kind: int = REG) -> int:
        linaddr = c_uint64(BASE + at * 4096)
        return self("eadd", page(secs), linaddr, c_uint64(kind << 8 | 7), self.contents, page(n))

    def eaug(self, n: int, secs: int, at: int) -> int:
        return self("eaug", page(secs), c_uint64(BASE + at * 4096), page(n))

    def einit(self, n: int, signer: bytes = b"s", key: bytes = b"s") -> int:
        """``key``: whose the launch key in the CPU's registers is."""
        digest = (c_uint64 * 4)()
        self.leaf("eng_digest")(c_char_p(key), c_size_t(1), digest)
        for i, word in enumerate(digest):
            self.leaf("eng_wrmsr")(c_uint(0x8C + i), c_uint64(word))
        return self("einit", page(n), c_char_p(signer), c_size_t(1))

    def emodt(self, n: int, kind: int) -> int:
        return self("emodt", c_uint64(kind << 8), page(n))

    def ewb(self, n: int, va: int, slot: int = 0) -> int:
        where = c_void_p(VIRT + va * 4096 + slot * 8)
        return self("ewb", page(n), self.contents, self.pcmd, where)

    def eldu(self, n: int, secs: int | None, at: int, va: int, slot: int = 0) -> int:
        where = c_void_p(VIRT + va * 4096 + slot * 8)
        owner = page(secs) if secs is not None else None
        linaddr = c_uint64(BASE + at * 4096 if secs is not None else 0)
        return self("eldu", page(n), owner, linaddr, self.contents, self.pcmd, where)


def page(n: int) -> c_void_p:
    return c_void_p(VIRT + n * 4096)


@pytest.fixture
def cpu() -> Cpu:
    """A machine with eight free EPC pages, 0 a SECS, 1 its page 0, 2 a VA page."""
    made = plan(parse("scenario x\nepc 8\nenclave A 4\ntask T: reclaim\n"))
    # In this process: single leaves are no requests of a cell, and these trees are Debian's.
    dll = CDLL(str(library_of(any_tree()).path))
    dll.eng_init()
    assert dll.eng_boot(byref(made.config), (Call * 1)(*made.calls), len(made.calls)) == 0
    cpu = Cpu(lambda name: getattr(dll, name))
    assert cpu.ecreate(0) == cpu.eadd(1, 0) == cpu("epa", page(2)) == 0
    return cpu


def test_build_time(cpu: Cpu) -> None:
    assert cpu.ecreate(1) == PF
    assert cpu.ecreate(3, size=4096 * 3) == GP
    assert cpu.eadd(1, 0) == PF
    assert cpu.eadd(3, 2, 1) == PF
    assert cpu.eadd(3, 0, 4) == GP
    assert cpu.eadd(3, 0, 1, kind=3) == GP
    assert cpu.einit(0, key=b"t") == 16
    assert cpu.einit(0) == 0
    assert cpu.einit(0) == GP
    assert cpu.eadd(3, 0, 1) == GP
    assert cpu("epa", page(1)) == PF


def test_outside_of_the_epc(cpu: Cpu) -> None:
    for leaf in ("eremove", "eblock", "epa", "etrack"):
        assert cpu(leaf, page(8)) == PF
        assert cpu(leaf, c_void_p(0x1000)) == PF


def test_remove(cpu: Cpu) -> None:
    assert cpu("eremove", page(0)) == 13
    assert cpu("eremove", page(1)) == cpu("eremove", page(0)) == cpu("eremove", page(2)) == 0
    assert cpu("eremove", page(0)) == 0


def test_write_out_and_back(cpu: Cpu) -> None:
    assert cpu.ewb(1, 2) == 10
    assert cpu("eblock", page(1)) == 0
    assert cpu("eblock", page(1)) == 3
    assert cpu.ewb(1, 2) == 11
    assert cpu("etrack", page(0)) == 0
    assert cpu.ewb(1, 3) == PF
    assert cpu.ewb(1, 2) == 0
    assert cpu("eblock", page(1)) == 6
    assert cpu.eldu(0, 0, 0, 2) == PF
    assert cpu.eldu(4, 0, 1, 2) == 9
    assert cpu.eldu(4, 0, 0, 2, slot=1) == 9
    assert cpu.eldu(4, 0, 0, 2) == 0
    assert cpu.eldu(5, 0, 0, 2) == 9


def test_data_that_was_changed_is_refused(cpu: Cpu) -> None:
    assert cpu("eblock", page(1)) == cpu("etrack", page(0)) == cpu.ewb(1, 2) == 0
    cpu.contents[32] = b"x"
    assert cpu.eldu(4, 0, 0, 2) == 9
    cpu.pcmd.raw = bytes(128)
    assert cpu.eldu(4, 0, 0, 2) == GP


def test_secs_goes_last_and_comes_first(cpu: Cpu) -> None:
    assert cpu.ewb(0, 2) == 13
    assert cpu("eremove", page(1)) == cpu.ewb(0, 2) == 0
    assert cpu.eadd(3, 0, 0) == PF
    assert cpu.eldu(5, None, 0, 2) == 0
    assert cpu.eadd(3, 5, 0) == 0


def test_occupied_slot(cpu: Cpu) -> None:
    assert cpu.eadd(3, 0, 1) == 0
    assert cpu("eblock", page(1)) == cpu("eblock", page(3)) == cpu("etrack", page(0)) == 0
    assert cpu.ewb(1, 2) == 0
    assert cpu.ewb(3, 2) == 12
    assert cpu.ewb(3, 2, slot=1) == 0


def test_run_time(cpu: Cpu) -> None:
    assert cpu.eaug(3, 0, 1) == GP
    assert cpu.einit(0) == 0
    assert cpu.eaug(3, 0, 4) == GP
    assert cpu.eaug(1, 0, 1) == PF
    assert cpu.eaug(3, 0, 1) == 0
    assert cpu.emodt(3, TRIM) == 20
    assert cpu.emodt(1, REG) == PF
    assert cpu.emodt(1, TCS) == 0
    assert cpu.emodt(1, TRIM) == 20
    assert cpu("emodpr", c_uint64(1), page(3)) == 20
    assert cpu("emodpr", c_uint64(1), page(2)) == PF
