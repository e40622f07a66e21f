# SPDX-License-Identifier: GPL-2.0-only
"""Violations by cause, the most severe first: a few lines each, and the small ones whole.

Until findings are told apart by cause, a kind, (invariant, function), stands for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sgxmodel.invariants.base import Severity
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.report.layout import ascii, plural
from sgxmodel.report.steps import interleaving
from sgxmodel.report.text import scenario_lines, violation
from sgxmodel.trace.events import Trace

Key = tuple[str, str]


@attrs.frozen
class Cause:
    """One kind of violation and its smallest example.

    ``trace``: none where no schedule alone shows it again.  ``path``: the file
    that holds it.  ``again``: the command that shows the example.
    """

    key: Key
    title: str
    seen_in: int
    """Items that met it."""
    again: str
    trace: Trace | None = None
    path: str = ""

    @property
    def severity(self) -> Severity:
        return severity(self.key)

    @property
    def name(self) -> str:
        return ascii(f"{self.key[0]} in {self.key[1]}")

    def whole(self) -> str:
        """All there is to say, fit for a mail."""
        if self.trace is None:
            return "\n".join(self.brief()) + "\n"
        return violation(self.trace, self.path)

    def brief(self) -> list[str]:
        """What it is, how large its example is and where it is."""
        said = ascii(self.title).strip().rstrip(":.")
        return [f"{self.name}: {said}", f"    {self._size()}: {self.again}"]

    def example(self) -> list[str]:
        """The example: its scenario and its steps."""
        if self.trace is None:
            return []
        return ["", *scenario_lines(self.trace), "", *interleaving(self.trace), ""]

    def _size(self) -> str:
        seen = f"seen in {plural(self.seen_in, 'item')}"
        if self.trace is None:
            return seen
        tasks = sum(line.startswith("task ") for line in self.trace.scenario_text.splitlines())
        size = f"{plural(tasks, 'task')}, {plural(self.trace.length, 'step')}"
        if self.trace.preemptions:
            size += f", {plural(self.trace.preemptions, 'preemption')}"
        return f"{size}, {seen}"


def severity(key: Key) -> Severity:
    """How bad a kind of violation is."""
    law = INVARIANTS.get(key[0])
    return Severity.CORRUPTION if law is None else law.severity


def by_severity(key: Key) -> tuple[Severity, int, Key]:
    """A sort key: the most severe first, then by the invariants' numbers."""
    number = key[0].partition("-")[0]
    return (severity(key), int(number) if number.isdecimal() else 0, key)


def section(causes: Sequence[Cause], room: int | None) -> list[str]:
    """All causes in ``room`` lines: the shortest examples whole, as many as fit.

    ``None``: everything is said in full.  Where even the brief lines do not fit
    the least severe are counted.
    """
    causes = sorted(causes, key=lambda cause: by_severity(cause.key))
    if room is None:
        return [line for c in causes for line in (*c.whole().splitlines(), "=" * 72, "")]
    told = [*causes]
    while len(_lines(told, ())) > room - 1 and told:
        told.pop()
    shown: set[Key] = set()
    for cause in sorted(told, key=lambda c: len(c.example())):
        if cause.trace and len(_lines(told, {*shown, cause.key})) <= room - 1:
            shown.add(cause.key)
    out = _lines(told, shown)
    left = len(causes) - len(told)
    return [*out, f"... and {left} more, none of them worse: -v shows all"] if left else out


def _lines(causes: Sequence[Cause], shown: set[Key] | tuple[()]) -> list[str]:
    out: list[str] = []
    said: Severity | None = None
    for cause in causes:
        if cause.severity is not said:
            said = cause.severity
            out.append(f"-- {said} --")
        out += cause.brief()
        if cause.key in shown:
            out += [f"    {line}".rstrip() for line in cause.example()]
    return out
