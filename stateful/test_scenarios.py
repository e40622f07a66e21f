# SPDX-License-Identifier: GPL-2.0-only
"""The command's own search, in short: each named scenario holds on the target.

Nothing is minimised here: `sgxmodel check TARGET -s SCENARIO` does that.
"""

from __future__ import annotations

import pytest

from sgxmodel.invariants.base import Violation
from sgxmodel.revisions import Revision
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario
from sgxmodel.search.verdict import Finding
from sgxmodel.testing.explore import Example, annotated, raise_all

SCHEDULES = 60
"""Beside the other tests of this run; `sgxmodel check` plans more."""

pytestmark = pytest.mark.sgx_search


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario(name: str, sgx_target: Revision, sgx_seed: int) -> None:
    where = SCENARIOS[name]
    result = check_scenario(sgx_target, where, schedules=SCHEDULES, seed=sgx_seed, shrink=False)
    raise_all([_with_size(f) for f in result.findings])


def _with_size(finding: Finding) -> Violation:
    size = Example(len(finding.scenario.tasks), finding.steps, finding.preemptions)
    return annotated(finding.violation, finding.scenario, size)
