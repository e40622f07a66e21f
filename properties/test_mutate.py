# SPDX-License-Identifier: GPL-2.0-only
"""Mutants are decided, kept, and decided again only when something changed."""

from __future__ import annotations

import ast
import json
import os
import signal
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from sgxmodel import cli
from sgxmodel.kernel.list import list_move_tail
from sgxmodel.machine.edit import edited
from sgxmodel.mutate import listed, runner, schema
from sgxmodel.mutate.apply import apply
from sgxmodel.mutate.campaign import Campaign, SetupError, emptied
from sgxmodel.mutate.catalogue import Mutant, catalogue, mutants_of, with_changes
from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import Job, Limits, judge
from sgxmodel.mutate.processes import Processes, Template, WorkerDied
from sgxmodel.mutate.scope import functions_in
from sgxmodel.mutate.store import Store, setting
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.sequential import sequential_outcomes

FIXED = revision("list_fixed")
DROP_TEST = (
    "page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED and page.flags & SGX_EPC_PAGE_RECLAIM_IN_PROGRESS",
    "False",
)
FEW = tuple((SCENARIOS[n], ()) for n in ("init-reclaim", "poison-stall", "x-fault-reclaim"))
LIMITS = Limits(schedules=6, states=20_000)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def source(name: str) -> Any:
    return FIXED.program.functions[name].source


def job(name: str, *changes: tuple[str, str], limits: Limits = LIMITS, **names: Any) -> Job:
    tree = edited(source(name), *changes, **names).tree if changes else source(name).tree
    return Job(name, "list_fixed", ((name, tree),), FEW, limits)


def fate(name: str, *changes: tuple[str, str], **names: Any) -> Verdict:
    return judge(job(name, *changes, **names))


# -- fates ------------------------------------------------------------------------------------


def test_a_function_that_is_not_changed_survives() -> None:
    verdict = fate("sgx_drop_epc_page")
    assert verdict.fate is Fate.SURVIVED
    assert verdict.schedules == 18


def test_a_page_that_is_not_put_back_is_noticed() -> None:
    verdict = fate("sgx_free_epc_page", ("page.flags = SGX_EPC_PAGE_IS_FREE", "pass"))
    assert verdict.fate is Fate.KILLED
    assert "2-free-flags" in verdict.killed_by


def test_an_invariant_that_does_not_count_kills_nothing() -> None:
    change = ("page.flags = SGX_EPC_PAGE_IS_FREE", "pass")
    limits = attrs.evolve(LIMITS, thorough=True)
    killers = judge(job("sgx_free_epc_page", change, limits=limits)).killed_by
    without = attrs.evolve(limits, without=killers)
    assert judge(job("sgx_free_epc_page", change, limits=without)).fate is Fate.SURVIVED


def test_a_loop_without_end_is_killed_by_progress() -> None:
    verdict = fate(
        "__sgx_alloc_epc_page",
        ("nid = next_node(sgx_numa, nid)\n    if nid == start:\n        break", "continue"),
    )
    assert verdict.fate is Fate.KILLED
    assert verdict.killed_by == ("14-progress",)


def test_a_set_up_that_fails_says_by_whose_fault() -> None:
    verdict = fate("sgx_record_epc_page", ("spin_unlock(sgx_global_lru.lock)", "pass"))
    assert verdict.fate is Fate.KILLED
    assert verdict.setup
    assert "17-lock-order" in verdict.killed_by


def test_a_local_that_is_not_set_is_stillborn() -> None:
    tree = source("sgx_drop_epc_page").tree
    broken = ast.parse("def sgx_drop_epc_page(page):\n    return nothing\n").body[0]
    assert isinstance(broken, ast.FunctionDef)
    assert tree.name == broken.name
    verdict = judge(Job("x", "list_fixed", ((tree.name, broken),), FEW, LIMITS))
    assert verdict.fate is Fate.STILLBORN
    assert "'nothing'" in verdict.why


def test_a_defect_of_the_tool_is_a_fate_and_no_crash() -> None:
    verdict = judge(Job("x", "no such target", (), FEW, LIMITS))
    assert verdict.fate is Fate.CRASH
    assert "no such target" in verdict.why


# -- the review's questions about the helper --------------------------------------------------


