# SPDX-License-Identifier: GPL-2.0-only
"""Operations as data.

An operation is the tuple ``(primitive, a, b)``.  It says what it is, when it
is enabled and what it does; it takes effect when the system applies it.
Nothing else touches shared state.  What an operation reads and writes is not
declared: its function runs on a :class:`Recorder` and the accesses are seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sgxmodel.machine.layout import FREED, State, Struct, show

P = ParamSpec("P")
R = TypeVar("R")
Op = tuple[Any, Any, Any]


class Fault(Exception):
    """The modelled kernel or CPU found something wrong; ``kind`` says what, in one token.

    A fault that is not ``fatal`` is what the kernel would print and survive.
    """

    def __init__(self, kind: str, message: str, result: Any = None, fatal: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.result = result
        self.fatal = fatal


class Primitive:
    """What all operations of one name share.

    ``access`` is how the race detector sees it: ``plain`` (C accesses),
    ``marked`` (READ_ONCE, atomics, RCU), ``none`` (hardware, harness).
    ``acquires`` and ``releases`` order tasks through the object ``a``, or with
    ``through=1`` through ``b``.
    A ``silent`` operation is not a scheduling point: ghost state and counters.
    After one that ``yields`` a scheduler goes to another task unless told otherwise:
    a loop that waits for others must not be the default.
    """

    __slots__ = (
        "access",
        "acquires",
        "addresses",
        "apply",
        "choices",
        "enabled",
        "lock",
        "name",
        "original",
        "params",
        "releases",
        "shown",
        "silent",
        "through",
        "yields",
    )

    def __init__(self, fn: Callable[..., Any], **traits: Any) -> None:
        self.name: str = traits.pop("name", fn.__name__)
        self.original = fn
        names = list(inspect.signature(fn).parameters)[1:]
        self.params = tuple(names)
        self.apply = _two_arguments(fn, len(names))
        enabled = traits.pop("enabled", None)
        self.enabled = _two_arguments(enabled, len(names)) if enabled else None
        choices = traits.pop("choices", None)
        self.choices = _two_arguments(choices, len(names)) if choices else None
        self.access: str = traits.pop("access", "plain")
        self.acquires: bool = traits.pop("acquires", False)
        self.releases: bool = traits.pop("releases", False)
        self.through: int = traits.pop("through", 0)
        self.lock: int = traits.pop("lock", 0)
        self.silent: bool = traits.pop("silent", False)
        self.yields: bool = traits.pop("yields", False)
        self.addresses: frozenset[str] = frozenset(traits.pop("addresses", ()))
        self.shown: Callable[..., str] | None = traits.pop("shown", None)
        if traits:
            raise TypeError(f"{self.name}: unknown traits {sorted(traits)}")

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.name} is an operation: only functions of the notation can use it")

    def operation(self, args: list[Any]) -> Op:
        if not args:
            return (self, None, None)
        if len(args) == 1:
            return (self, args[0], None)
        if len(args) == 2:
            return (self, args[0], args[1])
        return (self, tuple(args), None)


def _two_arguments(fn: Callable[..., Any], arity: int) -> Callable[[State, Any, Any], Any]:
    """Bring a function to the fixed form ``(state, a, b)`` that the inner loop calls."""
    if arity == 2:
        return fn
    if arity == 1:
        return lambda S, a, b: fn(S, a)
    if arity == 0:
        return lambda S, a, b: fn(S)
    return lambda S, a, b: fn(S, *a)


def primitive(
    **traits: Any,
) -> Callable[[Callable[Concatenate[State, P], R]], Callable[P, R]]:
    """Make an operation of a function ``(state, arguments...)``; see :class:`Primitive`.

    ``addresses`` names parameters that take a field's address (``test_bit(nr, addr)``).
    """

    def wrap(fn: Callable[Concatenate[State, P], R]) -> Callable[P, R]:
        return cast(Callable[P, R], Primitive(fn, **traits))

    return wrap


def pure(fn: Callable[P, R]) -> Callable[P, R]:
    """Mark a function of local values only: the notation calls it in place."""
    fn.__pure__ = True  # type: ignore[attr-defined]
    return fn


def _load(S: State, slot: int) -> Any:
    value = S[slot]
    if value is FREED:
        raise Fault("use-after-free", "read of a freed object", fatal=True)
    return value


def _store(S: State, slot: int, value: Any) -> None:
    if S[slot] is FREED:
        raise Fault("use-after-free", "write to a freed object", fatal=True)
    S[slot] = value


LOAD = Primitive(_load, name="load")
STORE = Primitive(_store, name="store")


def _read_once(S: State, field: int) -> Any:
    return _load(S, field)


READ_ONCE = cast(
    Callable[[R], R],
    Primitive(_read_once, name="READ_ONCE", access="marked", acquires=True, addresses=("field",)),
)
"""A marked read: the compiler may not tear it, KCSAN does not report it alone."""


def _write_once(S: State, field: int, value: Any) -> None:
    _store(S, field, value)


WRITE_ONCE = cast(
    Callable[[Any, Any], None],
    Primitive(_write_once, name="WRITE_ONCE", access="marked", addresses=("field",)),
)
"""A marked write; it orders nothing."""


def _rcu_assign_pointer(S: State, field: int, value: Any) -> None:
    _store(S, field, value)


rcu_assign_pointer = cast(
    Callable[[Any, Any], None],
    Primitive(
        _rcu_assign_pointer,
        name="rcu_assign_pointer",
        access="marked",
        releases=True,
        addresses=("field",),
    ),
)
"""Publish a pointer: what was written before is seen by who reads it."""


def _sometimes(S: State, what: str) -> None:
    return None


SOMETIMES = Primitive(_sometimes, name="sometimes", silent=True, access="none")
sometimes = cast(Callable[[str], None], SOMETIMES)
"""Says that a path was walked; counted, never a step."""


class Recorder(State):
    """A view of the state that notes which slots an operation reads and writes."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.reads: list[int] = []
        self.writes: list[int] = []

    def __getitem__(self, slot: Any) -> Any:
        if slot > 1:
            self.reads.append(slot)
        return self.state[slot]

    def __setitem__(self, slot: Any, value: Any) -> None:
        self.writes.append(slot)
        self.state[slot] = value


def describe(op: Op, names: list[str], result: Any = None) -> str:
    """An operation in kernel words, without its result: the text that traces name it by."""
    prim, a, b = op
    if prim is LOAD:
        return f"read {names[a]}"
    if prim is STORE:
        return f"write {names[a]}"
    args = a if len(prim.params) > 2 else (a, b)[: len(prim.params)]
    if prim.shown is not None:
        return str(prim.shown(*args))
    shown = [
        names[arg] if param in prim.addresses else show(arg)
        for param, arg in zip(prim.params, args, strict=True)
    ]
    return f"{prim.name}({', '.join(shown)})"


def struct_of(value: Any) -> Struct | None:
    return value if isinstance(value, Struct) else None
