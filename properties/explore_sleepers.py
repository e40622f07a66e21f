# SPDX-License-Identifier: GPL-2.0-only
"""Random systems whose tasks block in every way that the model's do, and in some more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import attrs

from properties.explore_toys import DATA, LOCKS, Instruction, Open
from sgxmodel.search.explore.machine import Broken, Row
from sgxmodel.search.explore.races import Access

TASKS = 3
(COUNT, ITEMS, USERS, BUDGET, INSIDE, GRACE, WRITER, READERS, QUEUED, ASLEEP) = range(
    LOCKS + DATA, LOCKS + DATA + 10
)
"""A completion or semaphore; a work queue; users of an mm; failures left; SRCU: who reads,
who waits for whom; an rwsem: its writer, how many readers, writers that wait; a wait queue."""
STATE = ASLEEP + 1
"""Of each task, whether it sleeps."""
FINISHED = STATE + TASKS
SLOTS = FINISHED + TASKS
KINDS = [
    *("count", "items", "users", "budget", "inside", "grace"),
    *("writer", "readers", "queued", "asleep"),
    *["state"] * TASKS,
    *[f"finished{t}" for t in range(TASKS)],
]
DEAD = 9
"""In a lock's slot: it was freed.  Who waits goes on and finds out."""


@attrs.define(eq=False, slots=False)
class Sleepers(Open):
    """``daemons`` may sleep for ever; ``last`` begins when all others but them are done."""

    daemons: frozenset[int] = frozenset()
    last: int = -1
    start: dict[int, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.kinds = [*self.kinds, *KINDS]
        if self.last >= 0 and not self.daemons:
            self.alone = frozenset({self.last})
        self.others = [t for t in range(len(self.programs)) if t != self.last]

    def first(self) -> tuple[Sequence[Any], Sequence[Any]]:
        row: list[Any] = [0] * SLOTS
        for slot in (ITEMS, INSIDE, GRACE, QUEUED, ASLEEP):
            row[slot] = ()
        row[USERS] = len(self.programs)
        for slot, value in self.start.items():
            row[slot] = value
        for t, program in enumerate(self.programs):
            row[FINISHED + t] = int(not program)
        return row, [(0, 0) for _ in self.programs]

    def done(self, t: int, local: Any) -> bool:
        return t in self.daemons or self.over(t, local)

    def outcomes(self, t: int, local: Any, S: Any) -> int:
        if self.over(t, local):
            return 0
        if t == self.last:
            S.waits()
            if not all(S[FINISHED + u] for u in self.others if u not in self.daemons):
                return 0
        what, *args = self.programs[t][local[0]]
        if what in BLOCKING:
            S.waits(args[0] if what in ("lock", "lock_when") else -1)
            return int(BLOCKING[what](S, t, *args))
        if what == "may_fail":
            return 2 if S[BUDGET] > 0 else 1
        return super().outcomes(t, local, S)

    def apply(self, t: int, local: Any, choice: int, S: Any) -> Any:
        at, register = local
        what, *args = self.programs[t][at]
        if what in EFFECTS:
            found = EFFECTS[what](S, t, choice, *args)
            after = (at + 1, register if found is None else found)
        else:
            after = super().apply(t, local, choice, S)
        if self.last >= 0 and after[0] >= len(self.programs[t]):
            S[FINISHED + t] = 1
        return after

    def access(self, t: int, local: Any, row: Row) -> Access | None:
        what, *args = self.programs[t][local[0]]
        if what in ("both", "either"):
            a, x, b, _ = args
            looked = {a} if what == "either" and row[a] == x else {a, b}
            return Access(frozenset(looked), frozenset(), False)
        if what == "lock_when":
            return Access(frozenset({args[1]}), frozenset(), False)
        return None if what in EFFECTS else super().access(t, local, row)


# -- operations that can be blocked: how many outcomes they have ---------------------------------


def _no_writer(S: Any, t: int) -> bool:
    return S[WRITER] == 0 and not S[QUEUED]


def _nobody(S: Any, t: int) -> bool:
    return S[WRITER] == 0 and not S[READERS]


def _over(S: Any, t: int) -> bool:
    return not dict(S[GRACE]).get(t)


def _ready(S: Any, t: int) -> Any:
    return [who for who, waits in S[GRACE] if not waits and who >= TASKS]


BLOCKING: dict[str, Callable[..., Any]] = {
    "lock": lambda S, t, a: S[a] in (0, DEAD),
    "lock_when": lambda S, t, a, b, x: S[a] == 0 and S[b] == x,
    "await": lambda S, t, a, x: S[a] == x,
    "both": lambda S, t, a, x, b, y: S[a] == x and S[b] == y,
    "either": lambda S, t, a, x, b, y: S[a] == x or S[b] == y,
    "wait": lambda S, t: S[COUNT],
    "down": lambda S, t: S[COUNT] > 0,
    "next": lambda S, t: bool(S[ITEMS]),
    "any": lambda S, t: len(S[ITEMS]),
    "last_user": lambda S, t: S[USERS] <= 1,
    "synchronized": _over,
    "callback": lambda S, t: bool(_ready(S, t)),
    "down_read": _no_writer,
    "down_write": _nobody,
    "schedule": lambda S, t: S[STATE + t] == 0,
}


# -- what operations do; what they return goes into the register ---------------------------------


def _lock(S: Any, t: int, choice: int, a: int, *when: int) -> None:
    S.acquire(a)
    if S[a] == DEAD:
        raise Broken("assert", f"T{t} takes a lock that was freed")
    S[a] = t + 1


def _put(slot: int, change: Callable[[Any], Any]) -> Callable[..., None]:
    def effect(S: Any, t: int, choice: int) -> None:
        S[slot] = change(S[slot])

    return effect


def _set(S: Any, t: int, choice: int, slot: int, value: int) -> None:
    S[slot] = value


def _push(S: Any, t: int, choice: int, item: int) -> None:
    S[ITEMS] = (*S[ITEMS], item)[-2:]


def _pop(S: Any, t: int, choice: int) -> int:
    items = list(S[ITEMS])
    item: int = items.pop(choice)
    S[ITEMS] = tuple(items)
    return item


def _fail(S: Any, t: int, choice: int) -> int:
    if choice:
        S[BUDGET] -= 1
    return choice


def _enter(S: Any, t: int, choice: int) -> None:
    S[INSIDE] = tuple(sorted({*S[INSIDE], t}))


def _leave(S: Any, t: int, choice: int) -> None:
    S[INSIDE] = tuple(reader for reader in S[INSIDE] if reader != t)
    S[GRACE] = tuple((who, tuple(r for r in waits if r != t)) for who, waits in S[GRACE])


def _begin(S: Any, t: int, choice: int, what: int = 0) -> None:
    who = t + what
    S[GRACE] = (*(w for w in S[GRACE] if w[0] != who), (who, S[INSIDE]))


def _synchronized(S: Any, t: int, choice: int) -> None:
    S[GRACE] = tuple(w for w in S[GRACE] if w[0] != t)


def _callback(S: Any, t: int, choice: int) -> int:
    who: int = _ready(S, t)[0]
    S[GRACE] = tuple(w for w in S[GRACE] if w[0] != who)
    return who % 3


def _queue(S: Any, t: int, choice: int) -> None:
    if not _nobody(S, t):
        S[QUEUED] = tuple(sorted({*S[QUEUED], t}))


def _down_write(S: Any, t: int, choice: int) -> None:
    S[WRITER] = t + 1
    S[QUEUED] = tuple(waiter for waiter in S[QUEUED] if waiter != t)


def _downgrade(S: Any, t: int, choice: int) -> None:
    S[WRITER], S[READERS] = 0, 1


def _prepare(S: Any, t: int, choice: int) -> None:
    S[ASLEEP] = tuple(sorted({*S[ASLEEP], t}))
    S[STATE + t] = 1


def _finish(S: Any, t: int, choice: int) -> None:
    S[ASLEEP] = tuple(waiter for waiter in S[ASLEEP] if waiter != t)
    S[STATE + t] = 0


def _wake(S: Any, t: int, choice: int) -> None:
    for waiter in S[ASLEEP]:
        S[STATE + waiter] = 0


def _nothing(S: Any, t: int, choice: int, *args: int) -> None:
    pass


def _retry(S: Any, t: int, choice: int) -> None:
    S.yields()


EFFECTS: dict[str, Callable[..., Any]] = {
    "lock": _lock,
    "lock_when": _lock,
    "both": _nothing,
    "either": _nothing,
    "set": _set,
    "wait": _nothing,
    "down": _put(COUNT, lambda n: n - 1),
    "up": _put(COUNT, lambda n: min(n + 1, 2)),
    "push": _push,
    "next": _pop,
    "any": _pop,
    "may_fail": _fail,
    "get_user": _put(USERS, lambda n: min(n + 1, 3)),
    "put_user": _put(USERS, lambda n: max(n - 1, 0)),
    "last_user": _put(USERS, lambda n: 0),
    "enter": _enter,
    "leave": _leave,
    "begin": _begin,
    "synchronized": _synchronized,
    "callback": _callback,
    "down_read": _put(READERS, lambda n: min(n + 1, 3)),
    "up_read": _put(READERS, lambda n: max(n - 1, 0)),
    "queue": _queue,
    "down_write": _down_write,
    "up_write": _put(WRITER, lambda n: 0),
    "downgrade": _downgrade,
    "prepare": _prepare,
    "schedule": _nothing,
    "finish": _finish,
    "wake": _wake,
    "retry": _retry,
}


# -- random systems --------------------------------------------------------------------------


def _sleeps(rng: Random, inner: Callable[[], list[Instruction]]) -> list[Instruction]:
    """Something that may block, and what belongs around it."""
    a, b = rng.sample(range(LOCKS, LOCKS + DATA), 2)
    x, y = rng.randrange(2), rng.randrange(2)
    lock = rng.randrange(LOCKS)
    shapes: list[Callable[[], list[Instruction]]] = [
        lambda: [("await", a, x)],
        lambda: [("both", a, x, b, y)],
        lambda: [("either", a, 1, b, 1)],
        lambda: [("lock_when", lock, a, x), *inner(), ("unlock", lock)],
        lambda: [("wait",)],
        lambda: [("down",), *inner(), ("up",)],
        lambda: [(rng.choice(("next", "any")),)],
        lambda: [("last_user",)],
        lambda: [("begin",), ("synchronized",)],
        lambda: [("callback",)],
        lambda: [("down_read",), *inner(), ("up_read",)],
        lambda: [("queue",), ("down_write",), *inner(), ("up_write",)],
        lambda: [("queue",), ("down_write",), ("downgrade",), *inner(), ("up_read",)],
        lambda: [("prepare",), *inner(), ("schedule",), ("finish",)],
    ]
    return rng.choice(shapes)()


def _wakes(rng: Random, inner: Callable[[], list[Instruction]]) -> list[Instruction]:
    """What somebody may be waiting for."""
    lock = rng.randrange(LOCKS)
    shapes: list[Callable[[], list[Instruction]]] = [
        lambda: [("up",)],
        lambda: [("push", rng.randrange(3))],
        lambda: [("put_user",)],
        lambda: [("get_user",)],
        lambda: [("enter",), *inner(), ("leave",)],
        lambda: [("begin", TASKS)],
        lambda: [("wake",)],
        lambda: [("set", lock, DEAD), ("set", lock, 0)],
    ]
    return rng.choice(shapes)()


def _plain(rng: Random, back: Callable[[], int]) -> Instruction:
    slot = rng.randrange(LOCKS, LOCKS + DATA)
    shapes: list[Callable[[], Instruction]] = [
        lambda: ("load", slot),
        lambda: ("store", slot, rng.randrange(3)),
        lambda: ("store", slot, rng.randrange(3)),
        lambda: ("increment", slot),
        lambda: ("increment", slot),
        lambda: ("set", slot, rng.randrange(2)),
        lambda: ("order", slot),
        lambda: rng.choice((("choose",), ("may_fail",), ("retry",))),
        lambda: ("again", back(), rng.randrange(3)),
    ]
    return rng.choice(shapes)()


def body(rng: Random, depth: int, length: int, base: int) -> list[Instruction]:
    """Instructions that start at ``base``."""
    out: list[Instruction] = []

    def back() -> int:
        return base + rng.randrange(len(out) or 1)

    def inner() -> list[Instruction]:
        return body(rng, depth + 1, rng.randrange(1, 3), base) if depth < 2 else []

    while len(out) < length:
        kind = rng.random()
        if kind < 0.15:
            lock = rng.randrange(LOCKS)
            out += [("lock", lock), *inner(), ("unlock", lock)]
        elif kind < 0.3:
            out += _sleeps(rng, inner)
        elif kind < 0.5:
            out += _wakes(rng, inner)
        else:
            out.append(_plain(rng, back))
    return out


def sleepers(seed: int) -> Sleepers:
    """A random system; each goes wrong in at most one way besides deadlock."""
    rng = Random(seed)
    tasks = rng.choice((2, 2, 3))
    programs = [body(rng, 0, rng.randrange(3, 8), 0) for _ in range(tasks)]
    wrong = rng.choice(("deadlock", "assert", "invariant", "invariant", "final"))
    one, two = rng.sample(range(LOCKS, LOCKS + DATA), 2)
    if wrong == "assert":
        rng.choice(programs).append(("assert", one, rng.randrange(3)))
    daemons = frozenset(t for t in range(tasks) if rng.random() < 0.4)
    last = rng.choice((-1, -1, tasks - 1))
    start = {COUNT: rng.randrange(2), BUDGET: rng.randrange(2)}
    made = Sleepers(programs, daemons=daemons - {last}, last=last, start=start)
    if wrong == "invariant":
        made.bad = ((one, rng.randrange(1, 3)), (two, rng.randrange(2)))
        made.guard = rng.choice((-1, -1, *range(LOCKS)))
    elif wrong == "final":
        made.want = (one, rng.randrange(3))
    if rng.random() < 0.3:
        made.kinds = [*made.kinds[:LOCKS], *["data"] * DATA, *made.kinds[LOCKS + DATA :]]
    return made
