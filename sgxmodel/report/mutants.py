# SPDX-License-Identifier: GPL-2.0-only
"""A mutation run as text: one line a survivor, the score, the kill matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.matrix import Matrix, score
from sgxmodel.mutate.schema import Shown
from sgxmodel.report.layout import prose


def survivors(
    mutants: Iterable[Shown], verdicts: Mapping[str, Verdict], reasons: Mapping[str, str]
) -> list[str]:
    """``path:line: function(): survived: what``, and below it why it may."""
    out: list[str] = []
    for mutant in mutants:
        verdict = verdicts.get(mutant.id)
        if verdict is None or verdict.fate not in (Fate.SURVIVED, Fate.CRASH):
            continue
        word = "survived" if verdict.fate is Fate.SURVIVED else "the tool failed"
        out.append(f"{mutant.path}:{mutant.line}: {mutant.function}(): {word}: {mutant.what}")
        out.append(f"    {mutant.id}")
        why = reasons.get(mutant.id) or verdict.why
        if why:
            out += prose(why, 4, 4)
    return out


def summary(
    target: str, planned: int, verdicts: Mapping[str, Verdict], listed: int, note: str = ""
) -> list[str]:
    """The score in a few lines."""
    scored = score(verdicts)
    counts = ", ".join(f"{scored.counts[f]} {f}" for f in Fate if scored.counts.get(f))
    out = [f"{target}: {planned} mutants: {counts or 'none decided'}"]
    if planned > len(verdicts):
        out.append(f"{planned - len(verdicts)} not decided yet" + (f": {note}" if note else ""))
    if scored.rate is not None:
        out.append(f"{100 * scored.rate:.1f} % of those that could be noticed are killed")
    if listed:
        out.append(f"{listed} of the survivors are on the list of those that may live")
    runs = sum(v.schedules for v in verdicts.values())
    seconds = sum(v.seconds for v in verdicts.values())
    out.append(f"{runs} schedules, {seconds:.0f} s of processor time")
    return out


def details(mutant: Shown, verdict: Verdict | None, reason: str) -> list[str]:
    """One mutant: the diff and what became of it."""
    out = [
        f"{mutant.id}",
        f"{mutant.path}:{mutant.line}: {mutant.function}(): {mutant.what}",
        "",
        mutant.diff(),
        "",
    ]
    out += ["not decided yet"] if verdict is None else _fate(verdict)
    if reason:
        out += ["", *prose(f"May live: {reason}", 0, 4)]
    return out


def _fate(verdict: Verdict) -> list[str]:
    said = verdict.title or verdict.why
    out = [f"{verdict.fate}" + (f": {said}" if said else "")]
    if verdict.fate is Fate.KILLED:
        out.append(f"by {', '.join(verdict.killed_by)} in scenario {verdict.scenario}")
        out.append(f"after {verdict.schedules} schedules")
    else:
        closed = f", every interleaving of {', '.join(verdict.closed)}" if verdict.closed else ""
        out.append(f"{verdict.schedules} schedules{closed}")
    return out


def matrix(found: Matrix) -> list[str]:
    """Invariants against operators: a line each, as there are many operators."""
    out = ["Killed, by invariant and operator:"]
    for invariant, total in sorted(found.total.items(), key=lambda item: -item[1]):
        parts = sorted(
            ((n, o) for (i, o), n in found.kills.items() if i == invariant), reverse=True
        )
        alone = len(found.alone.get(invariant, ()))
        out.append(f"  {invariant}: {total}, {alone} of them by no other")
        out += prose(", ".join(f"{o} {n}" for n, o in parts), 6, 6)
    if found.idle:
        out.append("  kill nothing: " + ", ".join(found.idle))
    return out
