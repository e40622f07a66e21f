# SPDX-License-Identifier: GPL-2.0-only
"""The revisions of the code under check, by name.

Each package holds only what that revision changes, so that a diff of two of
them reads like the patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from sgxmodel.driver import (
    backing,
    encl,
    file,
    ioctl,
    main,
    mm,
    mmu_notifier,
    process,
    ptrace,
    sanitize,
    sgx2,
    user,
    virt,
)
from sgxmodel.errors import UnknownNameError
from sgxmodel.machine.program import Program, functions_of
from sgxmodel.revisions import list_fixed, list_v2, mainline
from sgxmodel.revisions.base import Lists

DRIVER = (
    main,
    encl,
    backing,
    ioctl,
    sgx2,
    ptrace,
    sanitize,
    virt,
    user,
    file,
    mm,
    mmu_notifier,
    process,
)


@attrs.frozen(eq=False)
class Revision:
    """A program, and what the invariants must know of how it keeps pages."""

    name: str
    about: str
    program: Program
    lists: Lists
    statics: tuple[Any, ...]
    """Statics that only this revision has."""
    flags: dict[str, int]
    """Flag names to bits, for reports."""

    def with_functions(self, name: str, functions: Mapping[str, Any]) -> Revision:
        """This revision with functions replaced (or added) by name: known faults, questions."""
        base = {key: fn.source for key, fn in self.program.functions.items()}
        return attrs.evolve(self, name=name, program=Program.link(base, functions))


def _revision(package: Any, *bases: Any) -> Revision:
    tables = [functions_of(*DRIVER), *(functions_of(*b.MODULES) for b in (*bases, package))]
    return Revision(
        name=package.__name__.rpartition(".")[2],
        about=(package.__doc__ or "").strip().splitlines()[0],
        program=Program.link(*tables),
        lists=package.LISTS,
        statics=package.STATICS,
        flags=package.FLAGS,
    )


REVISIONS: dict[str, Revision] = {
    r.name: r
    for r in (
        _revision(mainline),
        _revision(list_v2),
        _revision(list_fixed, list_v2),
    )
}


def revision(name: str) -> Revision:
    """Look a revision up.  Raises :class:`UnknownNameError`."""
    if name not in REVISIONS:
        known = ", ".join(REVISIONS)
        raise UnknownNameError(f"there is no target '{name}'; the targets are {known}")
    return REVISIONS[name]
