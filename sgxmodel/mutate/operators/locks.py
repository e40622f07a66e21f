# SPDX-License-Identifier: GPL-2.0-only
"""Locks: dropped, moved, exchanged; sections that shrink, grow or go."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from sgxmodel.mutate.operators.base import (
    LOCKS,
    UNLOCKS,
    Edit,
    called,
    delete,
    neighbour,
    operator,
    rename,
    reorder,
    statements,
    text,
)

OTHER = {"down_read": "down_write", "up_read": "up_write", "down_write": "down_read"}
JUMPS = ast.Return | ast.Break | ast.Continue


@operator(
    "drop-lock",
    "one lock or unlock goes",
    "spin_lock(lru.lock)\nlist_del(page.list)\nspin_unlock(lru.lock)",
    "list_del(page.list)\nspin_unlock(lru.lock)",
)
def drop_lock(tree: ast.FunctionDef) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        if called(stmt) in LOCKS or called(stmt) in UNLOCKS:
            yield delete(suite, i)


@operator(
    "drop-section",
    "a lock and its unlocks go: what they held is done without",
    "spin_lock(lru.lock)\nlist_del(page.list)\nspin_unlock(lru.lock)",
    "list_del(page.list)",
)
def drop_section(tree: ast.FunctionDef) -> Iterator[Edit]:
    everything = list(statements(tree))
    for at, (suite, i, stmt) in enumerate(everything):
        name = called(stmt)
        if name not in LOCKS:
            continue
        lock = _argument(stmt)
        pairs = [(suite, i)]
        again = False
        for other, j, later in everything[:at] + everything[at + 1 :]:
            if _argument(later) != lock or later.lineno < stmt.lineno:
                continue
            again = again or called(later) == name
            if called(later) == LOCKS[name] and not again:
                pairs.append((other, j))

        def change(twin: Callable[[Any], Any], pairs: Any = pairs) -> None:
            for where, k in pairs:
                twin(where)[k] = ast.copy_location(ast.Pass(), where[k])

        yield Edit(stmt, f"drop the section of '{text(stmt)}'", change)


@operator(
    "shrink-section",
    "a locked section begins a statement later, or ends one earlier",
    "spin_lock(lru.lock)\nlist_del(page.list)\npage.flags = 0\nspin_unlock(lru.lock)",
    "spin_lock(lru.lock)\nlist_del(page.list)\nspin_unlock(lru.lock)\npage.flags = 0",
)
def shrink_section(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _moved(tree, 1, "after", "before")


@operator(
    "widen-section",
    "a locked section begins a statement earlier, or ends one later",
    "spin_lock(lru.lock)\nlist_del(page.list)\nspin_unlock(lru.lock)\npage.flags = 0",
    "spin_lock(lru.lock)\nlist_del(page.list)\npage.flags = 0\nspin_unlock(lru.lock)",
)
def widen_section(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _moved(tree, -1, "before", "after")


def _moved(tree: ast.FunctionDef, step: int, lock: str, unlock: str) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        name = called(stmt)
        if name in LOCKS:
            way, side = step, lock
        elif name in UNLOCKS:
            way, side = -step, unlock
        else:
            continue
        j = neighbour(suite, i, way)
        if j is None or isinstance(suite[j], JUMPS) or called(suite[j]) == "goto":
            continue
        yield reorder(suite, i, j, f"'{text(stmt)}' {side} '{text(suite[j])}'")


@operator(
    "swap-lock",
    "mmap_lock is taken for writing instead of reading, or the other way round",
    "down_read(mm.mmap_lock)",
    "down_write(mm.mmap_lock)",
)
def swap_lock(tree: ast.FunctionDef) -> Iterator[Edit]:
    everything = list(statements(tree))
    for _, _, stmt in everything:
        name = called(stmt)
        if name not in ("down_read", "down_write"):
            continue
        lock, ups = _argument(stmt), LOCKS[name]
        new = OTHER[name]
        parts = [rename(stmt.value, new)]  # type: ignore[attr-defined]
        for _, _, later in everything:
            if called(later) == ups and _argument(later) == lock:
                parts.append(rename(later.value, LOCKS[new]))  # type: ignore[attr-defined]

        def change(twin: Callable[[Any], Any], parts: list[Edit] = parts) -> None:
            for part in parts:
                part.change(twin)

        yield Edit(stmt, f"'{text(stmt)}' and its unlocks become {new}", change)


def _argument(stmt: ast.AST) -> str:
    if called(stmt) in LOCKS or called(stmt) in UNLOCKS:
        return ast.unparse(stmt.value.args[0])  # type: ignore[attr-defined]
    return ""
