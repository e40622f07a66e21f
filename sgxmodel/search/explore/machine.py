# SPDX-License-Identifier: GPL-2.0-only
"""What is explored: tasks whose operations read and write numbered slots."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import attrs

Row = tuple[Any, ...]
"""The values of all slots: one shared state."""
Local = Hashable
"""A task's local state: an immutable value that also says what its next operation is."""


@attrs.frozen
class Problem:
    """Something that must not happen: a kind that findings are told apart by, and words."""

    kind: str
    text: str = ""


class Broken(Exception):
    """An operation found that an assertion does not hold; the path ends here."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(text)
        self.problem = Problem(kind, text)


Check = Callable[[Any], Sequence[Problem]]
"""A predicate over shared states; of its argument it takes slots by number."""


class Window(Protocol):
    """Shared state as one operation sees it; what it touches is seen, not declared."""

    def __getitem__(self, slot: int, /) -> Any: ...

    def __setitem__(self, slot: int, value: Any, /) -> None: ...

    def waits(self, lock: int = -1) -> None:
        """Said in ``outcomes``: this operation can be blocked, now or another time.

        ``lock``: the slot of the exclusive lock that it waits to take, if it does.
        """

    def acquire(self, slot: int) -> None:
        """Said in ``apply``: this operation takes the exclusive lock that lives in a slot."""

    def release(self, slot: int) -> None:
        """Said in ``apply``: this operation gives that lock back."""

    def before(self, slot: int) -> Any:
        """What a slot held before this operation."""

    def yields(self) -> None:
        """Said in ``apply``: after this operation another task runs unless told otherwise."""


class Machine(Protocol):
    """A system of tasks.  All methods are functions of their arguments alone.

    ``kinds`` groups slots that are used alike (a field of all pages, say): what
    is learnt of one slot is taken to be so for its kind.  Slots below
    ``scratch`` belong to no state.  A task in ``alone`` runs only when all others
    have finished for good.  ``groups``: slots that are best kept together, as they
    change together; those in none are kept one by one.  ``named``: the slots that
    ``canonical`` reads and writes.  ``checks``: what must hold in every shared
    state, each a function of the slots that it reads.
    """

    names: Sequence[str]
    kinds: Sequence[str]
    scratch: int
    alone: frozenset[int]
    groups: Sequence[Sequence[int]]
    named: frozenset[int]

    @property
    def checks(self) -> Sequence[Check]: ...

    def first(self) -> tuple[Sequence[Any], Sequence[Local]]:
        """The shared state and each task's local state at the start."""

    def outcomes(self, t: int, local: Any, S: Window) -> int:
        """How many outcomes the next operation of a task may have; 0: it cannot run."""

    def apply(self, t: int, local: Any, choice: int, S: Window) -> Local:
        """The next operation with one outcome.  May raise :class:`Broken`."""

    def done(self, t: int, local: Any) -> bool:
        """Whether a task that cannot run need not: it is finished, or may sleep for ever."""

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        """Whether ``checks`` may judge otherwise after a write to a slot.

        ``held``: slots of locks that the writer keeps.  A predicate that is only
        looked at while a lock is free does not see what its holder writes; it
        sees the lock's release (a write to the lock's slot).
        """

    def final(self, row: Row) -> Sequence[Problem]:
        """What must hold when no task can run any more."""

    def canonical(self, row: list[Any]) -> None:
        """Rename, in place, values of which only equality or order is ever seen."""


class Plain:
    """Parts of a machine that most small ones do not need."""

    scratch = 0
    alone: frozenset[int] = frozenset()
    groups: Sequence[Sequence[int]] = ()
    named: frozenset[int] = frozenset()
    checks: Sequence[Check] = ()

    def visible(self, slot: int, held: frozenset[int]) -> bool:
        return False

    def final(self, row: Row) -> Sequence[Problem]:
        return ()

    def canonical(self, row: list[Any]) -> None:
        pass
