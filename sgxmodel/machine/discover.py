# SPDX-License-Identifier: GPL-2.0-only
"""What a package holds, found by looking: a new file needs no line in a list elsewhere."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def modules_of(package: ModuleType) -> tuple[ModuleType, ...]:
    """The modules and packages directly inside a package, imported, in the order of their names."""
    names = sorted(found.name for found in iter_modules(package.__path__))
    return tuple(import_module(f"{package.__name__}.{name}") for name in names)
