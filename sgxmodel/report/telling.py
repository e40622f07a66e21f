# SPDX-License-Identifier: GPL-2.0-only
"""How much each step of a trace tells: what decides, what is worth a line, what is not."""

from __future__ import annotations

import re

from sgxmodel.trace.events import Step, Trace
from sgxmodel.trace.naming import focus_of, names_in, objects, operands

MUST, TELLING, LEAST = 1000, 20, 6
"""Scores of steps that are always shown, of those that tell much, and of those worth a line."""
DECIDES = 40
NEAR = 5
"""Steps on either side of a switch that tell more than others."""

HAND = 8
"""Steps of a task that tell what it works on."""
OBJECT = re.compile(r"(EPC page|backing page|PTE of page|memcg) \d+|\w+#\d+")
MODEL = re.compile(r"[a-z]+\d+|encl")
"""What has a number of its own; titles have other words in capitals, too."""
DESTROYS = ("kfree(", "xa_erase(", "shmem_truncate_range(", "drop(")

LOCKS = re.compile(
    r"(spin_(un)?lock|mutex_(un)?lock|mmap_(un|read_|write_)lock|(up|down)_(read|write)"
    r"|srcu_read_(un)?lock)\("
)
ALL_PAGES = re.compile(r"spin_(un)?lock\((sgx_|&sgx_|node)")
"""Locks that protect EPC pages: in a data race it matters who holds none of them."""
KERNEL_SAYS = ("WARNING: ", "BUG: ", "list_add ", "list_del ", "refcount_t: ", "printk: ")
MEMBERSHIP = re.compile(r"[\w ]+: (?!\d+ ->).+ -> |.*(head|tail|middle|alone) (on|of) |no list -> ")
NUMBERS = re.compile(r": \d+ -> \d+$")
QUIET = ("read ", "list_next(", "write ", "mmget_not_zero(", "mmput_async(", "atomic_long_read(")
LOOKS = re.compile(
    r"(read |list_(empty|first)|xa_(load|find)|test_bit|atomic_long_read|_?read_once)\w*\(?", re.I
)
GUESSES = {
    "11-free-count": ("sgx_nr_free_pages", "free_page_list"),
    "12-va-slots": ("slots", "va_pages", "page_cnt"),
    "7-being-reclaimed": ("desc",),
    "9-child-count": ("secs_child_cnt",),
}
"""What an invariant is about, beside what its violation names."""


def scores(trace: Trace) -> list[int]:
    """How much each step tells."""
    steps = trace.steps
    focus = _focus(trace)
    beside = _beside(steps, focus)
    race = trace.invariant.startswith("18-")
    shared = _shared(steps)
    ends = [
        i for i, step in enumerate(steps) if i + 1 == len(steps) or steps[i + 1].task != step.task
    ]
    begins = [0, *(i + 1 for i in ends[:-1])]
    out = [
        _score(step, focus, beside, shared)
        + (DECIDES if marked else 0)
        + (TELLING if race and ALL_PAGES.match(step.text) else 0)
        for step, marked in zip(steps, decisive(trace), strict=True)
    ]
    for i in _last_round(trace):
        out[i] += 0 if LOCKS.match(steps[i].text) else DECIDES
    for i in (*ends, *begins):
        out[i] += MUST
        for near in range(1, NEAR + 1):
            for j in (i - near, i + near):
                if 0 <= j < len(steps) and out[j] >= LEAST:
                    out[j] += NEAR + 1 - near
    return out


def _last_round(trace: Trace) -> list[int]:
    """Of a loop that does not end: the task's steps from one end of a round to the next."""
    steps = trace.steps
    mine = [i for i, step in enumerate(steps) if step.task == steps[-1].task]
    again = [i for i in mine[:-1] if steps[i].text == steps[-1].text]
    if trace.invariant != "14-progress" or not again:
        return []
    return [i for i in mine if i > again[-1]]


