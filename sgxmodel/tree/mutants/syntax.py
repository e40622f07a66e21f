# SPDX-License-Identifier: GPL-2.0-only
"""C as tree-sitter sees it: functions, statements, expressions, and edits of their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
import tree_sitter_c
from tree_sitter import Language, Node, Parser

MARKS = re.compile(rb"\b(__init|__user|__iomem|__exit|__must_check|__ro_after_init)\b")
"""Words that a parser of plain C stumbles over: blanks of the same length to it."""
Change = tuple[int, int, bytes]
"""(first byte, byte after the last, what comes there instead)."""


@attrs.frozen(eq=False)
class Edit:
    """One change of a file: where it begins, what it is in words, and its replacements."""

    at: Node
    what: str
    changes: tuple[Change, ...]

    def apply(self, source: bytes) -> bytes:
        """The changed file."""
        for first, last, new in sorted(self.changes, reverse=True):
            source = source[:first] + new + source[last:]
        return source


def parsed(source: bytes) -> Node:
    """The syntax tree."""
    blank = MARKS.sub(lambda m: b" " * len(m[0]), source)
    return Parser(Language(tree_sitter_c.language())).parse(blank).root_node


def functions(root: Node) -> Iterator[tuple[str, Node]]:
    """(name, body) of every function."""
    for node in walk(root):
        if node.type == "function_definition":
            name = node.child_by_field_name("declarator")
            while name is not None and name.type != "identifier":
                name = name.child_by_field_name("declarator")
            body = node.child_by_field_name("body")
            if name is not None and body is not None and body.type == "compound_statement":
                yield text(name), body


def walk(node: Node) -> Iterator[Node]:
    """A node and all in it, in the order of the text."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(node.children)


def text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def line_of(node: Node) -> int:
    return int(node.start_point[0]) + 1


def short(node: Node) -> str:
    """A node on one line."""
    line = " ".join(text(node).split())
    return line if len(line) <= 60 else line[:57] + "..."


def called(node: Node | None) -> str:
    """The name that an expression, or an expression statement, calls."""
    if node is not None and node.type == "expression_statement" and node.named_children:
        node = node.named_children[0]
    if node is not None and node.type == "call_expression":
        function = node.child_by_field_name("function")
        if function is not None and function.type == "identifier":
            return text(function)
    return ""


def arguments(node: Node) -> list[Node]:
    """Of a call, or of a statement that is one."""
    if node.type == "expression_statement":
        node = node.named_children[0]
    found = node.child_by_field_name("arguments")
    return list(found.named_children) if found is not None else []


def in_suite(node: Node) -> bool:
    """Whether a statement stands in a pair of braces, so that it may go or move."""
    return node.parent is not None and node.parent.type == "compound_statement"


def statements(body: Node) -> Iterator[Node]:
    """Every whole statement; loop macros, which lack their semicolon, are none."""
    for node in walk(body):
        if node.type.endswith("_statement") and node.type != "compound_statement":
            if node.children and not node.children[-1].is_missing and not node.has_error:
                yield node


def dropped(node: Node) -> Change:
    """A statement goes; alone in a branch it becomes an empty one."""
    if not in_suite(node):
        return (node.start_byte, node.end_byte, b";")
    parent = node.parent
    assert parent is not None
    whole = parent.text or b""
    first = node.start_byte - parent.start_byte
    last = node.end_byte - parent.start_byte
    start = whole.rfind(b"\n", 0, first) + 1
    end = whole.find(b"\n", last) + 1
    alone = start and end and not whole[start:first].strip() and not whole[last:end].strip()
    labelled = (node.prev_named_sibling is not None) and (
        node.prev_named_sibling.type == "labeled_statement"
    )
    if alone and not labelled:
        return (parent.start_byte + start, parent.start_byte + end, b"")
    return (node.start_byte, node.end_byte, b";")


def replaced(node: Node, new: str) -> Change:
    return (node.start_byte, node.end_byte, new.encode())


TRAP = "__builtin_trap();"


def trapped(edit: Edit, source: bytes) -> bytes:
    """The file with a trap where the change would be: who comes there, finds it."""
    node: Node | None = edit.at
    while node is not None and not node.type.endswith(("_statement", "declaration")):
        node = node.parent
    if node is None or node.type == "compound_statement":
        return source
    if in_suite(node) or node.type == "declaration":
        return Edit(node, "", ((node.start_byte, node.start_byte, f"{TRAP} ".encode()),)).apply(
            source
        )
    return Edit(node, "", (replaced(node, f"{{ {TRAP} {text(node)} }}"),)).apply(source)


def exchanged(one: Node, two: Node) -> tuple[Change, Change]:
    return replaced(one, text(two)), replaced(two, text(one))
