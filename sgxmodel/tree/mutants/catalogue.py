# SPDX-License-Identifier: GPL-2.0-only
"""All mutants of a tree's driver, each also as a patch for ``git am``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator

import attrs

from sgxmodel.errors import TreeError, UnknownNameError
from sgxmodel.mutate.catalogue import digest
from sgxmodel.tree.mutants.operators import OPERATORS, UNDECIDABLE
from sgxmodel.tree.mutants.syntax import Edit, functions, line_of, parsed, text, trapped
from sgxmodel.tree.source import DRIVER, Source

WHOLE = ("main.c", "sgx.h")
TOUCHING = ("encl.c", "ioctl.c", "virt.c")
FILES = (*WHOLE, *TOUCHING)
TOUCHES = re.compile(
    r"epc_page|va_page|list_|lock|kref|refcount|_cnt\b|count|atomic|srcu|secs|backing|page_array"
)
"""What makes a change of ``TOUCHING`` one of pages, lists, locks, references or counters."""


@attrs.frozen(eq=False)
class TreeMutant:
    """One change of one function of the driver.  ``line``: in ``file``."""

    id: str
    file: str
    function: str
    operator: str
    what: str
    line: int
    edit: Edit
    source: bytes
    body: tuple[int, int]
    """Where the function's body begins and ends."""

    @property
    def path(self) -> str:
        return str(DRIVER / self.file)

    language = "c"

    def text(self) -> str:
        """The whole file."""
        return self.source.decode("utf-8", "replace")

    def span(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(line, column) of the first character that changes, and after the last; from 1."""
        (line, column), (last, end) = self.edit.at.start_point, self.edit.at.end_point
        return (line + 1, column + 1), (last + 1, end + 1)

    def trap(self) -> bytes:
        """The file with a trap where the change would be."""
        return trapped(self.edit, self.source)

    def changed(self) -> bytes:
        """The file with the change."""
        return self.edit.apply(self.source)

    def source_hash(self) -> str:
        """Of the function before and after."""
        return digest(self.id, self.source[self.body[0] : self.body[1]].decode("utf-8", "replace"))

    def key(self) -> str:
        """On the list of survivors: a reason holds for this text of the function, in any tree."""
        body = self.source[self.body[0] : self.body[1]].decode("utf-8", "replace")
        return f"{self.id}@{digest(' '.join(body.split()))[:8]}"

    def diff(self) -> str:
        """A unified diff."""
        old = self.source.decode("utf-8", "surrogateescape").splitlines(keepends=True)
        new = self.changed().decode("utf-8", "surrogateescape").splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, f"a/{self.path}", f"b/{self.path}"))

    def subject(self) -> str:
        """A subject line that a person understands."""
        return f"x86/sgx: {self.function}(): {self.what}"

    def patch(self) -> str:
        """A mail for ``git am``."""
        return (
            "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n"
            "From: sgxmodel <sgxmodel@localhost>\n"
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\n"
            f"Subject: [PATCH] {self.subject()}\n"
            "\n"
            f"A mutant, not a proposal: {self.id}\n"
            "---\n"
            f"diff --git a/{self.path} b/{self.path}\n"
            f"{self.diff()}"
            "-- \n"
            "sgxmodel\n"
        )


def mutants_of(file: str, source: bytes, operators: Collection[str]) -> Iterator[TreeMutant]:
    """All mutants of one file; two edits with one result are one mutant."""
    for function, body in functions(parsed(source)):
        seen = {source}
        names: dict[str, int] = {}
        for operator, edits in OPERATORS.items():
            for edit in edits(body):
                if file in TOUCHING and operator != UNDECIDABLE and not _touches(edit):
                    continue
                made = edit.apply(source)
                if made in seen:
                    continue
                seen.add(made)
                key = digest(edit.what)[:6]
                names[key] = names.get(key, 0) + 1
                again = f"-{names[key]}" if names[key] > 1 else ""
                if operator in operators:
                    yield TreeMutant(
                        f"{function}:{operator}:{key}{again}",
                        file,
                        function,
                        operator,
                        edit.what,
                        line_of(edit.at),
                        edit,
                        source,
                        (body.start_byte, body.end_byte),
                    )


def _touches(edit: Edit) -> bool:
    return bool(TOUCHES.search(text(edit.at)) or TOUCHES.search(edit.what))


def catalogue(
    source: Source,
    files: Collection[str] = FILES,
    names: Collection[str] = (),
    operators: Collection[str] = tuple(OPERATORS),
) -> dict[str, TreeMutant]:
    """The mutants in scope, by id.  Raises :class:`UserError` for what is not there."""
    for operator in operators:
        if operator not in OPERATORS:
            known = ", ".join(OPERATORS)
            raise UnknownNameError(f"there is no operator '{operator}'; there are {known}")
    found: dict[str, TreeMutant] = {}
    there: set[str] = set()
    for file in files:
        path = source.driver / file.rpartition("/")[2]
        if not path.is_file():
            raise TreeError(f"{source.name}: there is no {DRIVER / path.name}")
        for mutant in mutants_of(path.name, path.read_bytes(), operators):
            there.add(mutant.function)
            if not names or mutant.function in names:
                name = mutant.id if mutant.id not in found else f"{mutant.id}@{file}"
                found[name] = attrs.evolve(mutant, id=name)
    for wanted in names:
        if wanted not in there:
            raise UnknownNameError(f"{source.name}: no function '{wanted}' to mutate in {files}")
    return found
