# SPDX-License-Identifier: GPL-2.0-only
"""The window through which operations run: it notes what they touch."""

from __future__ import annotations

from typing import Any

from sgxmodel.search.explore.machine import Row

Writes = dict[int, Any]


class Recording:
    """One shared state under change.  ``reads``: slots read before they were written."""

    __slots__ = (
        "locked",
        "prior",
        "reads",
        "released",
        "row",
        "scratch",
        "touched",
        "waited",
        "wanted",
        "work",
        "writes",
        "yielded",
    )

    def __init__(self, row: Row, scratch: int) -> None:
        self.row = row
        self.work = list(row)
        self.scratch = scratch
        self.reads: dict[int, None] = {}
        self.writes: Writes = {}
        self.prior: Writes = {}
        self.begin()

    def begin(self) -> None:
        """A new operation begins."""
        self.touched: dict[int, bool] = {}
        self.locked = self.released = self.wanted = -1
        self.waited = self.yielded = False

    def __getitem__(self, slot: int) -> Any:
        if slot not in self.writes:
            self.reads[slot] = None
        if slot not in self.touched:
            self.touched[slot] = False
        return self.work[slot]

    def __setitem__(self, slot: int, value: Any) -> None:
        self.work[slot] = self.writes[slot] = value
        self.touched[slot] = True

    def rewind(self, writes: Writes) -> None:
        """Set everything back to the row with some writes over it."""
        if writes is self.writes:  # where the last operation left it
            self.writes, self.prior = dict(writes), writes
            return
        self.work[:] = self.row
        self.writes, self.prior = dict(writes), writes
        for slot, value in writes.items():
            self.work[slot] = value

    def before(self, slot: int) -> Any:
        if slot not in self.prior:
            self.reads[slot] = None
            return self.row[slot]
        return self.prior[slot]

    def waits(self, lock: int = -1) -> None:
        self.waited, self.wanted = True, lock

    def acquire(self, slot: int) -> None:
        self.locked = slot

    def release(self, slot: int) -> None:
        self.released = slot

    def yields(self) -> None:
        self.yielded = True

    def slots(self) -> dict[int, bool]:
        """What the operation touched: slot -> whether it wrote."""
        return {s: w for s, w in self.touched.items() if s >= self.scratch}

    def delta(self) -> tuple[tuple[int, Any], ...]:
        """All writes so far."""
        return tuple((s, v) for s, v in self.writes.items() if s >= self.scratch)
