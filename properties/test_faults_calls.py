# SPDX-License-Identifier: GPL-2.0-only
"""Known faults of boot, ioctls and vEPC, put back, are found by the scenarios."""

from __future__ import annotations

import pytest

from properties.faults import KnownFault
from properties.faults_calls import FAULTS
from properties.test_faults import kinds


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_known_fault_is_found(fault: KnownFault) -> None:
    found: set[str] = set()
    for scenario in fault.scenarios:
        found |= kinds(fault, scenario, seed=0)
    assert found & set(fault.invariants), f"{fault.about}: found only {sorted(found)}"
