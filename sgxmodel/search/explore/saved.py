# SPDX-License-Identifier: GPL-2.0-only
"""A search that was cut short, as numbers alone.

Nothing of the machine is written down.  Ids are given out in the order in which
steps are first met, so the ``log`` of those meetings, gone through once more,
gives every id its meaning back; ``proof`` says whether it did.  What remains is
integers: the levels, and what was learnt of the locks.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from sgxmodel.search.explore.discipline import Learnt, Locks

Levels = Sequence[Sequence[int]]


@attrs.frozen
class Mark:
    """Where a search was when a level was complete: how long its lists were, and its counts."""

    levels: int
    log: int
    proof: int
    transitions: int
    restarts: int
    executed: int
    widths: tuple[int, ...]
    learnt: Learnt


@attrs.frozen
class Saved:
    """A search up to a mark.  ``log``: (task, state) of each meeting."""

    mark: Mark
    log: Sequence[tuple[int, int]]
    levels: Levels

    def pack(self) -> bytes:
        """As bytes: a line of JSON, then what takes space."""
        mark = self.mark
        classes, locks, writers, trusted = mark.learnt
        size = _size(mark.widths)
        head = {
            **attrs.asdict(mark, filter=attrs.filters.exclude("learnt"), recurse=False),
            "learnt": [
                classes,
                _listed(locks.items()),
                _listed(writers.items()),
                _listed((slot, held) for slot in trusted for held in trusted[slot]),
            ],
            "levels": [len(level) for level in self.levels],
        }
        squeeze = zlib.compressobj(1)
        parts = [squeeze.compress(bytes(t for t, _ in self.log))]
        for level in ([state for _, state in self.log], *self.levels):
            parts.append(squeeze.compress(b"".join(s.to_bytes(size, "little") for s in level)))
        return json.dumps(head).encode() + b"\n" + b"".join(parts) + squeeze.flush()

    @staticmethod
    def unpack(data: bytes) -> Saved:
        """The other way.  What is wrong raises ValueError, TypeError, KeyError or zlib.error."""
        line, _, rest = data.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        lengths = head.pop("levels")
        classes, *held, relied = head.pop("learnt")
        locks, writers = ({slot: frozenset(by) for slot, by in pairs} for pairs in held)
        trusted: dict[int, set[Locks]] = {}
        for slot, by in relied:
            trusted.setdefault(slot, set()).add(frozenset(by))
        learnt = (classes, locks, writers, trusted)
        widths = tuple(head.pop("widths"))
        mark = Mark(levels=len(lengths), widths=widths, learnt=learnt, **head)
        raw = zlib.decompress(rest)
        tasks = raw[: mark.log]
        states, *levels = _levels(
            memoryview(raw)[mark.log :], [len(tasks), *lengths], _size(widths)
        )
        return Saved(mark, list(zip(tasks, states, strict=True)), levels)


def _listed(locks: Iterable[tuple[int, Locks]]) -> list[list[Any]]:
    return [[slot, sorted(held)] for slot, held in locks]


def _size(widths: Iterable[int]) -> int:
    """Bytes of a state."""
    return (sum(widths) + 7) // 8


def _levels(raw: memoryview, lengths: Iterable[int], size: int) -> Iterator[list[int]]:
    at = 0
    for length in lengths:
        ends = range(at, at + length * size, size)
        yield [int.from_bytes(raw[i : i + size], "little") for i in ends]
        at += length * size
    if at != len(raw):
        raise ValueError("levels and states do not fit")
