# SPDX-License-Identifier: GPL-2.0-only
"""Files from which an exhaustive search goes on.

Such a file is good for one target, scenario, way of searching and state of the
model's code, as ids in it mean nothing elsewhere; what does not fit is refused.
It holds numbers and names, nothing that would be run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import attrs

from sgxmodel.errors import UserError
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import format
from sgxmodel.search.explore.saved import Saved

HEADER = b"sgxmodel search "
VERSION = 2
ROOMS = (
    "machine",
    "kernel",
    "hardware",
    "driver",
    "revisions",
    "scenario",
    "invariants",
    "search",
)
"""Where the meaning of an id comes from."""


class ResumeError(UserError):
    """A search cannot go on from a file."""


@attrs.frozen
class About:
    """What a search is of."""

    target: str
    scenario: str
    text: str
    reduction: bool
    python: str
    code: str


def about(target: str, scenario: Scenario, reduction: bool) -> About:
    """Of a search with the code as it is now."""
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    return About(target, scenario.name, format(scenario), reduction, python, _code())


@cache
def _code() -> str:
    root = Path(str(resources.files("sgxmodel")))
    digest = hashlib.sha256()
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


Counters = tuple["Counter[str]", "Counter[tuple[str, str]]", "Counter[tuple[str, int]]"]
"""Paths walked, results of calls, codes of leaves: what was seen so far."""


def pack(of: About, saved: Saved, counters: Counters) -> bytes:
    """The whole file."""
    seen = [list(counter.items()) for counter in counters]
    head = json.dumps({"about": attrs.asdict(of), "seen": seen}).encode()
    body = head + b"\n" + saved.pack()
    return b"%s%d\n%s\n%s" % (HEADER, VERSION, hashlib.sha256(body).hexdigest().encode(), body)


def unpack(data: bytes, of: About, where: str) -> tuple[Saved, Counters]:
    """What a file holds.  Raises :class:`ResumeError`."""
    head, rest = _head(data, where)
    _fits(head, of, where)
    try:
        paths, results, leaves = head["seen"]
        counters = (
            Counter(dict(paths)),
            Counter({(a, b): n for (a, b), n in results}),
            Counter({(a, b): n for (a, b), n in leaves}),
        )
        return Saved.unpack(rest), counters
    except (ValueError, TypeError, KeyError, zlib.error):
        raise ResumeError(f"{where}: broken: begin anew") from None


@attrs.frozen
class Unfinished:
    """A file that was read: a scenario's name, where it was found, what it holds."""

    scenario: str
    where: str
    data: bytes = attrs.field(repr=False)


def read(path: Path, target: str, scenarios: Iterable[Scenario], reduction: bool) -> Unfinished:
    """A file for one of some scenarios.  Raises :class:`ResumeError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResumeError(f"{path}: {error.strerror or error}") from None
    head, _ = _head(data, str(path))
    name = head["about"].get("scenario")
    scenario = next((s for s in scenarios if s.name == name), None)
    if scenario is None:
        raise ResumeError(f"{path}: is of scenario {str(name)[:40]!r}, which is not checked here")
    _fits(head, about(target, scenario, reduction), str(path))
    return Unfinished(scenario.name, str(path), data)


def write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        raise ResumeError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def is_search(path: Path) -> bool:
    """Whether a file is one of these, of any version."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER


def _head(data: bytes, where: str) -> tuple[dict[str, Any], bytes]:
    """The first lines; the body's digest is tested before anything in it is looked at."""
    first, _, rest = data.partition(b"\n")
    if not first.startswith(HEADER):
        raise ResumeError(f"{where}: not an unfinished search of 'check --exhaustive'")
    version = first.removeprefix(HEADER).decode("ascii", "replace")
    if version != str(VERSION):
        raise ResumeError(f"{where}: version {version[:20]}, this sgxmodel reads {VERSION}")
    digest, _, body = rest.partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
        raise ResumeError(f"{where}: broken: begin anew")
    line, _, rest = body.partition(b"\n")
    try:
        head = json.loads(line)
        if isinstance(head["about"], dict):
            return head, rest
    except (ValueError, TypeError, KeyError):
        pass
    raise ResumeError(f"{where}: broken: begin anew")


def _fits(head: dict[str, Any], of: About, where: str) -> None:
    theirs = head["about"]
    if theirs.get("target") != of.target:
        raise ResumeError(f"{where}: is of target {str(theirs.get('target'))[:40]!r}")
    if theirs.get("scenario") != of.scenario or theirs.get("text") != of.text:
        raise ResumeError(f"{where}: scenario {of.scenario!r} is not what it was: begin anew")
    if theirs.get("reduction") is not of.reduction:
        way = "with" if theirs.get("reduction") else "without"
        raise ResumeError(f"{where}: is of a search {way} reduction")
    if theirs.get("python") != of.python:
        raise ResumeError(f"{where}: was made by {str(theirs.get('python'))[:40]}, not {of.python}")
    if theirs.get("code") != of.code:
        raise ResumeError(f"{where}: the model's code is not what it was: begin anew")
