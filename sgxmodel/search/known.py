# SPDX-License-Identifier: GPL-2.0-only
"""Violations that are known and do not count: kept in a file, left out of results.

A kind is (invariant, function): it survives edits elsewhere in the code, as a
line number or an interleaving would not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

from sgxmodel.errors import UserError
from sgxmodel.search.verdict import Checked, issue

Key = tuple[str, str]
HEADER = "# sgxmodel known violations "
VERSION = 1
BYTES_MAX = 1 << 20
LINE = re.compile(r"(\d+-[a-z0-9-]+)\s+(\w+)")


class KnownError(UserError):
    """A file of known violations cannot be read or written."""


def without(checked: Checked, known: Collection[Key]) -> Checked:
    """Leave the known kinds out; what is left decides on the verdict."""
    new = tuple(t for t in checked.traces if t.key not in known)
    if len(new) == len(checked.traces):
        return checked
    result = checked.result
    old = {t.key for t in checked.traces} - {t.key for t in new}
    verdict, message = result.verdict, result.message
    if not new:
        verdict, message = issue((), result.evidence, result.missing)
    result = attrs.evolve(
        result, verdict=verdict, message=message, known=tuple(sorted({*result.known, *old}))
    )
    return Checked(result, new)


def kinds(checked: Iterable[Checked]) -> set[Key]:
    """All kinds that were seen, known ones too."""
    return {key for c in checked for key in (*(t.key for t in c.traces), *c.result.known)}


def read(path: Path) -> frozenset[Key]:
    """Read a file of :func:`write`.  Raises :class:`KnownError`."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise KnownError(f"{path}: {error.strerror or error}; --save-known writes one") from None
    text = data.decode("ascii", "replace")
    if len(data) > BYTES_MAX or not text.startswith(HEADER):
        raise KnownError(f"{path}: not a list of known violations: --save-known writes one")
    lines = text.splitlines()
    version = lines[0].removeprefix(HEADER).strip()
    if version != str(VERSION):
        raise KnownError(f"{path}: version {version[:20]}, this sgxmodel reads {VERSION}")
    out = set()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise KnownError(f"{path}:{number}: a line holds an invariant and a function")
        out.add((match[1], match[2]))
    return frozenset(out)


def writable(path: Path) -> None:
    """Say before a long run that the list could not be written after it."""
    if path.is_dir():
        raise KnownError(f"{path}: is a directory: --save-known needs a file")
    if os.path.lexists(path) and not _is_known(path):
        raise KnownError(f"{path}: exists and is no list of known violations: it is left alone")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise KnownError(f"{path}: cannot be written: give --save-known another file")


def write(path: Path, found: Iterable[Key]) -> None:
    """Whole or not at all; over an older list, over nothing else."""
    writable(path)
    lines = [f"{HEADER}{VERSION}", *(f"{i} {f}" for i, f in sorted(set(found)))]
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text("\n".join([*lines, ""]), encoding="ascii")
        fresh.replace(path)
    except OSError as error:
        raise KnownError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)


def _is_known(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()
