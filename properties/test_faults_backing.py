# SPDX-License-Identifier: GPL-2.0-only
"""Known faults of backing store, memcg, debugger and permissions, put back, are found."""

from __future__ import annotations

import pytest

from properties.faults import KnownFault
from properties.faults_backing import BACKING_FAULTS
from properties.test_faults import kinds
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario


@pytest.mark.parametrize("fault", BACKING_FAULTS.values(), ids=BACKING_FAULTS)
def test_known_fault_is_found(fault: KnownFault) -> None:
    for scenario in fault.scenarios:
        found = kinds(fault, scenario, seed=0)
        assert found & set(fault.invariants), f"{fault.about}: found only {sorted(found)}"


@pytest.mark.parametrize("fault", ["clean-contents", "clean-pcmd"])
def test_the_drop_itself_shows_what_a_clean_page_loses(fault: str) -> None:
    """Not only that the page is clean: it goes, and the page cannot be loaded back."""
    where = SCENARIOS["shrink-reclaim"]
    target = BACKING_FAULTS[fault].revision()
    result = check_scenario(target, where, schedules=100, shrink=False)
    keys = {f.violation.key for f in result.findings}
    assert {("8-evicted", "shrink_folio_list"), ("8-evicted", "__sgx_encl_eldu")} <= keys
