# SPDX-License-Identifier: GPL-2.0-only
"""Survivors that may live, each with a reason in kernel terms."""

from __future__ import annotations

import tomllib
from importlib import resources

import attrs

TREES = "trees"
"""The list of all kernel trees; its keys name a mutant and the text of its function."""


@attrs.frozen
class Reason:
    """``why``: what would have to exist for the change to matter; ``mutants``: ids."""

    why: str
    mutants: tuple[str, ...]


def listed(target: str) -> tuple[Reason, ...]:
    """The list of a target; empty for one that has none."""
    path = resources.files("sgxmodel.mutate") / "survivors" / f"{target}.toml"
    if not path.is_file():
        return ()
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(Reason(" ".join(r["why"].split()), tuple(r["mutants"])) for r in data["reason"])


def reasons(target: str) -> dict[str, str]:
    """Mutant id (of ``TREES``: key) -> why it may live."""
    return {name: reason.why for reason in listed(target) for name in reason.mutants}
