# SPDX-License-Identifier: GPL-2.0-only
"""All mutants of a revision's functions, with names that survive unrelated edits."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any

import attrs

from sgxmodel.driver import structs
from sgxmodel.errors import UnknownNameError
from sgxmodel.kernel import list as lists
from sgxmodel.kernel import lock, ref
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.notation import compile_tree
from sgxmodel.machine.op import SOMETIMES, Primitive
from sgxmodel.mutate.operators import OPERATORS, Edit
from sgxmodel.revisions import Revision
from sgxmodel.revisions.list_v2 import flags as v2_flags

WORDS: dict[str, Any] = {
    **{
        name: value
        for module in (lists, lock, ref)
        for name, value in vars(module).items()
        if isinstance(value, Primitive) or hasattr(value, "__walk__")
    },
    **{
        name: value
        for module in (structs, v2_flags)
        for name, value in vars(module).items()
        if name.isupper() or name.startswith(("SGX_", "VM_FAULT_"))
    },
    "sometimes": SOMETIMES,
}
"""What mutants may speak of and a function's own module need not know."""


@attrs.frozen(eq=False)
class Mutant:
    """One change of one function of a revision.

    ``id``: function, operator, and six digits of what is changed into what;
    ``line``: in the function's file.
    """

    id: str
    function: str
    operator: str
    what: str
    line: int
    edit: Edit
    fn: KernelFunction

    language = "python"

    @property
    def path(self) -> str:
        """The file, from the package's own folder on."""
        return short_path(self.fn.filename)

    def text(self) -> str:
        """The whole file."""
        return Path(self.fn.filename).read_text(encoding="utf-8")

    def span(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(line, column) of the first character that changes, and after the last; from 1."""
        at: Any = self.edit.at
        first = (self.line, getattr(at, "col_offset", 0) + 1)
        if isinstance(at, ast.If | ast.While):
            at = at.test
        elif isinstance(at, ast.For):
            at = at.iter
        last = getattr(at, "end_lineno", None) or self.line
        return first, (last, (getattr(at, "end_col_offset", None) or first[1]) + 1)

    def tree(self) -> ast.FunctionDef:
        """The changed function."""
        return self.edit.apply(self.fn.tree)

    def diff(self) -> str:
        """The change as a unified diff of the function's normalised text."""
        old, new = ast.unparse(self.fn.tree), ast.unparse(self.tree())
        lines = difflib.unified_diff(
            old.splitlines(), new.splitlines(), f"a/{self.path}", f"b/{self.path}", lineterm=""
        )
        return "\n".join(lines)

    def source_hash(self) -> str:
        """Of the function before and after."""
        return digest(self.id, ast.dump(self.fn.tree))


def short_path(filename: str) -> str:
    """``/anywhere/sgxmodel/driver/main.py`` as ``sgxmodel/driver/main.py``."""
    parts = PurePath(filename).parts
    if "sgxmodel" in parts:
        last = len(parts) - 1 - parts[::-1].index("sgxmodel")
        return "/".join(parts[last:])
    return filename


def digest(*parts: str) -> str:
    """A short name of some text."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def mutants_of(fn: KernelFunction, operators: Container[str] = OPERATORS) -> Iterator[Mutant]:
    """Every mutant of a function; two edits with one result are one mutant."""
    seen = {ast.dump(fn.tree)}
    names: dict[str, int] = {}
    for operator in OPERATORS.values():
        for edit in operator.edits(fn.tree):
            dump = ast.dump(_tidy(edit.apply(fn.tree)))
            if dump in seen:
                continue
            seen.add(dump)
            if operator.name not in operators:
                continue
            key = digest(edit.what)[:6]
            names[key] = names.get(key, 0) + 1
            again = f"-{names[key]}" if names[key] > 1 else ""
            yield Mutant(
                f"{fn.name}:{operator.name}:{key}{again}",
                fn.name,
                operator.name,
                edit.what,
                getattr(edit.at, "lineno", fn.lineno),
                edit,
                fn,
            )


def _tidy(tree: ast.FunctionDef) -> ast.FunctionDef:
    """Without the ``pass`` that stand for what was dropped, so that equal results are equal."""
    for node in ast.walk(tree):
        for name in ("body", "orelse"):
            suite = getattr(node, name, None)
            if isinstance(suite, list) and len(suite) > 1:
                setattr(node, name, [s for s in suite if not isinstance(s, ast.Pass)] or suite[:1])
    return tree


def catalogue(
    functions: Mapping[str, KernelFunction], operators: Container[str] = OPERATORS
) -> dict[str, Mutant]:
    """All mutants of some functions, by id."""
    return {m.id: m for fn in functions.values() for m in mutants_of(fn, operators)}


def operators_named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Operators in scope; the default is all.  Raises :class:`UnknownNameError`."""
    for name in names:
        if name not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise UnknownNameError(f"there is no operator '{name}'; the operators are {known}")
    return names or tuple(OPERATORS)


Changes = tuple[tuple[str, ast.FunctionDef], ...]
"""Functions by name, and what they become: all of a mutant that crosses processes."""


def with_changes(base: Revision, name: str, changes: Changes) -> Revision:
    """The revision with functions changed.  Raises :class:`UserError`: stillborn."""
    table = {}
    for function, tree in changes:
        fn = base.program.functions[function].source
        carrier = FunctionType(fn.original.__code__, {**WORDS, **fn.globals}, function)
        compiled = compile_tree(tree, fn.filename, carrier)
        compiled.shown = fn.shown
        table[function] = compiled
    return base.with_functions(name, table)
