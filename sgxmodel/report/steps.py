# SPDX-License-Identifier: GPL-2.0-only
"""Which steps of a trace a reader must see, and how they are laid out.

Two tasks stand side by side, as in commit logs; three or more are prefixed
lines.  What is left out is counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import attrs

from sgxmodel.report.layout import WIDTH, ascii, plural, wrap
from sgxmodel.trace.events import Step, Trace

LINES_MAX = 60
"""More than this is not read; the least telling steps go first."""
GAP = 2
"""Columns between two tasks."""
NEAR = 5
"""Steps on either side of a switch that tell more than others."""

LOCKS = re.compile(r"(spin_(un)?lock|mutex_(un)?lock|(up|down)_(read|write))\(")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
KERNEL_SAYS = ("WARNING: ", "BUG: ", "list_add ", "list_del ", "refcount_t: ")
MEMBERSHIP = re.compile(r"\w+: (?!\d+ ->).+ -> ")
NUMBERS = re.compile(r": \d+ -> \d+$")
QUIET = ("read ", "list_next(", "write ")
LOOKS = re.compile(
    r"read |(list_(empty|first)|xa_load|test_bit|atomic_long_read|_?read_once)\w*\(", re.I
)


@attrs.frozen
class Line:
    """One line of one task."""

    task: str
    indent: int
    text: str


def interleaving(trace: Trace) -> list[str]:
    """The steps up to the violation."""
    if not trace.steps:
        return ["(no steps)"]
    tasks = list(dict.fromkeys(step.task for step in trace.steps))
    shown = _select(trace)
    if len(tasks) == 2:
        return _side_by_side(trace, _ordered(trace, tasks), shown)
    if len(tasks) == 1:
        return _alone(trace, tasks[0], shown)
    return _prefixed(tasks, shown)


# -- selection --------------------------------------------------------------------------------


def _select(trace: Trace) -> list[Line]:
    """The most telling steps, as many as fit."""
    steps, scores = trace.steps, _scores(trace)
    by_score = sorted(range(len(steps)), key=lambda i: (scores[i], i), reverse=True)
    everything = list(_shown(steps, by_score))
    if len(everything) <= LINES_MAX:
        return everything
    least = sum(score >= MUST for score in scores)
    most = sum(score >= TELLING for score in scores)
    best = list(_shown(steps, by_score[:least]))
    while least < most:
        middle = (least + most + 1) // 2
        lines = list(_shown(steps, by_score[:middle]))
        if len(lines) <= LINES_MAX:
            least, best = middle, lines
        else:
            most = middle - 1
    if len(best) <= 2 * LINES_MAX:
        return best
    kept = best[-LINES_MAX:]
    return [Line(kept[0].task, 0, "... (the trace file has what came before)"), *kept]


MUST, TELLING = 1000, 20
"""Scores of steps that are always shown, and of those that tell enough to be."""


def _scores(trace: Trace) -> list[int]:
    """How much each step tells."""
    steps = trace.steps
    focus = _focus(trace)
    shared = _shared(steps)
    ends = [
        i for i, step in enumerate(steps) if i + 1 == len(steps) or steps[i + 1].task != step.task
    ]
    begins = [0, *(i + 1 for i in ends[:-1])]
    scores = [_score(step, focus, shared) for step in steps]
    for i in (*ends, *begins):
        scores[i] += MUST
        for near in range(1, NEAR + 1):
            for j in (i - near, i + near):
                if 0 <= j < len(steps):
                    scores[j] += NEAR + 1 - near
    return scores


def _score(step: Step, focus: set[str], shared: set[str]) -> int:
    names = _operands(step.text)
    if step.text.startswith("list_next(") and not step.changes:
        return 0
    if any(change.startswith(KERNEL_SAYS) for change in step.changes):
        return MUST
    score = 0
    if names & focus and not LOCKS.match(step.text):
        score += 50
    if any("' returns " in c for c in step.changes):
        score += 40
    if step.result.startswith(("-E", "SGX_", "#")):
        score += 40
    if any(".flags: " in c or MEMBERSHIP.match(c) for c in step.changes):
        score += 20
    if LOCKS.match(step.text):
        return score + (15 if names & shared else 10)
    if names & shared:
        score += 15
    if step.changes:
        score += 6 if NUMBERS.search(step.changes[0]) else 12
    return score + (2 if step.text.startswith(QUIET) else 6)


def _focus(trace: Trace) -> set[str]:
    """What the violation names, and what the calls of its task failed on."""
    names = _names(trace.title) | _names(trace.message)
    names |= {f"{name}.list" for name in names}
    for step in trace.steps:
        if step.task == trace.steps[-1].task and step.result.startswith("-E"):
            names |= _operands(step.text)
    return names


def _shared(steps: Sequence[Step]) -> set[str]:
    """What one task uses and another one changes."""
    users: dict[str, set[str]] = {}
    changed: set[str] = set()
    for step in steps:
        names = _operands(step.text)
        for name in names:
            users.setdefault(name, set()).add(step.task)
        if not LOOKS.match(step.text) and not step.text.startswith("list_next("):
            changed |= names
    return {name for name, tasks in users.items() if len(tasks) > 1 and name in changed}


def _operands(text: str) -> set[str]:
    """The objects and fields that an operation is about."""
    verb, _, rest = text.partition("(")
    return _names(rest) if rest else _names(verb.partition(" ")[2])


def _names(text: str) -> set[str]:
    return set(NAME.findall(text))


# -- lines ------------------------------------------------------------------------------------


def _shown(steps: Sequence[Step], which: Collection[int]) -> Iterator[Line]:
    """Lines for some of the steps, and counts for the others."""
    chosen = set(which)
    calls = {step.task: step.call for step in reversed(steps)}
    several = {step.task for step in steps if step.call != calls[step.task]}
    said: dict[str, str] = {}
    task = function = ""
    hidden: list[Step] = []
    for i, step in enumerate(steps):
        if step.task != task:
            yield from _gap(hidden)
            task, function, hidden = step.task, "", []
        if i not in chosen:
            hidden.append(step)
            continue
        visible = [*hidden, step] if len(hidden) == 1 else [step]
        if len(hidden) > 1:
            yield from _gap(hidden)
        hidden = []
        for shown in visible:
            if shown.call != said.get(task) and task in several:
                yield Line(task, 0, f"[{shown.call}]")
                function = ""
            said[task] = shown.call
            if shown.function != function:
                yield Line(task, 0, f"{shown.function}()")
            function = shown.function
            yield from _step(shown)
    yield from _gap(hidden)


def _gap(hidden: list[Step]) -> Iterator[Line]:
    if hidden:
        yield Line(hidden[0].task, 1, f"... {plural(len(hidden), 'step')}")


def _step(step: Step) -> Iterator[Line]:
    text, changes = _operation(step), list(step.changes)
    what = step.text.partition("(")[2].rstrip(")") or step.text.removeprefix("write ")
    own = next((c for c in changes if c.startswith(f"{what}: ")), "")
    if own:
        changes.remove(own)
        detail = own.removeprefix(f"{what}: ")
        if not step.text.startswith("write "):
            changes.insert(0, detail)
        elif " -> " not in detail:
            text = f"{step.text}: {detail}"
    if step.text.startswith(("kzalloc(", "kfree(")):
        changes = [c for c in changes if not c.endswith((" allocated", " freed"))]
    yield Line(step.task, 1, text)
    for change in changes:
        yield Line(step.task, 3, change)


def _operation(step: Step) -> str:
    if not step.result:
        return step.text
    if step.text.startswith("read "):
        return f"{step.text} ({step.result})"
    return f"{step.text} = {step.result}"


# -- columns ----------------------------------------------------------------------------------


def _ordered(trace: Trace, tasks: list[str]) -> list[str]:
    """Tasks as the scenario has them; those that a foreign trace made up come last."""
    found = re.findall(r"^task (\w+)", trace.scenario_text, re.MULTILINE)
    known = [*found, "ksgxd", "kworker", "rcu", "end"]
    return sorted(tasks, key=lambda t: known.index(t) if t in known else len(known))


def calls_of(trace: Trace, task: str) -> str:
    """The calls that a task made, as far as the run went."""
    calls = dict.fromkeys(step.call for step in trace.steps if step.task == task)
    return "; ".join(calls)


def _side_by_side(trace: Trace, tasks: list[str], lines: list[Line]) -> list[str]:
    width = (WIDTH - GAP) // 2
    out: list[str] = []
    heads = [wrap(f"{t}: {calls_of(trace, t)}", 0, 4, width) for t in tasks]
    for i in range(max(map(len, heads))):
        left, right = (h[i] if i < len(h) else "" for h in heads)
        out.append(f"{left:<{width + GAP}}{right}".rstrip())
    out.append(f"{'-' * width}{' ' * GAP}{'-' * width}")
    for line in lines:
        at = 0 if line.task == tasks[0] else width + GAP
        out += [" " * at + part for part in wrap(line.text, line.indent, 2, width)]
    return out


def _alone(trace: Trace, task: str, lines: list[Line]) -> list[str]:
    head = wrap(f"{task}: {calls_of(trace, task)}")
    steps = [part for line in lines for part in wrap(line.text, line.indent, 2)]
    return [*head, "-" * max(map(len, head)), *steps]


def _prefixed(tasks: list[str], lines: list[Line]) -> list[str]:
    wide = min(max((len(ascii(t)) for t in tasks), default=0), 16) + 2
    out: list[str] = []
    for line in lines:
        prefix = f"{ascii(line.task)[:16]}:".ljust(wide)
        out += [prefix + part for part in wrap(line.text, line.indent, 2, WIDTH - wide)]
    return out
