# SPDX-License-Identifier: GPL-2.0-only
"""Values of fields as the driver's source writes them: NULL, flags by the names of their bits.

The engine says ``store FIELD 0x1 -> 0x0`` and ``read FIELD 0x1``; the names of bits are
those that the tree gives them: ``#define SGX_EPC_PAGE_IS_FREE BIT(1)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import attrs

DEFINED = re.compile(r"#define\s+(SGX_\w+)\s+BIT\((\d+)\)")
MARK = "sgxmodel flags:"
"""What the table begins with in the library: see :func:`table`."""
NUMBER = re.compile(r"0x[0-9a-f]+")


@attrs.frozen
class Kind:
    """What is known of a field's type."""

    struct: str = ""
    """The structure that it is a member of."""
    name: str = ""
    pointer: bool = False
    boolean: bool = False
    size: int = 0
    parts: tuple[tuple[str, int, int], ...] = ()
    """Of bit-fields: the name, the first bit and the number of bits of each."""


def table(source: str) -> str:
    """A C constant that carries the names of the tree's flags into the library."""
    text = " ".join(f"{name}={bit}" for name, bit in DEFINED.findall(source))
    return f'const char sgxmodel_flags[] = "{MARK} {text}";'


def flags_in(library: Path) -> dict[str, int]:
    """The names of flags, each with its bit, of a built tree."""
    data = library.read_bytes()
    at = data.find(MARK.encode() + b" ")
    if at < 0:
        return {}
    text = data[at + len(MARK) : data.index(b"\0", at)].decode("ascii", "replace")
    pairs = (word.partition("=") for word in text.split())
    return {name: 1 << int(bit) for name, _, bit in pairs}


def value(text: str, kind: Kind, flags: Mapping[str, int]) -> str:
    """One value, for a reader."""
    if not NUMBER.fullmatch(text):
        return text.removeprefix("&")
    number = int(text, 16)
    if kind.pointer:
        return "NULL" if not number else _pointer(number)
    if kind.boolean:
        return "true" if number else "false"
    if kind.name in ("flags", "desc"):
        prefix = f"{kind.struct.upper()}_"
        return _bits(number, {n.removeprefix(prefix): b for n, b in flags.items()
                              if n.startswith(prefix)})  # fmt: skip
    return str(number) if number < 1 << 16 else _signed(number, kind.size)


def _pointer(number: int) -> str:
    code = number - (1 << 64)
    return f"ERR_PTR({code})" if -4096 < code < 0 else "a pointer"


def _signed(number: int, size: int) -> str:
    low = number - (1 << 8 * size) if size else number
    return str(low) if -4096 < low < 0 else hex(number)


def are_numbers(*texts: str) -> bool:
    """Whether the engine gave numbers, not names of objects."""
    return all(map(NUMBER.fullmatch, texts))


def parts(before: str, after: str, kind: Kind) -> tuple[str, str, str]:
    """The bit-fields that a store changes, or all that a read sees: names and values."""
    a, b = int(before, 16), int(after, 16)
    changed = []
    for name, first, bits in kind.parts:
        old, new = ((v >> first) & ((1 << bits) - 1) for v in (a, b))
        if old != new:
            changed.append((name, str(old), str(new)))
    if not changed:
        changed = [(kind.parts[0][0], before, after)]
    first_names = ", ".join(name for name, _, _ in changed)
    return first_names, ", ".join(o for _, o, _ in changed), ", ".join(n for _, _, n in changed)


def change(before: str, after: str, kind: Kind, flags: Mapping[str, int]) -> tuple[str, str]:
    """Both values; of flags only what is not the same in both, if that tells it."""
    if not are_numbers(before, after):
        return value(before, kind, flags), value(after, kind, flags)
    a, b = int(before, 16), int(after, 16)
    known = sum(bit for name, bit in flags.items() if name.startswith(f"{kind.struct.upper()}_"))
    if kind.name == "desc" and a & ~known == b & ~known and a != b:
        before, after = hex(a & known), hex(b & known)
    return value(before, kind, flags), value(after, kind, flags)


def _bits(number: int, names: Mapping[str, int]) -> str:
    """``IS_FREE | 0x40``; what is no flag's is a number."""
    said = [name for name, bit in names.items() if number & bit]
    rest = number & ~sum(set(names.values()))
    if rest:
        said.append(hex(rest))
    return " | ".join(said) or "0"
