# SPDX-License-Identifier: GPL-2.0-only
"""From program counters to functions, files and lines, by addr2line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import attrs

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

    def __init__(self, library: Path, base: int) -> None:
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
        done = subprocess.run(
            [self.tool, "-f", "-e", str(self.library)],
            input=asked, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        for i, pc in enumerate(new):
            function, where = [*lines[2 * i : 2 * i + 2], "?", "?:0"][:2]
            self.known[pc] = _place(function, where)

    def place(self, pc: int) -> Place:
        """One place."""
        self.learn([pc])
        return self.known[pc]


def _place(function: str, where: str) -> Place:
    file, _, line = where.partition(" (")[0].rpartition(":")
    marker = f"{DRIVER}/"
    if marker in file:
        file = marker + file.rpartition(marker)[2]
    else:
        file = Path(file).name
    # gcc names clones of a function after it: sgx_free.part.0
    return Place(function.partition(".")[0], file, int(line) if line.isdigit() else 0)
