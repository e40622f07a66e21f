# SPDX-License-Identifier: GPL-2.0-only
"""What invariants read: the state of one world, in the driver's terms."""

from __future__ import annotations

from typing import Any

from sgxmodel.driver.structs import SGX_EPC_PAGE_IS_FREE, process, sgx_encl, sgx_epc_page
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.mm import area_at
from sgxmodel.machine.layout import FREED, State
from sgxmodel.scenario.build import World


class View:
    """A world's handles by role, and the state of the run under check."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.S: State = []
        lists, space = world.revision.lists, world.layout.namespace
        self.lists = lists
        self.lru_lock = lists.find(space, lists.lock)
        self.reclaimable: list_head = lists.find(space, lists.reclaimable)
        self.unreclaimable: list_head | None = lists.find(space, lists.unreclaimable)
        self.counter: int = space["sgx_nr_free_pages"].counter
        self.pages = world.pages
        self.files = tuple(dict.fromkeys(p.file_of for p in world.processes.values()))
        self.frames = tuple(p.frame for p in world.pages)
        self.flag_names = world.revision.flags
        self.list_locks = (self.lru_lock.owner, *(n.lock.owner for n in world.nodes))
        self.static_lists: list[tuple[list_head, str]] = []
        for node in world.nodes:
            self.static_lists.append((node.free_page_list, "free"))
            self.static_lists.append((node.sgx_poison_page_list, "poison"))
        self.static_lists.append((self.reclaimable, "reclaimable"))
        if self.unreclaimable is not None:
            self.static_lists.append((self.unreclaimable, "unreclaimable"))
        self.dirty_lists: list[tuple[list_head, str]] = []
        if world.scenario.boot:
            on_stack = space["sanitize"].dirty_on_stack
            self.dirty_lists = [(space["sgx_dirty_page_list"], "dirty"), (on_stack, "dirty")]
            self.static_lists += self.dirty_lists
        self.zombies: list_head = space["sgx_virt"].zombie_secs_pages
        if world.scenario.vepcs:
            heads = (self.zombies, *world.vepcs.stacks.values())
            self.static_lists += [(head, "zombie") for head in heads]
        self.iso_lists = [(head, "isolate") for head in world.isos.values()]

    def flags(self, value: int) -> str:
        """Flag names, as reports print them."""
        names = [name for name, bit in self.flag_names.items() if value & bit]
        return "|".join(names) or "0"

    def lists_quiet(self) -> bool:
        """Whether no task holds a lock that protects the page lists."""
        S = self.S
        return all(S[slot] is None for slot in self.list_locks)

    def enclaves_quiet(self) -> bool:
        """Whether no task holds the lock of an enclave that is there."""
        S = self.S
        return all(S[e.lock.owner] is None or S[e.lock.owner] is FREED for e in self.world.encls)

    def alive(self, encl: sgx_encl) -> bool:
        """Whether an enclave object exists and is not being released."""
        refs = self.S[encl.refcount.refs]
        return refs is not FREED and refs > 0

    def mapped(self, proc: process, index: int) -> Any:
        """The enclave that an address of a process is mapped to (vm_private_data), or None."""
        mm = proc.mm_of
        if self.S[mm.mm_users] is FREED:
            return None
        vma = area_at(self.S, mm, index)
        return None if vma is None else self.S[vma.vm_private_data]

    def entries(self, encl: sgx_encl) -> list[tuple[int, Any]]:
        """(index, sgx_encl_page) of an enclave, those freed already left out."""
        S, xa = self.S, encl.page_array
        out = []
        for i in range(xa.entries_len):
            entry = S[xa.entries + i]
            if entry is not None and entry is not FREED and S[entry.desc] is not FREED:
                out.append((i, entry))
        return out

    def is_free(self, page: sgx_epc_page) -> bool:
        return bool(self.S[page.flags] & SGX_EPC_PAGE_IS_FREE)
