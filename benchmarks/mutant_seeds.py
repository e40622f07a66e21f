# SPDX-License-Identifier: GPL-2.0-only
"""Do a mutant's fates depend on the seed?

    python -m benchmarks.mutant_seeds [MUTANTS [SEEDS [TARGET]]]

Draws mutants evenly, the same for each seed, and decides each with every seed. Closed:
noticed in the set-up, in a closed space, or equivalent; these fates must not change.
Sampled: for a mutant that some seed kills by a sampled run, how many seeds kill it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from random import Random

from sgxmodel.mutate.campaign import Campaign
from sgxmodel.mutate.catalogue import catalogue
from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import Limits
from sgxmodel.mutate.processes import Processes
from sgxmodel.mutate.scope import functions_in
from sgxmodel.mutate.store import Store, setting
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import SCENARIOS


def decided(target: str, names: list[str], seed: int, folder: Path) -> dict[str, Verdict]:
    """Every mutant's verdict with one seed."""
    base = revision(target)
    every = catalogue(functions_in(base))
    limits, scenarios = Limits(seed=seed), tuple(SCENARIOS.values())
    width = os.cpu_count() or 1
    campaign = Campaign(
        base,
        {name: every[name] for name in names},
        scenarios,
        limits,
        Store(folder, f"{target}-{seed}", setting(scenarios, limits)),
        lambda: Processes(width),
        width,
    )
    return {verdict.id: verdict for verdict in campaign.go()}


def is_closed(verdict: Verdict) -> bool:
    """Whether the seed had no part in it."""
    if verdict.fate is Fate.KILLED:
        return verdict.setup or verdict.states > 0
    return verdict.fate in (Fate.EQUIVALENT, Fate.STILLBORN)


def main(number: int, seeds: int, target: str) -> None:
    """Prints each mutant whose fates differ, and the counts."""
    names = sorted(catalogue(functions_in(revision(target))))
    drawn = Random(0).sample(names, min(number, len(names)))
    with tempfile.TemporaryDirectory(prefix="sgxmodel-seeds-") as folder:
        runs = [decided(target, drawn, seed, Path(folder)) for seed in range(seeds)]
    changed, closed, rates = 0, 0, []
    for name in drawn:
        verdicts = [run[name] for run in runs]
        kills = sum(v.fate is Fate.KILLED for v in verdicts)
        fates = {v.fate for v in verdicts}
        if any(map(is_closed, verdicts)):
            closed += 1
            changed += len(fates) > 1
        if kills and not all(map(is_closed, verdicts)):
            rates.append(kills / seeds)
        if len(fates) > 1:
            said = ", ".join(f"{seed} {v.fate}" for seed, v in enumerate(verdicts))
            print(f"{name}: {said}")
    print(f"{len(drawn)} mutants of {target}, {seeds} seeds")
    print(f"decided by closure with some seed: {closed}; of these the fate changes: {changed}")
    always = sum(rate == 1 for rate in rates)
    mean = 100 * sum(rates) / len(rates) if rates else 100
    print(f"killed by sampling with some seed: {len(rates)}; with every seed {always}; "
          f"a seed kills {mean:.1f} % of them")  # fmt: skip


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]) if given else 300,
        int(given[1]) if len(given) > 1 else 10,
        given[2] if len(given) > 2 else "list_fixed",
    )
