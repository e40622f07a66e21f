# SPDX-License-Identifier: GPL-2.0-only
"""The front end of the notation: a Python function becomes a graph of blocks.

What model code may use: assignments to local names and to fields, ``if``,
``while``, ``for ... in range(...)`` and the list walks, ``break``,
``continue``, ``return``, ``goto(name)`` and ``label(name)``, calls, and any
Python expression over locals and constants.  A dot is an access to shared
state, a plain name is a local.  Everything else is an error at file:line when
the function is defined.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from sgxmodel.errors import NotationError
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.lowering import Lowering

P = ParamSpec("P")
R = TypeVar("R")


def kernel(fn: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of the notation; errors are told at file:line, now."""
    return cast(Callable[P, R], compile_function(fn))


def part_of(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """As :func:`kernel`, for a piece of a kernel function that is replaceable by itself.

    Reports speak of ``name``, which is what a kernel developer knows.
    """

    def wrap(fn: Callable[P, R]) -> Callable[P, R]:
        compiled = compile_function(fn)
        compiled.shown = name
        return cast(Callable[P, R], compiled)

    return wrap


def compile_function(fn: Callable[..., Any]) -> KernelFunction:
    """Compile from source text.  Raises :class:`NotationError`."""
    filename = inspect.getsourcefile(fn) or "<unknown>"
    lines, first = inspect.getsourcelines(fn)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    ast.increment_lineno(tree, first - 1)
    node = tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        line = getattr(node, "lineno", first)
        raise NotationError(filename, line, "model code is a plain function ('def')")
    return compile_tree(node, filename, fn)


def compile_tree(node: ast.FunctionDef, filename: str, fn: Callable[..., Any]) -> KernelFunction:
    """Compile a syntax tree, edited or not: mutants are edits of the tree."""
    lowering = Lowering(node, filename, fn.__globals__)
    entry = lowering.run()
    return KernelFunction(
        name=node.name,
        filename=filename,
        lineno=node.lineno,
        params=lowering.params,
        entry=entry,
        calls=lowering.calls,
        arities=lowering.arities,
        tree=node,
        original=fn,
        globals=fn.__globals__,
        shown=node.name,
        extra=lowering.extra,
    )


def goto(name: Any) -> None:
    """Jump to ``label(name)`` further down in the same or an enclosing suite."""


def label(name: Any) -> None:
    """The target of :func:`goto`."""
