# SPDX-License-Identifier: GPL-2.0-only
"""Functions linked by name, and loaded for one configuration.

A program is a table of functions; a revision is another table laid over it.
Calls are by name, so a revision may replace any function and holds only what
it replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import attrs

from sgxmodel.errors import LinkError
from sgxmodel.machine.blocks import CompiledFunction, Site, compile_blocks
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.layout import Layout, Param, Static


def CALL() -> None:
    """Request: call a kernel function.  Only its identity matters."""


def RETURN() -> None:
    """Request: return to the caller.  Only its identity matters."""


Frame = tuple[Any, tuple[Any, ...], Any]
"""(block, live locals, calling frame or None)."""


def functions_of(*modules: ModuleType) -> dict[str, KernelFunction]:
    """The functions of the notation that are defined in (not imported into) the modules.

    Raises :class:`LinkError` where two modules define one.
    """
    found: dict[str, KernelFunction] = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, KernelFunction) and value.globals is vars(module):
                if name in found:
                    first = found[name].filename
                    raise LinkError(
                        f"{value.filename}:{value.lineno}: {name} is defined in {first}, too"
                    )
                found[name] = value
    return found


def statics_of(*modules: ModuleType) -> tuple[Static, ...]:
    """The static variables that the modules name, each once.  Raises :class:`LinkError`."""
    found: dict[str, Static] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Static) and found.setdefault(value.name, value) is not value:
                raise LinkError(f"{module.__name__}: there is a static {value.name} already")
    return tuple(found.values())


@attrs.define(eq=False)
class Program:
    """All functions of one revision, compiled; independent of any configuration."""

    functions: dict[str, CompiledFunction]

    @classmethod
    def link(cls, *tables: Mapping[str, KernelFunction]) -> Program:
        """Lay tables over each other, later ones win.  Raises :class:`LinkError`."""
        merged: dict[str, KernelFunction] = {}
        for table in tables:
            merged.update(table)
        for fn in merged.values():
            for name, lineno in fn.calls.items():
                if name not in merged:
                    raise LinkError(
                        f"{fn.filename}:{lineno}: {fn.name} calls {name}, which nobody defines"
                    )
            for (name, given), lineno in fn.arities.items():
                wanted = len(merged[name].params)
                if given != wanted:
                    raise LinkError(
                        f"{fn.filename}:{lineno}: {fn.name} calls {name} with {given} "
                        f"arguments, it takes {wanted}"
                    )
        return cls({name: _compiled(fn) for name, fn in merged.items()})

    def replace(self, table: Mapping[str, KernelFunction]) -> Program:
        """This program with some functions replaced by name."""
        for name in table:
            if name not in self.functions:
                raise LinkError(f"cannot replace {name}: this program does not have it")
        old = {name: fn.source for name, fn in self.functions.items()}
        return Program.link(old, table)

    def load(self, layout: Layout) -> Image:
        """Bind statics, parameters and calls for one configuration."""
        return Image.build(self, layout)


_CACHE: dict[int, tuple[KernelFunction, CompiledFunction]] = {}


def _compiled(fn: KernelFunction) -> CompiledFunction:
    hit = _CACHE.get(id(fn))
    if hit is None or hit[0] is not fn:
        hit = _CACHE[id(fn)] = (fn, compile_blocks(fn))
    return hit[1]


@attrs.define(eq=False)
class Image:
    """A loaded program: block functions, ready to run on one layout."""

    layout: Layout
    entries: dict[str, Callable[..., Any]]
    params: dict[str, tuple[str, ...]]
    sites: dict[Any, Site]
    """Block -> the operation that leads into it."""

    @classmethod
    def build(cls, program: Program, layout: Layout) -> Image:
        entries: dict[str, Callable[..., Any]] = {}
        sites: dict[Any, Site] = {}
        spaces: list[tuple[CompiledFunction, dict[str, Any]]] = []
        for name, fn in program.functions.items():
            space = _namespace(fn, layout)
            for block in fn.blocks:
                function = space[block.name] = FunctionType(block.code, space, block.name)
                if block.site:
                    sites[function] = block.site
            entries[name] = space[fn.entry]
            sites.setdefault(space[fn.entry], entry_site(fn))
            spaces.append((fn, space))
        for fn, space in spaces:
            for called in fn.source.calls:
                space[f"__entry_{called}"] = entries[called]
        params = {name: fn.source.params for name, fn in program.functions.items()}
        return cls(layout, entries, params, sites)

    def start(self, name: str, args: Iterable[Any]) -> Frame:
        """The local state in which a call of ``name`` begins."""
        return (self.entries[name], tuple(args), None)


def entry_site(fn: CompiledFunction) -> Site:
    """Where a function stands before its first operation."""
    source = fn.source
    return Site(source.shown, source.filename, source.lineno, "entry")


def bind(names: Iterable[str], source: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Look up module-level names; placeholders become what the layout provides."""
    space: dict[str, Any] = {}
    for name in names:
        if name not in source:
            continue
        value = source[name]
        if isinstance(value, Static):
            space[name] = layout.namespace[value.name]
        elif isinstance(value, Param):
            space[name] = layout.namespace.get(value.name, value.default)
        else:
            space[name] = value
    return space


def _namespace(fn: CompiledFunction, layout: Layout) -> dict[str, Any]:
    space = fn.known.copy()
    space.update(bind(fn.placed, fn.placed, layout))
    space["__call"] = CALL
    space["__return"] = RETURN
    return space
