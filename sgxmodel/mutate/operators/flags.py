# SPDX-License-Identifier: GPL-2.0-only
"""Flags: one dropped from, added to or exchanged in what is set, cleared or tested."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sgxmodel.mutate.operators.base import Edit, expressions, operator, replace

EPC_FLAGS = (
    "SGX_EPC_PAGE_RECLAIMER_TRACKED",
    "SGX_EPC_PAGE_IS_FREE",
    "SGX_EPC_PAGE_RECLAIM_IN_PROGRESS",
    "SGX_EPC_PAGE_ENCLAVE",
    "SGX_EPC_PAGE_VERSION_ARRAY",
)
FAMILIES = (
    EPC_FLAGS,
    ("SGX_ENCL_PAGE_BEING_RECLAIMED", "SGX_ENCL_PAGE_VA_OFFSET_MASK"),
    ("SGX_ENCL_INITIALIZED", "SGX_ENCL_CREATED", "SGX_ENCL_IOCTL"),
)
SETS = {
    "ALL_FLAGS": (
        "SGX_EPC_PAGE_RECLAIMER_TRACKED",
        "SGX_EPC_PAGE_RECLAIM_IN_PROGRESS",
        "SGX_EPC_PAGE_ENCLAVE",
        "SGX_EPC_PAGE_VERSION_ARRAY",
    )
}
BITS = FAMILIES[2]


def _names(tree: ast.FunctionDef) -> Iterator[ast.Name]:
    for node in expressions(tree):
        if isinstance(node, ast.Name):
            yield node


@operator(
    "drop-flag",
    "a flag is missing in what is set, cleared or tested",
    "page.flags |= TRACKED | SGX_EPC_PAGE_ENCLAVE",
    "page.flags |= TRACKED",
)
def drop_flag(tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            for part, rest in ((node.left, node.right), (node.right, node.left)):
                if isinstance(part, ast.Name) and any(part.id in f for f in FAMILIES):
                    yield replace(node, ast.unparse(rest))
    for name in _names(tree):
        for flag in SETS.get(name.id, ()):
            yield replace(name, f"{name.id} & ~{flag}")


@operator(
    "add-flag",
    "one flag more is set, cleared or tested",
    "page.flags = SGX_EPC_PAGE_IS_FREE",
    "page.flags = SGX_EPC_PAGE_IS_FREE | SGX_EPC_PAGE_ENCLAVE",
)
def add_flag(tree: ast.FunctionDef) -> Iterator[Edit]:
    for name in _names(tree):
        if name.id in SETS:
            yield replace(name, f"{name.id} | SGX_EPC_PAGE_IS_FREE")
        for family in FAMILIES[:1]:
            if name.id in family:
                for other in family:
                    if other != name.id:
                        yield replace(name, f"({name.id} | {other})")


@operator(
    "swap-flag",
    "another flag of the same word",
    "page.flags |= SGX_EPC_PAGE_ENCLAVE",
    "page.flags |= SGX_EPC_PAGE_VERSION_ARRAY",
)
def swap_flag(tree: ast.FunctionDef) -> Iterator[Edit]:
    for name in _names(tree):
        for family in FAMILIES:
            if name.id in family:
                for other in family:
                    if other != name.id:
                        yield replace(name, other)
