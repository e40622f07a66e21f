# SPDX-License-Identifier: GPL-2.0-only
"""Results that are kept: one line of JSON each, appended, so that nothing done is lost.

A result counts as long as the mutated function, the invariants (with all that
the checkers and the search are made of) and the scenarios are what they were,
and the limits too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import attrs

from sgxmodel.errors import UserError
from sgxmodel.mutate.catalogue import digest
from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import Limits
from sgxmodel.scenario.model import Scenario

ENGINE = (
    "invariants",
    "hardware",
    "kernel",
    "machine",
    "search",
    "mutate/judge.py",
    "mutate/apart.py",
    "mutate/cover.py",
    "mutate/walked.py",
)


@cache
def engine_hash() -> str:
    """Of the checkers and of what runs them."""
    root = Path(str(resources.files("sgxmodel")))
    files: list[Path] = []
    for part in ENGINE:
        path = root / part
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return digest(*(f.read_text(encoding="utf-8") for f in files))


def setting(scenarios: Iterable[Scenario], limits: Limits) -> str:
    """What results depend on beside the mutated function."""
    return digest(engine_hash(), *map(repr, scenarios), repr(limits))


class Kept(Protocol):
    """What is asked of a mutant here."""

    @property
    def id(self) -> str: ...
    def source_hash(self) -> str: ...


class Store:
    """Results of one target in a folder.  ``under``: see :func:`setting`."""

    def __init__(self, folder: Path, target: str, under: str) -> None:
        self.path = folder / f"{target}.jsonl"
        self.under = under
        self.known: dict[str, Verdict] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            self.torn = bool(text) and not text.endswith("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path}: results cannot be kept here: {error}") from None
        for line in text.splitlines():
            entry = _read(line)
            if entry is not None:
                self.known[entry[0]] = entry[1]

    def key(self, mutant: Kept) -> str:
        """Of a mutant."""
        return self.key_of(mutant.id, mutant.source_hash())

    def key_of(self, name: str, source: str) -> str:
        """Of something with a name and a source."""
        return digest(self.under, name, source)

    def get(self, key: str) -> Verdict | None:
        """What is known."""
        return self.known.get(key)

    def put(self, key: str, verdict: Verdict) -> None:
        """Write a result down at once."""
        self.known[key] = verdict
        data = attrs.asdict(verdict, value_serializer=_plain)
        line = json.dumps({"key": key, **data}) + "\n"
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(("\n" if self.torn else "") + line)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None
        self.torn = False


def _plain(_: Any, __: Any, value: Any) -> Any:
    return value.value if isinstance(value, Fate) else value


def _read(line: str) -> tuple[str, Verdict] | None:
    """One line; a torn or foreign one is passed over: its mutant is done again."""
    try:
        data = json.loads(line)
        key = data.pop("key")
        for name in ("killed_by", "closed"):
            data[name] = tuple(data[name])
        for name in ("switches", "choices"):
            data[name] = tuple((a, b) for a, b in data[name])
        return key, Verdict(**{**data, "fate": Fate(data["fate"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
