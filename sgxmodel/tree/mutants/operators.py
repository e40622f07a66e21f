# SPDX-License-Identifier: GPL-2.0-only
"""The operators of the model, on C.  Names and sentences are the model's where both have it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sgxmodel.tree.mutants.syntax import (
    Edit,
    arguments,
    called,
    dropped,
    exchanged,
    in_suite,
    replaced,
    short,
    statements,
    text,
    walk,
)

if TYPE_CHECKING:
    from tree_sitter import Node

LOCKS = {
    "spin_lock": "spin_unlock",
    "mutex_lock": "mutex_unlock",
    "mmap_read_lock": "mmap_read_unlock",
    "xa_lock": "xa_unlock",
    "srcu_read_lock": "srcu_read_unlock",
}
UNLOCKS = frozenset(LOCKS.values())
REFERENCES = frozenset(
    {"kref_get", "kref_put", "get_page", "put_page", "fput", "mmput_async", "sgx_encl_put_backing"}
)
WAKE = frozenset({"wake_up", "synchronize_srcu", "schedule"})
IPIS = frozenset({"on_each_cpu_mask"})
LEAF = re.compile(r"__e[a-z]+$")
ENDS = {
    "list_add": "list_add_tail",
    "list_add_tail": "list_add",
    "list_move": "list_move_tail",
    "list_move_tail": "list_move",
}
DELS = {"list_del": "list_del_init", "list_del_init": "list_del"}
MOVES = {"list_move": "list_add", "list_move_tail": "list_add_tail"}
COUNTS = {
    "atomic_long_inc": "atomic_long_dec",
    "atomic_long_dec": "atomic_long_inc",
    "set_bit": "clear_bit",
    "clear_bit": "set_bit",
}
FAMILIES = (
    ("SGX_EPC_PAGE_RECLAIMER_TRACKED", "SGX_EPC_PAGE_IS_FREE"),
    ("SGX_ENCL_PAGE_BEING_RECLAIMED", "SGX_ENCL_PAGE_VA_OFFSET_MASK"),
    ("SGX_ENCL_INITIALIZED", "SGX_ENCL_CREATED", "SGX_ENCL_IOCTL", "SGX_ENCL_DEBUG"),
)
WATERMARKS = ("SGX_NR_LOW_PAGES", "SGX_NR_HIGH_PAGES")
BOUNDS = ("SGX_NR_TO_SCAN", "SGX_VA_SLOT_COUNT", "PCMDS_PER_PAGE", *WATERMARKS)
COMPARISONS = {
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"),
    "==": ("!=",), "!=": ("==",),
}  # fmt: skip
ARITHMETIC = {"+": "-", "-": "+", "/": "%", "%": "/", "&": "|", "|": "&", "<<": ">>", ">>": "<<"}
ASSIGNMENTS = {"+=": "-=", "-=": "+=", "|=": "&=", "&=": "|="}
EXITS = {"return_statement", "break_statement", "continue_statement", "goto_statement"}
MARKED = frozenset({"READ_ONCE", "WRITE_ONCE", "smp_mb", "smp_rmb", "smp_wmb"})
UNDECIDABLE = "plain-access"
"""Runs are sequentially consistent: what these mutants change cannot be seen here."""
NOT_MUTATED = re.compile(
    r"\b(pr_\w+|WARN\w*|might_sleep|lockdep_\w+|BUILD_BUG_ON|ENCLS_WARN|EXPORT_\w+)\b"
)

Edits = Callable[["Node"], Iterator[Edit]]
OPERATORS: dict[str, Edits] = {}


def operator(name: str) -> Callable[[Edits], Edits]:
    def wrap(edits: Edits) -> Edits:
        OPERATORS[name] = edits
        return edits

    return wrap


def edit(node: Node, new: str, what: str | None = None) -> Edit:
    return Edit(node, what or f"'{short(node)}' becomes '{new}'", (replaced(node, new),))


def drop(node: Node) -> Edit:
    return Edit(node, f"drop '{short(node)}'", (dropped(node),))


def calls(body: Node) -> Iterator[tuple[str, Node]]:
    for node in walk(body):
        if called(node) and node.type == "call_expression":
            yield called(node), node


def plain(body: Node) -> Iterator[Node]:
    """Statements that are the driver's doing: not its messages and warnings."""
    for node in statements(body):
        if node.type != "expression_statement" or not NOT_MUTATED.search(text(node)):
            yield node


