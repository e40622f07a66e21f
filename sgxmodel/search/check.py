# SPDX-License-Identifier: GPL-2.0-only
"""Search one scenario of one revision."""

from __future__ import annotations

from collections.abc import Callable

from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.verdict import ScenarioResult

Progress = Callable[[int, int], None]
"""Called now and then with (runs so far, runs planned)."""


def check_scenario(
    revision: Revision,
    scenario: Scenario,
    *,
    schedules: int | None = None,
    seed: int = 0,
    deadline: float | None = None,
    progress: Progress | None = None,
) -> ScenarioResult:
    """Run planned schedules; every finding is replayed and minimised.

    ``schedules`` overrides the scenario's own number; ``deadline`` is a
    ``time.monotonic()`` value after which the search ends, minimising included.
    Without hitting it the result depends on ``seed`` alone.
    """
    raise NotImplementedError
