# SPDX-License-Identifier: GPL-2.0-only
"""The peers' bounded reclaimer as a label machine: each numbered line is one operation.

The numbers are those of the Promela and TLA+ models that the counts of states
come from; a task's local state is ``(label, locals...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from properties.peers_steps import (
    BEING,
    FREE,
    ISOLATED,
    LARGE,
    LINKED,
    LIST,
    LRU,
    MEDIUM,
    NONE,
    SMALL,
    UNRECLAIMABLE,
    E,
    Lines,
    P,
    Size,
    T,
    V,
)
from sgxmodel.search.explore.machine import Check, Problem, Row

__all__ = ["LARGE", "MEDIUM", "SMALL", "Peers", "Size"]

Fn = Callable[..., Any]


class Peers(Lines):
    """The machine of one size with one of the seeded bugs, or none (0)."""

    def __init__(self, size: Size, bug: int = 0) -> None:
        self.size, self.bug = size, bug
        self.checks: Sequence[Check] = (self.check,)
        n, e = size.n, size.e
        self.flags = 5
        self.own = self.flags + 6 * n
        self.ref = self.own + n - 1
        self.el = self.ref + e + 1
        self.kinds: Sequence[str] = (
            ["free", "unreclaimable", "list", "isolated", "lru"]
            + [flag for flag in ("T", "P", "E", "V", "linked", "being") for _ in range(n)]
            + ["own"] * n + ["ref"] * e + ["el"] * e
        )  # fmt: skip
        faults = [(j - 1) % e + 1 for j in range(1, size.nf + 1)]
        self.enclave = [0, *range(1, e + 1), *faults]
        self.names: Sequence[str] = [
            "R",
            *(f"D{i}" for i in range(1, e + 1)),
            *(f"F{i}" for i in faults),
        ]
        self.code: dict[int, Fn] = {
            int(name[1:]): getattr(self, name) for name in dir(self) if name[1:].isdigit()
        }

    def first(self) -> tuple[list[Any], list[Any]]:
        s = self.size
        tracked = range(s.p0)
        row: list[Any] = [frozenset(range(s.p0, s.n)), frozenset(), tuple(tracked), (), 0]
        for flag in range(6):
            row += [int(flag in (T, E, LINKED) and p < s.p0) for p in range(s.n)]
        row += [p % s.e + 1 if p < s.p0 else 0 for p in range(s.n)]
        faults = self.enclave[1 + s.e :]
        row += [1 + faults.count(e) for e in range(1, s.e + 1)]
        row += [0] * s.e
        reclaimer = (0, s.r, 0, NONE, 0, 0, NONE, NONE)
        droppers = [(60, s.dn, NONE) for _ in range(s.e)]
        return row, [reclaimer, *droppers, *((70, s.fn, NONE, 0) for _ in faults)]

    # -- the interface --------------------------------------------------------------------

    def done(self, t: int, local: Any) -> bool:
        return bool(local[0] == 99 or (local[0] == 0 and local[1] == 0))

    def outcomes(self, t: int, local: Any, S: Any) -> int:
        label = local[0]
        lock = self._wanted(t, local, S)
        if lock is not None:
            S.waits(lock)
            if S[lock]:
                return 0
            return 1
        if self.done(t, local):
            return 0
        if label == 7:
            return 2 if local[4] < len(S[ISOLATED]) else 1
        if label == 9:
            return 2
        if label == 61:
            return max(1, len(self._pick(t, S)))
        if label == 71:
            return (3 if self.bug == 2 else 2) if S[FREE] else 1
        return 1

    def _wanted(self, t: int, local: Any, S: Any) -> int | None:
        """The lock that an operation takes."""
        label = local[0]
        if label in (10, 51, 62, 72) or (label == 0 and local[1]):
            return LRU
        if label in (60, 70) and local[1]:
            return int(self.el + self.enclave[t] - 1)
        if label == 8:
            return self.el + int(local[5]) - 1
        if label in (14, 16):
            page = S[ISOLATED][local[4] if label == 14 else 0]
            return self.el + int(S[self.own + page]) - 1
        return None

    def apply(self, t: int, local: Any, choice: int, S: Any) -> Any:
        lock = self._wanted(t, local, S)
        if lock is not None:
            S.acquire(lock)
            S[lock] = 1
        return self.code[local[0]](t, local, choice, S)

    def check(self, row: Row) -> list[Problem]:
        out = []
        queues = [row[FREE], row[UNRECLAIMABLE], frozenset(row[LIST]), frozenset(row[ISOLATED])]
        if sum(map(len, queues)) != len(frozenset().union(*queues)):
            out.append(Problem("I1", "a page is on two lists"))
        for p in range(self.size.n):
            queued = p in queues[2] or p in queues[3]
            if p in queues[0] and any(row[self._at(flag, p)] for flag in (T, P, E, V, LINKED)):
                out.append(Problem("I2", f"page {p} is free and in use"))
            if row[self._at(P, p)] and not queued:
                out.append(Problem("I3", f"page {p} is in progress on no list"))
            if row[self._at(V, p)] and queued:
                out.append(Problem("I4", f"page {p} is a version array on a list"))
        return out

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        return slot < LRU or self.flags <= slot < self._at(BEING, 0)

    def final(self, row: Row) -> list[Problem]:
        lost = len(row[FREE]) != self.size.n
        return [Problem("I8", "pages are lost")] if lost else []
