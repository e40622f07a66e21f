# SPDX-License-Identifier: GPL-2.0-only
"""What becomes of a mutant, as plain data that can be kept."""

from __future__ import annotations

import enum

import attrs


class Fate(enum.Enum):
    """The value is the status in the mutation-testing report schema."""

    KILLED = "Killed"
    SURVIVED = "Survived"
    EQUIVALENT = "Ignored"
    STILLBORN = "CompileError"
    CRASH = "RuntimeError"
    UNDECIDABLE = "NoCoverage"
    """What it changes (barriers, READ_ONCE) cannot be seen in sequentially consistent runs."""

    def __str__(self) -> str:
        return self.name.lower()


PROMISE = "promise"
"""Killed by no invariant: a path that a scenario promises is not walked any more."""
TWO_WAY = "two-way"
"""Killed by no invariant: a program of one task does on a tree what it does not on the model."""


@attrs.frozen
class Verdict:
    """A fate with its evidence.

    ``killed_by``: invariants (or ``PROMISE``, ``TWO_WAY``), the first the one that was seen
    first; ``scenario``, ``switches`` and ``choices``: a run that shows it;
    ``schedules``: runs until then, or in all; ``states``: of closed spaces.
    """

    id: str
    fate: Fate
    killed_by: tuple[str, ...] = ()
    function: str = ""
    title: str = ""
    scenario: str = ""
    setup: bool = False
    switches: tuple[tuple[int, int], ...] = ()
    choices: tuple[tuple[int, int], ...] = ()
    schedules: int = 0
    states: int = 0
    closed: tuple[str, ...] = ()
    """Scenarios all of whose interleavings were covered."""
    why: str = ""
    seconds: float = 0.0
    """Of processor time: for the record, nothing is decided by it."""


def decided(verdict: Verdict | None) -> bool:
    """Whether that is known; where the tool failed it is asked again."""
    return verdict is not None and verdict.fate is not Fate.CRASH
