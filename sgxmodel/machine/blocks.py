# SPDX-License-Identifier: GPL-2.0-only
"""The back end: a graph of blocks becomes small Python functions.

``block(result, *live) -> (request, next block, live locals)``.  A local state
is (block, live locals, caller): an immutable value that is its own name, so
setting a task back costs nothing and retry loops close.  Only live locals are
carried: others would make states differ that go on alike.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from types import CodeType
from typing import Any

import attrs

from sgxmodel.errors import NotationError
from sgxmodel.machine.graph import (
    Block,
    Branch,
    Jump,
    KernelFunction,
    Return,
    Yield,
)
from sgxmodel.machine.layout import Param, Static


@attrs.frozen
class Site:
    """Where an operation stands in model code."""

    function: str
    filename: str
    lineno: int
    text: str

    def __str__(self) -> str:
        return f"{self.function}:{self.lineno}"


@attrs.define(eq=False)
class CodeBlock:
    """One compiled block: its name, its function's code, the operation that leads into it."""

    name: str
    code: CodeType
    site: Site | None


@attrs.define(eq=False)
class CompiledFunction:
    source: KernelFunction
    entry: str
    blocks: list[CodeBlock]
    known: dict[str, Any]
    """Global names that the blocks look up: what they mean in every configuration."""
    placed: dict[str, Static | Param]
    """The others: what they mean is for a layout to say."""


def compile_blocks(fn: KernelFunction) -> CompiledFunction:
    """Generate the block functions of one kernel function."""
    graph = _graph(fn.entry)
    live = _liveness(fn, graph)
    _check_set(fn, live[id(fn.entry)])
    heads = _heads(fn.entry, graph)
    names = {block: f"{fn.name}__{i}" for i, block in enumerate(heads)}
    emitter = _Emitter(fn, live, names)
    blocks = [emitter.function(block) for block in heads]
    known, placed = _globals(fn, {n for b in blocks for n in b.code.co_names})
    return CompiledFunction(fn, names[fn.entry], blocks, known, placed)


def _globals(
    fn: KernelFunction, needs: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Static | Param]]:
    every = {**fn.globals, **fn.extra}
    found = {name: every[name] for name in needs if name in every}
    placed = {name: value for name, value in found.items() if isinstance(value, Static | Param)}
    return {name: found[name] for name in found.keys() - placed.keys()}, placed


def _successors(block: Block) -> list[Block]:
    end = block.end
    if isinstance(end, Branch):
        return [end.then, end.orelse]
    if isinstance(end, Yield | Jump):
        return [end.next]
    return []


def _graph(entry: Block) -> list[Block]:
    """All blocks that can be reached, in a stable order; empty jumps are cut short."""
    order: list[Block] = []
    seen: set[int] = set()
    todo = [entry]
    while todo:
        block = todo.pop()
        if id(block) in seen:
            continue
        seen.add(id(block))
        order.append(block)
        if block.end is None:
            block.end = Return(ast.Constant(None))
        todo.extend(reversed(_successors(block)))
    return order


def _heads(entry: Block, graph: list[Block]) -> list[Block]:
    """Blocks that need a function: the entry, what follows an operation, joins."""
    arrivals: dict[int, int] = {}
    for block in graph:
        if not isinstance(block.end, Yield):
            for after in _successors(block):
                arrivals[id(after)] = arrivals.get(id(after), 0) + 1
    resumed = {id(block.end.next) for block in graph if isinstance(block.end, Yield)}
    return [b for b in graph if b is entry or id(b) in resumed or arrivals.get(id(b), 0) > 1]


def _uses(node: ast.AST | list[ast.stmt]) -> set[str]:
    nodes = node if isinstance(node, list) else [node]
    return {
        child.id
        for top in nodes
        for child in ast.walk(top)
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load)
    }


def _stores(stmt: ast.stmt) -> set[str]:
    return {
        child.id
        for child in ast.walk(stmt)
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
    }


