# SPDX-License-Identifier: GPL-2.0-only
"""What of a driver no check would see, read off its preprocessed text and its symbols.

The checks see the memory accesses that the compiler instruments and the calls of the
kernel API.  Assembly is neither, and code that runs when a library is loaded runs before
any check.  Macros are expanded first, so none can hide it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from sgxmodel.errors import TreeError

MARKER = re.compile(r'^# (\d+) "((?:[^"\\]|\\.)*)"', re.MULTILINE)
STRANGE = re.compile(
    r'"(?:[^"\\]|\\.)*"'
    r"|'(?:[^'\\]|\\.)*'"
    r"|\b(?P<asm>asm|__asm|__asm__)\b(?P<how>(?:\s|volatile|__volatile__|__volatile|inline|goto)*)"
    r'\(\s*(?P<template>"(?:[^"\\]|\\.)*")?\s*(?P<next>.)'
    r"|\b__attribute(?:__)?\s*\(\((?P<attributes>(?:[^()]|\([^()]*\))*)\)\)"
    r"|^\s*#\s*pragma\s+(?P<pragma>.*)$",
    re.MULTILINE,
)
ATTRIBUTE = re.compile(
    r"\b_*(constructor|destructor|ifunc|alias|section|weakref|no_sanitize|naked|optimize"
    r"|disable_sanitizer)(?:_[a-z_]*)?\b"
)
HARMLESS = re.compile(r"(?:once|pack\b|(?:GCC|clang) diagnostic|(?:GCC )?unroll)")
WORDS = {
    "constructor": "code that runs when the driver is loaded",
    "destructor": "code that runs when the driver is unloaded",
    "ifunc": "code that runs when the driver is linked",
    "alias": "a name for another function",
    "weakref": "a name for another function",
    "section": "a place in the object file of its own",
    "no_sanitize": "code that is compiled without the checks' hooks",
    "disable_sanitizer": "code that is compiled without the checks' hooks",
    "naked": "code that is compiled without the checks' hooks",
    "optimize": "code that is compiled with other options",
}
NAME = re.compile(r"[A-Za-z_]\w*")


def pieces(text: str) -> Iterator[tuple[str, int, str]]:
    """(file, line of its first line, text) of a preprocessor's output."""
    marks = list(MARKER.finditer(text))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        end = following.start() if following is not None else len(text)
        yield mark[2], int(mark[1]), text[mark.end() : end].partition("\n")[2]


def unseen(text: str, folder: Path) -> list[str]:
    """``file:line: what`` for all below a folder that the checks cannot see."""
    out: dict[str, None] = {}
    for file, first, piece in pieces(text):
        if not Path(file).is_relative_to(folder):
            continue
        for found in STRANGE.finditer(piece):
            what = _strange(found)
            if what:
                line = first + piece.count("\n", 0, found.start())
                out[f"{Path(file).name}:{line}: {what}"] = None
    return list(out)


def _strange(found: re.Match[str]) -> str:
    if found["asm"]:
        # An empty template is a compiler barrier: it does nothing.
        empty = found["template"] == '""' and found["next"] in ":)"
        return "" if empty else "inline assembly"
    if found["pragma"] is not None:
        return "" if HARMLESS.match(found["pragma"]) else "code that is compiled with other options"
    attribute = ATTRIBUTE.search(found["attributes"] or "")
    return WORDS[attribute[1]] if attribute else ""


def must_not_name(text: str, folder: Path, driver: Path, engine: Iterable[Path]) -> None:
    """Raises :class:`TreeError` if a driver declares what only the engine has.

    It could tell the checks what to find by that.  What the shim declares before the
    driver's text is the kernel's API.
    """
    parts = [(Path(file).is_relative_to(folder), piece) for file, _, piece in pieces(text)]
    last = max((i for i, (of_driver, _) in enumerate(parts) if of_driver), default=0)
    shim = {n for of_driver, piece in parts[:last] if not of_driver for n in NAME.findall(piece)}
    code = "\n".join(piece for of_driver, piece in parts if of_driver)
    own = {name for path in engine for name in _symbols(path, defined=True)} - shim
    named = sorted(n for n in _symbols(driver, defined=False) & own if _declares(code, n))
    if named:
        raise TreeError(
            f"the driver names {', '.join(named)}: sgxmodel's own, and not of the kernel's API"
        )


def _declares(code: str, name: str) -> bool:
    """An extern, or a function's prototype."""
    found = re.search(rf"\bextern\b[^;{{}}]*\b{name}\b|\b{name}\s*\([^;{{}}]*\)\s*;", code)
    return found is not None


def _symbols(path: Path, defined: bool) -> set[str]:
    with path.open("rb") as file:
        table: Any = ELFFile(file).get_section_by_name(".symtab")
        return {
            symbol.name
            for symbol in table.iter_symbols()
            if symbol.name
            and symbol["st_info"]["bind"] != "STB_LOCAL"
            and (symbol["st_shndx"] != "SHN_UNDEF") == defined
        }
