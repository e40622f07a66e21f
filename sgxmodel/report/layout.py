# SPDX-License-Identifier: GPL-2.0-only
"""Plain ASCII in 72 columns."""

from __future__ import annotations

import re
import shlex

WIDTH = 72
BREAKS = (
    re.compile(r"(?<=,) "),
    re.compile(r" (?=[=(|])| (?!of )(?<!of )"),
    re.compile(r"(?<=[(|/,])(?=\S)"),
    re.compile(r" "),
    re.compile(r"(?<=[._/-])(?=\w)"),
)
"""Where a line may end: the better places first."""


def ascii(text: str) -> str:
    """One line of printable ASCII; anything else shows as an escape."""
    return "".join(
        c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def wrap(text: str, indent: int = 0, hang: int = 4, width: int = WIDTH) -> list[str]:
    """A line of text, continued with ``hang`` more columns; every line fits."""
    rest, out = ascii(text).strip(), []
    at = min(indent, width // 2)
    while at + len(rest) > width:
        cut = _cut(rest, width - at)
        out.append(" " * at + rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
        at = min(indent + hang, width // 2)
    return [*out, " " * at + rest] if rest or not out else out


def _cut(text: str, room: int) -> int:
    """Where to end a line of ``room`` columns: late, at a good place."""
    patterns = BREAKS if "(" in text else BREAKS[-2:]
    for least in (room // 3, 1):
        for pattern in patterns:
            places = [m.start() for m in pattern.finditer(text) if least <= m.start() <= room]
            if places:
                return places[-1]
    return room


def prose(text: str, indent: int = 0, hang: int = 0) -> list[str]:
    """Text filled to the width, words kept whole where they fit."""
    out, line = [], " " * indent
    for word in ascii(text).split():
        if line.strip() and len(line) + 1 + len(word) > WIDTH:
            out.append(line)
            line = " " * (indent + hang)
        line += word if not line.strip() else f" {word}"
        while len(line) > WIDTH:
            out.append(line[:WIDTH])
            line = " " * (indent + hang) + line[WIDTH:]
    return [*out, line] if line.strip() else out


def plural(number: int, what: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def command(words: list[str]) -> list[str]:
    """A command that a shell takes as it stands, continued by backslashes where it is long."""
    whole = ascii(shlex.join(words))
    if len(whole) <= WIDTH or "'" in whole:
        return [whole]
    out = []
    while len(whole) > WIDTH:
        space = whole.rfind(" ", 1, WIDTH - 1) + 1
        cut = space or WIDTH - 1
        out.append(whole[:cut] + "\\")
        whole = whole[cut:]
    return [*out, whole]
