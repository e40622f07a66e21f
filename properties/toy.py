# SPDX-License-Identifier: GPL-2.0-only
"""Toy structs, operations and functions for tests of the notation."""

from __future__ import annotations

import itertools
import linecache
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import attrs

from sgxmodel.machine.blocks import Site
from sgxmodel.machine.generators import GeneratorImage, GeneratorSystem
from sgxmodel.machine.layout import CHOICE, CURRENT, FREED, Embedded, Layout, State, Struct
from sgxmodel.machine.layout import param as param
from sgxmodel.machine.layout import static as static
from sgxmodel.machine.notation import goto as goto
from sgxmodel.machine.notation import kernel as kernel
from sgxmodel.machine.notation import label as label
from sgxmodel.machine.op import READ_ONCE as READ_ONCE
from sgxmodel.machine.op import Fault, Op, describe, primitive, pure
from sgxmodel.machine.op import sometimes as sometimes
from sgxmodel.machine.program import Image, Program, functions_of
from sgxmodel.machine.system import Call, Silent, System, TaskSpec


class toy_lock(Embedded):
    t_held: bool = False


class toy_list(Embedded):
    t_next: toy_list
    t_prev: toy_list

    def initial(self) -> dict[str, Any]:
        return {"t_next": self, "t_prev": self}


class toy_ring(Struct):
    t_list: toy_list


class toy_node(Struct):
    t_a: int = 1
    t_b: int = 2
    t_flags: int = 4
    t_peer: toy_node | None
    t_lock: toy_lock
    t_list: toy_list


class toy_task(Struct):
    t_count: int = 0


ring = static("ring", toy_ring)
LIMIT = param("LIMIT", 2)
MASK = 7


def _handle(value: object) -> Any:
    """A handle by its own type: model code sees its fields' values, operations their slots."""
    return value


@primitive(enabled=lambda S, lock: not S[lock.t_held], acquires=True)
def toy_take(S: State, lock: toy_lock) -> None:
    S[_handle(lock).t_held] = True


@primitive(releases=True)
def toy_drop(S: State, lock: toy_lock) -> int | None:
    if not S[_handle(lock).t_held]:
        raise Fault("unlock", "nobody holds it", result=-1)
    S[_handle(lock).t_held] = False
    return None


@primitive(addresses=("field",))
def toy_add(S: State, field: int, n: int) -> int:
    S[field] += n
    return cast(int, S[field])


@primitive(addresses=("field",))
def toy_swap(S: State, n: int, field: int, mask: int) -> int:
    old, S[field] = S[field], n & mask
    return cast(int, old)


@primitive(choices=lambda S, n: n)
def toy_choose(S: State, n: int) -> int:
    return cast(int, S[CHOICE])


@primitive()
def toy_whoami(S: State) -> toy_task:
    return cast(toy_task, S[CURRENT])


@primitive(silent=True)
def toy_count(S: State, n: int) -> int:
    S[S[CURRENT].t_count] += n
    return cast(int, S[S[CURRENT].t_count])


@primitive()
def toy_next(S: State, pos: toy_list) -> toy_list:
    return cast(toy_list, S[_handle(pos).t_next])


@primitive()
def toy_del(S: State, pos: toy_list) -> None:
    """Unlink; the element keeps its own links, so that every walk still ends."""
    before, after = S[_handle(pos).t_prev], S[_handle(pos).t_next]
    S[before.t_next], S[after.t_prev] = after, before


@primitive()
def toy_free(S: State, node: toy_node) -> None:
    for slot in node.slots:
        S[slot] = FREED


@pure
def toy_mix(a: int, b: int) -> int:
    return (3 * a + b) & 15


@pure
def toy_entry(pos: toy_list) -> toy_node:
    return cast(toy_node, pos.container)


def toy_each(head: toy_list) -> Iterator[toy_node]:
    raise TypeError("only functions of the notation walk lists")


def toy_each_safe(head: toy_list) -> Iterator[toy_node]:
    raise TypeError("only functions of the notation walk lists")


toy_each.__walk__ = (False, toy_next, toy_entry)  # type: ignore[attr-defined]
toy_each_safe.__walk__ = (True, toy_next, toy_entry)  # type: ignore[attr-defined]


# -- functions written by hand ----------------------------------------------------------------


@kernel
def toy_set_flag(p: toy_node, flag: int) -> int:
    p.t_flags |= flag
    return 0


