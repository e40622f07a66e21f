# SPDX-License-Identifier: GPL-2.0-only
"""The command's own search, in short: each named scenario holds on the target.

Nothing is minimised here: the plugin does that, once for each kind of violation.
"""

from __future__ import annotations

import pytest

from sgxmodel.revisions import Revision
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario
from sgxmodel.search.sighting import Sightings

SCHEDULES = 80
"""Beside the other tests of this run; `sgxmodel check` plans more."""

pytestmark = pytest.mark.sgx_search


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario(name: str, sgx_target: Revision, sgx_seed: int, sgx_sightings: Sightings) -> None:
    where = SCENARIOS[name]
    result = check_scenario(sgx_target, where, schedules=SCHEDULES, seed=sgx_seed, shrink=False)
    for finding in result.findings:
        sgx_sightings.finding(finding)
