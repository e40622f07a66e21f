# SPDX-License-Identifier: GPL-2.0-only
"""What a stranger's code may reach while it is compiled and looked at: see ``cell/confine.c``.

A compiler is no enemy, but its input may be: ``.incbin``, ``#include`` and symbolic links
name files.  So it reads the driver, the shim and its own files, writes one folder, and
has no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import attrs

from sgxmodel.errors import TreeError

SYSTEM_CALLS = "system-calls"
"""Beside a cell: a line a call of this machine, number and name."""
UNABLE = 100
"""Exit status of ``cell`` from here on: a part of the machine is missing."""
PARTS = {
    1: "seccomp filters (CONFIG_SECCOMP_FILTER)",
    2: "Landlock (Linux 5.13 or newer, CONFIG_SECURITY_LANDLOCK, landlock among lsm=)",
    3: "a library that the dynamic linker takes",
    4: "an engine that starts",
    5: "limits on memory and processor time",
}
"""enum cell_part of cell.h."""
SYSTEM = (
    "/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives",
)  # fmt: skip
OF_PREFIX = ("bin", "include", "lib", "lib32", "lib64", "libexec", "share")
"""Of a compiler that is installed elsewhere: not all of somebody's home directory."""
KEPT = ("PATH", "LD_LIBRARY_PATH")


@attrs.frozen
class Library:
    """A built driver.

    ``cell``: the program that loads it; ``trusted``: nothing is confined, as the user
    said; ``unseen``: what runs in it that no check sees, by file and line.
    """

    path: Path
    cell: Path
    trusted: bool = False
    unseen: tuple[str, ...] = ()


@cache
def must_be_possible(cell: Path) -> None:
    """Raises :class:`TreeError` if this machine cannot confine a driver."""
    lacks = PARTS.get(subprocess.run([cell, "possible"], check=False).returncode - UNABLE)
    if lacks is not None:
        raise TreeError(
            f"a driver is run confined, and this machine has no {lacks}; "
            "--trust runs it with all your rights"
        )


def confined(
    cell: Path | None,
    command: Sequence[str],
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a tool; ``cell`` None: with all the user's rights.

    It writes its temporary files to the first folder of ``writes``.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    # What is looked for in messages is English.
    env = {**kept, "LC_ALL": "C", "TMPDIR": str(writes[0]) if writes else "/"}
    prefix: list[str] = []
    if cell is not None:
        may_read = [*SYSTEM, *_around(command[0]), *map(_real, [*reads, *writes])]
        prefix = [str(cell), "compile", *may_read, "--", *map(_real, writes), "--"]
    done = subprocess.run(
        [*prefix, *command], input=given, capture_output=True, text=True, errors="replace",
        check=False, env=env, cwd=writes[0] if writes else "/",
    )  # fmt: skip
    if cell is not None and done.returncode - UNABLE in PARTS:
        raise TreeError(f"{command[0]}: cannot be confined: no {PARTS[done.returncode - UNABLE]}")
    return done


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _around(command: str) -> list[str]:
    """Where a compiler has its own files."""
    found = Path(_real(Path(shutil.which(command) or command)))
    if str(found).startswith(SYSTEM):
        return []
    return [str(found.parents[1] / name) for name in OF_PREFIX]
