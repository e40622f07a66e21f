# SPDX-License-Identifier: GPL-2.0-only
"""From program counters to functions, files and lines, by addr2line."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import attrs

from sgxmodel.tree.confine import Library, confined
from sgxmodel.tree.source import DRIVER

TOOLS = ("addr2line", "llvm-addr2line")


@attrs.frozen
class Place:
    """A line of source; ``file`` as the kernel names it."""

    function: str = "?"
    file: str = ""
    lineno: int = 0


class Names:
    """Places of one library; asked for in batches, remembered."""

    def __init__(self, library: Library, base: int) -> None:
        self.library = library
        self.base = base
        self.known: dict[int, Place] = {0: Place()}
        self.tool = next((t for t in map(shutil.which, TOOLS) if t), None)

    def learn(self, counters: Iterable[int]) -> None:
        """Look several up at once."""
        new = sorted({pc for pc in counters if pc and pc not in self.known})
        if not new:
            return
        if self.tool is None:
            self.known |= {pc: Place(hex(pc - self.base)) for pc in new}
            return
        # A return address belongs to the line of the call before it.
        asked = "\n".join(hex(pc - self.base - 1) for pc in new)
        library = self.library
        done = confined(
            None if library.trusted else library.cell,
            [self.tool, "-a", "-i", "-f", "-e", str(library.path)],
            reads=[library.path],
            given=asked,
        )
        for pc, chain in zip(new, _chains(done.stdout), strict=False):
            self.known[pc] = chain
        for pc in new:
            self.known.setdefault(pc, Place())

    def place(self, pc: int) -> Place:
        """One place."""
        self.learn([pc])
        return self.known[pc]


def _chains(output: str) -> list[Place]:
    """Per address: the innermost place in the driver's own files, or the innermost."""
    out: list[Place] = []
    chain: list[Place] = []
    lines = output.splitlines()
    at = 0
    while at < len(lines):
        if lines[at].startswith("0x"):
            if chain:
                out.append(_driver(chain))
            chain = []
            at += 1
            continue
        chain.append(_place(*lines[at : at + 2]))
        at += 2
    return [*out, _driver(chain)] if chain else out


def _driver(chain: list[Place]) -> Place:
    return next((p for p in chain if p.file.startswith(str(DRIVER))), chain[0])


def _place(function: str, where: str = "") -> Place:
    file, _, line = where.partition(" (")[0].rpartition(":")
    marker = f"{DRIVER}/"
    if marker in file:
        file = marker + file.rpartition(marker)[2]
    else:
        file = Path(file).name
    # gcc names clones of a function after it: sgx_free.part.0
    return Place(function.partition(".")[0], file, int(line) if line.isdigit() else 0)
