# SPDX-License-Identifier: GPL-2.0-only
"""17-lock-order: lockdep's graph of lock classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sgxmodel.kernel.srcu import srcu_struct

Edge = tuple[str, str]


class LockGraph:
    """Which class was ever taken with which other held; a cycle is an inversion.

    As in Documentation/locking/lockdep-design.rst: one order seen anywhere is
    enough, the deadlock itself need not happen.  Nested locks of one class
    (two enclaves' mutexes) would be a cycle of length one.
    """

    def __init__(self) -> None:
        self.after: dict[str, dict[str, str]] = {}

    def acquire(self, held: Iterable[str], new: str, where: str) -> list[str] | None:
        """Note an acquisition.  A cycle, as the chain of classes, or None."""
        for old in held:
            known = self.after.setdefault(old, {})
            if new in known:
                continue
            known[new] = where
            chain = self._path(new, old)
            if chain is not None:
                return chain
        return None

    def where(self, first: str, then: str) -> str:
        """The function in which an order was first seen."""
        return self.after.get(first, {}).get(then, "?")

    def _path(self, start: str, goal: str) -> list[str] | None:
        todo: list[list[str]] = [[start]]
        seen = {start}
        while todo:
            path = todo.pop()
            if path[-1] == goal:
                return path
            for following in self.after.get(path[-1], {}):
                if following not in seen:
                    seen.add(following)
                    todo.append([*path, following])
        return None


def is_srcu(lock: Any) -> bool:
    """Whether this is a read section rather than a lock."""
    return isinstance(lock, srcu_struct)


def classes_of(held: Iterable[Any], new: Any) -> tuple[list[str], str]:
    """Lockdep's classes of the locks held, and of the one that is taken.

    A second lock of one class is of a subclass (SINGLE_DEPTH_NESTING): fork has
    the parent's mmap_lock when it takes the child's.
    """
    seen: dict[str, int] = {}
    classes = []
    for lock in held:
        if lock is not new:
            depth = seen[lock.kind] = seen.get(lock.kind, -1) + 1
            classes.append(_class(lock, depth))
    return classes, _class(new, seen.get(new.kind, -1) + 1)


def _class(lock: Any, depth: int) -> str:
    return f"{lock.kind}/{depth}" if depth and "mmap_lock" in lock.kind else str(lock.kind)
