# SPDX-License-Identifier: GPL-2.0-only
"""How small the counterexamples of known faults become, by the minimiser and by Hypothesis.

The numbers are the smallest that were ever seen in each way.  A change that
makes counterexamples longer than ``FACTOR`` times that fails here, as does one
that makes them need another task or another preemption.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, seed

from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search.check import check_scenario
from sgxmodel.search.schedule import Replay
from sgxmodel.testing.explore import Size, named_runner, raise_if_shown, runner, size_of
from sgxmodel.testing.plan import Plan
from sgxmodel.testing.profiles import searching
from sgxmodel.testing.strategies import plans, scenarios, texts

pytestmark = pytest.mark.sgx_quality

FACTOR = 1.5
SCHEDULES = 150


@attrs.frozen
class Fault:
    """A known fault: where it is, what it violates, in which scenario it is looked for.

    ``minimised``: by ``search/minimise``, tasks that took a step.  ``shrunk``:
    by Hypothesis, which shrinks the plan and leaves the scenario as it is.
    ``drawn``: where it draws and shrinks the scenario as well.
    """

    target: str
    key: tuple[str, str]
    scenario: str
    minimised: Size
    shrunk: Size
    drawn: Size | None = None


FAULTS = {
    "F1": Fault(
        "list_v2",
        ("14-progress", "__sgx_reclaim_pages"),
        "eaug-eaug-reclaim",
        minimised=Size(tasks=2, steps=61, preemptions=0),
        shrunk=Size(tasks=3, steps=111, preemptions=0),
        drawn=Size(tasks=1, steps=6, preemptions=0),
    ),
    "F3": Fault(
        "list_v2",
        ("18-data-race", "sgx_drop_epc_page"),
        "poison-close",
        minimised=Size(tasks=2, steps=64, preemptions=0),
        shrunk=Size(tasks=2, steps=64, preemptions=1),
    ),
    "F5": Fault(
        "list_v2",
        ("1-one-list", "sgx_free_epc_page"),
        "init-reclaim",
        minimised=Size(tasks=1, steps=97, preemptions=0),
        shrunk=Size(tasks=2, steps=207, preemptions=0),
        drawn=Size(tasks=1, steps=155, preemptions=0),
    ),
    "K2": Fault(
        "mainline",
        ("16-benign-race", "sgx_vma_fault"),
        "eaug-eaug",
        minimised=Size(tasks=2, steps=87, preemptions=1),
        shrunk=Size(tasks=2, steps=87, preemptions=1),
    ),
    "M3": Fault(
        "mainline",
        ("11-free-count", "arch_memory_failure"),
        "poison-stall",
        minimised=Size(tasks=1, steps=6, preemptions=0),
        shrunk=Size(tasks=2, steps=6, preemptions=0),
    ),
}
DRAWN = [name for name, fault in FAULTS.items() if fault.drawn]


def within(found: Size, known: Size) -> bool:
    """No more tasks, no more preemptions, not many more steps."""
    return (
        found.tasks <= known.tasks
        and found.preemptions <= known.preemptions
        and found.steps <= known.steps * FACTOR
    )


@pytest.mark.parametrize("name", FAULTS)
def test_minimised(name: str, sgx_seed: int) -> None:
    fault = FAULTS[name]
    target, where = revision(fault.target), scenario(fault.scenario)
    result = check_scenario(target, where, schedules=SCHEDULES, seed=sgx_seed)
    [finding] = [f for f in result.findings if f.violation.key == fault.key]
    active: set[int] = set()
    named_runner(target, fault.scenario).run(
        Replay(finding.schedule),
        stop=lambda key: key == fault.key,
        hook=lambda system, t: active.add(t),
    )
    found = Size(len(active), finding.steps, finding.preemptions)
    assert within(found, fault.minimised), found


@pytest.mark.parametrize("name", FAULTS)
def test_shrunk(name: str, sgx_seed: int) -> None:
    fault = FAULTS[name]
    runs = named_runner(revision(fault.target), fault.scenario)

    @seed(sgx_seed)
    @searching(20, report_multiple_bugs=False)
    @given(plan=plans())
    def holds(plan: Plan) -> None:
        raise_if_shown(runs, plan, fault.key)

    with pytest.raises(INVARIANTS[fault.key[0]]) as caught:
        holds()
    assert within(size_of(caught.value), fault.shrunk), size_of(caught.value)


@pytest.mark.parametrize("name", DRAWN)
def test_shrunk_with_its_scenario(name: str, sgx_seed: int) -> None:
    fault = FAULTS[name]

    @seed(sgx_seed)
    @searching(20, report_multiple_bugs=False)
    @given(program=texts(scenarios(tasks=2, most=2)), plan=plans())
    def holds(program: str, plan: Plan) -> None:
        runs = runner(revision(fault.target), parse(program), yardstick=False)
        raise_if_shown(runs, plan, fault.key)

    with pytest.raises(INVARIANTS[fault.key[0]]) as caught:
        holds()
    assert fault.drawn is not None
    assert within(size_of(caught.value), fault.drawn), size_of(caught.value)
