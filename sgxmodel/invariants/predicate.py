# SPDX-License-Identifier: GPL-2.0-only
"""What a predicate over states says of itself: what it reads, and which locks protect that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.invariants.view import View

Finding = tuple[type[Violation], object, str, str]
"""(invariant, what it is about, title, message)."""


class Guard(Enum):
    """The locks that protect what a predicate reads; it is looked at when all are free."""

    NOTHING = auto()
    LISTS = auto()
    """The LRU's and the nodes' locks."""
    ENCLAVES = auto()
    """Every encl->lock."""


@attrs.frozen
class Predicate:
    """``check`` yields what does not hold; ``reads`` says by kind ("sgx_epc_page.flags")
    whether a write of a slot may change that.

    ``always``: look while the guard is held, too.  A search of every interleaving still
    takes what it reads for protected.
    """

    check: Callable[[View], Iterable[Finding]]
    reads: Callable[[str], bool]
    guard: Guard = Guard.NOTHING
    always: bool = False

    def holds_when(self, view: View) -> bool:
        """Whether it is to hold in this state: nobody is in the middle of a change."""
        if self.always or self.guard is Guard.NOTHING:
            return True
        return view.lists_quiet() if self.guard is Guard.LISTS else view.enclaves_quiet()
