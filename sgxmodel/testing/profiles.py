# SPDX-License-Identifier: GPL-2.0-only
"""Settings profiles: how much to search, and what to print.

No profile has a deadline or minds slow drawing: both go by the clock of a
machine that may be busy, and say nothing about the code under check.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings

import sgxmodel
from sgxmodel.testing import PROFILE_NAMES

COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 100},
    "ci": {"max_examples": 100, "derandomize": True, "print_blob": True, "database": None},
    "nightly": {"max_examples": 5_000, "print_blob": True, "database": None},
    "debug": {"max_examples": 100, "verbosity": Verbosity.verbose, "database": None},
}
assert tuple(PROFILES) == PROFILE_NAMES


def register() -> None:
    """Make the profiles known to Hypothesis, so that ``--hypothesis-profile`` works too."""
    for name, values in PROFILES.items():
        settings.register_profile(name, **COMMON, **values)


def load(name: str) -> None:
    """Use a profile from here on."""
    register()
    settings.load_profile(name)


@cache
def import_all() -> None:
    """Import all of the package.

    Hypothesis draws numbers that it reads in the modules imported so far, so
    what it draws would depend on the tests that ran before in the process.
    """
    for module in walk_packages(sgxmodel.__path__, "sgxmodel."):
        with suppress(ImportError):  # an extra that is not installed
            import_module(module.name)


def searching(share: float = 1.0, **changes: Any) -> settings:
    """Settings of a search by seed: ``share`` of the profile's examples, no database.

    What it finds depends on the seed alone.  No explain phase: it traces
    every line of the model, and a violation says by itself why it is one.
    """
    import_all()
    current = settings.default or settings()
    examples = max(1, int(current.max_examples * share))
    phases = set(current.phases) - {Phase.explain, Phase.reuse}
    return settings(max_examples=examples, phases=phases, database=None, **changes)