def decisive(trace: Trace) -> list[bool]:
    """Which steps act on what the violation is about, or make the kernel say something."""
    focus = _focus(trace)
    named = focus_of(f"{trace.title}\n{trace.message}") | set(GUESSES.get(trace.invariant, ()))
    said = f"{trace.title}\n{trace.message}"
    about = {name for name in named if is_object(name)} or {n for n in focus if is_object(n)}
    return [_decides(step, about, said) for step in trace.steps]


def _decides(step: Step, named: set[str], said: str) -> bool:
    if any(change.startswith(KERNEL_SAYS) for change in step.changes):
        return True
    if LOCKS.match(step.text):
        return False
    acts = step.changes or step.text.startswith((*DESTROYS, "xa_insert("))
    blamed = step.file and f"{step.file}:{step.lineno}" in said
    about = objects(operands(step.text) | names_in(step.result)) | _changed(step)
    return bool(about & named and (acts or blamed))


def _changed(step: Step) -> set[str]:
    """The objects that a change is of: ``PTE of page 0: none -> EPC page 2``."""
    return objects({n for c in step.changes for n in names_in(c.partition(":")[0])})


def _score(step: Step, focus: set[str], beside: set[str], shared: set[str]) -> int:
    about = objects(operands(step.text)) | _changed(step)
    if step.text.startswith("list_next(") and not step.changes:
        return 0
    if any(change.startswith(KERNEL_SAYS) for change in step.changes):
        return MUST
    if LOCKS.match(step.text):
        return LEAST + 4 if operands(step.text) & shared else 1
    if step.text == "returns 0":
        return 1
    score = 0
    if about & focus:
        score = 25 if step.text.startswith("read ") else 50
        score += DECIDES if step.text.startswith(DESTROYS) else 0
    elif names_in(step.result) & focus:
        score = 25
    elif about & beside and step.changes:
        score = 15
    if any("' returns " in c for c in step.changes) or step.text.startswith("returns "):
        score += 40
    if step.result.startswith(("-E", "SGX_", "#")):
        score += 40 if step.result.startswith("-E") else 10
    if any(".flags: " in c or MEMBERSHIP.match(c) for c in step.changes):
        score += 15
    if operands(step.text) & shared:
        score += 10
    if step.changes:
        score += 4 if NUMBERS.search(step.changes[0]) else 10
    return score + (2 if step.text.startswith(QUIET) else 6)


def _focus(trace: Trace) -> set[str]:
    """What the violation names, and what the calls of its task failed on."""
    names = focus_of(f"{trace.title}\n{trace.message}")
    names |= set(GUESSES.get(trace.invariant, ()))
    for step in trace.steps:
        if step.task == trace.steps[-1].task and step.result.startswith("-E"):
            names |= objects(operands(step.text))
    if not any(map(is_object, names)):
        names |= _at_hand(trace)
    return names


def is_object(name: str) -> bool:
    """Whether a name is one of something that steps act on, and no word of a sentence."""
    return bool(OBJECT.match(name)) or "_" in name or bool(MODEL.fullmatch(name))


def _at_hand(trace: Trace) -> set[str]:
    """Where a violation names nothing: what its task has just worked on."""
    mine = [s for s in trace.steps if s.task == trace.steps[-1].task and not LOCKS.match(s.text)]
    names = objects({n for s in mine[-HAND:] for n in operands(s.text)})
    return {name for name in names if OBJECT.match(name)}


def _beside(steps: tuple[Step, ...], focus: set[str]) -> set[str]:
    """EPC pages that a step brings together with what the violation names."""
    out: set[str] = set()
    for step in steps:
        names = objects(names_in(" ".join((step.text, step.result, *step.changes))))
        if names & focus:
            out |= {name for name in names if name.startswith("EPC page ")}
    return out


def _shared(steps: tuple[Step, ...]) -> set[str]:
    """What one task uses and another one changes."""
    users: dict[str, set[str]] = {}
    changed: set[str] = set()
    for step in steps:
        names = operands(step.text)
        for name in names:
            users.setdefault(name, set()).add(step.task)
        if not LOOKS.match(step.text) and not step.text.startswith("list_next("):
            changed |= names
    return {name for name, tasks in users.items() if len(tasks) > 1 and name in changed}
