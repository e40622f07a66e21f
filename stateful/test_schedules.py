# SPDX-License-Identifier: GPL-2.0-only
"""Whole schedules drawn up front, on the named scenarios and on random ones."""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from sgxmodel.revisions import Revision
from sgxmodel.scenario.text import parse
from sgxmodel.search.sighting import Sightings
from sgxmodel.testing.explore import few_orders, named_runner, note_plan, runner
from sgxmodel.testing.plan import Plan
from sgxmodel.testing.profiles import searching
from sgxmodel.testing.steer import steering
from sgxmodel.testing.strategies import named_scenarios, plans, scenarios, texts

pytestmark = pytest.mark.sgx_search


def test_named_scenarios(
    sgx_target: Revision, sgx_shard_seed: int, sgx_sightings: Sightings
) -> None:
    @seed(sgx_shard_seed)
    @searching(15)
    @given(name=named_scenarios(), plan=plans())
    def search(name: str, plan: Plan) -> None:
        runs = named_runner(sgx_target, name)
        with steering(runs.checks):
            note_plan(runs, plan, sgx_sightings)

    search()


def test_random_scenarios(
    sgx_target: Revision, sgx_shard_seed: int, sgx_sightings: Sightings
) -> None:
    @seed(sgx_shard_seed)
    @searching(6)
    @given(program=texts(scenarios()), drawn=st.lists(plans(), min_size=1, max_size=3))
    def search(program: str, drawn: list[Plan]) -> None:
        scenario = parse(program)
        runs = runner(sgx_target, scenario, yardstick=few_orders(scenario))
        with steering(runs.checks):
            for plan in drawn:
                note_plan(runs, plan, sgx_sightings)

    search()
