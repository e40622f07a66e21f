# SPDX-License-Identifier: GPL-2.0-only
"""The command's own search, in short: each named scenario holds on the target."""

from __future__ import annotations

import pytest

from sgxmodel.revisions import Revision
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario
from sgxmodel.testing.explore import annotated, raise_all

SCHEDULES = 60

pytestmark = pytest.mark.sgx_search


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario(name: str, sgx_target: Revision, sgx_seed: int) -> None:
    result = check_scenario(sgx_target, SCENARIOS[name], schedules=SCHEDULES, seed=sgx_seed)
    raise_all(
        [annotated(f.violation, f.scenario, f.steps, f.preemptions) for f in result.findings]
    )
