# SPDX-License-Identifier: GPL-2.0-only
"""Statements: dropped, by what they are for; and exchanged with their neighbour."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

from sgxmodel.mutate.operators.base import (
    LOCKS,
    UNLOCKS,
    Edit,
    Suite,
    called,
    delete,
    expressions,
    neighbour,
    operator,
    rename,
    reorder,
    replace,
    statements,
    text,
)

REFERENCES = frozenset(
    {"kref_get", "kref_put", "encl_put", "get_page", "put_page", "sgx_encl_put_backing", "fput",
     "fdput"}
)  # fmt: skip
WAKE = frozenset({"wake_up", "prepare_to_wait", "finish_wait", "schedule"})
IPIS = frozenset({"on_each_encl_cpu", "on_each_cpu_mask"})
LEAVES = frozenset(
    {"EWB", "ELDU", "EBLOCK", "ETRACK", "EREMOVE", "EPA", "EAUG", "EADD", "ECREATE", "EINIT",
     "EMODT", "EMODPR"}
)  # fmt: skip
EXITS = ast.Return | ast.Break | ast.Continue


def _drops(tree: ast.FunctionDef, names: frozenset[str]) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        if isinstance(stmt, ast.Expr) and called(stmt) in names:
            yield delete(suite, i)


@operator(
    "drop-reference",
    "a reference is not taken, or not given back",
    "encl_put(encl)\nreturn",
    "return",
)
def drop_reference(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _drops(tree, REFERENCES)


@operator(
    "add-reference",
    "a reference is given back twice",
    "encl_put(encl)",
    "encl_put(encl)\nencl_put(encl)",
)
def add_reference(tree: ast.FunctionDef) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        if isinstance(stmt, ast.Expr) and called(stmt) in REFERENCES:

            def change(twin: Callable[[Any], Any], suite: Suite = suite, i: int = i) -> None:
                where = twin(suite)
                where.insert(i, copy.deepcopy(where[i]))

            yield Edit(stmt, f"'{text(stmt)}' twice", change)


@operator(
    "weak-reference",
    "a reference is taken without asking whether there is one left",
    "if kref_get_unless_zero(encl.refcount):\n    take(page)",
    "if kref_get(encl.refcount) is None:\n    take(page)",
)
def weak_reference(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if called(node) == "kref_get_unless_zero":
            yield replace(
                node,
                ast.unparse(node).replace("kref_get_unless_zero", "kref_get") + " is None",
                f"kref_get() for '{text(node)}'",
            )


@operator("drop-wakeup", "somebody who waits is not woken", "wake_up(queue)", "pass")
def drop_wakeup(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _drops(tree, WAKE)


@operator("skip-ipi", "the CPUs inside the enclave are not interrupted",
          "on_each_encl_cpu(encl)", "pass")  # fmt: skip
def skip_ipi(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _drops(tree, IPIS)


@operator(
    "skip-leaf",
    "an ENCLS leaf is not executed and taken for done",
    "ret = ETRACK(secs)",
    "ret = 0",
)
def skip_leaf(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if called(node) in LEAVES:
            yield replace(node, "0", f"skip '{text(node)}'")


@operator(
    "drop-exit",
    "a return, continue, break or goto is missing",
    "if page is None:\n    return\nwrite(page)",
    "if page is None:\n    pass\nwrite(page)",
)
def drop_exit(tree: ast.FunctionDef) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        last = stmt is tree.body[-1]
        if (isinstance(stmt, EXITS) and not last) or called(stmt) == "goto":
            yield delete(suite, i)


@operator(
    "drop-path",
    "what is done in a special case is not done",
    "if IS_ERR(page):\n    kfree(entry)\n    return page",
    "pass",
)
def drop_path(tree: ast.FunctionDef) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        if isinstance(stmt, ast.If | ast.For | ast.While) and not getattr(stmt, "orelse", []):
            yield delete(suite, i)


@operator(
    "drop-statement",
    "a statement is missing",
    "page.owner = None",
    "pass",
)
def drop_statement(tree: ast.FunctionDef) -> Iterator[Edit]:
    known = {*REFERENCES, *WAKE, *IPIS, *LOCKS, *UNLOCKS, "goto"}
    for suite, i, stmt in statements(tree):
        if isinstance(stmt, ast.Assign | ast.AugAssign) or (
            isinstance(stmt, ast.Expr) and called(stmt) not in known
        ):
            yield delete(suite, i)


@operator(
    "swap-statements",
    "two statements in the other order, unless both are in one section and do not touch",
    "list_del(page.list)\npage.flags = 0",
    "page.flags = 0\nlist_del(page.list)",
)
def swap_statements(tree: ast.FunctionDef) -> Iterator[Edit]:
    for suite, i, stmt in statements(tree):
        j = neighbour(suite, i, 1)
        if j is None or not _simple(stmt) or not _simple(suite[j]):
            continue
        if _held(tree, stmt) and not _touching(stmt, suite[j]):
            continue  # nobody looks between two statements of one locked section
        yield reorder(suite, i, j, f"'{text(suite[j])}' before '{text(stmt)}'")


def _simple(stmt: ast.stmt) -> bool:
    """Neither a jump nor a lock: those have operators of their own."""
    name = called(stmt)
    return not isinstance(stmt, EXITS) and name not in LOCKS and name not in UNLOCKS | {"goto"}


def _held(tree: ast.FunctionDef, stmt: ast.stmt) -> bool:
    """Whether a lock was taken before and not given back, in the order of the text."""
    last = ""
    for _, _, other in statements(tree):
        if other.lineno < stmt.lineno and (called(other) in LOCKS or called(other) in UNLOCKS):
            last = called(other)
    return last in LOCKS


def _touching(one: ast.stmt, two: ast.stmt) -> bool:
    """Whether two statements may depend on each other: calls and common names do."""
    return bool(_names(one) & _names(two)) or any(
        isinstance(part, ast.If | ast.For | ast.While) for part in (one, two)
    )


def _names(stmt: ast.stmt) -> set[str]:
    """Fields and stored locals; a call of the driver's own may touch anything."""
    out = {n.attr for n in ast.walk(stmt) if isinstance(n, ast.Attribute)}
    for node in ast.walk(stmt):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            out.add(node.id)
        if called(node).startswith(("sgx_", "__sgx_", "encl_")):
            out.add("(call)")
    if isinstance(stmt, ast.Assign):
        return out | {n.id for n in ast.walk(stmt.value) if isinstance(n, ast.Name)}
    return out


@operator(
    "swap-call",
    "reclaims where the caller must not, or not where it should",
    "page = sgx_alloc_epc_page(owner, False)",
    "page = sgx_alloc_epc_page(owner, True)",
)
def swap_argument(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.Call):
            for i, arg in enumerate(node.args):
                if isinstance(arg, ast.Constant) and isinstance(arg.value, bool):
                    args = [*node.args]
                    args[i] = ast.Constant(not arg.value)
                    yield replace(node, ast.Call(node.func, args, []))
    for node in expressions(tree):
        if called(node) in ("atomic_long_inc", "atomic_long_dec"):
            assert isinstance(node, ast.Call)
            other = {"atomic_long_inc": "atomic_long_dec", "atomic_long_dec": "atomic_long_inc"}
            yield rename(node, other[called(node)])
