# SPDX-License-Identifier: GPL-2.0-only
"""A work bench: shared state without a program; operations are applied by hand, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import settings

from sgxmodel.hardware.encls import EADD, EBLOCK, ECREATE, EINIT, EPA, ETRACK, EWB
from sgxmodel.hardware.enclu import enclave_access
from sgxmodel.hardware.epcm import PT_REG, frame, processor
from sgxmodel.hardware.mmu import set_pte
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.lock import mutex, rw_semaphore, spinlock_t
from sgxmodel.kernel.memcg import mem_cgroup
from sgxmodel.kernel.memory import fill_cache, kmem_cache, xarray
from sgxmodel.kernel.mm import mm_struct, vm_area_struct
from sgxmodel.kernel.ref import atomic_long_t, kref
from sgxmodel.kernel.shmem import page
from sgxmodel.kernel.task import task_struct, wait_queue_head
from sgxmodel.machine.layout import CHOICE, CURRENT, Layout, State, Struct
from sgxmodel.machine.op import Fault
from sgxmodel.scenario.processes import written

FATAL = {
    "wild-pointer",
    "recursive-lock",
    "sleep-in-atomic",
    "double-free",
    "leak",
    "model-limit",
    "17-lock-order",
}
"""What the modelled kernel does not survive."""


def examples(number: int) -> settings:
    """So many examples, no wall clock."""
    return settings(max_examples=number, deadline=None)


class bench_node(Struct):
    """Something that can be linked; also a head."""

    x_list: list_head


class bench_object(Struct):
    """One of each thing that is embedded in structs."""

    x_bits: int = 0
    x_value: Any = "born"
    x_spin: spinlock_t
    x_mutex: mutex
    x_rwsem: rw_semaphore
    x_ref: kref
    x_count: atomic_long_t
    x_wait: wait_queue_head


class bench_map(Struct):
    x_array: xarray


class Bench:
    """State, tasks, and what makes an operation take effect."""

    def __init__(self, tasks: int = 2) -> None:
        self.layout = Layout()
        self.S: State = self.layout.values
        self.tasks = [self.layout.new(task_struct, f"T{i}") for i in range(tasks)]
        self.number = count()
        self.memcg: Any = self.new(mem_cgroup)
        for task in self.tasks:
            vars(task)["memcg_of"] = self.memcg

    def new(self, kind: type[Any], **sizes: int) -> Any:
        return self.layout.new(kind, f"{kind.__name__}{next(self.number)}", None, **sizes)

    def cache(self, kind: type[Any], objects: int, **sizes: int) -> Any:
        cache = self.new(kmem_cache)
        fill_cache(self.layout, cache, [self.new(kind, **sizes) for _ in range(objects)])
        return cache

    def nodes(self, number: int) -> list[Any]:
        return [self.new(bench_node).x_list for _ in range(number)]

    def _prepare(self, prim: Any, args: tuple[Any, ...], by: int) -> tuple[Any, Any]:
        self.S[CURRENT] = self.tasks[by]
        _, a, b = prim.operation(list(args))
        return a, b

    def enabled(self, prim: Any, *args: Any, by: int = 0) -> bool:
        a, b = self._prepare(prim, args, by)
        return prim.enabled is None or bool(prim.enabled(self.S, a, b))

    def outcomes(self, prim: Any, *args: Any, by: int = 0) -> int:
        a, b = self._prepare(prim, args, by)
        return 1 if prim.choices is None else int(prim.choices(self.S, a, b))

    def run(self, prim: Any, *args: Any, by: int = 0, choice: int = 0) -> Any:
        assert self.enabled(prim, *args, by=by), f"{prim} would wait"
        assert choice < self.outcomes(prim, *args, by=by), f"{prim} has no such outcome"
        a, b = self._prepare(prim, args, by)
        self.S[CHOICE] = choice
        try:
            return prim.apply(self.S, a, b)
        finally:
            self.S[CHOICE] = 0

    def snapshot(self) -> State:
        return self.S[2:]

    @contextmanager
    def refused(self, kind: str, words: str = "") -> Iterator[None]:
        """The block raises a fault of this kind, in these words, and changes nothing."""
        before = self.snapshot()
        with self.told(kind, words):
            yield
        assert self.snapshot() == before

    @contextmanager
    def told(self, kind: str, words: str = "") -> Iterator[None]:
        """The block raises a fault of this kind, in these words."""
        with pytest.raises(Fault) as caught:
            yield
        assert caught.value.kind == kind
        assert caught.value.fatal == (kind in FATAL) or kind == "use-after-free"
        assert words in caught.value.message


class Epc(Bench):
    """Frames, a processor whose CPUs are the tasks, one address space, backing pages."""

    def __init__(self, frames: int = 8, cpus: int = 3, slots: int = 4, size: int = 4) -> None:
        super().__init__(cpus)
        self.size = size
        self.cpu: Any = self.new(processor)
        vars(self.cpu).update(cpus=tuple(self.tasks))
        self.frames: list[Any] = [self.new(frame, versions=slots) for _ in range(frames)]
        for each in self.frames:
            vars(each).update(cpu=self.cpu)
        self.mm: Any = self.new(mm_struct, pte=size, young=size, pte_prot=size)
        self.written: Any = self.new(written, words=size)
        vars(self.mm).update(expected=self.written.words, expected_len=size)
        self.S[self.mm.mm_users] = 1
        self.S[self.mm.mmap_lock.readers] = len(self.tasks)
        for task in self.tasks:
            self.S[task.held] = (self.mm.mmap_lock,)
        vma = self.new(vm_area_struct)
        self.S[vma.vm_end] = size
        self.S[self.mm.mm_mt] = (vma,)
        self.pcmd: Any = self.new(page)
        self.contents: list[Any] = [self.new(page) for _ in range(size + 1)]
        self._unused = iter(self.frames)

    def frame(self) -> Any:
        """A frame that nobody used yet."""
        return next(self._unused)

    def ok(self, prim: Any, *args: Any, by: int = 0) -> None:
        code = self.run(prim, *args, by=by)
        assert code == 0, f"{prim} returned {code:#x}"

    def put(self, p: Any, **fields: Any) -> Any:
        """Put a page into a situation by hand."""
        for name, value in fields.items():
            self.S[getattr(p, name)] = value
        return p

    def enclave(self, *kinds: str, init: bool = True, **fields: Any) -> list[Any]:
        """A SECS frame and its pages, of these types, at addresses from 0 on."""
        secs, pages = self.frame(), []
        self.ok(ECREATE, secs, self.size)
        for at, kind in enumerate(kinds or (PT_REG,)):
            pages.append(self.frame())
            self.ok(EADD, pages[-1], secs, at, "REG" if kind == "TRIM" else kind, None)
            self.put(pages[-1], page_type=kind, **fields)
        if init:
            self.ok(EINIT, secs)
        return [secs, *pages]

    def secs(self, init: bool = True) -> Any:
        """A SECS without children."""
        secs = self.frame()
        self.ok(ECREATE, secs, self.size)
        if init:
            self.ok(EINIT, secs)
        return secs

    def va(self) -> Any:
        va = self.frame()
        self.ok(EPA, va)
        return va

    def map(self, p: Any) -> Any:
        """Give a page its PTE; it holds what the process wrote last."""
        at = self.S[p.linaddr]
        if self.S[self.mm.pte + at] is not p:  # as after a zap
            self.S[self.mm.pte + at] = None
            for cpu in self.tasks:
                self.S[cpu.tlb] = ()
        self.run(set_pte, self.mm, at, p, "rw")
        self.S[self.mm.expected + at] = self.S[p.contents]
        return p

    def enter(self, p: Any, cpu: int = 0) -> Any:
        """A CPU goes in through a page."""
        self.map(p)
        assert self.run(enclave_access, self.mm, self.S[p.linaddr], by=cpu) == "ok"
        return p

    def inside(self) -> set[int]:
        """The CPUs that execute in an enclave."""
        return {t for t, cpu in enumerate(self.tasks) if self.S[cpu.inside] is not None}

    def blocked(self, secs: Any, p: Any) -> Any:
        """A page that can be evicted."""
        self.ok(EBLOCK, p)
        self.ok(ETRACK, secs)
        return p

    def backing(self, at: int) -> tuple[Any, Any, int]:
        """Where the contents of a page (``size`` for a SECS) and its PCMD go."""
        return self.contents[at], self.pcmd, at

    def evict(self, p: Any, va: Any, slot: int = 0) -> tuple[Any, ...]:
        """EWB; what ELDU needs after the frame: SECS, address, VA page, slot, backing."""
        secs, at = self.S[p.enclavesecs], self.S[p.linaddr]
        source = self.backing(self.size if secs is None else at)
        self.ok(EWB, p, va, slot, *source)
        return secs, at, va, slot, source

    def evicted(self) -> tuple[Any, ...]:
        """The operands of an ELDU that succeeds, the frame first."""
        secs, p = self.enclave()
        return (p, *self.evict(self.blocked(secs, p), self.va()))
