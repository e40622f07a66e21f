# SPDX-License-Identifier: GPL-2.0-only
"""What an operator is, and how an edit of a syntax tree is described and made."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

import attrs

Suite = list[ast.stmt]

GHOSTS = frozenset(
    {
        "sometimes", "label", "isolated", "unisolated", "leaked", "out_of_scope", "retry",
        "note_exhaustion", "nothing_was_left", "busy_means_somebody_makes_room",
        "might_sleep", "WARN_ON", "ENCLS_WARN",
    }
)  # fmt: skip
"""Statements that are not the kernel's code, or change nothing when they go: not mutated."""
CONDITIONS = frozenset({"WARN_ON", "encls_failed"})
LOCKS = {
    "spin_lock": "spin_unlock",
    "mutex_lock": "mutex_unlock",
    "down_read": "up_read",
    "down_write": "up_write",
}
UNLOCKS = frozenset(LOCKS.values())


@attrs.frozen(eq=False)
class Edit:
    """One change of one function.

    ``at``: the node whose line is named; ``what``: the change in words;
    ``change(twin)``: makes it on a copy, where ``twin(x)`` is the copy of ``x``.
    """

    at: ast.AST
    what: str
    change: Callable[[Callable[[Any], Any]], None]

    def apply(self, tree: ast.FunctionDef) -> ast.FunctionDef:
        """A changed copy of the function."""
        memo: dict[int, Any] = {}
        new = copy.deepcopy(tree, memo)
        self.change(lambda node: memo[id(node)])
        return ast.fix_missing_locations(new)


@attrs.frozen
class Operator:
    """A kind of change: its name, a sentence, and an example of itself."""

    name: str
    about: str
    before: str
    after: str
    edits: Callable[[ast.FunctionDef], Iterator[Edit]] = attrs.field(eq=False)


OPERATORS: dict[str, Operator] = {}
Edits = Callable[[ast.FunctionDef], Iterator[Edit]]


def operator(name: str, about: str, before: str, after: str) -> Callable[[Edits], Edits]:
    """Enter an operator into the table.  ``after`` is one of the results on ``before``."""

    def wrap(edits: Edits) -> Edits:
        OPERATORS[name] = Operator(name, about, before, after, edits)
        return edits

    return wrap


# -- what there is in a function ------------------------------------------------------------


def suites(tree: ast.FunctionDef) -> Iterator[Suite]:
    """Every list of statements, outermost first; those of assertions are left out."""
    todo: list[Suite] = [tree.body]
    while todo:
        suite = todo.pop(0)
        yield suite
        for stmt in suite:
            if not is_ghost(stmt):
                todo += [part for name in ("body", "orelse") if (part := getattr(stmt, name, []))]


def statements(tree: ast.FunctionDef) -> Iterator[tuple[Suite, int, ast.stmt]]:
    """Every statement of the kernel's, with its place."""
    for suite in suites(tree):
        for i, stmt in enumerate(suite):
            if not is_ghost(stmt):
                yield suite, i, stmt


def expressions(tree: ast.FunctionDef) -> Iterator[ast.expr]:
    """Every expression in the kernel's statements, outer ones first."""
    for _, _, stmt in statements(tree):
        yield from own_expressions(stmt)


def own_expressions(stmt: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement, without those of the statements in it."""
    todo: list[ast.AST] = [c for c in ast.iter_child_nodes(stmt) if isinstance(c, ast.expr)]
    if isinstance(stmt, ast.AnnAssign):
        todo = [c for c in (stmt.target, stmt.value) if c is not None]
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.expr):
            if called(node) == "WARN_ON":
                todo = [node.args[0], *todo]  # type: ignore[attr-defined]
                continue
            yield node
        todo = [*ast.iter_child_nodes(node), *todo]


def is_ghost(stmt: ast.stmt) -> bool:
    """Docstrings, declarations, ghost state, assertions, and what only holds such."""
    if isinstance(stmt, ast.Expr):
        return isinstance(stmt.value, ast.Constant) or called(stmt.value) in GHOSTS
    if isinstance(stmt, ast.AnnAssign):
        return stmt.value is None
    if isinstance(stmt, ast.If) and not stmt.orelse:
        return all(is_ghost(s) for s in stmt.body)
    return isinstance(stmt, ast.Pass)


def called(node: ast.AST | None) -> str:
    """The name that a call calls; '' if it is none."""
    if isinstance(node, ast.Expr):
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id
    return ""


def text(node: ast.AST) -> str:
    """A node as one short line."""
    line = ast.unparse(node).splitlines()[0]
    return line if len(line) <= 70 else line[:67] + "..."


# -- changes ----------------------------------------------------------------------------------


def delete(suite: Suite, i: int, what: str | None = None) -> Edit:
    """A statement goes."""
    stmt = suite[i]

    def change(twin: Callable[[Any], Any]) -> None:
        twin(suite)[i] = ast.copy_location(ast.Pass(), stmt)

    return Edit(stmt, what or f"drop '{text(stmt)}'", change)


def replace(old: ast.expr, new: ast.expr | str, what: str | None = None) -> Edit:
    """An expression becomes another one."""
    made = ast.parse(new, mode="eval").body if isinstance(new, str) else new

    def change(twin: Callable[[Any], Any]) -> None:
        target = twin(old)
        fresh = copy.deepcopy(made)
        for node in ast.walk(fresh):
            if isinstance(node, ast.expr):
                ast.copy_location(node, old)
        # The copy takes the place of the old node itself, whose parent is not known here.
        target.__class__ = fresh.__class__
        target.__dict__.clear()
        target.__dict__.update(fresh.__dict__)

    return Edit(old, what or f"'{text(old)}' becomes '{text(made)}'", change)


def rename(call: ast.Call, name: str) -> Edit:
    """A call calls another function."""
    return replace(call, ast.Call(ast.Name(name, ast.Load()), call.args, []))


def reorder(suite: Suite, i: int, j: int, what: str) -> Edit:
    """Two statements of a suite change places."""

    def change(twin: Callable[[Any], Any]) -> None:
        s = twin(suite)
        s[i], s[j] = s[j], s[i]

    return Edit(suite[i], what, change)


def neighbour(suite: Suite, i: int, step: int) -> int | None:
    """The next statement of the kernel's in a direction; labels are not crossed."""
    j = i + step
    while 0 <= j < len(suite):
        if called(suite[j]) == "label":
            return None
        if not is_ghost(suite[j]):
            return j
        j += step
    return None
