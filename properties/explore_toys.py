# SPDX-License-Identifier: GPL-2.0-only
"""Small random systems: nested locks, ordered names, blocking, choices, cycles."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import attrs

from sgxmodel.search.explore.machine import Broken, Check, Problem, Row
from sgxmodel.search.explore.races import Access

LOCKS, DATA = 2, 4
Instruction = tuple[Any, ...]


@attrs.define(eq=False, slots=False)
class Toy:
    """A program of instructions per task.  Slots: locks first, then data.

    ``bad``: values of two data slots that must not occur together while the lock
    ``guard`` (or nothing, if negative) is free.
    """

    programs: Sequence[Sequence[Instruction]]
    bad: tuple[tuple[int, int], tuple[int, int]] | None = None
    guard: int = -1
    want: tuple[int, int] | None = None
    scratch: int = 0
    alone: frozenset[int] = frozenset()
    groups: Sequence[Sequence[int]] = ()
    named: frozenset[int] = frozenset()

    def __attrs_post_init__(self) -> None:
        self.names: Sequence[str] = [f"T{t}" for t in range(len(self.programs))]
        self.kinds: Sequence[str] = [f"s{i}" for i in range(LOCKS + DATA)]

    def first(self) -> tuple[Sequence[Any], Sequence[Any]]:
        return [0] * (LOCKS + DATA), [(0, 0) for _ in self.programs]

    def over(self, t: int, local: Any) -> bool:
        return bool(local[0] >= len(self.programs[t]))

    def done(self, t: int, local: Any) -> bool:
        return self.over(t, local)

    def outcomes(self, t: int, local: Any, S: Any) -> int:
        if self.over(t, local):
            return 0
        what, *args = self.programs[t][local[0]]
        if what == "lock":
            S.waits(args[0])
            return int(S[args[0]] == 0)
        if what == "await":
            S.waits()
            return int(S[args[0]] == args[1])
        return 2 if what == "choose" else 1

    def apply(self, t: int, local: Any, choice: int, S: Any) -> Any:
        at, register = local
        what, *args = self.programs[t][at]
        following = at + 1
        if what == "lock":
            S.acquire(args[0])
            S[args[0]] = t + 1
        elif what == "unlock":
            S.release(args[0])
            S[args[0]] = 0
        elif what == "load":
            register = S[args[0]]
        elif what == "store":
            S[args[0]] = (register + args[1]) % 3
        elif what == "increment":
            S[args[0]] = (S[args[0]] + 1) % 3
        elif what == "order":
            register = int(S[args[0]] < t)
        elif what == "choose":
            register = choice
        elif what == "again":
            following = args[0] if register == args[1] else at + 1
        elif what == "assert":
            if S[args[0]] == args[1]:
                raise Broken("assert", f"T{t} finds {args}")
        return (following, register)

    @property
    def checks(self) -> Sequence[Check]:
        return (self.check,)

    def check(self, row: Row) -> Sequence[Problem]:
        if self.bad is None or (self.guard >= 0 and row[self.guard]):
            return ()
        (a, x), (b, y) = self.bad
        return [Problem("invariant", "both")] if row[a] == x and row[b] == y else ()

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        if self.bad is None or self.guard in held:
            return False
        return slot == self.guard or slot in (self.bad[0][0], self.bad[1][0])

    def final(self, row: Row) -> Sequence[Problem]:
        if self.want is None or row[self.want[0]] != self.want[1]:
            return ()
        return [Problem("final", "")]

    def canonical(self, row: list[Any]) -> None:
        pass


class Open(Toy):
    """A toy whose loads, stores, tests and assertions may race; increments are atomic."""

    def access(self, t: int, local: Any, row: Row) -> Access | None:
        what, *args = self.programs[t][local[0]]
        slots = frozenset(args[:1])
        if what in ("load", "order", "assert"):
            return Access(slots, frozenset(), True)
        if what == "store":
            return Access(frozenset(), slots, True)
        if what == "await":
            return Access(slots, frozenset(), False)
        return Access(slots, slots, False) if what == "increment" else None


def body(rng: Random, depth: int, length: int, base: int) -> list[Instruction]:
    """Instructions that start at ``base``; loops lead back into what they add to."""
    out: list[Instruction] = []
    while len(out) < length:
        kind = rng.random()
        slot = LOCKS + rng.randrange(DATA)
        if kind < 0.3 and depth < 2:
            lock = rng.randrange(LOCKS)
            inner = body(rng, depth + 1, rng.randrange(1, 4), base + len(out) + 1)
            out += [("lock", lock), *inner, ("unlock", lock)]
        elif kind < 0.38:
            out.append(("await", slot, rng.randrange(2)))
        elif kind < 0.46 and out:
            out.append(("again", base + rng.randrange(len(out)), rng.randrange(3)))
        elif kind < 0.55:
            out.append(("load", slot))
        elif kind < 0.75:
            out.append(("store", slot, rng.randrange(3)))
        elif kind < 0.88:
            out.append(("increment", slot))
        elif kind < 0.93:
            out.append(("choose",))
        else:
            out.append(("order", slot))
    return out


def toy(seed: int, of: type[Toy] = Toy) -> Toy:
    """A random system with one kind of thing that can go wrong, besides deadlock."""
    rng = Random(seed)
    tasks = rng.choice((2, 2, 3))
    programs = [body(rng, 0, rng.randrange(2, 6), 0) for _ in range(tasks)]
    kind = rng.choice(("deadlock", "assert", "invariant", "final"))
    slots = rng.sample(range(LOCKS, LOCKS + DATA), 2)
    made = of(programs)
    if seed % 3 == 0:
        made.kinds = [*made.kinds[:LOCKS], *("data" for _ in range(DATA))]
    if kind == "assert":
        programs[0].append(("assert", slots[0], rng.randrange(3)))
    elif kind == "invariant":
        made.bad = ((slots[0], rng.randrange(1, 3)), (slots[1], rng.randrange(1, 3)))
        made.guard = rng.randrange(-1, LOCKS)
    elif kind == "final":
        made.want = (slots[0], rng.randrange(3))
    return made
