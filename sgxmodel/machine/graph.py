# SPDX-License-Identifier: GPL-2.0-only
"""What the notation is compiled to: blocks of local code between operations."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import attrs


@attrs.define(eq=False)
class Block:
    """Straight local code (``body``) and one way out (``end``)."""

    lineno: int
    body: list[ast.stmt] = attrs.field(factory=list)
    end: Any = None
    result: str | None = None
    """Name that takes the result of the operation before this block."""
    site: tuple[int, str] | None = None
    """Line and source text of the operation before this block."""


@attrs.define(eq=False)
class Yield:
    """Leave with a request: an operation or a call; go on in ``next`` with its result."""

    request: ast.expr
    next: Block


@attrs.define(eq=False)
class Branch:
    test: ast.expr
    then: Block
    orelse: Block


@attrs.define(eq=False)
class Jump:
    next: Block


@attrs.define(eq=False)
class Return:
    value: ast.expr


@attrs.define(eq=False)
class KernelFunction:
    """A function of the notation: its graph, and the names that it needs at link time."""

    name: str
    filename: str
    lineno: int
    params: tuple[str, ...]
    entry: Block
    calls: dict[str, int]
    """Functions that it calls, by name, with the first line that does."""
    arities: dict[tuple[str, int], int]
    """(called function, number of arguments) -> line."""
    tree: ast.FunctionDef
    original: Callable[..., Any]
    globals: dict[str, Any]
    shown: str
    """The kernel function that reports name: a part of it may be replaceable by itself."""
    extra: dict[str, Any]
    """Names that the lowering itself brought in (primitives, list walks)."""

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.name} is model code: run it through a System")
