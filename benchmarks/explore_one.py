# SPDX-License-Identifier: GPL-2.0-only
"""One search of the peers' model, as one command: ``SIZE reduced|unreduced|smallest BUG``.

Apart from explore.py, which measures it: what that imports is no part of a search.
"""

from __future__ import annotations

import sys

from properties import peers
from sgxmodel.search.explore.explorer import Explorer
from sgxmodel.search.explore.memory import peak
from sgxmodel.search.explore.zero_one import smallest

SIZES = {"small": peers.SMALL, "medium": peers.MEDIUM, "large": peers.LARGE}


def explore_one(size: str, how: str, bug: str) -> None:
    """Search and say in a line what came out."""
    machine = peers.Peers(SIZES[size], int(bug))
    if how == "smallest":
        result, preemptions = smallest(machine)
        found = f"{result.findings[0].problem.kind} in {len(result.findings[0].path)} steps"
        print(f"{found}, {preemptions} preemptions, {result.states} states")
        return
    result = Explorer(machine, reduction=how == "reduced").run()
    trace = f", {len(result.findings[0].path)} steps" if result.findings else ""
    print(f"{result.states} states, {result.transitions} transitions{trace}, {peak():.0f} MB")


if __name__ == "__main__":
    explore_one(*sys.argv[1:])
