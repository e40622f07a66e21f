# SPDX-License-Identifier: GPL-2.0-only
"""The named scenarios: one file each in ``named/``; those for trees alone in ``machines/``."""

from __future__ import annotations

from importlib import resources

from sgxmodel.errors import UnknownNameError
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.pairs import pair_scenarios
from sgxmodel.scenario.text import parse


def _read(name: str) -> dict[str, Scenario]:
    out = {}
    folder = resources.files("sgxmodel.scenario") / name
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".scenario"):
            scenario = parse(entry.read_text(encoding="utf-8"), entry.name)
            out[scenario.name] = scenario
    return out


SCENARIOS: dict[str, Scenario] = _read("named")
PAIRS: dict[str, Scenario] = pair_scenarios()
"""Made from the table of calls; a check runs them after the named ones."""
ALL = SCENARIOS | PAIRS
MACHINES: dict[str, Scenario] = _read("machines")
"""What sgx_init() meets: the model begins after it, so these are for trees."""


def scenario(name: str) -> Scenario:
    """Look a scenario up.  Raises :class:`UnknownNameError`."""
    if name not in ALL | MACHINES:
        raise UnknownNameError(
            f"there is no scenario '{name}'; 'sgxmodel list scenarios' names them, "
            "and a path to a file works too"
        )
    return (ALL | MACHINES)[name]
