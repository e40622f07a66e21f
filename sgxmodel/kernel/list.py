# SPDX-License-Identifier: GPL-2.0-only
"""``struct list_head`` with its poison and the checks of CONFIG_DEBUG_LIST.

Pointers are real: a node holds ``next`` and ``prev``, so that an entry which
is given to one list while it is linked on another shows as in the kernel.
Source: include/linux/list.h and lib/list_debug.c, 6.1.  One list helper is
one operation; two of them that are not ordered by a lock are a data race.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sgxmodel.machine.layout import FREED, Embedded, State
from sgxmodel.machine.op import Fault, Primitive, primitive, pure


class Poison:
    """LIST_POISON1 and LIST_POISON2: non-NULL pointers that nobody may follow."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


LIST_POISON1 = Poison("LIST_POISON1")
LIST_POISON2 = Poison("LIST_POISON2")


class list_head(Embedded):
    """A node or a head; born pointing to itself, as INIT_LIST_HEAD leaves it."""

    next: Any
    prev: Any

    def initial(self) -> dict[str, Any]:
        return {"next": self, "prev": self}


def _corrupt(message: str) -> Fault:
    # The kernel prints this, leaves the list alone and goes on.
    return Fault("list-corruption", message)


def _pointer(S: State, slot: int) -> Any:
    pointer = S[slot]
    if pointer is FREED:
        raise Fault("use-after-free", "a list goes through a freed object", fatal=True)
    return pointer


def _follow(S: State, slot: int) -> list_head:
    node = _pointer(S, slot)
    if not isinstance(node, list_head):
        raise Fault("wild-pointer", f"a list pointer is {node!r}", fatal=True)
    return node


def _add(S: State, new: list_head, prev: list_head, next: list_head) -> None:
    """__list_add with __list_add_valid: it checks the neighbours, not the entry."""
    _pointer(S, new.next)
    before, after = _pointer(S, next.prev), _pointer(S, prev.next)
    if before is not prev:
        raise _corrupt(
            f"list_add corruption. next->prev should be prev ({prev}), but was {before}."
            f" (next={next})."
        )
    if after is not next:
        raise _corrupt(
            f"list_add corruption. prev->next should be next ({next}), but was {after}."
            f" (prev={prev})."
        )
    if new is prev or new is next:
        raise _corrupt(f"list_add double add: new={new}, prev={prev}, next={next}.")
    S[next.prev] = new
    S[new.next] = next
    S[new.prev] = prev
    S[prev.next] = new


def _del(S: State, entry: list_head) -> None:
    """__list_del_entry with __list_del_entry_valid."""
    next, prev = _pointer(S, entry.next), _pointer(S, entry.prev)
    if next is LIST_POISON1:
        raise _corrupt(f"list_del corruption, {entry}->next is LIST_POISON1")
    if prev is LIST_POISON2:
        raise _corrupt(f"list_del corruption, {entry}->prev is LIST_POISON2")
    next, prev = _follow(S, entry.next), _follow(S, entry.prev)
    after, before = _pointer(S, prev.next), _pointer(S, next.prev)
    if after is not entry:
        raise _corrupt(
            f"list_del corruption. prev->next should be {entry}, but was {after}. (prev={prev})"
        )
    if before is not entry:
        raise _corrupt(
            f"list_del corruption. next->prev should be {entry}, but was {before}. (next={next})"
        )
    S[next.prev] = prev
    S[prev.next] = next


@primitive()
def INIT_LIST_HEAD(S: State, list: list_head) -> None:
    """Make a head empty."""
    S[list.next] = list
    S[list.prev] = list


@primitive()
def list_add(S: State, new: list_head, head: list_head) -> None:
    """Insert after the head: the new first entry."""
    _add(S, new, head, _follow(S, head.next))


@primitive()
def list_add_tail(S: State, new: list_head, head: list_head) -> None:
    """Insert before the head: the new last entry."""
    _add(S, new, _follow(S, head.prev), head)


@primitive()
def list_del(S: State, entry: list_head) -> None:
    """Unlink and poison the entry."""
    _del(S, entry)
    S[entry.next] = LIST_POISON1
    S[entry.prev] = LIST_POISON2


