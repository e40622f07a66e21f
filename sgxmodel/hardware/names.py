# SPDX-License-Identifier: GPL-2.0-only
"""Canonical forms of the numbers that the CPU hands out, so that state spaces close.

Three counters only ever rise: eviction versions, enclave ids and tracking
epochs.  Of versions and ids nothing but equality is ever tested, and the next
one handed out differs from all that are in use; so any renaming of the ones in
use that keeps them apart, with the counter set to their number, gives a state
with the same future.  Of epochs order is tested (``epoch > since``,
``entry_epoch <= upto``), only between epochs of one enclave, and the enclave's
own is the highest; so each enclave's are replaced by their ranks.  Both are
automorphisms in the sense of Ip and Dill (FMSD 9, 1996).  Two things must be
so: the code never keeps such a number (:meth:`Names.hides` is for checking
that), and no slot but those listed here holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sgxmodel.hardware.epcm import PT_SECS, frame
from sgxmodel.machine.layout import FREED, Layout

NAMED = frozenset(
    {
        "frame.valid",
        "frame.page_type",
        "frame.enclavesecs",
        "frame.eid",
        "frame.epoch",
        "frame.blocked",
        "frame.changed",
        "frame.versions",
        "page.data",
        "cpu.version",
        "cpu.eid",
        "task_struct.inside",
        "task_struct.entry_epoch",
    }
)
SECRET = NAMED - {"frame.valid", "frame.page_type", "frame.enclavesecs"}


class Names:
    """Renames in place.  Results are remembered by the values that they depend on."""

    def __init__(self, layout: Layout) -> None:
        kinds = layout.kinds
        slots = [slot for slot, kind in enumerate(kinds) if kind in NAMED]
        self.slots = frozenset(slots)
        self.key = itemgetter(*slots)
        self.kinds = kinds
        self.frames = [h for h in _owners(layout, "frame.valid") if isinstance(h, frame)]
        self.cpus = _owners(layout, "task_struct.inside")
        self.data = [slot for slot, kind in enumerate(kinds) if kind == "page.data"]
        self.versions = [slot for slot, kind in enumerate(kinds) if kind == "frame.versions"]
        self.cpu = layout.namespace["cpu"]
        self.known: dict[Any, list[tuple[int, Any]]] = {}

    def hides(self, slot: int) -> bool:
        """Whether code must never read this slot."""
        return self.kinds[slot] in SECRET

    slots: frozenset[int]
    """All that matters for renaming, and all that it changes."""

    def canonical(self, row: list[Any]) -> None:
        """Rename everything in one shared state."""
        key = self.key(row)
        changes = self.known.get(key)
        if changes is None:
            changes = self.known[key] = [
                (slot, value) for slot, value in self._renamed(row) if row[slot] != value
            ]
        for slot, value in changes:
            row[slot] = value

    def _renamed(self, row: Sequence[Any]) -> list[tuple[int, Any]]:
        eids = _numbered(self._eids(row))
        versions = _numbered(self._versions(row))
        epochs = self._epochs(row)
        out: list[tuple[int, Any]] = [
            (self.cpu.eid, len(eids)),
            (self.cpu.version, len(versions)),
        ]
        for slot in self.versions:
            if row[slot]:
                out.append((slot, versions[row[slot]]))
        for slot in self.data:
            out.append((slot, _data(row[slot], eids, versions, epochs)))
        for p in self.frames:
            if row[p.eid]:
                out.append((p.eid, eids[row[p.eid]]))
                out.append((p.epoch, epochs[row[p.eid]][row[p.epoch]]))
            ranks = epochs.get(_parent(row, p))
            if ranks is not None:
                for slot in (p.blocked, p.changed):
                    if row[slot] is not None:
                        out.append((slot, ranks[row[slot]]))
        for cpu in self.cpus:
            eid = row[cpu.inside]
            if eid is not None:
                out.append((cpu.inside, eids[eid]))
                out.append((cpu.entry_epoch, epochs[eid][row[cpu.entry_epoch]]))
        return out

    def _eids(self, row: Sequence[Any]) -> set[int]:
        found = {row[p.eid] for p in self.frames if row[p.eid]}
        found |= {row[cpu.inside] for cpu in self.cpus if row[cpu.inside] is not None}
        return found | {_eid(seal) for slot in self.data for seal in _seals(row[slot])}

    def _versions(self, row: Sequence[Any]) -> set[int]:
        found = {row[slot] for slot in self.versions if row[slot]}
        return found | {seal[-1] for slot in self.data for seal in _seals(row[slot])}

    def _epochs(self, row: Sequence[Any]) -> dict[int, dict[int, int]]:
        """Enclave -> its epochs in use -> their ranks."""
        found: dict[int, set[int]] = {}
        for p in self.frames:
            if row[p.eid]:
                found.setdefault(row[p.eid], set()).add(row[p.epoch])
        for p in self.frames:
            eid = _parent(row, p)
            if eid:
                of = found.setdefault(eid, set())
                of |= {row[s] for s in (p.blocked, p.changed) if row[s] is not None}
        for cpu in self.cpus:
            if row[cpu.inside] is not None:
                found.setdefault(row[cpu.inside], set()).add(row[cpu.entry_epoch])
        for slot in self.data:
            for seal in _seals(row[slot]):
                if seal[0] == PT_SECS:
                    found.setdefault(seal[1][0], set()).add(seal[1][3])
        return {eid: {e: i for i, e in enumerate(sorted(used))} for eid, used in found.items()}


def _owners(layout: Layout, kind: str) -> list[Any]:
    return [layout.owners[slot] for slot, k in enumerate(layout.kinds) if k == kind]


def _numbered(values: set[int]) -> dict[int, int]:
    return {value: i for i, value in enumerate(sorted(values), 1)}


def _parent(row: Sequence[Any], p: frame) -> int:
    """The id of a child page's enclave, 0 where there is none."""
    secs = row[p.enclavesecs]
    if secs is None or not row[p.valid] or row[secs.page_type] != PT_SECS:
        return 0
    eid: int = row[secs.eid]
    return eid


def _seals(data: Any) -> list[Any]:
    """What was sealed in a page of the backing store: its contents, or its PCMDs."""
    if data is None or data is FREED:
        return []
    return [data] if isinstance(data[0], str) else [seal for _, seal in data]


def _eid(seal: Any) -> int:
    eid: int = seal[1][0] if seal[0] == PT_SECS else seal[1]
    return eid


def _data(data: Any, eids: Any, versions: Any, epochs: Any) -> Any:
    if data is None or data is FREED:
        return data
    if not isinstance(data[0], str):
        return tuple((at, _seal(seal, eids, versions, epochs)) for at, seal in data)
    return _seal(data, eids, versions, epochs)


def _seal(seal: Any, eids: Any, versions: Any, epochs: Any) -> Any:
    own = seal[1]
    if seal[0] == PT_SECS:
        own = (eids[own[0]], own[1], own[2], epochs[own[0]][own[3]], own[4])
    else:
        own = eids[own]
    return (seal[0], own, *seal[2:-1], versions[seal[-1]])