def helper(what: str) -> Verdict:
    names = ("young-rotation", "fault-reclaim", "x-fault-reclaim")
    scenarios = tuple((SCENARIOS[n], ()) for n in names)
    mutant = next(
        m
        for m in mutants_of(source("__sgx_epc_page_list_move"))
        if what in m.what.partition("becomes")[2]
    )
    limits = attrs.evolve(LIMITS, schedules=12)
    return judge(
        Job(mutant.id, "list_fixed", ((mutant.function, mutant.tree()),), scenarios, limits)
    )


def test_list_move_for_the_helper_is_killed_as_skipped_pages_stay_at_the_head() -> None:
    verdict = helper("list_move(")
    assert verdict.fate is Fate.KILLED
    assert verdict.killed_by[0] == "14-progress"


def test_list_move_tail_for_the_helper_is_equivalent() -> None:
    helper_, direct = (
        "__sgx_epc_page_list_move(lru.reclaimable, page)",
        "list_move_tail(page.list, lru.reclaimable)",
    )
    called = job("sgx_epc_move_reclaimable", (helper_, direct), list_move_tail=list_move_tail)
    verdict = judge(attrs.evolve(called, small=("x-fault-reclaim",)))
    assert verdict.fate is Fate.EQUIVALENT
    assert verdict.closed == ("x-fault-reclaim",)


def test_a_check_that_a_small_scenario_cannot_see_is_not_equivalent_for_it() -> None:
    """sgx_drop_epc_page() is called there, but never of an isolated page: others must look."""
    names = ("x-fault-reclaim", "x-remove-reclaim")
    never = edited(source("sgx_drop_epc_page"), DROP_TEST).tree
    scenarios = tuple((SCENARIOS[n], ()) for n in names)
    one = Job("x", "list_fixed", (("sgx_drop_epc_page", never),), scenarios, LIMITS, names)
    assert judge(one).fate is Fate.KILLED


def test_a_pass_that_does_not_take_back_its_count_is_noticed() -> None:
    """It survived until a scenario had a page skipped first and nothing to reclaim later."""
    lost = next(
        m
        for m in mutants_of(source("__sgx_reclaim_pages"), ("drop-statement",))
        if m.what == "drop 'atomic_long_dec(sgx_nr_isolated)'"
    )
    changes = ((lost.function, lost.tree()),)
    scenarios = ((SCENARIOS["skipped-exhausted"], ()),)
    verdict = judge(Job(lost.id, "list_fixed", changes, scenarios, LIMITS))
    assert verdict.killed_by == ("14-progress",)


@pytest.mark.parametrize("page", ["contents", "pcmd"])
def test_backing_that_is_not_marked_dirty_is_noticed(page: str) -> None:
    """It survived until 8-evicted asked: shmem drops a clean page."""
    verdict = fate("__sgx_encl_ewb", (f"{page}.dirty = 1", "pass"))
    assert verdict.killed_by == ("8-evicted",)


def test_an_operation_that_is_given_null_is_no_crash_of_the_tool() -> None:
    verdict = fate(
        "sgx_encl_release", ("if encl.backing is not None:\n    fput", "if True:\n    fput")
    )
    assert verdict.fate is not Fate.CRASH


# -- processes, lost workers ------------------------------------------------------------------


def _pid(_: object) -> int:
    return os.getpid()


def _die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_each_task_has_a_process_of_its_own() -> None:
    with Processes(2) as pool:
        pids = [pool.submit(_pid, None).result() for _ in range(3)]
    assert len({*pids, os.getpid()}) == 4


def test_a_killed_process_says_so_and_its_neighbours_do_not_notice() -> None:
    with Processes(2) as pool:
        lost, fine = pool.submit(_die, None), pool.submit(_pid, None)
        with pytest.raises(WorkerDied, match="-9"):
            lost.result()
        assert fine.result() > 0


LEARNT: list[str] = []


def _learn(what: str) -> None:
    LEARNT.append(what)


def _known(_: object) -> tuple[int, list[str]]:
    LEARNT.append("in a child")
    return os.getpid(), LEARNT[:-1]


