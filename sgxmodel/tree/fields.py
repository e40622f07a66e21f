# SPDX-License-Identifier: GPL-2.0-only
"""Names of fields and of statics, from the library's debugging information (pyelftools)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.elffile import ELFFile

from sgxmodel.tree import values

TOKEN = re.compile(r"(?:\w+#\d+)?<([^<>|]*)\|([^<>|]*)\|(\d+)>")
ACCESS = re.compile(r"(store|read|write) ([^<]*)<([^<>|]*)\|([^<>|]*)\|(\d+)> (.*)")
POINTEE = re.compile(r"sizeof\(\*(\w+)\)")
STRUCT = re.compile(r"struct (\w+)")
SKIPPED = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type")
UNIT = "unity.c"


def named(text: str, library: Path) -> str:
    """Each token of the engine's object_field() as a C programmer writes it."""
    access = ACCESS.fullmatch(text)
    if access is not None:
        return _access(library, access)
    return TOKEN.sub(lambda m: _name(library, m), text)


def _name(library: Path, found: re.Match[str]) -> str:
    known = _debug(library)
    function, what, offset = found[1], found[2], int(found[3])
    object_name = found[0].partition("<")[0]
    if known is None:
        return f"{object_name}+{offset}"
    if function == "@":
        return known.static(offset)
    if known.array(what):
        return known.array(what) + known.element(function, what, offset)
    kind = known.allocated(function, what)
    path = known.field(kind, offset) if kind is not None else None
    return f"{object_name}.{path}" if path else f"{object_name}+{offset}"


def enumerator(library: Path, prefix: str, value: int) -> str:
    """The name of a number, among those that begin so; "" if none or several have it."""
    known = _debug(library)
    if known is None:
        return ""
    names = [n for n, v in known.enumerators.items() if n.startswith(prefix) and v == value]
    return names[0] if len(names) == 1 else ""


def _access(library: Path, found: re.Match[str]) -> str:
    """A read or a store: the field, and values in words."""
    known = _debug(library)
    token = found[0].partition(" ")[2].removesuffix(f" {found[6]}")
    field = TOKEN.sub(lambda m: _name(library, m), token)
    before, _, after = found[6].partition(" -> ")
    kind = values.Kind()
    if known is not None:
        kind = known.kind(found[3], found[4], int(found[5]))
    if kind.parts and values.are_numbers(before, after):
        name, before, after = values.parts(before, after, kind)
        return f"store {field.rpartition('.')[0]}.{name} {before} -> {after}"
    if after:
        return f"store {field} {' -> '.join(values.change(before, after, kind, _flags(library)))}"
    return f"{found[1]} {field} {values.value(before, kind, _flags(library))}"


class Debug:
    """What the driver's compilation unit says of its types and variables."""

    def __init__(self, file: Any) -> None:
        elf: Any = ELFFile(file)
        self.structs: dict[str, Any] = {}
        self.locals: dict[tuple[str, str], Any] = {}
        self.globals: dict[str, Any] = {}
        self.enumerators: dict[str, int] = {}
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
            elif die.tag == "DW_TAG_enumeration_type":
                for inner in die.iter_children():
                    value = _number(inner, "DW_AT_const_value")
                    self.enumerators[_text(inner, "DW_AT_name")] = value
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
            variable = self.locals.get((function, pointee[1])) or self.globals.get(pointee[1])
            pointer = _bare(_type(variable)) if variable is not None else None
            return _bare(_type(pointer)) if pointer is not None else None
        struct = STRUCT.search(what)
        return self.structs.get(struct[1]) if struct else None

    def array(self, what: str) -> str:
        """The variable that an array was allocated for, as sgx_numa_nodes."""
        pointee = POINTEE.search(what)
        return pointee[1] if pointee and pointee[1] in self.globals else ""

    def element(self, function: str, what: str, offset: int) -> str:
        """``[1].free_page_list``: which element of such an array, and what of it."""
        kind = self.allocated(function, what)
        size = _size(kind)
        path = self.field(kind, offset % size) if size else None
        return f"[{offset // size}].{path}" if size and path else f"+{offset}"

    def kind(self, function: str, what: str, offset: int) -> values.Kind:
        """The type of what is at an offset of an object."""
        if function == "@":
            return self._static_kind(offset)
        kind = self.allocated(function, what)
        size = _size(kind)
        return self._member(kind, offset % size if self.array(what) and size else offset)

    def _static_kind(self, offset: int) -> values.Kind:
        for at, size, name in self.symbols:
            if at <= offset < at + size and name in self.globals:
                return self._member(_type(self.globals[name]), offset - at, name)
        return values.Kind()

    def _member(self, kind: Any, offset: int, name: str = "", struct: str = "") -> values.Kind:
        kind = _bare(kind)
        if kind is None:
            return values.Kind()
        if kind.tag == "DW_TAG_array_type":
            item = _bare(_type(kind))
            size = _size(item)
            return self._member(item, offset % size, name, struct) if size else values.Kind()
        if kind.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
            best = _member_at(kind, offset)
            if best is None:
                return values.Kind()
            of = _text(kind, "DW_AT_name") or struct
            if "DW_AT_bit_size" in best[0].attributes:
                return values.Kind(of, parts=_bit_fields(kind, offset))
            return self._member(_type(best[0]), offset - best[1], _text(best[0], "DW_AT_name"), of)
        pointer = kind.tag in ("DW_TAG_pointer_type", "DW_TAG_subroutine_type")
        boolean = _text(kind, "DW_AT_name") == "_Bool"
        return values.Kind(struct, name, pointer, boolean, _size(kind))

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
        best = _member_at(kind, offset)
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


def _member_at(kind: Any, offset: int) -> tuple[Any, int] | None:
    """The member of a structure that an offset is in, and where that begins."""
    best = None
    for member in kind.iter_children():
        at = _place_of(member)
        if member.tag == "DW_TAG_member" and at <= offset:
            best = member, at
    return best


def _place_of(member: Any) -> int:
    """The byte in which a member begins."""
    bit = _number(member, "DW_AT_data_bit_offset") // 8
    return _number(member, "DW_AT_data_member_location") or bit


def _bit_fields(kind: Any, offset: int) -> tuple[tuple[str, int, int], ...]:
    """Those that share a word, from a byte on: name, first bit, bits."""
    return tuple(
        (_text(m, "DW_AT_name"), first, _number(m, "DW_AT_bit_size"))
        for m in kind.iter_children()
        if "DW_AT_bit_size" in m.attributes
        and 0 <= (first := _number(m, "DW_AT_data_bit_offset") - 8 * offset) < 64
    )


@cache
def _flags(library: Path) -> dict[str, int]:
    return values.flags_in(library)


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
