# SPDX-License-Identifier: GPL-2.0-only
"""Whether what a mutant changes is walked: each statement, and each way past an ``if``.

A space that closed says nothing of an error path that it never takes.  So a
mutant is equivalent only where every interleaving of some scenarios comes to
all that it changes.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator

from sgxmodel.machine.graph import KernelFunction
from sgxmodel.mutate.catalogue import with_changes
from sgxmodel.mutate.operators.base import Suite, is_ghost, suites
from sgxmodel.revisions import Revision

PREFIX = "walked "
Walk = tuple[str, int, int, bool]
"""(file, line, column, whether past the ``if`` that begins there)."""


def watched(target: Revision) -> Revision:
    """The same code, which says ``sometimes`` wherever it comes."""
    functions = target.program.functions.items()
    marked = tuple((name, _marked(fn.source)) for name, fn in functions)
    return with_changes(target, f"{target.name}, watched", marked)


def _marked(fn: KernelFunction) -> ast.FunctionDef:
    tree = copy.deepcopy(fn.tree)
    for suite in list(suites(tree)):
        suite[:] = [s for stmt in suite for s in _with_mark(fn.filename, stmt)]
    return ast.fix_missing_locations(tree)


def _with_mark(filename: str, stmt: ast.stmt) -> Iterator[ast.stmt]:
    if not is_ghost(stmt):
        yield _mark(filename, stmt, past=False)
        if isinstance(stmt, ast.If) and not stmt.orelse:
            stmt.orelse = [_mark(filename, stmt, past=True)]
    yield stmt


def _mark(filename: str, stmt: ast.stmt, past: bool) -> ast.stmt:
    said = ast.Constant(PREFIX + repr((filename, stmt.lineno, stmt.col_offset, past)))
    call = ast.Call(ast.Name("sometimes", ast.Load()), [said], [])
    return ast.copy_location(ast.Expr(call), stmt)


def walks(seen: Iterable[str]) -> frozenset[Walk]:
    """What a watched revision said."""
    said = (what for what in seen if what.startswith(PREFIX))
    return frozenset(ast.literal_eval(what.removeprefix(PREFIX)) for what in said)


def needed(fn: KernelFunction, new: ast.FunctionDef) -> frozenset[Walk]:
    """All walks of the statements that a mutant changes, and of those in them."""
    return frozenset(
        walk
        for stmt in changed(fn.tree.body, new.body)
        for inner in (stmt, *_inner(stmt))
        if not is_ghost(inner)
        for walk in _walks_of(fn.filename, inner)
    )


def _walks_of(filename: str, stmt: ast.stmt) -> Iterator[Walk]:
    yield (filename, stmt.lineno, stmt.col_offset, False)
    if isinstance(stmt, ast.If) and not stmt.orelse:
        yield (filename, stmt.lineno, stmt.col_offset, True)


def _inner(stmt: ast.stmt) -> Iterator[ast.stmt]:
    for suite in _parts(stmt):
        for inner in suite:
            if not is_ghost(inner):
                yield inner
                yield from _inner(inner)


def _parts(stmt: ast.stmt) -> list[Suite]:
    return [getattr(stmt, name, []) for name in ("body", "orelse")]


def changed(old: Suite, new: Suite) -> Suite:
    """The statements of the innermost suite that differ; around what is put in, its neighbours."""
    before, after = [_dump(s) for s in old], [_dump(s) for s in new]
    low = 0
    while low < min(len(old), len(new)) and before[low] == after[low]:
        low += 1
    high = 0
    while high < min(len(old), len(new)) - low and before[-1 - high] == after[-1 - high]:
        high += 1
    here = old[low : len(old) - high]
    if len(here) == 1 and len(new) == len(old):
        one, two = here[0], new[low]
        differ = [p for p in zip(_parts(one), _parts(two), strict=True) if _differ(*p)]
        if type(one) is type(two) and len(differ) == 1 and _head(one) == _head(two):
            return changed(*differ[0])
    return here or old[max(0, low - 1) : low + 1]


def _differ(one: Suite, two: Suite) -> bool:
    return [_dump(s) for s in one] != [_dump(s) for s in two]


def _head(stmt: ast.stmt) -> list[str]:
    names = ("test", "target", "iter")
    return [ast.dump(part) for n in names if (part := getattr(stmt, n, None)) is not None]


def _dump(stmt: ast.stmt) -> str:
    return ast.dump(stmt)


def shown(walk: Walk) -> str:
    """In words."""
    _, line, _, past = walk
    return f"past the if in line {line}" if past else f"to line {line}"