def _liveness(fn: KernelFunction, graph: list[Block]) -> dict[int, set[str]]:
    """Locals that are live on entry to each block: the usual backward data flow."""
    local = set(fn.params)
    for block in graph:
        for stmt in block.body:
            local |= _stores(stmt)
        if block.result:
            local.add(block.result)
    live: dict[int, set[str]] = {id(b): set() for b in graph}
    changed = True
    while changed:
        changed = False
        for block in reversed(graph):
            now = set().union(*(live[id(s)] for s in _successors(block)), set())
            end = block.end
            for part in ("request", "test", "value"):
                if hasattr(end, part):
                    now |= _uses(getattr(end, part))
            for stmt in reversed(block.body):
                now = (now - _stores(stmt)) | _uses(stmt)
            now.discard(block.result or "")
            now &= local
            if now != live[id(block)]:
                live[id(block)] = now
                changed = True
    return live


def _check_set(fn: KernelFunction, live: set[str]) -> None:
    """A local that is live on entry can be used before it is set."""
    for node in ast.walk(fn.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in live.difference(fn.params):
                message = f"in {fn.name}: '{node.id}' may be used before it is set"
                raise NotationError(fn.filename, node.lineno, message)


class _Emitter:
    def __init__(
        self, fn: KernelFunction, live: dict[int, set[str]], names: dict[Block, str]
    ) -> None:
        self.fn = fn
        self.live = live
        self.names = names

    def parameters(self, block: Block) -> list[str]:
        if block is self.fn.entry:
            return list(self.fn.params)
        return sorted(self.live[id(block)])

    def function(self, block: Block) -> CodeBlock:
        params = [block.result or "__none", *self.parameters(block)]
        arguments = ast.arguments(
            posonlyargs=[],
            args=[ast.arg(p) for p in params],
            kwonlyargs=[],
            kw_defaults=[],
            defaults=[],
        )
        name = self.names[block]
        body = self.statements(block, top=True)
        node = ast.FunctionDef(name, arguments, body, [])
        node.lineno = node.end_lineno = block.lineno
        node.col_offset = node.end_col_offset = 0
        module = ast.fix_missing_locations(ast.Module([node], []))
        site = None
        if block.site:
            site = Site(self.fn.shown, self.fn.filename, block.site[0], block.site[1])
        outer = compile(module, self.fn.filename, "exec")
        code = next(c for c in outer.co_consts if isinstance(c, CodeType))
        return CodeBlock(name, code, site)

    def statements(self, block: Block, top: bool = False) -> list[ast.stmt]:
        if not top and block in self.names:
            call = ast.Call(
                self.load(self.names[block]),
                [ast.Constant(None), *map(self.load, self.parameters(block))],
                [],
            )
            return [self.put(ast.Return(call), block)]
        end: Any = block.end
        if isinstance(end, Jump):
            last = self.statements(end.next)
        elif isinstance(end, Branch):
            then, orelse = self.statements(end.then), self.statements(end.orelse)
            last = [self.put(ast.If(end.test, then, []), block), *orelse]
        elif isinstance(end, Yield):
            live = [self.load(n) for n in self.parameters(end.next)]
            parts: list[ast.expr] = [
                end.request,
                self.load(self.names[end.next]),
                ast.Tuple(live, ast.Load()),
            ]
            last = [self.put(ast.Return(ast.Tuple(parts, ast.Load())), block)]
        else:
            request = ast.Tuple([self.load("__return"), end.value], ast.Load())
            parts = [request, ast.Constant(None), ast.Tuple([], ast.Load())]
            last = [self.put(ast.Return(ast.Tuple(parts, ast.Load())), block)]
        return [*block.body, *last]

    @staticmethod
    def load(name: str) -> ast.expr:
        return ast.Name(name, ast.Load())

    @staticmethod
    def put(stmt: ast.stmt, block: Block) -> ast.stmt:
        stmt.lineno = stmt.end_lineno = block.lineno
        stmt.col_offset = stmt.end_col_offset = 0
        return stmt
