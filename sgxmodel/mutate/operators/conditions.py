# SPDX-License-Identifier: GPL-2.0-only
"""Conditions: negated, weakened, always or never true."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sgxmodel.mutate.operators.base import (
    Edit,
    called,
    expressions,
    operator,
    replace,
    statements,
    text,
)

Tests = ast.If | ast.While


def _tests(tree: ast.FunctionDef) -> Iterator[ast.expr]:
    for _, _, stmt in statements(tree):
        if isinstance(stmt, Tests) and not isinstance(stmt.test, ast.Constant):
            yield stmt.test


def _core(test: ast.expr) -> ast.expr:
    """What a WARN_ON() tests: the warning itself stays."""
    return test.args[0] if called(test) == "WARN_ON" else test  # type: ignore[attr-defined]


@operator(
    "negate-condition",
    "a test is the other way round",
    "if list_empty(iso):\n    return",
    "if not list_empty(iso):\n    return",
)
def negate(tree: ast.FunctionDef) -> Iterator[Edit]:
    for whole in _tests(tree):
        test = _core(whole)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yield replace(test, ast.unparse(test.operand))
        else:
            yield replace(test, f"not ({ast.unparse(test)})")


@operator(
    "drop-condition",
    "one part of a condition is missing",
    "if page.owner and page.flags & TRACKED:\n    return",
    "if page.owner:\n    return",
)
def drop_condition(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                rest = [v for v in node.values if v is not part]
                new = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                yield replace(node, ast.unparse(new), f"drop '{text(part)}' of '{text(node)}'")


@operator(
    "and-or",
    "'and' for 'or', and back",
    "if page.owner and page.flags & TRACKED:\n    return",
    "if page.owner or page.flags & TRACKED:\n    return",
)
def and_or(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield replace(node, ast.unparse(ast.BoolOp(other, node.values)))


@operator(
    "always",
    "a test is always true, or never",
    "if list_empty(iso):\n    return",
    "if True:\n    return",
)
def always(tree: ast.FunctionDef) -> Iterator[Edit]:
    for whole in _tests(tree):
        test = _core(whole)
        for value in (True, False):
            if called(whole) == "WARN_ON" and value:
                continue  # a warning that always fires says so itself
            yield replace(
                whole,
                _keeping_effects(test, value),
                f"'{text(test)}' is taken for {'true' if value else 'false'}",
            )


def _keeping_effects(test: ast.expr, value: bool) -> str:
    """A test with an effect (a reference taken) still has it."""
    if any(called(n) == "kref_get_unless_zero" for n in ast.walk(test)):
        return f"({ast.unparse(test)}) or True" if value else f"({ast.unparse(test)}) and False"
    return str(value)


@operator(
    "comparison",
    "another comparison: < for <=, == for !=",
    "return free < watermark",
    "return free <= watermark",
)
def comparison(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            for new in OTHER.get(type(node.ops[0]), ()):
                yield replace(node, ast.unparse(ast.Compare(node.left, [new()], node.comparators)))


OTHER: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
