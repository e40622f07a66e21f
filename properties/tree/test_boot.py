# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified drivers build, boot and run every scenario, always in the same way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from properties.tree.trees import engine_of, library_of, runner
from sgxmodel.errors import ScenarioError
from sgxmodel.scenario.catalogue import ALL, SCENARIOS, scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.api import RESULT_NONE, WALK
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.check import check_scenario
from sgxmodel.tree.plan import plan, runnable
from sgxmodel.tree.source import find

HASHES = """
import sys
from pathlib import Path
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.confine import Library
from sgxmodel.tree.plan import plan
from sgxmodel.tree.runs import Runner
engine = Engine(Library(Path(sys.argv[1]), Path(sys.argv[2])))
for name in sys.argv[3:]:
    runner = Runner(engine, plan(scenario(name)))
    runner.replay(Schedule(((3, 1), (17, 0), (40, 1))), True)
    print(runner.result.hash)
"""

BY_ANY_COMPILER = {
    "fault-reclaim": set(),
    "eaug-eaug": {("16-benign-race", "sgx_encl_eaug_page")},
    "remove-reclaim": {
        ("6-references", "sgx_reclaim_pages"),
        ("18-plain-read", "sgx_reclaim_pages"),
    },
    "poison-reclaim": {
        ("11-free-count", "sgx_free_epc_page"),
        ("18-data-race", "sgx_reclaim_pages"),
        ("18-plain-read", "arch_memory_failure"),
    },
}


def test_a_set_up_before_ksgxd_is_refused_by_name() -> None:
    """It gave -ENOMEM in the set-up: a tree has no page that is not dirty."""
    made = parse("scenario dirty\nepc 8\nboot secs\nksgxd\nenclave A 1\nsetup open A\n"
                 "task T: create A\n")  # fmt: skip
    with pytest.raises(ScenarioError, match="no set-up calls before ksgxd, with 'boot'"):
        plan(made)


def test_no_scenario_is_left_out() -> None:
    assert runnable(ALL.values())[1] == ()


@pytest.mark.parametrize("name", [s.name for s in runnable(SCENARIOS.values())[0]])
def test_runs_every_scenario(tree: Path, name: str) -> None:
    made = runner(tree, name)
    assert not made.early
    found = made.replay(Schedule())
    first = made.plan.config.setup
    ends = RESULT_NONE not in made.result.result[first : len(made.plan.calls)]
    assert ends or found


@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_both_compilers_find_the_same(tree: Path, command: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    engine = Engine(build(find(tree), compiler(command)))
    for name, kinds in BY_ANY_COMPILER.items():
        result, _ = check_scenario(engine, scenario(name), runs=4000, traces=False)
        assert {f.violation.key for f in result.findings} == kinds


def test_a_run_is_the_same_in_every_process(tree: Path) -> None:
    names = ["fault-reclaim", "remove-reclaim", "numa"]
    own = []
    for name in names:
        made = runner(tree, name)
        for _ in range(2):
            made.replay(Schedule(((3, 1), (17, 0), (40, 1))), True)
            own.append(made.result.hash)
    library = library_of(tree)
    command = [sys.executable, "-c", HASHES, str(library.path), str(library.cell), *names]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert [int(line) for line in done.stdout.split()] == own[::2] == own[1::2]


def test_another_schedule_is_another_run(tree: Path) -> None:
    made = runner(tree, "fault-reclaim")
    hashes = set()
    for step in range(1, 40):
        made.replay(Schedule(((step, 1),)))
        hashes.add(made.result.hash)
    assert len(hashes) > 20


def test_what_a_search_finds_replays(tree: Path) -> None:
    made = runner(tree, "remove-reclaim")
    runs, found = made.search(WALK, 5000, 7, probability=3000)
    assert found, runs
    hash_ = made.result.hash
    again = made.replay(found[0].schedule)
    assert [f.violation.key for f in again] == [f.violation.key for f in found]
    assert made.result.hash == hash_


def test_state_is_small(tree: Path) -> None:
    runner(tree, "fault-reclaim")
    assert engine_of(tree).state_bytes < 128 * 1024
