# SPDX-License-Identifier: GPL-2.0-only
"""List helpers: one for another."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from sgxmodel.mutate.operators.base import Edit, called, expressions, operator, rename

OTHERS = {
    "swap-end": {
        "list_add": ("list_add_tail",),
        "list_add_tail": ("list_add",),
        "list_move": ("list_move_tail",),
        "list_move_tail": ("list_move",),
    },
    "swap-del": {"list_del": ("list_del_init",), "list_del_init": ("list_del",)},
    "swap-walk": {
        "list_for_each_entry": ("list_for_each_entry_safe",),
        "list_for_each_entry_safe": ("list_for_each_entry",),
    },
    "swap-peek": {
        "sgx_epc_peek_reclaimable": ("sgx_epc_pop_reclaimable",),
        "__sgx_epc_page_list_peek": ("__sgx_epc_page_list_pop",),
        "sgx_epc_pop_reclaimable": ("sgx_epc_peek_reclaimable",),
        "sgx_epc_push_reclaimable": ("sgx_epc_push_unreclaimable",),
        "sgx_epc_push_unreclaimable": ("sgx_epc_push_reclaimable",),
    },
    "add-for-move": {
        "list_move": ("list_add",),
        "list_move_tail": ("list_add_tail",),
    },
}


def _renamed(name: str, tree: ast.FunctionDef) -> Iterator[Edit]:
    for node in expressions(tree):
        for other in OTHERS[name].get(called(node), ()):
            assert isinstance(node, ast.Call)
            yield rename(node, other)


@operator(
    "swap-end",
    "the other end of a list: list_add for list_add_tail, list_move for list_move_tail",
    "list_add_tail(page.list, list)",
    "list_add(page.list, list)",
)
def swap_end(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _renamed("swap-end", tree)


@operator(
    "swap-del",
    "list_del for list_del_init and back",
    "list_del_init(page.list)",
    "list_del(page.list)",
)
def swap_del(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _renamed("swap-del", tree)


@operator(
    "swap-walk",
    "a walk that does not allow for removal of the entry, or needlessly does",
    "for page in list_for_each_entry_safe(iso):\n    drop(page)",
    "for page in list_for_each_entry(iso):\n    drop(page)",
)
def swap_walk(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _renamed("swap-walk", tree)


@operator(
    "swap-helper",
    "another helper of the LRU: peek for pop, the unreclaimable list for the reclaimable one",
    "page = sgx_epc_peek_reclaimable(lru)",
    "page = sgx_epc_pop_reclaimable(lru)",
)
def swap_helper(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _renamed("swap-peek", tree)


@operator(
    "add-for-move",
    "an entry is added to a list without being taken off the one where it is",
    "list_move_tail(page.list, list)",
    "list_add_tail(page.list, list)",
)
def add_for_move(tree: ast.FunctionDef) -> Iterator[Edit]:
    yield from _renamed("add-for-move", tree)
