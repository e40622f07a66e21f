# SPDX-License-Identifier: GPL-2.0-only
"""The score, and the kill matrix: invariants against operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import names_of_killers


@attrs.frozen
class Matrix:
    """``kills``: (invariant, operator) -> mutants; ``alone``: mutants that no other kills."""

    kills: Mapping[tuple[str, str], int]
    total: Mapping[str, int]
    alone: Mapping[str, tuple[str, ...]]
    idle: tuple[str, ...]
    """Invariants that kill nothing."""


def matrix(verdicts: Mapping[str, Verdict], without: tuple[str, ...] = ()) -> Matrix:
    """Of verdicts whose ``killed_by`` is complete as far as the runs went (``--matrix``)."""
    kills: Counter[tuple[str, str]] = Counter()
    total: Counter[str] = Counter()
    alone: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        if verdict.fate is not Fate.KILLED:
            continue
        operator = name.split(":")[1]
        for invariant in verdict.killed_by:
            kills[invariant, operator] += 1
            total[invariant] += 1
        if len(verdict.killed_by) == 1:
            alone.setdefault(verdict.killed_by[0], []).append(name)
    idle = tuple(i for i in names_of_killers() if i not in total and i not in without)
    return Matrix(kills, total, {k: tuple(v) for k, v in alone.items()}, idle)


@attrs.frozen
class Score:
    """How many of each fate; ``rate``: killed among those that could be noticed."""

    counts: Mapping[Fate, int]

    @property
    def rate(self) -> float | None:
        live = self.counts.get(Fate.KILLED, 0) + self.counts.get(Fate.SURVIVED, 0)
        return self.counts.get(Fate.KILLED, 0) / live if live else None


def score(verdicts: Mapping[str, Verdict]) -> Score:
    """Count the fates."""
    return Score(Counter(v.fate for v in verdicts.values()))
