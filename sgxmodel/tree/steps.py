# SPDX-License-Identifier: GPL-2.0-only
"""The engine's events as steps of a trace: names for numbers, and what nobody reads left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from sgxmodel.trace.events import Step
from sgxmodel.trace.naming import focus_of, names_in, objects, operands
from sgxmodel.tree.plan import result_text
from sgxmodel.tree.runs import Runner, user_function

SETUP = "setup"


@attrs.frozen
class Event:
    """One line of the engine's trace."""

    step: int
    task: int
    call: int
    entry: int
    pc: int
    text: str


def events(text: str) -> list[Event]:
    """The engine's lines."""
    out = []
    for line in text.split("\n")[:-1]:  # not splitlines(): a wild name may hold anything
        step, task, call, entry, pc, rest = line.split("\t", 5)
        out.append(Event(int(step), int(task), int(call), int(entry, 16), int(pc, 16), rest))
    return out


HOLDS = "holds "
SKIPPED = ("step ", "switch ", "call", "ends", "state ", HOLDS)
SAID = ("VIOLATED ", "WARNING: ", "printk: ")
ACCESSES = ("read ", "store ", "write ")
ACCESS = re.compile(r"(read|store|write) (.+?(?: \d+\S*)?) (\S.*)")
POINTERS = re.compile(r"\.(next|prev)$")
"""Links of lists: the list operation says it."""
WHOLE = re.compile(r"\.(next|phys_addr|lock\.name|counter|bits\[0\])(?=[,) ]|$)")
"""The first member of a list head, an XArray, a counter: the object itself is meant."""
BIT = re.compile(r"(set|clear|test)_bit\((\d+), ")
PTE = re.compile(r"store \S+\.pte\[(\d+)\] (\d+) -> (\d+)")


def steps_of(runner: Runner, lines: list[Event], said: str, blamed: str) -> tuple[Step, ...]:
    """What happened, without the points at which nothing did; what is said goes with it.

    ``said``: what the violation says.  Reads of what it names are kept, and those of
    the function that it blames.
    """
    focus = focus_of(said)
    out: list[Step] = []
    for event in _in_order(lines):
        if event.text.startswith(SAID):
            _attach(runner, out, event)
        elif not event.text.startswith(SKIPPED):
            step = step_of(runner, event)
            if step is not None and _kept(step, focus, said, blamed):
                out.append(step)
    return tuple(out)


def _in_order(lines: list[Event]) -> Iterator[Event]:
    """A data race is told before the access that makes it: that comes first here."""
    held: list[Event] = []
    for event in lines:
        if event.text.startswith(("VIOLATED 18-data-race", "VIOLATED 18-plain-read")):
            held.append(event)
            continue
        if held and event.text.startswith(ACCESSES) and _same(event, held[0]):
            yield event
            event, held = held[0], held[1:]
        yield from held
        held = []
        yield event
    yield from held


def _same(a: Event, b: Event) -> bool:
    return (a.task, a.step, a.pc) == (b.task, b.step, b.pc)


def _attach(runner: Runner, out: list[Step], event: Event) -> None:
    said = runner.plan_names(event.text)
    if not out or out[-1].task != task_of(runner, event.task):
        out.append(attrs.evolve(_bare(runner, event), text=_nothing(runner, event)))
    if event.text.startswith("VIOLATED "):
        said = f"WARNING: {said.partition(': ')[2].removeprefix('WARNING: ')}"
    if said not in out[-1].changes:
        out[-1] = attrs.evolve(out[-1], changes=(*out[-1].changes, said))


def _nothing(runner: Runner, event: Event) -> str:
    """What is said of no event: of an access, or of what is there in the end."""
    if task_of(runner, event.task) == "end" and not event.entry:
        return "all calls have returned, and all files are closed"
    return "memory access" if event.entry else "access by the user"


