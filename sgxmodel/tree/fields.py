# SPDX-License-Identifier: GPL-2.0-only
"""Names of fields and of statics, from the library's debugging information (pyelftools)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.elffile import ELFFile

TOKEN = re.compile(r"<([^<>|]*)\|([^<>|]*)\|(\d+)>")
POINTEE = re.compile(r"sizeof\(\*(\w+)\)")
STRUCT = re.compile(r"struct (\w+)")
SKIPPED = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
UNIT = "unity.c"


def named(text: str, library: Path) -> str:
    """Each token of the engine's object_field() as a C programmer writes it."""
    return TOKEN.sub(lambda m: _name(library, m[1], m[2], int(m[3])), text)


def _name(library: Path, function: str, what: str, offset: int) -> str:
    known = _debug(library)
    if known is None:
        return f"+{offset}"
    if function == "@":
        return known.static(offset)
    kind = known.allocated(function, what)
    path = known.field(kind, offset) if kind is not None else None
    return f".{path}" if path else f"+{offset}"


class Debug:
    """What the driver's compilation unit says of its types and variables."""

    def __init__(self, file: Any) -> None:
        elf: Any = ELFFile(file)
        self.structs: dict[str, Any] = {}
        self.locals: dict[tuple[str, str], Any] = {}
        self.globals: dict[str, Any] = {}
        self.symbols = [
            (s["st_value"], s["st_size"], s.name)
            for s in elf.get_section_by_name(".symtab").iter_symbols()
            if s["st_info"]["type"] == "STT_OBJECT" and s["st_size"]
        ]
        for unit in elf.get_dwarf_info().iter_CUs():
            if _text(unit.get_top_DIE(), "DW_AT_name").endswith(UNIT):
                self._learn(unit.get_top_DIE())

    def _learn(self, top: Any) -> None:
        for die in top.iter_children():
            name = _text(die, "DW_AT_name")
            if die.tag == "DW_TAG_structure_type" and "DW_AT_byte_size" in die.attributes:
                self.structs[name] = die
            elif die.tag == "DW_TAG_variable":
                self.globals[name] = die
            elif die.tag == "DW_TAG_subprogram":
                self._learn_locals(name, die)

    def _learn_locals(self, function: str, die: Any) -> None:
        for inner in die.iter_children():
            if inner.tag in ("DW_TAG_variable", "DW_TAG_formal_parameter"):
                self.locals[function, _text(inner, "DW_AT_name")] = inner
            elif inner.tag == "DW_TAG_lexical_block":
                self._learn_locals(function, inner)

    def allocated(self, function: str, what: str) -> Any:
        """The type that ``what``, a text like ``sizeof(*page)`` in ``function``, is of."""
        pointee = POINTEE.search(what)
        if pointee:
            variable = self.locals.get((function, pointee[1]))
            pointer = _bare(_type(variable)) if variable is not None else None
            return _bare(_type(pointer)) if pointer is not None else None
        struct = STRUCT.search(what)
        return self.structs.get(struct[1]) if struct else None

    def field(self, kind: Any, offset: int) -> str | None:
        """``list.next``, ``slots[2]``: what is at an offset of a type."""
        kind = _bare(kind)
        if kind is None:
            return None
        if kind.tag == "DW_TAG_array_type":
            item = _bare(_type(kind))
            size = _size(item)
            if not size:
                return None
            rest = self.field(item, offset % size)
            return f"[{offset // size}]" + (f".{rest}" if rest else "")
        if kind.tag not in ("DW_TAG_structure_type", "DW_TAG_union_type"):
            return None
        best = None
        for member in kind.iter_children():
            at = _number(member, "DW_AT_data_member_location")
            if member.tag == "DW_TAG_member" and at <= offset:
                best = member, at
        if best is None:
            return None
        name, rest = _text(best[0], "DW_AT_name"), self.field(_type(best[0]), offset - best[1])
        joint = "" if not rest or not name or rest.startswith("[") else "."
        return f"{name}{joint}{rest or ''}" or None

    def static(self, offset: int) -> str:
        """A variable of the driver, and which part of it."""
        for at, size, name in self.symbols:
            if at <= offset < at + size:
                variable = self.globals.get(name)
                path = self.field(_type(variable), offset - at) if variable is not None else None
                if path:
                    return f"{name}{'' if path.startswith('[') else '.'}{path}"
                return name if at == offset else f"{name}+{offset - at}"
        return f"static data +{offset}"


@cache
def _debug(library: Path) -> Debug | None:
    """None where a driver brings debugging information that cannot be read."""
    try:
        with library.open("rb") as file:
            return Debug(file)
    except (ELFError, DWARFError):
        return None


def _text(die: Any, key: str) -> str:
    value = die.attributes.get(key)
    return value.value.decode("utf-8", "replace") if value is not None else ""


def _number(die: Any, key: str) -> int:
    value = die.attributes.get(key)
    return int(value.value) if value is not None else 0


def _type(die: Any) -> Any:
    if die is None or "DW_AT_type" not in die.attributes:
        return None
    return die.get_DIE_from_attribute("DW_AT_type")


def _bare(die: Any) -> Any:
    while die is not None and die.tag in SKIPPED:
        die = _type(die)
    return die


def _size(die: Any) -> int:
    return _number(die, "DW_AT_byte_size") if die is not None else 0
