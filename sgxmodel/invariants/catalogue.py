# SPDX-License-Identifier: GPL-2.0-only
"""All invariants and all predicates: found in their files."""

from __future__ import annotations

from sgxmodel.errors import LinkError
from sgxmodel.invariants import base, predicates
from sgxmodel.invariants.base import (
    End,
    Evicted,
    LockOrder,
    Mappings,
    OneList,
    References,
    Violation,
)
from sgxmodel.invariants.predicate import Predicate
from sgxmodel.machine.discover import modules_of

FILES = modules_of(predicates)
PREDICATES: tuple[Predicate, ...] = tuple(
    predicate for file in FILES for predicate in vars(file).get("PREDICATES", ())
)


def _invariants() -> dict[str, type[Violation]]:
    found: dict[str, type[Violation]] = {}
    for module in (base, *FILES):
        for cls in vars(module).values():
            if isinstance(cls, type) and issubclass(cls, Violation) and cls.id:
                if found.setdefault(cls.id, cls) is not cls:
                    raise LinkError(f"{module.__name__}: there is an invariant {cls.id} already")
    return found


INVARIANTS: dict[str, type[Violation]] = _invariants()
FAULTS: dict[str, type[Violation]] = {
    "list-corruption": OneList,
    "use-after-free": References,
    "double-free": References,
    "refcount": References,
    "leak": End,
    "wild-pointer": References,
    "lost-data": Evicted,
    "bad-mapping": Mappings,
    "recursive-lock": LockOrder,
    "bad-unlock": LockOrder,
    "sleep-in-atomic": LockOrder,
    **INVARIANTS,
}
"""What the kernel, the CPU or a WARN finds by itself, as invariants."""