def test_a_template_is_forked_once_it_has_learnt() -> None:
    template = Template(partial(_learn, "how the clean target looks"))
    with Processes(2, template) as pool:
        while True:  # before it has, processes are made as ever
            pid, known = pool.submit(_known, None).result()
            if known:
                break
        assert pool.submit(_known, None).result()[1] == ["how the clean target looks"]
        assert pid not in (os.getpid(), template.process.pid)
        lost, fine = pool.submit(_die, None), pool.submit(_pid, None)
        with pytest.raises(WorkerDied, match="died"):
            lost.result()
        assert fine.result() > 0
        os.kill(template.process.pid, signal.SIGKILL)
        template.process.join()
        assert pool.submit(_known, None).result()[1] == []
    template.close()


class Losing(Executor):
    """Loses every job ``times`` times before it does it."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.lost: dict[str, int] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        name = args[0].id
        self.lost[name] = self.lost.get(name, 0) + 1
        if self.lost[name] <= self.times:
            future.set_exception(WorkerDied("killed"))
        else:
            future.set_result(Verdict(name, Fate.SURVIVED))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


@pytest.mark.parametrize(("times", "fate_"), [(2, Fate.SURVIVED), (3, Fate.CRASH)])
def test_what_a_lost_worker_had_is_done_again(times: int, fate_: Fate) -> None:
    jobs = [Job(str(i), "list_fixed", (), FEW, LIMITS) for i in range(5)]
    pool = Losing(times)
    done = {v.id: v.fate for v in runner.run(jobs, lambda: pool, 2)}
    assert done == {str(i): fate_ for i in range(5)}


# -- campaigns and what they keep --------------------------------------------------------------


class Here(Executor):
    """Does jobs at once, and counts them."""

    done = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        Here.done += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


def campaign(operator: str = "drop-lock", limits: Limits = LIMITS) -> Campaign:
    Here.done = 0
    scenarios = [s for s, _ in FEW]
    mutants = catalogue(functions_in(FIXED, ["sgx_drop_epc_page"]), (operator,))
    store = Store(Path("kept"), "list_fixed", setting(scenarios, limits))
    return Campaign(FIXED, mutants, scenarios, limits, store, Here, 1)


def test_a_second_run_does_nothing() -> None:
    first = campaign()
    verdicts = {v.id: v for v in first.go()}
    assert Here.done == len(FEW) + len(first.mutants) + 2
    second = campaign()
    assert list(second.go()) == []
    assert Here.done == 0
    assert second.known() == verdicts


def test_another_limit_is_another_question() -> None:
    list(campaign().go())
    assert len(campaign(limits=attrs.evolve(LIMITS, seed=1)).todo()) == len(campaign().mutants)


def test_a_torn_line_costs_its_own_mutant_only() -> None:
    first = campaign()
    list(first.go())
    text = first.store.path.read_text()
    first.store.path.write_text(text[:-30])
    again = campaign()
    assert len(again.todo()) == 1
    list(again.go())
    assert campaign().todo() == []


def test_where_the_tool_failed_is_said_and_asked_again() -> None:
    first = campaign()
    list(first.go())
    one = next(iter(first.mutants.values()))
    first.store.put(first.store.key(one), Verdict(one.id, Fate.CRASH, why="a defect"))
    again = campaign()
    assert again.known()[one.id].fate is Fate.CRASH
    assert [m.id for m in again.todo()] == [one.id]


def test_an_interrupted_run_keeps_what_it_had() -> None:
    first = campaign()
    going = first.go()
    next(going)
    assert isinstance(going, Generator)
    going.close()
    assert len(campaign().todo()) == len(first.mutants) - 1


def test_a_target_that_fails_by_itself_proves_nothing() -> None:
    broken = attrs.evolve(campaign(), target=revision("list_v2"))
    broken.mutants = catalogue(
        functions_in(revision("list_v2"), ["sgx_drop_epc_page"]), ("result",)
    )
    with pytest.raises(SetupError, match="does not pass before anything is changed"):
        list(broken.go())


def test_a_forced_failure_that_nobody_notices_stops_the_run() -> None:
    from sgxmodel.mutate.judge import names_of_killers

    blind = campaign(limits=attrs.evolve(LIMITS, without=names_of_killers()))
    with pytest.raises(SetupError, match="forced failure"):
        list(blind.go())


# -- the list of survivors ----------------------------------------------------------------------


def test_the_list_of_survivors_is_in_step_with_the_functions() -> None:
    there = catalogue(functions_in(FIXED))
    named = [name for reason in listed.listed("list_fixed") for name in reason.mutants]
    assert len(named) == len(set(named))
    assert [name for name in named if name not in there] == []
    assert all(reason.why for reason in listed.listed("list_fixed"))


# -- the command --------------------------------------------------------------------------------


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["mutate", *words])


def test_list_names_mutants_and_runs_nothing() -> None:
    result = run("list_fixed", "-f", "sgx_drop_epc_page", "-o", "swap-del", "--list")
    assert result.exit_code == 0
    assert result.stdout.startswith("sgx_drop_epc_page:swap-del:")
    assert "sgxmodel/revisions/list_fixed/fixes.py:" in result.stdout
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("list_fixed", "-f", "nobody"),
        ("list_fixed", "-o", "nothing"),
        ("list_fixed", "--file", "none.c"),
        ("list_fixed", "-f", "drop", "--without", "99-nothing", "--survivors"),
        ("list_fixed", "-f", "drop", "--show", "f:x:1"),
        ("list_fixed", "-f", "drop", "--changed", "no/such/thing"),
        ("list_fixed", "--html", "x.html", "--elements", "missing.js"),
        ("list_fixed", "--html", "x.html"),
    ],
)
def test_bad_input_is_a_line_and_status_2(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("sgxmodel: ")
    assert len(result.stderr.splitlines()) <= 6


def test_survivors_of_nothing_decided_are_none_and_status_3() -> None:
    result = run("list_fixed", "-f", "sgx_drop_epc_page", "--survivors")
    assert result.exit_code == 3
    assert "not decided yet" in result.stdout


# -- reports -------------------------------------------------------------------------------------


def some_mutants() -> tuple[list[Mutant], dict[str, Verdict]]:
    mutants = list(mutants_of(source("sgx_drop_epc_page")))
    fates = [
        Verdict(mutants[0].id, Fate.KILLED, ("17-lock-order",), title="a </script> & more"),
        Verdict(mutants[1].id, Fate.SURVIVED),
        Verdict(mutants[2].id, Fate.STILLBORN, why="x"),
    ]
    return mutants, {v.id: v for v in fates}


def test_the_report_has_the_schemas_fields() -> None:
    mutants, verdicts = some_mutants()
    document = schema.document("list_fixed", mutants, verdicts, {})
    (file,) = document["files"].values()
    assert document["schemaVersion"] == "2"
    assert "def sgx_drop_epc_page" in file["source"]
    statuses = [m["status"] for m in file["mutants"][:4]]
    assert statuses == ["Killed", "Survived", "CompileError", "Pending"]
    tests = {t["id"] for t in document["testFiles"]["invariants"]["tests"]}
    assert set(file["mutants"][0]["killedBy"]) <= tests
    for mutant in file["mutants"]:
        start, end = mutant["location"]["start"], mutant["location"]["end"]
        assert (start["line"], start["column"]) < (end["line"], end["column"])


def test_the_page_is_one_file_and_its_data_cannot_end_the_script() -> None:
    mutants, verdicts = some_mutants()
    page = schema.page(schema.document("list_fixed", mutants, verdicts, {}), "component()")
    assert page.count("</script>") == 2
    assert "http://" not in page
    assert "https://" not in page
    data = page.split(".report = ")[1].split(";</script>")[0]
    assert json.loads(data)["files"]


def test_apply_changes_the_one_function(tmp_path: Path) -> None:
    fn = source("sgx_poison_free")
    copy = tmp_path / "sgxmodel" / "fixes.py"
    copy.parent.mkdir()
    before = Path(fn.filename).read_text()
    copy.write_text(before)
    moved = attrs.evolve(fn, filename=str(copy))
    mutant = next(m for m in mutants_of(moved) if m.operator == "swap-end")
    apply(mutant)
    after = copy.read_text()
    assert after != before
    changed = [
        (a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b
    ]
    assert len(changed) == 1
    assert "list_move_tail" in changed[0][1]


def test_a_call_that_touches_nothing_returns_before_the_first_step() -> None:
    """Every order of whole calls is run of such a mutant, too."""
    base = revision("list_fixed")
    fn = base.program.functions["user_touch"].source
    mutant = with_changes(base, "idle", (("user_touch", emptied(fn)),))
    world = build(mutant, SCENARIOS["fault-reclaim"])
    outcomes = sequential_outcomes(world).every()
    assert outcomes[0, 0] == {"0"}
