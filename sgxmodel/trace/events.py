# SPDX-License-Identifier: GPL-2.0-only
"""A run as plain data: names of objects and functions, no addresses and no indices.

A step is named by who does what where, and how often that happened before:
the name survives edits elsewhere in the code.
"""

from __future__ import annotations

import attrs

VERSION = 2


@attrs.frozen
class Point:
    """A step by its name: the ``occurrence``-th time (from 1, since the run's start)
    that this task applies this operation in this function."""

    task: str
    function: str
    text: str
    occurrence: int

    def __str__(self) -> str:
        again = f" (number {self.occurrence})" if self.occurrence > 1 else ""
        return f"{self.task} in {self.function}(): {self.text}{again}"


@attrs.frozen
class Switch:
    """After a step, or at the start of the run (None), ``task`` runs instead of the default.

    The default keeps the task that runs; where it waits, yields or ends, the next
    one in the order of the scenario.
    """

    after: Point | None
    task: str

    def __str__(self) -> str:
        where = f"after {self.after}" if self.after else "at the start"
        return f"{where}, {self.task} runs"


@attrs.frozen
class Choice:
    """The outcome of an operation that may fail on request; 0, success, is the default."""

    at: Point
    outcome: int

    def __str__(self) -> str:
        return f"{self.at} has outcome {self.outcome}"


@attrs.frozen
class Step:
    """One operation: ``call`` is the scenario's call that it is part of.

    ``changes``: what it changed, in words: flags by name, lists, reference counts;
    also what the kernel would print, and the results of calls that end with it.
    """

    number: int
    task: str
    call: str
    function: str
    file: str
    lineno: int
    text: str
    result: str = ""
    changes: tuple[str, ...] = ()


@attrs.frozen
class Patch:
    """A patch that was applied to a copy of a kernel tree; ``text`` is "" in version 1."""

    name: str
    text: str = ""

    def __str__(self) -> str:
        return self.name


@attrs.frozen
class Trace:
    """A run up to a violation; ``switches`` and ``choices`` are enough to repeat it."""

    target: str
    scenario: str
    scenario_text: str
    invariant: str
    function: str
    title: str
    message: str
    preemptions: int
    switches: tuple[Switch, ...]
    choices: tuple[Choice, ...]
    steps: tuple[Step, ...]
    version: int = VERSION
    patches: tuple[Patch, ...] = ()
    origin: tuple[str, ...] = ()
    """What else the run depends on: the tree's commit, the compiler, this sgxmodel."""
    memory: bool = False
    """Whether tasks of a kernel tree could be preempted at every memory access."""

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes findings: (invariant, function)."""
        return (self.invariant, self.function)

    @property
    def length(self) -> int:
        """Operations up to the violation."""
        return self.steps[-1].number if self.steps else 0