@operator("drop-lock")
def drop_lock(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        if called(node) in LOCKS or called(node) in UNLOCKS:
            yield drop(node)


@operator("drop-section")
def drop_section(body: Node) -> Iterator[Edit]:
    found = [n for n in plain(body) if called(n) in LOCKS or called(n) in UNLOCKS]
    for i, node in enumerate(found):
        if called(node) not in LOCKS:
            continue
        lock = _lock(node)
        pairs = [node]
        for other in found[i + 1 :]:
            if called(other) == called(node) and _lock(other) == lock:
                break
            if called(other) == LOCKS[called(node)] and _lock(other) == lock:
                pairs.append(other)
        yield Edit(node, f"drop the section of '{short(node)}'", tuple(map(dropped, pairs)))


@operator("shrink-section")
def shrink_section(body: Node) -> Iterator[Edit]:
    yield from _moved(body, True)


@operator("widen-section")
def widen_section(body: Node) -> Iterator[Edit]:
    yield from _moved(body, False)


def _moved(body: Node, shrink: bool) -> Iterator[Edit]:
    for node in plain(body):
        name = called(node)
        if (name not in LOCKS and name not in UNLOCKS) or not in_suite(node):
            continue
        down = (name in LOCKS) == shrink
        other = node.next_named_sibling if down else node.prev_named_sibling
        if (
            other is None
            or other.has_error
            or not other.type.endswith("_statement")
            or other.type in EXITS
            or other.type == "labeled_statement"
        ):
            continue
        side = "after" if down else "before"
        yield Edit(node, f"'{short(node)}' {side} '{short(other)}'", exchanged(node, other))


def _lock(node: Node) -> str:
    return text(arguments(node)[0]) if arguments(node) else ""


def _renames(table: dict[str, str]) -> Edits:
    def edits(body: Node) -> Iterator[Edit]:
        for name, node in calls(body):
            if name in table:
                function = node.child_by_field_name("function")
                assert function is not None
                what = f"{table[name]} for '{short(node)}'"
                yield Edit(node, what, (replaced(function, table[name]),))

    return edits


operator("swap-end")(_renames(ENDS))
operator("swap-del")(_renames(DELS))
operator("add-for-move")(_renames(MOVES))
operator("swap-call")(_renames(COUNTS))


@operator("drop-flag")
def drop_flag(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "binary_expression" and _operator(node) == "|":
            left, right = _sides(node)
            for part, rest in ((left, right), (right, left)):
                if any(text(part) in family for family in FAMILIES):
                    yield edit(node, text(rest))


@operator("swap-flag")
def swap_flag(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        for family in FAMILIES:
            if node.type == "identifier" and text(node) in family:
                for other in family:
                    if other != text(node):
                        yield edit(node, other)


@operator("negate-condition")
def negate(body: Node) -> Iterator[Edit]:
    for test in _tests(body):
        yield edit(test, f"(!{text(test)})", f"negate '{short(test)}'")


@operator("always")
def always(body: Node) -> Iterator[Edit]:
    for test in _tests(body):
        yield edit(test, f"({text(test)} || 1)", f"'{short(test)}' is taken for true")
        yield edit(test, f"({text(test)} && 0)", f"'{short(test)}' is taken for false")


@operator("drop-condition")
def drop_condition(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "binary_expression" and _operator(node) in ("&&", "||"):
            left, right = _sides(node)
            yield edit(node, text(left), f"drop '{short(right)}' of '{short(node)}'")
            yield edit(node, text(right), f"drop '{short(left)}' of '{short(node)}'")


@operator("and-or")
def and_or(body: Node) -> Iterator[Edit]:
    yield from _operators(body, {"&&": ("||",), "||": ("&&",)})


@operator("comparison")
def comparison(body: Node) -> Iterator[Edit]:
    yield from _operators(body, COMPARISONS)


@operator("arithmetic")
def arithmetic(body: Node) -> Iterator[Edit]:
    yield from _operators(body, {old: (new,) for old, new in ARITHMETIC.items()})
    for node in walk(body):
        if node.type == "assignment_expression":
            sign = node.children[1]
            if text(sign) in ASSIGNMENTS:
                new = ASSIGNMENTS[text(sign)]
                yield Edit(node, f"{new} in '{short(node)}'", (replaced(sign, new),))
        elif node.type == "update_expression":
            for sign in node.children:
                if text(sign) in ("++", "--"):
                    new = "--" if text(sign) == "++" else "++"
                    yield Edit(node, f"{new} in '{short(node)}'", (replaced(sign, new),))


def _operators(body: Node, table: dict[str, tuple[str, ...]]) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "binary_expression" and not node.has_error:
            sign = node.child_by_field_name("operator")
            for new in table.get(_operator(node), ()):
                assert sign is not None
                yield Edit(node, f"{new} in '{short(node)}'", (replaced(sign, new),))


@operator("drop-reference")
def drop_reference(body: Node) -> Iterator[Edit]:
    yield from (drop(n) for n in plain(body) if called(n) in REFERENCES)


@operator("add-reference")
def add_reference(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        if called(node) in REFERENCES:
            twice = f"{text(node)} {text(node)}"
            new = twice if in_suite(node) else f"{{ {twice} }}"
            yield edit(node, new, f"'{short(node)}' twice")


@operator("weak-reference")
def weak_reference(body: Node) -> Iterator[Edit]:
    for name, node in calls(body):
        if name == "kref_get_unless_zero":
            yield edit(node, f"(kref_get({text(arguments(node)[0])}), 1)")


@operator("drop-wakeup")
def drop_wakeup(body: Node) -> Iterator[Edit]:
    yield from (drop(n) for n in plain(body) if called(n) in WAKE)


@operator("skip-ipi")
def skip_ipi(body: Node) -> Iterator[Edit]:
    yield from (drop(n) for n in plain(body) if called(n) in IPIS)


@operator("skip-leaf")
def skip_leaf(body: Node) -> Iterator[Edit]:
    for name, node in calls(body):
        if LEAF.match(name):
            yield edit(node, "0", f"skip '{short(node)}'")


@operator("drop-exit")
def drop_exit(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        if node.type in EXITS and node.parent is not None and node.parent.id != body.id:
            yield drop(node)


@operator("drop-path")
def drop_path(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        if node.type in ("if_statement", "while_statement", "for_statement"):
            if node.child_by_field_name("alternative") is None and in_suite(node):
                yield drop(node)


@operator("drop-statement")
def drop_statement(body: Node) -> Iterator[Edit]:
    known = {*REFERENCES, *WAKE, *IPIS, *LOCKS, *UNLOCKS}
    for node in plain(body):
        if node.type == "expression_statement" and called(node) not in known:
            yield drop(node)


@operator("swap-statements")
def swap_statements(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        other = node.next_named_sibling
        if node.type != "expression_statement" or other is None or not in_suite(node):
            continue
        if other.type != "expression_statement" or other.has_error or other.children[-1].is_missing:
            continue
        if {called(node), called(other)} & {*LOCKS, *UNLOCKS} or not _names(node) & _names(other):
            continue
        yield Edit(node, f"'{short(other)}' before '{short(node)}'", exchanged(node, other))


def _names(node: Node) -> set[str]:
    return {text(n) for n in walk(node) if n.type in ("identifier", "field_identifier")}


@operator("off-by-one")
def off_by_one(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "identifier" and text(node) in BOUNDS:
            for step in ("- 1", "+ 1"):
                yield edit(node, f"({text(node)} {step})")


@operator("watermark")
def watermark(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "identifier" and text(node) in WATERMARKS:
            yield edit(node, WATERMARKS[1 - WATERMARKS.index(text(node))])


@operator("result")
def result(body: Node) -> Iterator[Edit]:
    for node in plain(body):
        if node.type != "return_statement" or not node.named_children:
            continue
        value = node.named_children[0]
        if re.match(r"-E[A-Z]+$", text(value)):
            yield edit(value, "0")
            yield edit(value, "-EAGAIN" if text(value) == "-EBUSY" else "-EBUSY")
        elif text(value) == "0":
            yield edit(value, "-EBUSY")
        elif text(value) in ("true", "false"):
            yield edit(value, "false" if text(value) == "true" else "true")
        elif text(value) in ("VM_FAULT_NOPAGE", "VM_FAULT_SIGBUS"):
            other = {"VM_FAULT_NOPAGE": "VM_FAULT_SIGBUS", "VM_FAULT_SIGBUS": "VM_FAULT_NOPAGE"}
            yield edit(value, other[text(value)])


@operator("constant")
def constant(body: Node) -> Iterator[Edit]:
    for node in walk(body):
        if node.type == "number_literal" and text(node).isdigit():
            yield edit(node, str(int(text(node)) + 1))
            if text(node) != "0":
                yield edit(node, str(int(text(node)) - 1))
        elif node.type in ("true", "false"):
            yield edit(node, "false" if text(node) == "true" else "true")


@operator(UNDECIDABLE)
def plain_access(body: Node) -> Iterator[Edit]:
    for name, node in calls(body):
        if name == "READ_ONCE":
            yield edit(node, f"({text(arguments(node)[0])})")
        elif name.startswith("smp_"):
            yield edit(node, "0")


def _tests(body: Node) -> Iterator[Node]:
    for node in walk(body):
        if node.type in ("if_statement", "while_statement") and not node.has_error:
            test = node.child_by_field_name("condition")
            if test is not None:
                yield test


def _operator(node: Node) -> str:
    sign = node.child_by_field_name("operator")
    return "" if sign is None else text(sign)


def _sides(node: Node) -> tuple[Node, Node]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    assert left is not None
    assert right is not None
    return left, right
