# SPDX-License-Identifier: GPL-2.0-only
"""Small helpers over Python syntax trees, for the lowering."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

PURE_BUILTINS = frozenset({"len", "min", "max", "bool", "int", "abs", "tuple", "isinstance"})

Node = TypeVar("Node", bound=ast.AST)


def at(new: Node, old: ast.AST) -> Node:
    ast.copy_location(new, old)
    for child in ast.walk(new):
        if not hasattr(child, "lineno") and isinstance(child, ast.expr | ast.stmt):
            ast.copy_location(child, old)
    return new


def expr(text: str, where: ast.AST) -> ast.expr:
    return at(ast.parse(text, mode="eval").body, where)


def assigned(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id


def map_children(node: ast.expr, change: Callable[[ast.expr], ast.expr]) -> ast.expr:
    """A copy of an expression with each direct part changed, in evaluation order."""

    def mapped(value: Any) -> Any:
        if isinstance(value, ast.expr):
            return change(value)
        if isinstance(value, list):
            return [mapped(v) for v in value]
        if isinstance(value, ast.slice):
            return value
        return value

    parts = {name: mapped(value) for name, value in ast.iter_fields(node)}
    return ast.copy_location(type(node)(**parts), node)


def shared(node: ast.AST, names: dict[str, Any]) -> bool:
    """Whether an expression needs operations or calls (then it cannot stay in one piece)."""
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute):
            return True
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
            target = names.get(child.func.id)
            if not (
                getattr(target, "__pure__", False)
                or (target is None and child.func.id in PURE_BUILTINS)
            ):
                return True
    return False


def keyword(node: ast.AST) -> str:
    names = {
        "With": "with",
        "Try": "try",
        "Delete": "del",
        "FunctionDef": "def",
        "ClassDef": "class",
        "ListComp": "list comprehension",
        "GeneratorExp": "generator expression",
        "NamedExpr": ":=",
        "JoinedStr": "f-string",
    }
    return names.get(type(node).__name__, type(node).__name__.lower())
