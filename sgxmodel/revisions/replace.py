# SPDX-License-Identifier: GPL-2.0-only
"""A function replaced by another one, or by a list helper: what a reviewer asks for.

A list helper takes list nodes, a function of the driver takes pages and lists.
So the entries go first, as in list.h: of a page its ``list``; then the heads: a
``list_head`` as it is, and of the LRU lists the one that the function was about.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import attrs

from sgxmodel.errors import LinkError
from sgxmodel.kernel import list as list_helpers
from sgxmodel.machine.edit import with_body
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.op import Primitive
from sgxmodel.revisions import Revision

PAGE = "sgx_epc_page"
HEAD = "list_head"


@attrs.frozen
class Replacement:
    """``--replace OLD=NEW``: calls of OLD do what NEW does."""

    old: str
    new: str

    @classmethod
    def parse(cls, text: str) -> Replacement:
        """Read ``OLD=NEW``.  Raises :class:`LinkError`."""
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (equals and old.isidentifier() and new.isidentifier()):
            raise LinkError(f"'{text}': what is to be replaced is given as FUNCTION=FUNCTION")
        return cls(old, new)

    def __str__(self) -> str:
        return f"{self.old}={self.new}"


def replaced(revision: Revision, replacements: tuple[Replacement, ...]) -> Revision:
    """A revision with functions replaced.  Raises :class:`LinkError` where one does not fit."""
    table: dict[str, KernelFunction] = {}
    for one in replacements:
        if one.old in table:
            raise LinkError(f"{one.old} is replaced twice")
        table[one.old] = _function(revision, one)
    name = f"{revision.name} with {', '.join(map(str, replacements))}"
    return revision.with_functions(name, table) if table else revision


def _function(revision: Revision, one: Replacement) -> KernelFunction:
    functions = revision.program.functions
    if one.old not in functions:
        raise LinkError(f"{revision.name} has no function {one.old} to replace")
    old = functions[one.old].source
    helper = getattr(list_helpers, one.new, None)
    if isinstance(helper, Primitive):
        arguments = _nodes(old)
        if len(arguments) != len(helper.params):
            wants, has = ", ".join(helper.params), ", ".join(arguments) or "nothing"
            raise LinkError(f"{one}: {one.new} takes {wants}; {one.old} has {has} to give")
        return with_body(old, _call(old, one.new, arguments), **{one.new: helper})
    if one.new not in functions:
        raise LinkError(f"{one}: there is no {one.new}, neither in {revision.name} nor in list.h")
    new = functions[one.new].source
    if len(new.params) != len(old.params):
        raise LinkError(
            f"{one}: {one.new} takes {len(new.params)} arguments, {one.old} has {len(old.params)}"
        )
    if one.old in _reached(revision, one.new):
        raise LinkError(f"{one}: {one.new} calls {one.old}, so it would go on for ever")
    return with_body(old, _call(old, one.new, list(old.params)), **{one.new: new})


def _call(old: KernelFunction, name: str, arguments: list[str]) -> str:
    call = f"{name}({', '.join(arguments)})"
    returns = old.tree.returns
    nothing = isinstance(returns, ast.Constant) and returns.value is None
    return call if nothing else f"return {call}"


def _nodes(old: KernelFunction) -> list[str]:
    """What a function has for a list helper: entries, then heads."""
    kinds = [
        (arg.arg, ast.unparse(arg.annotation) if arg.annotation else "")
        for arg in old.tree.args.args
    ]
    entries = [f"{name}.list" for name, kind in kinds if kind == PAGE]
    heads: list[str] = []
    for name, kind in kinds:
        if kind == HEAD:
            heads.append(name)
        elif kind != PAGE:
            heads += dict.fromkeys(_heads(old, name, kind))
    return [*entries, *heads]


def _heads(old: KernelFunction, name: str, kind: str) -> Iterator[str]:
    """Lists that are parts of a parameter, as far as the function is about them."""
    fields = getattr(old.globals.get(kind), "__fields__", ())
    lists = {field.name for field in fields if field.embedded is list_helpers.list_head}
    for node in ast.walk(old.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == name and node.attr in lists:
                yield f"{name}.{node.attr}"


def _reached(revision: Revision, name: str) -> set[str]:
    """A function and all that it calls, directly or not."""
    todo, seen = [name], {name}
    while todo:
        for called in revision.program.functions[todo.pop()].source.calls:
            if called not in seen:
                seen.add(called)
                todo.append(called)
    return seen
