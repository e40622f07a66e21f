# SPDX-License-Identifier: GPL-2.0-only
"""Small edits of model functions: known faults put back, helper questions, mutants."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

from sgxmodel.errors import LinkError
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.notation import compile_tree


def edited(fn: Callable[..., Any], *changes: tuple[str, str], **names: Any) -> KernelFunction:
    """A function with snippets of its text replaced; each must occur exactly once.

    Snippets are compared with the function's normalised text
    (``ast.unparse``), so they survive reformatting.  ``names`` are what the
    new text refers to and the module does not know.
    """
    assert isinstance(fn, KernelFunction)
    text = ast.unparse(fn.tree)
    for old, new in changes:
        lines = [re.escape(line.strip()) for line in old.strip().splitlines()]
        found = list(re.finditer(r"\n *".join(lines), text))
        if len(found) != 1:
            raise LinkError(f"{fn.name}: '{old}' occurs {len(found)} times, not once")
        start, end = found[0].span()
        indent = " " * (start - (text.rfind("\n", 0, start) + 1))
        new = textwrap.dedent(new).strip().replace("\n", "\n" + indent)
        text = text[:start] + new + text[end:]
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    ast.increment_lineno(node, fn.lineno - 1)
    return _compiled(fn, node, names)


def with_body(fn: KernelFunction, body: str, **names: Any) -> KernelFunction:
    """A function that keeps its name and parameters, and does something else.

    ``names``: what the new body refers to and the module does not know.
    """
    node = copy.deepcopy(fn.tree)
    node.body = ast.parse(textwrap.dedent(body)).body
    for part in node.body:
        ast.increment_lineno(part, fn.lineno - 1)
    return _compiled(fn, node, names)


def _compiled(fn: KernelFunction, node: ast.FunctionDef, names: dict[str, Any]) -> KernelFunction:
    original = fn.original
    carrier = FunctionType(original.__code__, {**original.__globals__, **names}, fn.name)
    compiled = compile_tree(node, fn.filename, carrier)
    compiled.shown = fn.shown
    return compiled
