# SPDX-License-Identifier: GPL-2.0-only
"""The objects that the text of a step or of a violation names."""

from __future__ import annotations

import re

NAME = re.compile(
    r"(?:(?:(?:PTE of |backing )?page|EPC page|memcg) \d+|[A-Za-z_]\w*(?:#\d+)?)"
    r"(?:\[\d+\])?(?:\.\w+(?:\[\d+\])?)*"
)
ENCLAVE = re.compile(r"encl(#?\d+)?")
HELD = "Who holds it:"
"""The line of a message behind which the holders of an object follow."""
PLAIN = re.compile(r"[a-z]+")
"""An English word, in a title; a field or a variable is longer or has an underscore."""


def names_in(text: str) -> set[str]:
    """``EPC page 2.flags``, ``encl#1.page_array``, ``epc2.list``."""
    return set(NAME.findall(text))


def operands(text: str) -> set[str]:
    """The objects and fields that an operation is about."""
    _, _, rest = text.partition("(")
    return names_in(rest) if rest else names_in(text.partition(" ")[2])


def objects(names: set[str]) -> set[str]:
    """The objects that fields are of, and fields with a name of their own: ``secs_child_cnt``.

    Nearly all is a part of the enclave, so of an enclave only its references count.
    """
    out = set()
    for name in names:
        parts = name.split(".")
        if not (ENCLAVE.fullmatch(parts[0]) and parts[1:] and parts[1] != "refcount"):
            out.add(parts[0])
        out |= {part for part in parts[1:] if "_" in part}
    return out


def focus_of(said: str) -> set[str]:
    """The objects that a violation names; who holds them is another matter."""
    said = said.partition(HELD)[0]
    return {name for name in objects(names_in(said)) if not PLAIN.fullmatch(name)}
