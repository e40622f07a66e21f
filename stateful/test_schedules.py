# SPDX-License-Identifier: GPL-2.0-only
"""Whole schedules drawn up front, on the named scenarios and on random ones."""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import Scenario
from sgxmodel.testing.explore import (
    Reported,
    explore,
    few_orders,
    named_runner,
    run_plan,
    runner,
)
from sgxmodel.testing.profiles import searching
from sgxmodel.testing.strategies import named_scenarios, plans, scenarios

pytestmark = pytest.mark.sgx_search


def test_named_scenarios(sgx_target: Revision, sgx_shard_seed: int) -> None:
    def search(reported: Reported) -> None:
        @seed(sgx_shard_seed)
        @searching(10)
        @given(name=named_scenarios(), data=st.data())
        def holds(name: str, data: st.DataObject) -> None:
            runs = named_runner(sgx_target, name)
            run_plan(runs, data.draw(plans(len(runs.tasks) - 1), label="plan"), reported)

        holds()

    explore(search)


def test_random_scenarios(sgx_target: Revision, sgx_shard_seed: int) -> None:
    def search(reported: Reported) -> None:
        @seed(sgx_shard_seed)
        @searching(5)
        @given(scenario=scenarios(), data=st.data())
        def holds(scenario: Scenario, data: st.DataObject) -> None:
            runs = runner(sgx_target, scenario, yardstick=few_orders(scenario))
            drawn = plans(len(runs.tasks) - 1)
            for plan in data.draw(st.lists(drawn, min_size=1, max_size=3), label="plans"):
                run_plan(runs, plan, reported)

        holds()

    explore(search)