@primitive()
def list_del_init(S: State, entry: list_head) -> None:
    """Unlink and leave the entry pointing to itself."""
    _del(S, entry)
    S[entry.next] = entry
    S[entry.prev] = entry


@primitive()
def list_move(S: State, list: list_head, head: list_head) -> None:
    """Unlink, then insert as the first entry of ``head``."""
    _del(S, list)
    _add(S, list, head, _follow(S, head.next))


@primitive()
def list_move_tail(S: State, list: list_head, head: list_head) -> None:
    """Unlink, then insert as the last entry of ``head``."""
    _del(S, list)
    _add(S, list, _follow(S, head.prev), head)


@primitive(through=1, releases=True)
def list_add_rcu(S: State, new: list_head, head: list_head) -> None:
    """list_add() with the entry published: a reader sees all of it or not at all."""
    _add(S, new, head, _follow(S, head.next))


@primitive()
def list_del_rcu(S: State, entry: list_head) -> None:
    """Unlink; ``next`` stays, for readers that are at this entry."""
    _del(S, entry)
    S[entry.prev] = LIST_POISON2


@primitive(access="marked", acquires=True)
def list_next_rcu(S: State, pos: list_head) -> list_head:
    """``rcu_dereference(pos->next)``."""
    return _follow(S, pos.next)


@primitive()
def list_splice(S: State, list: list_head, head: list_head) -> None:
    """Join a list into ``head``, at its front.  ``list`` itself is not reinitialised."""
    first, last = _follow(S, list.next), _follow(S, list.prev)
    if first is list:
        return
    at = _follow(S, head.next)
    S[first.prev] = head
    S[head.next] = first
    S[last.next] = at
    S[at.prev] = last


@primitive()
def list_splice_tail(S: State, list: list_head, head: list_head) -> None:
    """Join a list into ``head``, at its end.  ``list`` itself is not reinitialised."""
    first, last = _follow(S, list.next), _follow(S, list.prev)
    if first is list:
        return
    at = _follow(S, head.prev)
    S[first.prev] = at
    S[at.next] = first
    S[last.next] = head
    S[head.prev] = last


@primitive(access="marked")
def list_empty(S: State, head: list_head) -> bool:
    """READ_ONCE(head->next) == head: legal without the lock, as in the kernel."""
    return _pointer(S, head.next) is head


@primitive()
def list_next(S: State, pos: list_head) -> list_head:
    """``pos->next``, for the walks."""
    return _follow(S, pos.next)


@primitive()
def list_first(S: State, head: list_head) -> Any:
    """``list_first_entry(head, ...)``: the object that holds the first node."""
    return _follow(S, head.next).container


@primitive()
def list_first_entry_or_null(S: State, head: list_head) -> Any:
    """The first entry, or NULL of an empty list (one READ_ONCE, as in list.h)."""
    node = _follow(S, head.next)
    return None if node is head else node.container


@pure
def list_entry(node: list_head) -> Any:
    """container_of: address arithmetic, no access."""
    return node.container


class Walk:
    """A list walk for the notation: ``for entry in list_for_each_entry(head)``."""

    def __init__(self, safe: bool, following: Callable[[list_head], list_head]) -> None:
        assert isinstance(following, Primitive)
        self.__walk__ = (safe, following, list_entry)

    def __call__(self, head: list_head) -> Iterator[Any]:
        raise TypeError("a list walk is part of the notation")


list_for_each_entry = Walk(safe=False, following=list_next)
list_for_each_entry_safe = Walk(safe=True, following=list_next)
list_for_each_entry_rcu = Walk(safe=False, following=list_next_rcu)


def entries(S: State, head: list_head, limit: int = 1 << 16) -> list[Any]:
    """The entries of a list as far as it is well formed; for invariants and tests."""
    out: list[Any] = []
    pos = S[head.next]
    while pos is not head and isinstance(pos, list_head) and len(out) < limit:
        out.append(pos.container)
        pos = S[pos.next]
    return out
