# SPDX-License-Identifier: GPL-2.0-only
"""Make a mutant's change in its source file, as small as it is."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from sgxmodel.errors import UserError
from sgxmodel.mutate.catalogue import Mutant


def apply(mutant: Mutant) -> tuple[int, int]:
    """Write the mutated function's body over the old one; gives its first and last line.

    The decorator, the signature and the docstring stay; comments in the body go,
    as they are not part of the syntax tree.  Raises :class:`UserError` if the
    file is not what was loaded.
    """
    path = Path(mutant.fn.filename)
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    old = mutant.fn.tree
    first, last = _body(old)
    there = ast.parse("".join(lines))
    same = [
        node
        for node in ast.walk(there)
        if isinstance(node, ast.FunctionDef)
        and (node.name, node.lineno) == (old.name, old.lineno)
        and ast.dump(_plain(node)) == ast.dump(_plain(old))
    ]
    if not same:
        raise UserError(f"{path}: {old.name}() is not what it was: start again")
    new = mutant.tree()
    body = new.body[1:] if ast.get_docstring(old) is not None else new.body
    text = textwrap.indent("\n".join(ast.unparse(s) for s in body), "    ") + "\n"
    lines[first - 1 : last] = [text]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    return first, last


def _body(fn: ast.FunctionDef) -> tuple[int, int]:
    body = fn.body[1:] if ast.get_docstring(fn) is not None else fn.body
    return body[0].lineno, body[-1].end_lineno or body[-1].lineno


def _plain(fn: ast.FunctionDef) -> ast.Module:
    return ast.Module(list(fn.body), [])
