# SPDX-License-Identifier: GPL-2.0-only
"""How long until a fault that was put back into a tree is found, in processor time.

    SGXMODEL_TREES=DIRECTORY... python -m benchmarks.tree_put_back

Medians of ten seeds, as `check` searches, in the scenario that is meant for the fault; the
orders of whole calls are part of it, compiling is not.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from properties.tree.test_put_back import FAULTS, WHERE
from properties.tree.trees import edited, first_seen, runner, trees

SEEDS = 10
LIMIT = 20_000


def main() -> None:
    """One line for each tree and fault."""
    for tree in trees():
        for fault in ("U1", "U6", "U16", "U17"):
            name, key = WHERE[fault]
            with tempfile.TemporaryDirectory() as scratch:
                copy = edited(tree, Path(scratch) / "tree", FAULTS[fault])
                runner(copy, name)
                took, runs = [], []
                for seed in range(SEEDS):
                    began = time.process_time()
                    runs.append(first_seen(copy, name, key, LIMIT, seed))
                    took.append(time.process_time() - began)
            missed = sum(run >= LIMIT for run in runs)
            print(f"{tree.name} {fault}: {median(took):.3f} s, {median(runs):.0f} runs, "
                  f"{missed} of {SEEDS} not found", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