def _kept(step: Step, focus: set[str], said: str, blamed: str) -> bool:
    if not step.text.startswith("read "):
        return True
    if step.text.endswith(".section"):  # only says where the EPC is
        return False
    if names_in(step.result) & focus:  # this is where the task has the object from
        return "was never freed" not in said
    at = step.file and f"{step.file}:{step.lineno}" in said
    return bool(at or objects(operands(step.text)) & focus or step.function == blamed)


def task_of(runner: Runner, number: int) -> str:
    """The name of a task; the scenario's come first."""
    tasks = runner.plan.tasks
    return tasks[number] if number < len(tasks) else SETUP


def _bare(runner: Runner, event: Event) -> Step:
    """Who is where, without what is done."""
    place = runner.names.place(event.pc)
    driver = place.file.startswith("arch/")
    texts = runner.plan.texts
    call = texts[event.call] if 0 <= event.call < len(texts) else ""
    return Step(
        number=event.step,
        task=task_of(runner, event.task),
        call=call,
        function=function_of(runner, event),
        file=place.file if driver else "",
        lineno=place.lineno if driver else 0,
        text="",
    )


def function_of(runner: Runner, event: Event) -> str:
    """The driver's function, or whoever calls the driver."""
    if event.entry:
        return runner.names.place(event.entry).function
    if not 0 <= event.call < len(runner.plan.texts):
        return task_of(runner, event.task)
    return user_function(runner.plan.texts[event.call])


def step_of(runner: Runner, event: Event) -> Step | None:
    """One event; None for one that says nothing: a list's link, a store that changes nothing."""
    bare = _bare(runner, event)
    text = runner.plan_names(event.text)
    if text.startswith("returns "):
        return attrs.evolve(bare, text=f"returns {result_text(int(text.split()[1]))}")
    if text.startswith(ACCESSES):
        return _access(bare, text)
    text, _, change = WHOLE.sub("", text).partition(" :: ")
    text, equals, result = text.partition(" = ")
    bit = BIT.match(text)
    if bit:
        name = _bit_name(runner, int(bit[2]), text)
        text = f"{bit[1]}_bit({name}, {text[bit.end() :]}"
    changes = (_change(text, change),) if change else ()
    return attrs.evolve(bare, text=text, result=result if equals else "", changes=changes)


def _change(text: str, change: str) -> str:
    """A change begins with what is changed."""
    what = text.partition("(")[2].removesuffix(")")
    if change.startswith("refcount ") and what:
        return f"{what}.refcount: {change.removeprefix('refcount ')}"
    if change.startswith("references "):
        return f"references: {change.removeprefix('references ')}"
    return change


def _bit_name(runner: Runner, bit: int, text: str) -> str:
    if not re.search(r"encl#\d+\.flags\)", text):
        return str(bit)
    return runner.enumerator("SGX_ENCL_", bit) or str(bit)


def _access(bare: Step, text: str) -> Step | None:
    pte = PTE.fullmatch(text)
    if pte:
        was, now = (_pte(int(v)) for v in pte.groups()[1:])
        page = f"PTE of page {pte[1]}"
        return attrs.evolve(bare, text=f"write {page}", changes=(f"{page}: {was} -> {now}",))
    verb, _, rest = text.partition(" ")
    field, values = _field(rest)
    if POINTERS.search(field) or ".pte[" in field:
        return None
    if verb == "read" or " -> " not in values:
        return attrs.evolve(bare, text=f"{verb} {field}", result=values)
    old, _, new = values.partition(" -> ")
    if old == new:
        return None
    change = f"{field}: {old} -> {new}"
    return attrs.evolve(bare, text=f"write {field}", result=new, changes=(change,))


def _field(text: str) -> tuple[str, str]:
    """``EPC page 2.flags 0 -> IS_FREE``: the field, and the rest."""
    found = re.match(r"(?:EPC page \d+|static data|[^ ]+?)(?:[.+\[]\S*)?(?= )", text)
    field = found[0] if found else text.partition(" ")[0]
    return field, text[len(field) :].strip()


def _pte(value: int) -> str:
    if not value:
        return "none"
    return f"EPC page {(value >> 12) - 1}, {'young' if value & 2 else 'old'}"
