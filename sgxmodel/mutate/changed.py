# SPDX-License-Identifier: GPL-2.0-only
"""Only what a patch touched: the lines of a unified diff, or of a revision's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from sgxmodel.errors import UserError

HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")
PATCH_BYTES_MAX = 16 << 20
Lines = dict[str, set[int]]
"""File (as the patch names it, without a/ and b/) -> lines of the new version."""


def touched(patch: str) -> Lines:
    """Lines that a unified diff adds or changes; where it only removes, the lines around."""
    lines: Lines = {}
    name, at, left = "", 0, 0
    for line in patch.splitlines():
        hunk = HUNK.match(line)
        if left <= 0 and line.startswith("+++ "):
            name = line[4:].split("\t")[0].strip().removeprefix("b/")
        elif hunk and name:
            at = int(hunk[1])
            left = int(hunk[2] or 1)
            if not left:
                lines.setdefault(name, set()).update((at, at + 1))
        elif name and left > 0:
            if line.startswith("+"):
                lines.setdefault(name, set()).add(at)
            elif line.startswith("-"):
                lines.setdefault(name, set()).update((at - 1, at))
                continue
            at, left = at + 1, left - 1
    return lines


def changed(what: str, where: Path) -> Lines:
    """``what``: a patch file, or a git revision of the repository at ``where``."""
    path = Path(what)
    if path.is_file():
        try:
            if path.stat().st_size > PATCH_BYTES_MAX:
                raise UserError(f"{what}: too large for a patch")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{what}: cannot be read as a patch: {error}") from None
        found = touched(text)
        if not found:
            raise UserError(f"{what}: not a patch: no line '+++ b/file' with a hunk after it")
        return found
    if what.startswith("-"):
        raise UserError(f"{what}: neither a patch file nor a git revision")
    done = subprocess.run(
        ["git", "-C", str(where), "diff", "-U0", "--no-color", "--no-ext-diff", what, "--", "."],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["git failed"])[0]
        raise UserError(f"{what}: neither a patch file nor a git revision ({said})")
    return touched(done.stdout)


def in_lines(lines: Lines, path: str, line: int) -> bool:
    """Whether a line was touched; paths agree by their ends."""
    return any(
        line in numbers for name, numbers in lines.items() if ("/" + name).endswith("/" + path)
    )
