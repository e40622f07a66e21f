# SPDX-License-Identifier: GPL-2.0-only
"""Which calls overlapped which: the table of `check --coverage`."""

from __future__ import annotations

from collections import Counter

from sgxmodel.machine.system import Call, System


class Overlaps:
    """``seen``: pairs of calls, in alphabetical order, that were under way at a time.

    Two calls overlap if each made a step before the other one returned.  It is
    noted when the first of them returns; a daemon's is under way for ever, and
    counts where it made a step meanwhile.
    """

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.begin(0)

    def begin(self, tasks: int) -> None:
        """A fresh run."""
        self.stepped = [0] * tasks
        """Task -> the number of its last step."""
        self.began = [0] * tasks
        """Task -> steps of the run when its call began."""

    def returned(self, system: System, t: int, call: Call) -> None:
        """Task ``t`` returns from a call: with whom did it overlap?"""
        verb = _verb(call)
        for u, spec in enumerate(system.tasks):
            if u == t or spec.last or system.position[u] >= len(spec.calls):
                continue
            since = self.began[t] if spec.daemon else self.began[u]
            if self.stepped[u] > since:
                other = _verb(spec.calls[system.position[u]])
                self.seen[min(verb, other), max(verb, other)] += 1
        self.began[t] = system.steps


def _verb(call: Call) -> str:
    return call.text.split()[0]
