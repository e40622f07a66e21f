# SPDX-License-Identifier: GPL-2.0-only
"""The mutation-testing report schema (version 2) as JSON, and as one offline HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from sgxmodel import __version__
from sgxmodel.errors import UserError
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.mutate.fate import PROMISE, TWO_WAY, Fate, Verdict

COMPONENT = "mutation-test-elements.js"
PLACES = ("node_modules/mutation-testing-elements/dist", "package/dist", ".")
HOW = (
    "the page needs the component 'mutation-testing-elements' (Apache-2.0): "
    "'npm install mutation-testing-elements' here, or --elements FILE with its "
    f"dist/{COMPONENT}"
)


class Shown(Protocol):
    """What a report asks of a mutant, of the model or of a tree."""

    @property
    def id(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def language(self) -> str: ...
    def text(self) -> str: ...
    def span(self) -> tuple[tuple[int, int], tuple[int, int]]: ...
    def diff(self) -> str: ...


def document(
    target: str,
    mutants: Iterable[Shown],
    verdicts: Mapping[str, Verdict],
    reasons: Mapping[str, str],
) -> dict[str, Any]:
    """The report.  Mutants without a verdict are ``Pending``."""
    files: dict[str, dict[str, Any]] = {}
    for mutant in mutants:
        if mutant.path not in files:
            files[mutant.path] = {
                "language": mutant.language,
                "source": mutant.text(),
                "mutants": [],
            }
        files[mutant.path]["mutants"].append(
            entry(mutant, verdicts.get(mutant.id), reasons.get(mutant.id, ""))
        )
    return {
        "schemaVersion": "2",
        "thresholds": {"high": 85, "low": 60},
        "files": files,
        "testFiles": {"invariants": {"tests": tests()}},
        "framework": {"name": "sgxmodel", "version": __version__},
        "config": {"target": target},
    }


def tests() -> list[dict[str, str]]:
    """What can kill a mutant."""
    return [{"id": i, "name": f"{i}: {cls.guarantee}"} for i, cls in INVARIANTS.items()] + [
        {"id": PROMISE, "name": "a path that a scenario promises is walked"},
        {"id": TWO_WAY, "name": "a tree does what the model does, in programs of one task"},
    ]


def entry(mutant: Shown, verdict: Verdict | None, reason: str) -> dict[str, Any]:
    """One mutant."""
    (line, column), (last, end) = mutant.span()
    out: dict[str, Any] = {
        "id": mutant.id,
        "mutatorName": mutant.operator,
        "description": f"{mutant.function}(): {mutant.what}",
        "replacement": mutant.what,
        "status": Fate.SURVIVED.value if verdict is None else verdict.fate.value,
        "location": {
            "start": {"line": line, "column": column},
            "end": {"line": last, "column": end},
        },
    }
    if verdict is None:
        return {**out, "status": "Pending"}
    why = verdict.title or verdict.why or reason
    if verdict.fate is Fate.KILLED:
        out["killedBy"] = list(verdict.killed_by)
        why = f"{why} (scenario {verdict.scenario}, after {verdict.schedules} schedules)"
    if why:
        out["statusReason"] = why
    return {**out, "testsCompleted": verdict.schedules, "duration": round(verdict.seconds * 1000)}


def component(given: str | None) -> str:
    """The text of the ready-made component.  Raises :class:`UserError`."""
    paths = [Path(given)] if given else [Path(place) / COMPONENT for place in PLACES]
    for path in paths:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if given:
                raise UserError(f"{path}: cannot be read: {error}; {HOW}") from None
    raise UserError(HOW)


def page(report: dict[str, Any], script: str) -> str:
    """One page that needs no network."""
    data = json.dumps(report).replace("<", "\\u003c")
    script = script.replace("</script", "<\\/script")
    title = f"Mutants of {report['config']['target']}"
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<script>{script}</script></head>\n"
        f'<body><mutation-test-report-app title-postfix="{title}">'
        "</mutation-test-report-app>\n"
        "<script>document.querySelector('mutation-test-report-app').report = "
        f"{data};</script></body></html>\n"
    )
