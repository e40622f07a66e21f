# SPDX-License-Identifier: GPL-2.0-only
"""How small the counterexamples of known faults become, by the minimiser and by Hypothesis.

The numbers are the smallest that were ever seen in each way; a change that
makes counterexamples larger than ``FACTOR`` times that fails here.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from sgxmodel.invariants.base import INVARIANTS, Violation
from sgxmodel.revisions import revision
from sgxmodel.scenario.text import parse
from sgxmodel.search.check import check_scenario
from sgxmodel.search.schedule import Replay
from sgxmodel.testing.explore import Example, Wanted, example_of, named_runner, run_plan, runner
from sgxmodel.testing.plan import Plan
from sgxmodel.testing.profiles import searching
from sgxmodel.testing.strategies import plans, scenarios, texts

pytestmark = pytest.mark.sgx_quality

FACTOR = 1.5
SCHEDULES = 60


@attrs.frozen
class Fault:
    """A fault, the call that violates, and its smallest known counterexamples.

    ``minimised``: of the minimiser, on ``scenario``; ``shrunk``: of Hypothesis,
    which shrinks the scenario too (its set-up is not counted in steps).
    """

    target: str
    invariant: str
    function: str
    scenario: str
    minimised: Example
    shrunk: Example

    @property
    def key(self) -> tuple[str, str]:
        return (self.invariant, self.function)


PASS = "__sgx_reclaim_pages"
FAULTS = {
    "F1": Fault(
        "list_v2", "14-progress", PASS, "eaug-eaug-reclaim", Example(2, 61, 0), Example(1, 6, 0)
    ),
    "F3": Fault(
        "list_v2",
        "18-data-race",
        "sgx_drop_epc_page",
        "poison-close",
        Example(2, 37, 0),
        Example(2, 37, 0),
    ),
    "F5": Fault(
        "list_v2",
        "1-one-list",
        "sgx_free_epc_page",
        "init-reclaim",
        Example(1, 97, 0),
        Example(1, 96, 0),
    ),
    "K2": Fault(
        "mainline",
        "16-benign-race",
        "sgx_vma_fault",
        "eaug-eaug",
        Example(2, 87, 1),
        Example(2, 87, 1),
    ),
    "M3": Fault(
        "mainline",
        "11-free-count",
        "arch_memory_failure",
        "poison-stall",
        Example(1, 6, 0),
        Example(1, 6, 0),
    ),
}


def within(found: Example, known: Example) -> bool:
    """No more tasks, no more preemptions, not many more steps."""
    limit = Example(known.tasks, int(known.steps * FACTOR), known.preemptions)
    return all(a <= b for a, b in zip(attrs.astuple(found), attrs.astuple(limit), strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_minimised(fault: str) -> None:
    known = FAULTS[fault]
    search = named_runner(revision(known.target), known.scenario)
    scenario = search.world.scenario
    result = check_scenario(search.world.revision, scenario, schedules=SCHEDULES)
    [finding] = [f for f in result.findings if f.violation.key == known.key]
    active: set[int] = set()
    search.run(
        Replay(finding.schedule),
        stop=lambda key: key == known.key,
        hook=lambda system, t: active.add(t),
    )
    found = Example(len(active), finding.steps, finding.preemptions)
    assert within(found, known.minimised), found


@pytest.mark.parametrize("fault", FAULTS)
def test_shrunk(fault: str, sgx_seed: int) -> None:
    known = FAULTS[fault]
    wanted = Wanted(key=known.key)
    yardstick = known.invariant == "16-benign-race"

    @seed(sgx_seed)
    @searching(20, report_multiple_bugs=False)
    @given(program=texts(scenarios(tasks=2, most=2)), plan=plans())
    def holds(program: str, plan: Plan) -> None:
        run_plan(runner(revision(known.target), parse(program), yardstick), plan, wanted)

    with pytest.raises(INVARIANTS[known.invariant]) as caught:
        holds()
    found = example_of(caught.value)
    assert within(found, known.shrunk), found
