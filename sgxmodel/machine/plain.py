# SPDX-License-Identifier: GPL-2.0-only
"""A third opinion: model code run as the ordinary Python that it looks like, by one task.

Handles are wrapped in views, so that ``page.flags`` reads a slot at once and
``page.flags = 0`` writes it; primitives are callables that take effect at once.
Control flow is Python's own.  The syntax tree is changed in two points only:
``goto`` becomes an exception, and a field whose address is taken is not read.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

from sgxmodel.machine.generators import function_code, structured
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.layout import CHOICE, CURRENT, FIELD_NAMES, Layout, State, Struct
from sgxmodel.machine.op import LOAD, STORE, Fault, Primitive
from sgxmodel.machine.program import Program, bind


class WouldBlock(RuntimeError):
    """The only task waits for what no other task can bring about."""


class View:
    """A handle as model code sees it: its fields hold values, not slot numbers."""

    __slots__ = ("_handle", "_run")

    def __init__(self, handle: Struct, run: PlainRun) -> None:
        object.__setattr__(self, "_handle", handle)
        object.__setattr__(self, "_run", run)

    @property  # type: ignore[misc]  # isinstance sees the struct
    def __class__(self) -> type[Any]:
        return type(self._handle)

    def __repr__(self) -> str:
        return repr(self._handle)

    def __getattr__(self, field: str) -> Any:
        place = getattr(self._handle, field)
        if not FIELD_NAMES[field]:
            place = LOAD.apply(self._run.state, place, None)
        return self._run.wrap(place)

    def __setattr__(self, field: str, value: Any) -> None:
        assert not FIELD_NAMES[field], f"{field} is an address"
        STORE.apply(self._run.state, getattr(self._handle, field), self._run.unwrap(value))


class PlainRun:
    """A program on one state, with one task; ``choose(n)`` picks one of n outcomes."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        state: State,
        current: Struct | None = None,
        choose: Callable[[int], int] = lambda n: 0,
    ) -> None:
        self.layout = layout
        self.state = state
        self.current = current
        self.choose = choose
        self.views: dict[Struct, View] = {}
        sources = {name: fn.source for name, fn in program.functions.items()}
        self.functions = {name: self._function(fn) for name, fn in sources.items()}
        for function in self.functions.values():
            function.__globals__.update(self.functions)

    def call(self, name: str, *args: Any) -> Any:
        """Run one call to its end; handles go in and come out as handles."""
        return self.unwrap(self.functions[name](*map(self.wrap, args)))

    def wrap(self, value: Any) -> Any:
        """A value as model code sees it: the same view for the same handle."""
        if isinstance(value, tuple):
            return tuple(map(self.wrap, value))
        if not isinstance(value, Struct):
            return value
        if value not in self.views:
            self.views[value] = View(value, self)
        return self.views[value]

    def unwrap(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self.unwrap, value))
        return value._handle if type(value) is View else value

    def _function(self, fn: KernelFunction) -> FunctionType:
        tree, raised = structured(fn)
        _Addresses(fn.globals).visit(tree)
        code = function_code(tree, fn.filename)
        space = bind(code.co_names, fn.globals, self.layout)
        space = {name: self._seen(value) for name, value in space.items()} | raised
        space["__address"] = lambda view, field: getattr(view._handle, field)
        return FunctionType(code, space, fn.name)

    def _seen(self, value: Any) -> Any:
        """What a module-level name means to model code."""
        if isinstance(value, Primitive):
            return partial(self._operate, value)
        if hasattr(value, "__walk__"):
            return partial(self._walk, *value.__walk__)
        if getattr(value, "__pure__", False):
            return lambda *args: self.wrap(value(*map(self.unwrap, args)))
        return self.wrap(value)

    def _operate(self, prim: Primitive, *args: Any) -> Any:
        _, a, b = prim.operation([self.unwrap(arg) for arg in args])
        state = self.state
        state[CURRENT] = self.current
        if prim.enabled and not prim.enabled(state, a, b):
            raise WouldBlock(prim.name)
        if prim.choices:
            state[CHOICE] = self.choose(prim.choices(state, a, b))
        try:
            result = prim.apply(state, a, b)
        except Fault as fault:
            if fault.fatal:
                raise
            result = fault.result
        finally:
            state[CHOICE] = 0
        return self.wrap(result)

    def _walk(
        self, safe: bool, following: Primitive, entry: Callable[[Any], Any], head: View
    ) -> Iterator[Any]:
        pos = self._operate(following, head)
        ahead = self._operate(following, pos) if safe else None
        while pos is not head:
            yield self.wrap(entry(self.unwrap(pos)))
            if safe:
                pos, ahead = ahead, self._operate(following, ahead)
            else:
                pos = self._operate(following, pos)


class _Addresses(ast.NodeTransformer):
    """``test_bit(0, page.flags)`` takes the address of flags: C's ``&`` made explicit."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        target = self.names.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if isinstance(target, Primitive):
            node.args = [
                self.address(arg) if param in target.addresses else arg
                for param, arg in zip(target.params, node.args, strict=True)
            ]
        return node

    @staticmethod
    def address(arg: ast.expr) -> ast.expr:
        assert isinstance(arg, ast.Attribute)
        parts = [arg.value, ast.Constant(arg.attr)]
        return ast.copy_location(ast.Call(ast.Name("__address", ast.Load()), parts, []), arg)
