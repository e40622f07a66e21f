# SPDX-License-Identifier: GPL-2.0-only
"""The step machine: rules make enclaves, give tasks calls and step them."""

from __future__ import annotations

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from sgxmodel.revisions import Revision
from sgxmodel.search.sighting import Sightings
from sgxmodel.testing.machines import EpcMachine
from sgxmodel.testing.profiles import searching

pytestmark = pytest.mark.sgx_search


def test_machine(
    sgx_target: Revision, sgx_shard: int, sgx_shard_seed: int, sgx_sightings: Sightings
) -> None:
    name = f"EpcMachineShard{sgx_shard}"
    machine = type(name, (EpcMachine,), {"target": sgx_target, "sightings": sgx_sightings})
    settings = searching(3, stateful_step_count=30)
    run_state_machine_as_test(seed(sgx_shard_seed)(machine), settings=settings)
