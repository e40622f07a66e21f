# SPDX-License-Identifier: GPL-2.0-only
"""Random programs in the notation, as source text.

The first template of a row is what shrinking leaves.  Beside an address stands a
plain local: see the known limit in ``test_notation``.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from hypothesis import strategies as st

HEADER = "from properties.toy import *\nfrom properties.toy import LIMIT, MASK, ring\n"

# {E} a number, {P} a node, {V} a number's local, {K} a constant, {F} a function further down.
LEAVES = {"E": ["{K}", "{V}", "LIMIT", "MASK"], "P": ["p", "q", "r"], "K": ["0", "1", "2", "5"]}
NUMBERS = [
    "{V}",
    "{P}.t_a",
    "{P}.t_b",
    "{P}.t_flags",
    "{P}.t_peer.t_a",
    "({E} + {E})",
    "({E} & {E})",
    "({E} < {E})",
    "({V} == {K} == {V})",
    "({E} and {E})",
    "({E} or {E})",
    "(not {E})",
    "({E} if {E} else {E})",
    "toy_mix({E}, {E})",
    "max({E}, {E})",
    "({E}, *({E}, {E}))[{E} & 1]",
    "READ_ONCE({P}.t_b)",
    "toy_add({P}.t_flags, {V})",
    "toy_swap({E}, {P}.t_flags, {V})",
    "toy_choose(3)",
    "toy_count({E})",
    "({P} is {P})",
    "(toy_drop({P}.t_lock) is None)",
    "{F}({P}, {P}, {E})",
]
NODES = ["p", "{P}.t_peer", "({P} if {E} else {P})", "({E} and {P} or {P})"]
SIMPLE = [
    "pass",
    "{V} = {E}",
    "{V} += {E}",
    "{V}: int = {E}",
    "x, y = {E}, {E}",
    "r = {P}",
    "{P}.t_a = {E}",
    "{P}.t_b -= {E}",
    "{P}.t_flags |= {E}",
    "{P}.t_peer = {P}",
    "toy_add({P}.t_b, {V})",
    "toy_count({E})",
    "toy_whoami()",
    "sometimes('here')",
    "toy_take({P}.t_lock)",
    "toy_drop({P}.t_lock)",
    "toy_del({P}.t_list)",
    "toy_mix({E}, {E})",
    "{F}({P}, {P}, {E})",
]
LOOPS = [
    ("", "for {N} in range({E} & 3):", "{N}"),
    ("", "for {N} in range({E} & 1, {E} & 3):", "{N}"),
    ("{N} = 0", "while {N} < 2:\n    {N} += 1", "{N}"),
    ("{N} = 0", "while {N} < 3 and {E}:\n    {N} += 1", "{N}"),
    ("{N} = 0", "while not ({N} > 2 or {E}):\n    {N} += 1", "{N}"),
    ("{N} = 0", "while True:\n    {N} += 1\n    if {N} > 2 or {E}:\n        break", "{N}"),
    ("", "for r in toy_each(ring.t_list):", "x"),
    ("", "for r in toy_each_safe(ring.t_list):", "x"),
]


class _Writer:
    """Draws one function, statement by statement."""

    def __init__(self, draw: st.DrawFn, callees: Sequence[str]) -> None:
        self.draw = draw
        self.callees = callees
        self.names = 0
        self.left = 8

    def pick(self, options: Sequence[str]) -> str:
        callable_ = [o for o in options if self.callees or "{F}" not in o]
        return self.draw(st.sampled_from(callable_))

    def below(self, n: int) -> int:
        return self.draw(st.integers(0, n - 1))

    def fresh(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def fill(self, text: str, numbers: Sequence[str], depth: int = 2) -> str:
        """Replace each symbol of a template by something drawn."""

        def replaced(match: re.Match[str]) -> str:
            symbol = match[1]
            if symbol == "F":
                return self.pick(self.callees)
            if symbol == "V":
                return self.pick(numbers)
            rich = {"E": NUMBERS, "P": NODES} if depth else {}
            template = self.pick(rich.get(symbol, LEAVES[symbol]))
            return self.fill(template, numbers, depth - 1)

        return re.sub(r"\{([EPVKF])\}", replaced, text)

    def suite(self, numbers: Sequence[str], loops: int, labels: Sequence[str]) -> str:
        """Some statements; perhaps a label, which those before it can go to."""
        if self.below(3) < 2:
            return self.statements(numbers, loops, labels)
        own = self.fresh("out")
        before = self.statements(numbers, loops, [*labels, own])
        return f"{before}label({own!r})\n{self.statements(numbers, loops, labels)}"

    def statements(self, numbers: Sequence[str], loops: int, labels: Sequence[str]) -> str:
        count = 1 + self.below(4)
        return "".join(self.statement(numbers, loops, labels) + "\n" for _ in range(count))

    def statement(self, numbers: Sequence[str], loops: int, labels: Sequence[str]) -> str:
        self.left -= 1
        kind = self.below(9 if self.left > 0 else 5)
        if kind in (3, 4):
            jumps = ["pass", "return {E}", *(f"goto({name!r})" for name in labels)]
            jump = self.pick([*jumps, "break", "continue"] if loops else jumps)
            return self.fill("if {E}:\n    " + jump, numbers)
        if kind < 3:
            return self.fill(self.pick(SIMPLE), numbers)
        if kind > 6 and loops < 2:
            return self.loop(numbers, loops, labels)
        text = self.fill("if {E}:\n", numbers) + self.nested(numbers, loops, labels)
        if self.below(2):
            text += "else:\n" + self.nested(numbers, loops, labels)
        return text.rstrip("\n")

    def nested(self, numbers: Sequence[str], loops: int, labels: Sequence[str]) -> str:
        return textwrap.indent(self.suite(numbers, loops, labels), "    ")

    def loop(self, numbers: Sequence[str], loops: int, labels: Sequence[str]) -> str:
        before, head, counter = LOOPS[self.below(len(LOOPS))]
        name = self.fresh("i")
        head = self.fill(head.replace("{N}", name), numbers)
        seen = [*numbers, counter.replace("{N}", name)]
        body = self.nested(seen, loops + 1, labels)
        if before:  # a body that sets the counter of a while loop might never end
            body = re.sub(rf"(?m)^(\s+){name}(:| \+?=)", r"\1x\2", body)
        return f"{before.replace('{N}', name)}\n{head}\n{body}".strip("\n")

    def function(self, name: str) -> str:
        body = self.suite(["x", "y", "n"], 0, [])
        text = f"x = n\ny = 0\nr = p\n{body}return x\n"
        return f"@kernel\ndef {name}(p, q, n):\n{textwrap.indent(text, '    ')}"


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A module with ``f0`` and up to two functions that it may call."""
    names = ["f2", "f1", "f0"][-1 - draw(st.integers(0, 2)) :]
    done: list[str] = []
    texts = []
    for name in names:
        texts.append(_Writer(draw, done).function(name))
        done.append(name)
    return HEADER + "\n\n".join(texts)


def source_of(text: str) -> str:
    """A module with ``text`` as the body of a function, or as it is."""
    if text.startswith("@kernel"):
        return HEADER + text + "\n"
    return f"{HEADER}@kernel\ndef f(p, q, n):\n{textwrap.indent(text, '    ')}\n"
