# SPDX-License-Identifier: GPL-2.0-only
"""Mutated drivers of a kernel tree under `check`: what becomes of the tool, not of the mutants.

    python -m benchmarks.tree_mutants DIRECTORY [MUTANTS [SEED]]

Draws mutants of all files of the driver evenly and checks each as a user would. Counted:
how each check ended. A driver may crash, loop or corrupt memory: none of that may take a
worker process down ("lost"), let alone the command.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from sgxmodel.errors import UserError
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.search.verdict import worst
from sgxmodel.tree.mutants.catalogue import TreeMutant, catalogue
from sgxmodel.tree.source import copied, find
from sgxmodel.tree.target import DIED, TreePlan, check_tree

SCENARIOS = ("fault-reclaim", "remove-reclaim", "fork-reclaim", "poison-close", "exit-close")
RUNS = 200


def main(directory: str, number: int, seed: int) -> None:
    """Prints the counts after every fifty, and what went wrong when it does."""
    source = find(directory)
    drawn = list(catalogue(source).values())
    Random(seed).shuffle(drawn)
    ended: Counter[str] = Counter()
    began = time.monotonic()
    for i, mutant in enumerate(drawn[:number], 1):
        with tempfile.TemporaryDirectory(prefix="sgxmodel-mutant-") as scratch:
            how = _checked(directory, mutant, Path(scratch))
        ended[how.partition(":")[0]] += 1
        if how.startswith(("lost", "ERROR")):
            print(f"{mutant.id}: {how}", flush=True)
        if i % 50 == 0 or i == min(number, len(drawn)):
            said = ", ".join(f"{name} {count}" for name, count in ended.most_common())
            print(f"{i} of {len(drawn)} mutants, {time.monotonic() - began:.0f} s: {said}",
                  flush=True)  # fmt: skip


def _checked(directory: str, mutant: TreeMutant, scratch: Path) -> str:
    os.environ["XDG_CACHE_HOME"] = str(_cache(scratch))
    copy = copied(find(directory), scratch / "tree")
    (copy.driver / mutant.file).write_bytes(mutant.changed())
    chosen = tuple(map(scenario, SCENARIOS))
    try:
        results = [c.result for c in check_tree(TreePlan(str(copy.root), chosen, runs=RUNS)) if c]
    except UserError:
        return "does not build"
    if any(r.message == DIED for r in results):
        return "lost: a worker process"
    errors = [r.message for r in results if str(r.verdict) == "ERROR"]
    mine = [e for e in errors if "a defect of sgxmodel" in e]
    if mine:
        return f"ERROR: {mine[0]}"
    return "the set-up fails" if errors else str(worst(r.verdict for r in results))


def _cache(scratch: Path) -> Path:
    """The engine's objects are kept; each mutant's library goes with it."""
    cache = scratch / "cache"
    (cache / "sgxmodel").mkdir(parents=True)
    kept = Path(tempfile.gettempdir()) / f"sgxmodel-mutants-{os.getpid()}"
    kept.mkdir(exist_ok=True)
    (cache / "sgxmodel" / "trees").symlink_to(kept)
    for library in kept.glob("*.so"):
        library.unlink()
    return cache


if __name__ == "__main__":
    where, *rest = sys.argv[1:]
    main(where, int(rest[0]) if rest else 1000, int(rest[1]) if len(rest) > 1 else 0)
