# SPDX-License-Identifier: GPL-2.0-only
"""Lines of several tasks on a page: side by side where that fits, else each with its task."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sgxmodel.report.layout import ascii, wrap
from sgxmodel.trace.events import Trace

PAGE = 80
"""Columns of an interleaving: as wide as a mail with code in it may be."""
GAP = 2
"""Columns between two tasks."""
MANY = 3
"""More tasks than this are never side by side."""
WORTH = 1.6
"""How many times as long three columns may be as lines that name their task."""


@attrs.frozen
class Line:
    """One line of one task; ``where``: the place in the source, set right."""

    task: str
    indent: int
    text: str
    where: str = ""
    mark: bool = False


def laid_out(trace: Trace, tasks: list[str], lines: Sequence[Line]) -> list[str]:
    """All lines of a trace's tasks."""
    tasks = ordered(trace, tasks)
    if len(tasks) == 1:
        return [*_head(trace, tasks[0], PAGE), *_blocks(lines, PAGE)]
    prefixed = _prefixed(tasks, lines)
    if len(tasks) > MANY:
        return prefixed
    columns = _side_by_side(trace, tasks, lines)
    fits = len(tasks) == 2 or len(columns) <= WORTH * len(prefixed)
    return columns if fits else prefixed


def ordered(trace: Trace, tasks: list[str]) -> list[str]:
    """Tasks as the scenario has them; those that a foreign trace made up come last."""
    found = re.findall(r"^task (\w+)", trace.scenario_text, re.MULTILINE)
    known = [*found, "ksgxd", "kworker", "rcu", "end"]
    return sorted(tasks, key=lambda t: known.index(t) if t in known else len(known))


def calls_of(trace: Trace, task: str) -> str:
    """The calls that a task made, as far as the run went."""
    calls = dict.fromkeys(step.call for step in trace.steps if step.task == task and step.call)
    return "; ".join(calls)


def _title(trace: Trace, task: str) -> str:
    calls = calls_of(trace, task)
    return f"{task}: {calls}" if calls else task


def _head(trace: Trace, task: str, width: int) -> list[str]:
    head = wrap(_title(trace, task), 0, 4, width)
    return [*head, "-" * max(map(len, head))]


def _blocks(lines: Sequence[Line], width: int) -> list[str]:
    out = []
    i = 0
    while i < len(lines):
        end = i + 1
        while end < len(lines) and _continues(lines[i], lines[end]):
            end += 1
        out += _block(lines[i:end], width)
        i = end
    return out


def _continues(first: Line, line: Line) -> bool:
    """A change of the step in ``first``."""
    return line.task == first.task and line.indent > first.indent > 0


def _block(lines: Sequence[Line], width: int) -> list[str]:
    """A step and its changes; the place stands at the right of the first line with room."""
    out = [part for line in lines for part in wrap(line.text, line.indent, 2, width)]
    if lines[0].mark and out[0].startswith("  "):
        out[0] = f"* {out[0][2:]}"
    where = ascii(lines[0].where)
    if not where:
        return out
    for i, part in enumerate(out):
        if len(part) + 2 + len(where) <= width:
            out[i] = part.ljust(width - len(where)) + where
            return out
    return [*out, where.rjust(width)] if len(where) <= width else [*out, *wrap(where, 4, 0, width)]


def _side_by_side(trace: Trace, tasks: list[str], lines: Sequence[Line]) -> list[str]:
    width = (PAGE - GAP * (len(tasks) - 1)) // len(tasks)
    heads = [wrap(_title(trace, task), 0, 4, width) for task in tasks]
    out = []
    for i in range(max(map(len, heads))):
        row = "".join((h[i] if i < len(h) else "").ljust(width + GAP) for h in heads)
        out.append(row.rstrip())
    out.append((" " * GAP).join(["-" * width] * len(tasks)))
    for task, block in _by_task(lines):
        at = tasks.index(task) * (width + GAP)
        out += [(" " * at + part).rstrip() for part in _blocks(block, width)]
    return out


def _by_task(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    out: list[tuple[str, list[Line]]] = []
    for line in lines:
        if not out or out[-1][0] != line.task:
            out.append((line.task, []))
        out[-1][1].append(line)
    return out


def _prefixed(tasks: list[str], lines: Sequence[Line]) -> list[str]:
    wide = min(max((len(ascii(t)) for t in tasks), default=0), 16) + 2
    out: list[str] = []
    for task, block in _by_task(lines):
        prefix = f"{ascii(task)[:16]}:".ljust(wide)
        out += [(prefix + part).rstrip() for part in _blocks(block, PAGE - wide)]
    return out
