# SPDX-License-Identifier: GPL-2.0-only
"""Processes, their address spaces and files, laid out for one scenario."""

from __future__ import annotations

from sgxmodel.driver.structs import enclave_file, process, sgx_encl_mm
from sgxmodel.kernel.mm import mm_struct, vm_area_struct
from sgxmodel.machine.layout import Array, Layout, Struct
from sgxmodel.scenario.model import Scenario

SPLITS = {"munmap-page": 2, "mprotect": 2, "mmap": 1, "open": 1}
"""How many VMAs a call makes at most."""


class written(Struct):
    """Ghost: what was last written to each page of an enclave (the data oracle)."""

    words: Array
    words_len: int


class Processes:
    """One process for each enclave, one for each child that may be forked."""

    def __init__(self, layout: Layout, scenario: Scenario) -> None:
        self.layout = layout
        self.by_name: dict[str, process] = {}
        mms: list[mm_struct] = []
        for name, size in scenario.enclaves:
            file = layout.new(enclave_file, f"{name}.file")
            oracle = layout.new(written, f"{name}.written", words=size)
            family = [name, *(child for child, of in scenario.children if of == name)]
            mms += [self._process(member, size, file, oracle) for member in family]
            parent = self.by_name[name]
            layout.values[parent.alive] = layout.values[parent.threads] = 1
            mm = parent.mm_of
            layout.values[mm.mm_users] = layout.values[mm.mm_count] = 1
        self.mms = tuple(mms)
        calls = scenario.all_calls()
        # One for each process that maps an enclave, and some that wait for a grace period.
        maps = len(mms) + sum(c.verb in ("mmap", "open") for c in calls)
        self.encl_mms = tuple(layout.new(sgx_encl_mm, f"encl_mm{i}") for i in range(maps))
        areas = sum(SPLITS.get(c.verb, 0) for c in calls) + 1
        self.vmas = tuple(
            layout.new(vm_area_struct, f"vma{i}") for i in range(areas * len(self.by_name))
        )

    def _process(self, name: str, size: int, file: enclave_file, oracle: written) -> mm_struct:
        layout = self.layout
        proc = layout.new(process, name)
        mm = layout.new(mm_struct, f"mm{name}", pte=size, young=size, pte_prot=size)
        for i in range(size):
            layout.values[mm.young + i] = 0
            layout.values[mm.pte_prot + i] = ""
        vars(mm).update(expected=oracle.words, expected_len=size)
        vars(proc).update(mm_of=mm, file_of=file)
        self.by_name[name] = proc
        return mm
