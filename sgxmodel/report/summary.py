# SPDX-License-Identifier: GPL-2.0-only
"""A whole check in a few lines, and what it saw and did not see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import attrs

from sgxmodel.report.layout import WIDTH, ascii, plural, prose
from sgxmodel.report.text import violation
from sgxmodel.scenario.coverage import Row
from sgxmodel.search.verdict import ScenarioResult, Verdict, worst
from sgxmodel.trace.events import Trace

SHOWN = 3
"""Scenarios named of what many of them show."""


@attrs.frozen
class Entry:
    """One scenario's result; ``found``: its traces, each with the file that holds it."""

    result: ScenarioResult
    found: tuple[tuple[Trace, str], ...] = ()

    @property
    def verdict(self) -> Verdict:
        return self.result.verdict

    @property
    def name(self) -> str:
        return self.result.scenario.name


def violations(entries: Iterable[Entry]) -> list[str]:
    """One report for each distinct (invariant, function): the smallest trace of all."""
    by_key: dict[tuple[str, str], list[tuple[Trace, str]]] = {}
    for entry in entries:
        for trace, path in entry.found:
            by_key.setdefault(trace.key, []).append((trace, path))
    out = []
    for same in by_key.values():
        trace, path = smallest(same)
        also = tuple(t.scenario for t, _ in same if t is not trace)
        out.append(((trace.preemptions, trace.length), violation(trace, path, also)))
    return [text for _, text in sorted(out)]


def smallest(found: Sequence[tuple[Trace, str]]) -> tuple[Trace, str]:
    """Fewest preemptions, then fewest steps."""
    return min(found, key=lambda f: (f[0].preemptions, f[0].length))


def summary(target: str, entries: Sequence[Entry], note: str = "") -> str:
    """A line for each scenario and one for all of them."""
    wide = max((len(e.name) for e in entries), default=0)
    out = []
    for entry in entries:
        out += [*_line(entry, min(wide, 32)), *_unreached(entry, len(entries) == 1)]
    kinds = {trace.key for entry in entries for trace, _ in entry.found}
    runs = sum(e.result.evidence.runs for e in entries)
    steps = sum(e.result.evidence.transitions for e in entries)
    said = f"{target}: {worst(e.verdict for e in entries)}"
    if kinds:
        said += f", {plural(len(kinds), 'distinct violation')}"
    said += f" in {plural(len(entries), 'scenario')}, {plural(runs, 'run')}, {steps} steps"
    if kinds:
        out += ["", *_kinds(entries)]
    known = sorted({key for entry in entries for key in entry.result.known} - kinds)
    if known:
        said_known = "Known, not counted: " + ", ".join(f"{i} in {f}" for i, f in known) + "."
        out += ["", *prose(said_known, 0, 2)]
    out += _unlike(entries)
    out += ["", *prose(said + (f"; {note}" if note else ""), 0, 2)]
    return "\n".join(out).lstrip("\n") + "\n"


def _unlike(entries: Sequence[Entry]) -> list[str]:
    """What may hide behind a known kind, each with the scenarios that show it."""
    where: dict[str, list[str]] = {}
    for entry in entries:
        for said in entry.result.unlike:
            where.setdefault(said, []).append(entry.name)
    if not where:
        return []
    said = "Not counted: the base breaks the same invariant in the same function, "
    out = ["", *prose(f"{said}but was not seen to do it in this form:", 0, 2)]
    for said, names in sorted(where.items()):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        out += prose(f"{said} ({', '.join(names[:SHOWN])}{more})", 2, 4)
    return out


def _kinds(entries: Sequence[Entry]) -> list[str]:
    """Each distinct violation in a line: the list to go through."""
    by_key: dict[tuple[str, str], list[tuple[Trace, str]]] = {}
    for entry in entries:
        for trace, path in entry.found:
            by_key.setdefault(trace.key, []).append((trace, path))
    wide = max(len(ascii(invariant)) for invariant, _ in by_key)
    out = []
    for (invariant, function), found in sorted(by_key.items()):
        trace, _ = smallest(found)
        size = f"{plural(trace.preemptions, 'preemption')}, {plural(trace.length, 'step')}"
        out += _kept(f"{ascii(invariant):<{wide}}  {ascii(function):<28}  {size}")
    return out


def _line(entry: Entry, wide: int) -> list[str]:
    evidence = entry.result.evidence
    runs = str(evidence.runs)
    if evidence.runs < evidence.planned:
        runs += f" of {evidence.planned}"
    counts = f"{runs} run{'' if runs == '1' else 's'}"
    if evidence.closed:
        counts = f"closed, {evidence.states} states"
    if entry.found:
        counts += f", {plural(len(entry.found), 'violation')}"
    line = f"{ascii(entry.name):<{wide}}  {entry.verdict!s:<12}  {counts}"
    out = _kept(line)
    if entry.result.message:
        out += prose(entry.result.message, 4)
    return out


def _unreached(entry: Entry, whole: bool) -> list[str]:
    """Paths that a closed space does not have: in full where it is all that was asked."""
    paths = entry.result.unreached
    if not paths:
        return []
    said = f"out of reach here: {plural(len(paths), 'path')} of functions that ran"
    if not whole:
        return prose(said, 4)
    out = prose(said + "; each would need", 4)
    for why in sorted({why for _, why in paths}):
        what = "; ".join(name for name, same in paths if same == why)
        out += prose(f"{why}: {what}", 6, 2)
    return out


def _kept(line: str) -> list[str]:
    """A table's line, broken only if it must be."""
    return [line] if len(line) <= WIDTH else prose(line, 0, 4)


def coverage(rows: Sequence[Row], everything: bool = False) -> str:
    """What was never seen, and why; on request, how often all else was."""
    out: list[str] = []
    if everything:
        for group, members in groupby(rows, key=lambda r: r.group):
            out += [f"{HEADINGS.get(group, group)}:", *_counts(list(members)), ""]
    zeros = [row for row in rows if not row.count]
    said = f"Seen: {len(rows) - len(zeros)} of {len(rows)} codes, paths and pairs of calls."
    out += prose(said)
    for why in dict.fromkeys(row.why for row in sorted(zeros, key=lambda r: bool(r.why))):
        out += ["", *prose(f"Never seen: {why}." if why else "Never seen:", 0, 2)]
        same = [row for row in zeros if row.why == why]
        for name, members in groupby(same, key=lambda r: r.name):
            outcomes = [row.outcome for row in members]
            if name:
                out += prose(f"{name}: {', '.join(outcomes)}", 2, 2)
            else:
                out += [line for outcome in outcomes for line in prose(outcome, 2, 2)]
    return "\n".join(out) + "\n"


OF_A_TREE = """\
A tree's check counts results of calls; leaves, paths and which calls
overlapped which are counted in the model only.
"""


HEADINGS: Mapping[str, str] = {
    "call": "Results of calls",
    "leaf": "Results of ENCLS leaves",
    "companion": "Paths that were walked",
    "race": "Which calls overlapped which, and how often",
}


def _counts(rows: Sequence[Row]) -> list[str]:
    out: list[str] = []
    for name, members in groupby(rows, key=lambda r: r.name):
        if name:
            out += prose(f"{name}: " + ", ".join(f"{r.outcome} {r.count}" for r in members), 2, 2)
        else:
            for row in members:
                lines = prose(row.outcome, 11, 2)
                lines[0] = f"{row.count:>9}  {lines[0].strip()}"
                out += lines
    return out
