# SPDX-License-Identifier: GPL-2.0-only
"""The revisions of the code under check, by name.

A revision is a file or a package here that names the one it is laid over, ``BASE``, or
else says how it keeps pages, ``LISTS`` and ``FLAGS``.  It holds only what it changes,
so that a diff of two of them reads like the patch.  ``BEFORE``: the revision that it is
a change of, for the report; ``RENAMED``: functions that have only another name since.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from sgxmodel import driver
from sgxmodel.errors import LinkError, UnknownNameError
from sgxmodel.machine.discover import modules_of
from sgxmodel.machine.program import Program, functions_of, statics_of
from sgxmodel.revisions.base import Lists

DRIVER = modules_of(driver)


@attrs.frozen(eq=False)
class Revision:
    """A program, and what the invariants must know of how it keeps pages."""

    name: str
    about: str
    program: Program
    lists: Lists
    statics: tuple[Any, ...]
    """The static variables of the driver and of this revision."""
    flags: dict[str, int]
    """Flag names to bits, for reports."""
    before: str = ""
    """The revision that it is a change of: what that shows as well is nothing new."""
    renamed: Mapping[str, str] = attrs.field(factory=dict)
    """Functions that were only renamed by that: new name -> old name."""

    def with_functions(self, name: str, functions: Mapping[str, Any]) -> Revision:
        """This revision with functions replaced (or added) by name: known faults, questions."""
        base = {key: fn.source for key, fn in self.program.functions.items()}
        return attrs.evolve(self, name=name, program=Program.link(base, functions))


def found_in(package: ModuleType) -> dict[str, Revision]:
    """The revisions of a package, in the order of their names."""
    modules = {m.__name__.rpartition(".")[2]: m for m in modules_of(package)}
    return {
        name: _revision(name, modules)
        for name, module in modules.items()
        if hasattr(module, "BASE") or hasattr(module, "LISTS")
    }


def _revision(name: str, modules: Mapping[str, ModuleType]) -> Revision:
    chain = _chain(name, modules)
    files = [_files(module) for module in chain]
    return Revision(
        name=name,
        about=(modules[name].__doc__ or "").strip().partition("\n")[0],
        program=Program.link(functions_of(*DRIVER), *(functions_of(*part) for part in files)),
        lists=_last(chain, "LISTS"),
        statics=statics_of(*DRIVER, *(file for part in files for file in part)),
        flags=_last(chain, "FLAGS"),
        before=getattr(modules[name], "BEFORE", ""),
        renamed=getattr(modules[name], "RENAMED", {}),
    )


def _chain(name: str, modules: Mapping[str, ModuleType]) -> list[ModuleType]:
    """A revision and what it is laid over, the lowest first."""
    names = [name]
    while (base := getattr(modules[names[0]], "BASE", None)) is not None:
        if base not in modules or base in names:
            raise LinkError(f"revision {names[0]}: BASE = '{base}' is no other revision")
        names.insert(0, base)
    return [modules[name] for name in names]


def _files(module: ModuleType) -> tuple[ModuleType, ...]:
    """The files of a revision; one that is a file is its own."""
    return (module, *modules_of(module)) if hasattr(module, "__path__") else (module,)


def _last(chain: list[ModuleType], what: str) -> Any:
    """What the topmost revision says that says it."""
    for module in reversed(chain):
        if hasattr(module, what):
            return getattr(module, what)
    raise LinkError(f"revision {chain[-1].__name__}: neither it nor what is below has {what}")


REVISIONS: dict[str, Revision] = found_in(sys.modules[__name__])


def revision(name: str) -> Revision:
    """Look a revision up.  Raises :class:`UnknownNameError`."""
    if name not in REVISIONS:
        known = ", ".join(REVISIONS)
        raise UnknownNameError(f"there is no target '{name}'; the targets are {known}")
    return REVISIONS[name]


def known_of(name: str) -> Path:
    """What a check of a revision is known to find, as ``--save-known`` wrote it; if it is there."""
    return Path(str(resources.files(__name__))) / f"{name}.known"
