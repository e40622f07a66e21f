# SPDX-License-Identifier: GPL-2.0-only
"""Text of others on a terminal: what it could be told to do is shown, not done."""

from __future__ import annotations

import re

TAB = " " * 8
SUSPECT = re.compile(r"[^\n -~]")


def printable(text: str) -> str:
    """With escapes for all that shows nothing: control and format characters, lone surrogates."""
    return SUSPECT.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\t":
        return TAB
    if char.isprintable():
        return char
    code = ord(char)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
