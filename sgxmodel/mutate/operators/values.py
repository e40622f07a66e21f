# SPDX-License-Identifier: GPL-2.0-only
"""Bounds, watermarks, results and other constants."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from sgxmodel.mutate.operators.base import Edit, called, expressions, operator, replace, statements

BOUNDS = ("SGX_NR_TO_SCAN", "PCMDS_PER_PAGE", "SGX_VA_SLOT_COUNT")
WATERMARKS = ("SGX_NR_LOW_PAGES", "SGX_NR_HIGH_PAGES")
ERRORS = {
    "EBUSY": "ENOMEM",
    "ENOMEM": "EBUSY",
    "EFAULT": "EBUSY",
    "ERESTARTSYS": "EBUSY",
    "EAGAIN": "EFAULT",
    "EINVAL": "EFAULT",
    "EPERM": "EFAULT",
    "EIO": "EFAULT",
}
FAULTS = {
    "VM_FAULT_NOPAGE": "VM_FAULT_SIGBUS",
    "VM_FAULT_SIGBUS": "VM_FAULT_NOPAGE",
    "VM_FAULT_OOM": "VM_FAULT_SIGBUS",
}


@operator(
    "off-by-one",
    "a bound is one too high or too low",
    "for i in range(SGX_NR_TO_SCAN):\n    scan(i)",
    "for i in range(SGX_NR_TO_SCAN - 1):\n    scan(i)",
)
def off_by_one(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if called(node) == "range":
            assert isinstance(node, ast.Call)
            bound = ast.unparse(node.args[-1])
            for step in ("- 1", "+ 1"):
                yield replace(node.args[-1], f"{bound} {step}")
    inside = {
        id(part) for node in expressions(tree) if called(node) == "range" for part in ast.walk(node)
    }
    for node in expressions(tree):
        if isinstance(node, ast.Name) and node.id in BOUNDS and id(node) not in inside:
            for step in ("- 1", "+ 1"):
                yield replace(node, f"({node.id} {step})")


@operator(
    "watermark",
    "the other watermark, or one page more or less",
    "if sgx_should_reclaim(SGX_NR_LOW_PAGES):\n    wake_up(queue)",
    "if sgx_should_reclaim(SGX_NR_HIGH_PAGES):\n    wake_up(queue)",
)
def watermark(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.Name) and node.id in WATERMARKS:
            yield replace(node, WATERMARKS[1 - WATERMARKS.index(node.id)])
            for step in ("- 1", "+ 1"):
                yield replace(node, f"({node.id} {step})")


@operator(
    "result",
    "another result: success for an error, or another error",
    "return -EBUSY",
    "return 0",
)
def result(tree: ast.FunctionDef) -> Iterator[Edit]:
    for _, _, stmt in statements(tree):
        if not isinstance(stmt, ast.Return | ast.Assign) or stmt.value is None:
            continue
        value = stmt.value
        if isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Name):
            error = ERRORS.get(value.operand.id)
            if error and isinstance(value.op, ast.USub):
                yield replace(value, f"-{error}")
                yield replace(value, "0")
        elif isinstance(value, ast.Name) and value.id in FAULTS:
            yield replace(value, FAULTS[value.id])
        elif isinstance(stmt, ast.Return) and isinstance(value, ast.Constant):
            if value.value is True or value.value is False:
                yield replace(value, str(not value.value))
            elif value.value == 0:
                yield replace(value, "-EBUSY")
        elif isinstance(stmt, ast.Return) and isinstance(value, ast.UnaryOp | ast.Compare):
            yield replace(value, f"not ({ast.unparse(value)})")


@operator(
    "constant",
    "a number is one off, a sign or an operand is another",
    "encl.secs_child_cnt += 1",
    "encl.secs_child_cnt += 0",
)
def constant(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            yield replace(node, str(node.value + 1))
            if node.value:
                yield replace(node, str(node.value - 1))


@operator(
    "arithmetic",
    "an update goes the other way, or sets where it should add",
    "encl.secs_child_cnt -= 1",
    "encl.secs_child_cnt += 1",
)
def arithmetic(tree: ast.FunctionDef) -> Iterator[Edit]:
    for _, _, stmt in statements(tree):
        if isinstance(stmt, ast.AugAssign) and type(stmt.op) in OTHER:

            def change(twin: Callable[[Any], Any], stmt: ast.AugAssign = stmt) -> None:
                twin(stmt).op = OTHER[type(stmt.op)]()

            old, new = SIGNS[type(stmt.op)], SIGNS[OTHER[type(stmt.op)]]
            line = ast.unparse(stmt)
            yield Edit(stmt, f"'{line}' becomes '{line.replace(old, new, 1)}'", change)
    for node in expressions(tree):
        if isinstance(node, ast.BinOp) and type(node.op) in MORE:
            for new_op in MORE[type(node.op)]:
                yield replace(node, ast.BinOp(node.left, new_op(), node.right))


OTHER: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}
SIGNS: dict[type[ast.operator], str] = {ast.Add: "+=", ast.Sub: "-="}
MORE: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.FloorDiv: (ast.Mod,),
    ast.Mod: (ast.FloorDiv,),
}
