# SPDX-License-Identifier: GPL-2.0-only
"""What a slot holds and what changed between two states, in kernel words.

For traces: flags by name, membership of lists, reference counts, pointers.
Locks are left out, as the operations themselves say them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgxmodel.driver.structs import SGX_ENCL_PAGE_BEING_RECLAIMED
from sgxmodel.hardware.epcm import NAMES
from sgxmodel.kernel.list import list_head
from sgxmodel.machine.layout import FREED, State, show
from sgxmodel.machine.op import LOAD, STORE, Op
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import ERRNO_NAMES

ENCL_FLAGS = {"IOCTL": 1 << 1, "DEBUG": 1 << 2, "CREATED": 1 << 4, "INITIALIZED": 1 << 8}
DESC = {"BEING_RECLAIMED": SGX_ENCL_PAGE_BEING_RECLAIMED}
SHOWN = frozenset(
    {
        "sgx_epc_page",
        "sgx_va_page",
        "sgx_encl_page",
        "sgx_encl",
        "sgx_encl_mm",
        "process",
        "enclave_file",
        "vm_area_struct",
    }
)
"""Structs whose plain fields are followed, beside counters and references."""
HARDWARE = frozenset(
    {
        "frame.valid",
        "frame.blocked",
        "frame.epoch",
        "mm_struct.pte",
        "mm_struct.mm_users",
        "mm_struct.mm_mt",
    }
)
HIDDEN = (".owner", ".writer", ".readers", ".waiters", ".waiting", ".held", ".vm_max_prot_bits")


class Words:
    """Names and values of one world."""

    def __init__(self, world: World) -> None:
        layout = world.layout
        self.names, self.kinds, self.owners = layout.names, layout.kinds, layout.owners
        self.page_flags = world.revision.flags
        self.is_link = [kind.endswith((".next", ".prev")) for kind in self.kinds]
        self.shown = [_shown(kind) for kind in self.kinds]
        heads = [
            h for node in world.nodes for h in (node.free_page_list, node.sgx_poison_page_list)
        ]
        lists = world.revision.lists
        for path in (lists.reclaimable, lists.unreclaimable):
            if path is not None:
                heads.append(lists.find(layout.namespace, path))
        heads += world.isos.values()
        if world.scenario.boot:
            heads += [
                layout.namespace["sgx_dirty_page_list"],
                layout.namespace["sanitize"].dirty_on_stack,
            ]
        if world.scenario.vepcs:
            heads += [layout.namespace["sgx_virt"].zombie_secs_pages, *world.vepcs.stacks.values()]
        several = len(world.nodes) > 1
        self.heads: list[tuple[list_head, str]] = [(h, _list_name(h.name, several)) for h in heads]
        self.all_heads = set(heads)

    def bits(self, kind: str) -> Mapping[str, int] | None:
        """The names of a flag field's bits."""
        if kind == "sgx_epc_page.flags":
            return self.page_flags
        if kind == "sgx_encl.flags":
            return ENCL_FLAGS
        return DESC if kind.endswith(".desc") else None

    def value(self, slot: int, value: Any) -> str:
        """A value as it stands in this slot."""
        bits = self.bits(self.kinds[slot])
        if bits is None or not isinstance(value, int):
            return show(value)
        names = [name for name, bit in bits.items() if value & bit]
        rest = value & ~sum(bits.values())
        return "|".join([hex(rest)] * bool(rest) + names) or "0"

    def result(self, op: Op, result: Any) -> str:
        """The result of an operation; empty where it has none."""
        prim, a, b = op
        if prim is LOAD:
            return self.value(a, result)
        if prim is STORE:
            return self.value(a, b)
        if result is None:
            return "NULL" if prim.name in MAY_BE_NULL else ""
        if isinstance(result, bool):
            return str(result).lower()
        if isinstance(result, int):
            if prim.name.isupper() and prim.params[:1] != ("field",):
                return NAMES.get(result, hex(result))
            if prim.addresses and isinstance(a, int):
                return self.value(a, result)
            return ERRNO_NAMES.get(result, str(result))
        return show(result)

    # -- differences --------------------------------------------------------------------------

    def membership(self, S: State) -> tuple[tuple[Any, ...], ...]:
        """The entries of each list; corrupted ones as far as they can be followed."""
        return tuple(_walk(S, head, self.all_heads) for head, _ in self.heads)

    def changes(self, before: State, after: State) -> list[str]:
        """What differs, one line each."""
        slots = [i for i, old in enumerate(before) if i > 1 and old is not after[i]]
        slots = [i for i in slots if before[i] != after[i]]
        out = []
        objects: dict[Any, None] = {}
        for slot in slots:
            if (before[slot] is FREED) != (after[slot] is FREED):
                objects[self.owners[slot]] = None
        for owner in objects:
            out.append(f"{owner} {'freed' if after[owner.slots[0]] is FREED else 'allocated'}")
        for slot in slots:
            if self.shown[slot] and self.owners[slot] not in objects:
                out += self._slot(slot, before, after)
        if any(self.is_link[slot] for slot in slots):
            out += self._lists(self.membership(before), self.membership(after))
        return out

    def _slot(self, slot: int, before: State, after: State) -> list[str]:
        kind, name = self.kinds[slot], self.names[slot]
        old, new = before[slot], after[slot]
        bits = self.bits(kind)
        if bits is not None and isinstance(old, int) and isinstance(new, int):
            delta = [f"+{n}" for n, b in bits.items() if new & b and not old & b]
            delta += [f"-{n}" for n, b in bits.items() if old & b and not new & b]
            return [f"{name}: {' '.join(delta)}"] if delta else []
        owner = self.owners[slot]
        if kind == "frame.valid":
            return [f"{owner}: {_page_type(before, owner)} -> {_page_type(after, owner)}"]
        if kind == "frame.blocked":
            if not after[owner.valid]:
                return []
            return [f"{owner}: blocked" if new is not None else f"{owner}: unblocked"]
        if kind == "sgx_epc_page.isolator":
            return [f"{owner}: isolated by {new}" if new else f"{owner}: no longer isolated"]
        short = name.removesuffix(".refs").removesuffix(".counter")
        return [f"{short}: {self.value(slot, old)} -> {self.value(slot, new)}"]

    def _lists(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> list[str]:
        out = []
        was, now = self._homes(before), self._homes(after)
        for entry in [*was, *(e for e in now if e not in was)]:
            if was.get(entry) != now.get(entry):
                out.append(f"{entry}: {_on(was.get(entry))} -> {_on(now.get(entry))}")
        if not out:
            for (_, name), old, new in zip(self.heads, before, after, strict=True):
                if old != new and new:
                    out.append(f"{name}: {', '.join(map(str, new))}")
        return out

    def _homes(self, lists: tuple[Any, ...]) -> dict[Any, list[str]]:
        homes: dict[Any, list[str]] = {}
        for (_, name), members in zip(self.heads, lists, strict=True):
            for entry in members:
                homes.setdefault(entry, []).append(name)
        return homes


MAY_BE_NULL = frozenset(
    {"kzalloc", "xa_load", "list_first_entry_or_null", "shmem_find_get_page", "page_behind"}
)


def _shown(kind: str) -> bool:
    struct, _, field = kind.partition(".")
    if kind in HARDWARE or kind.endswith((".refs", ".counter")):
        return True
    if kind.endswith((*HIDDEN, ".next", ".prev")) or struct not in SHOWN:
        return False
    return ".entries" not in kind and field != "leaked"


def _list_name(name: str, several_nodes: bool) -> str:
    if name.startswith("node") and several_nodes:
        return name
    return name.rpartition(".")[2]


def _walk(S: State, head: list_head, heads: set[Any]) -> tuple[Any, ...]:
    """The entries; of a corrupted list up to the entry that does not point back."""
    out: list[Any] = []
    before, pos = head, S[head.next]
    while isinstance(pos, list_head) and pos not in heads and pos.container not in out:
        out.append(pos.container)
        if S[pos.prev] is not before:
            break
        before, pos = pos, S[pos.next]
    return tuple(out)


def _page_type(S: State, frame: Any) -> str:
    return f"{S[frame.page_type]} page" if S[frame.valid] else "invalid"


def _on(lists: list[str] | None) -> str:
    return " and ".join(lists) if lists else "no list"