@kernel
def toy_both(p: toy_node) -> int:
    if p.t_a and p.t_b:
        return 1
    return 0


@kernel
def toy_either(p: toy_node) -> int:
    return p.t_a or p.t_b


@kernel
def toy_neither(p: toy_node) -> int:
    if not (p.t_a or p.t_b):
        return 1
    return 0


@kernel
def toy_copy(p: toy_node) -> int:
    x = p.t_a
    p.t_b = x
    p.t_flags = 0
    return 0


@kernel
def toy_spin(p: toy_node) -> int:
    while p.t_a:
        pass
    return 0


@kernel
def toy_free_and_use(p: toy_node, how: int) -> int:
    toy_free(p)
    if how == 0:
        return p.t_a
    if how == 1:
        p.t_a = 1
    else:
        return READ_ONCE(p.t_a)
    return 0


@kernel
def toy_limit() -> int:
    return LIMIT


@kernel
def toy_prune(limit: int) -> int:
    for entry in toy_each_safe(ring.t_list):
        if entry.t_a >= limit:
            toy_del(entry.t_list)
    return 0


# -- running them -----------------------------------------------------------------------------


@attrs.define
class Log(Silent):
    """Writes down what happens."""

    names: list[str]
    lines: list[tuple[int, str, Any]] = attrs.field(factory=list)
    returns: list[tuple[int, Any]] = attrs.field(factory=list)
    faults: list[Fault] = attrs.field(factory=list)

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        self.lines.append((t, describe(op, self.names), result))

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        self.lines.append((t, fault.kind, fault.result))
        self.faults.append(fault)

    def returned(self, t: int, call: Call, value: Any) -> None:
        self.returns.append((t, value))

    def texts(self) -> list[str]:
        return [text for _, text, _ in self.lines]


@attrs.define
class World:
    """Three nodes in a list, two tasks' handles, and a program loaded on them."""

    program: Program
    layout: Layout
    image: Image
    nodes: list[toy_node]
    tasks: list[toy_task]

    @classmethod
    def of(cls, *modules: ModuleType) -> World:
        layout = Layout()
        head = layout.static(ring).t_list
        nodes = [layout.new(toy_node, f"n{i}") for i in range(3)]
        tasks = [layout.new(toy_task, f"task{i}") for i in range(2)]
        values = layout.values
        for node, peer in itertools.pairwise(nodes):
            values[_handle(node).t_peer] = peer
        chain = [head, *(_handle(node).t_list for node in nodes)]
        for here, after in zip(chain, chain[1:] + chain[:1], strict=True):
            values[here.t_next], values[after.t_prev] = after, here
        program = Program.link(functions_of(*modules))
        return cls(program, layout, program.load(layout), nodes, tasks)

    def specs(self, *calls: tuple[Any, ...]) -> list[TaskSpec]:
        """A task for each ``(function name, arguments...)``."""
        return [
            TaskSpec(task.name, task, (Call(name, name, args),))
            for task, (name, *rest) in zip(self.tasks, calls, strict=False)
            for args in [tuple(rest)]
        ]

    def system(self, *calls: tuple[Any, ...]) -> tuple[System, Log]:
        log = Log(self.layout.names)
        system = System(self.image, self.specs(*calls), list(self.layout.values), log)
        system.start()
        return system, log

    def generators(self, *calls: tuple[Any, ...]) -> GeneratorSystem:
        image = GeneratorImage.build(self.program, self.layout)
        system = GeneratorSystem(image, self.specs(*calls), list(self.layout.values))
        system.start()
        return system


def able(system: System) -> list[int]:
    """The tasks that can take a step."""
    if system.stopped:
        return []
    return [t for t in range(len(system.tasks)) if system.enabled(t)]


def finish(system: System, steps: int = 1000) -> System:
    """Step the first task that can until none can."""
    while steps and (tasks := able(system)):
        system.step(tasks[0])
        steps -= 1
    return system


def slot(handle: object, field: str) -> int:
    return cast(int, getattr(handle, field))


_numbers = itertools.count()


def load(source: str) -> ModuleType:
    """Run source text as a module with a file of its own, as the notation reads the file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"toy_{next(_numbers)}.py"
        path.write_text(source, encoding="utf-8")
        module = ModuleType(path.stem)
        try:
            exec(compile(source, str(path), "exec"), vars(module))
        finally:
            linecache.cache.pop(str(path), None)
    return module
