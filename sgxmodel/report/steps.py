# SPDX-License-Identifier: GPL-2.0-only
"""Which steps of a trace a reader must see, and how they are written.

The same for a run of the model and for one of a tree.  What is left out is counted;
steps with a star act on what the violation is about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import attrs

from sgxmodel.report.columns import Line, laid_out
from sgxmodel.report.layout import plural, prose
from sgxmodel.report.telling import LEAST, MUST, TELLING, decisive, scores
from sgxmodel.trace.events import Step, Trace

LINES_MAX = 60
"""More than this is not read; the least telling steps go first."""
LINES_ENOUGH = 36
"""Up to this many are filled with steps that tell little."""
SETUP = "setup"
"""The task of steps that came before the run."""
DRIVER = "arch/"
"""What names a file of a kernel tree; places in the model are no places in the kernel."""


def interleaving(trace: Trace) -> list[str]:
    """The steps up to the violation."""
    if not trace.steps:
        return ["(no steps)"]
    before = [step for step in trace.steps if _is_earlier(step)]
    run = attrs.evolve(trace, steps=tuple(s for s in trace.steps if not _is_earlier(s)))
    out = _key(trace)
    if before:
        marked = decisive(attrs.evolve(trace, steps=tuple(before)))
        lines = list(_shown(before, range(len(before)), marked))
        out += ["In the set-up, before that:", ""]
        out += [*laid_out(attrs.evolve(trace, steps=tuple(before)), [SETUP], lines), ""]
    if run.steps:
        tasks = list(dict.fromkeys(step.task for step in run.steps))
        out += laid_out(run, tasks, _select(run))
    return out


def _is_earlier(step: Step) -> bool:
    return step.task == SETUP and step.number == 0


def _key(trace: Trace) -> list[str]:
    """Where the files are, and what a star says."""
    said = []
    if any(decisive(trace)):
        said.append("*: acts on what the violation is about.")
    folders = {s.file.rpartition("/")[0] for s in trace.steps if s.file.startswith(DRIVER)}
    if folders:
        said.append(f"Files: {', '.join(sorted(folders))}.")
    return [*prose(" ".join(said)), ""] if said else []


# -- selection --------------------------------------------------------------------------------


def _select(trace: Trace) -> list[Line]:
    """The most telling steps, as many as fit; what tells nothing is left out at any length."""
    steps, points, marked = trace.steps, scores(trace), decisive(trace)
    by_score = sorted(range(len(steps)), key=lambda i: (points[i], i), reverse=True)

    def lines_of(number: int) -> list[Line]:
        return list(_shown(steps, by_score[:number], marked))

    least, telling, worth = (sum(p >= s for p in points) for s in (MUST, TELLING, LEAST))
    number = _most(lines_of, least, telling, LINES_MAX)
    if number == telling:
        number = _most(lines_of, telling, worth, LINES_ENOUGH)
    best = lines_of(number)
    if len(best) <= 2 * LINES_MAX:
        return best
    kept = best[-LINES_MAX:]
    return [Line(kept[0].task, 0, "... (the trace file has what came before)"), *kept]


def _most(lines_of: Callable[[int], list[Line]], least: int, most: int, room: int) -> int:
    """The largest number of steps, from ``least`` on, whose lines fit."""
    while least < most:
        middle = (least + most + 1) // 2
        if len(lines_of(middle)) <= room:
            least = middle
        else:
            most = middle - 1
    return least


# -- lines ------------------------------------------------------------------------------------


def _shown(steps: Sequence[Step], which: Collection[int], marked: Sequence[bool]) -> Iterator[Line]:
    """Lines for some of the steps, and counts for the others."""
    chosen = set(which)
    calls = {step.task: step.call for step in reversed(steps)}
    several = {step.task for step in steps if step.call != calls[step.task]}
    said: dict[str, str] = {}
    task = function = ""
    hidden: list[int] = []
    for i, step in enumerate(steps):
        if step.task != task:
            yield from _gap(steps, hidden)
            task, function, hidden = step.task, "", []
        if i not in chosen:
            hidden.append(i)
            continue
        visible = [*hidden, i] if len(hidden) == 1 else [i]
        if len(hidden) > 1:
            yield from _gap(steps, hidden)
        hidden = []
        for at in visible:
            shown = steps[at]
            if shown.call != said.get(task) and task in several:
                yield Line(task, 0, f"[{shown.call}]")
                function = ""
            said[task] = shown.call
            if shown.function not in (function, task):
                yield Line(task, 0, f"{shown.function}()")
            function = shown.function
            yield from _step(shown, marked[at])
    yield from _gap(steps, hidden)


def _gap(steps: Sequence[Step], hidden: list[int]) -> Iterator[Line]:
    if hidden:
        yield Line(steps[hidden[0]].task, 2, f"... {plural(len(hidden), 'step')}")


def _step(step: Step, mark: bool) -> Iterator[Line]:
    text, changes = _operation(step), list(step.changes)
    what = step.text.partition("(")[2].rstrip(")") or step.text.removeprefix("write ")
    own = next((c for c in changes if c.startswith(f"{what}: ")), "")
    if own:
        changes.remove(own)
        detail = own.removeprefix(f"{what}: ")
        if step.text.startswith("write "):
            text = own if " -> " in detail else f"{step.text}: {detail}"
        else:
            changes.insert(0, detail)
    if step.text.startswith(("kzalloc(", "kfree(")):
        changes = [c for c in changes if not c.endswith((" allocated", " freed"))]
    yield Line(step.task, 2, text, _place(step), mark)
    for change in changes:
        yield Line(step.task, 4, change)


def _place(step: Step) -> str:
    """``encl.c:1203``."""
    if not step.file.startswith(DRIVER):
        return ""
    return f"{step.file.rpartition('/')[2]}:{step.lineno}"


def _operation(step: Step) -> str:
    if not step.result:
        return step.text
    if step.text.startswith("read "):
        return f"{step.text} ({step.result})"
    return f"{step.text} = {step.result}"
