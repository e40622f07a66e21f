# SPDX-License-Identifier: GPL-2.0-only
"""The command line: exit statuses, bad input, and what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from properties.some_traces import recorded
from sgxmodel import cli
from sgxmodel.errors import UserError
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search import target as search_target
from sgxmodel.search.target import Plan, check_on, check_one, check_target
from sgxmodel.search.verdict import Verdict
from sgxmodel.trace.text import read, write

QUICK = ("--schedules", "20", "--jobs", "1")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(search_target.DEBUG, raising=False)


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, list(words))


def check(target: str, *words: str) -> Result:
    return run("check", target, *QUICK, *words)


# -- check ------------------------------------------------------------------------------------


def test_a_violation_is_reported_and_its_trace_replays() -> None:
    result = check("list_v2", "-s", "init-reclaim")
    assert result.exit_code == 1
    assert "list_v2: VIOLATED, 2 findings that mainline does not have" in result.stdout
    path = "sgxmodel-traces/list_v2-1-one-list-sgx_free_epc_page.trace"
    assert "1-one-list, init-reclaim" in " ".join(result.stdout.split())
    shown = run("show", "1")
    assert shown.exit_code == 0
    assert f"sgxmodel replay {path}" in shown.stdout.replace("\\\n", "")
    assert shown.stdout == run("show", path).stdout
    again = run("replay", path)
    assert again.exit_code == 1
    assert "reproduced: 1-one-list in sgx_free_epc_page\n" in again.stdout


def test_nothing_found_is_passed_and_writes_nothing() -> None:
    result = check("list_fixed", "-s", "init-reclaim")
    assert result.exit_code == 0
    assert "list_fixed: PASSED" in result.stdout
    assert os.listdir() == []


def test_an_unseen_promise_is_inconclusive() -> None:
    Path("s").write_text("scenario s\nenclave A 2\ntask T: open A\npromise the moon\n")
    result = check("list_fixed", "-s", "./s")
    assert result.exit_code == 3
    assert "promised but never seen: the moon" in result.stdout


def test_the_same_seed_says_the_same() -> None:
    first, again = (check("list_v2", "-s", "eaug-eaug", "--seed", "7") for _ in range(2))
    assert first.stdout == again.stdout


def test_jobs_change_nothing() -> None:
    names = ("-s", "init-reclaim", "-s", "eaug-eaug")
    one, two = (check("list_v2", *names, "--jobs", n) for n in "12")
    assert one.stdout == two.stdout


def test_the_budget_ends_the_command() -> None:
    began = time.monotonic()
    result = run("check", "list_fixed", "--budget", "2", "--schedules", "1000000", "--jobs", "1")
    assert result.exit_code == 3
    assert "the budget ended" in result.stdout
    assert time.monotonic() - began < 20


def test_after_the_budget_nothing_is_begun() -> None:
    scenario = SCENARIOS["init-reclaim"]
    done = check_one(Plan("list_v2", (scenario,)), scenario, time.monotonic())
    assert done.result.verdict is Verdict.INCONCLUSIVE
    assert done.result.evidence.runs == 0
    assert "the budget ended after 0 of" in done.result.message


def test_json_is_one_object_and_nothing_else() -> None:
    result = check("list_v2", "-s", "init-reclaim", "--json", "-")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert result.stderr == ""
    [scenario] = document["scenarios"]
    assert all(Path(v["trace"]).is_file() and v["function"] for v in scenario["violations"])


def test_json_to_a_file_leaves_the_report_on_stdout() -> None:
    result = check("list_fixed", "-s", "init-reclaim", "--json", "out.json")
    assert "PASSED" in result.stdout
    assert json.loads(Path("out.json").read_text())["verdict"] == "PASSED"


def test_a_foreign_file_in_the_way_of_a_trace_is_left_alone() -> None:
    way = Path("t/list_v2-1-one-list-sgx_free_epc_page.trace")
    way.parent.mkdir()
    way.write_text("mine")
    assert check("list_v2", "-s", "init-reclaim", "--traces", "t").exit_code == 1
    assert way.read_text() == "mine"
    assert read(way.with_name(f"{way.stem}-2.trace")).invariant == "1-one-list"


def test_a_defect_is_an_error_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(search_target, "check_scenario", broken)
    result = check("list_v2", "-s", "init-reclaim", "--json", "-")
    assert result.exit_code == 2
    assert "ZeroDivisionError: oops" in json.loads(result.stdout)["message"]


def test_an_interrupt_says_what_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(plan: Plan, progress: Any = None) -> Any:
        yield next(check_target(attrs.evolve(plan, jobs=1)))
        raise KeyboardInterrupt

    monkeypatch.setattr("sgxmodel.cli.check.check_target", interrupted)
    result = check("list_v2", "-s", "init-reclaim", "-s", "eaug-eaug")
    assert result.exit_code == 130
    assert "1-one-list, init-reclaim" in " ".join(result.stdout.split())
    assert "interrupted." in result.stdout


def test_the_smallest_trace_has_the_plain_name() -> None:
    check("list_v2", "-s", "young-rotation", "-s", "init-reclaim")
    stem = "sgxmodel-traces/list_v2-1-one-list-sgx_free_epc_page"
    assert read(f"{stem}.trace").scenario == "init-reclaim"
    assert read(f"{stem}-young-rotation.trace").scenario == "young-rotation"


# -- replay -----------------------------------------------------------------------------------


def saved(**changes: Any) -> str:
    trace = recorded("list_v2", "eaug-eaug", "16-benign-race")
    write("x.trace", attrs.evolve(trace, **changes))
    return "x.trace"


def test_replay_of_what_no_longer_fails() -> None:
    result = run("replay", saved(target="list_fixed"))
    assert result.exit_code == 0
    assert "no longer reproduced: 16-benign-race" in result.stdout


def test_replay_says_which_step_is_missing() -> None:
    [switch] = recorded("list_v2", "eaug-eaug", "16-benign-race").switches
    assert switch.after is not None
    gone = attrs.evolve(switch, after=attrs.evolve(switch.after, function="sgx_gone"))
    result = run("replay", saved(switches=(gone,)))
    assert result.exit_code == 2
    assert "in sgx_gone()" in result.stdout


# -- bad input --------------------------------------------------------------------------------

TRACE_HEADER = "# sgxmodel trace"
BAD = [
    (("frob",), "No such command"),
    (("check",), "Missing argument"),
    (("check", "nope"), "the targets are list_fixed, list_v2"),
    (("check", "nope", "--json", "text"), "the targets are"),
    (("check", "list_v2", "-s", "nope"), "sgxmodel list scenarios"),
    (("check", "list_v2", "-s", "."), "directory"),
    (("check", "list_v2", "-s", "gone/x.scenario"), "No such file"),
    (("check", "list_v2", "-s", "binary"), "not UTF-8"),
    (("check", "list_v2", "-s", "text"), "text:1: 'mine' begins no statement"),
    (("check", "list_v2", "-s", "a", "-s", "b"), "two scenarios named"),
    (("check", "list_v2", "--schedules", "0"), "schedules"),
    (("check", "list_v2", "--schedules", "many"), "schedules"),
    (("check", "list_v2", "--seed", "x"), "seed"),
    *((("check", "list_v2", "--budget", b), "budget") for b in ("-1", "0", "nan", "inf", "x")),
    (("check", "list_v2", "--traces", "text"), "not a directory"),
    (("check", "list_v2", "--json", "."), "directory"),
    (("check", "list_v2", "--json", "gone/x.json"), "cannot be written"),
    (("replay",), "Missing argument"),
    (("replay", "gone"), "No such file"),
    (("replay", "."), "directory"),
    (("replay", "text"), "not a trace"),
    (("replay", "binary"), "not a trace"),
    (("replay", "newer"), "newer"),
    (("replay", "truncated"), "truncated"),
    (("list", "nope"), "not one of"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input_is_told_in_a_few_lines(words: tuple[str, ...], says: str) -> None:
    files = {
        "text": b"mine\n",
        "binary": b"\xff\x00mine",
        "newer": f"{TRACE_HEADER} 99\n".encode(),
        "truncated": f"{TRACE_HEADER} 1\ntarget list_v2\n".encode(),
        "a": b"scenario a\nenclave A 1\ntask T: open A\n",
        "b": b"scenario a\nenclave A 2\ntask T: open A\n",
    }
    for name, data in files.items():
        Path(name).write_bytes(data)
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in result.stderr
    assert not {"Traceback", "defect"} & set(result.stderr.split())
    assert len(result.stderr.splitlines()) <= 4
    assert {p.name: p.read_bytes() for p in Path().iterdir()} == files


def test_bad_input_is_an_object_too() -> None:
    document = json.loads(run("check", "nope", "--json", "-").stdout)
    assert (document["target"], document["verdict"]) == ("nope", "ERROR")
    assert "there is no target" in document["message"]


# -- list -------------------------------------------------------------------------------------


def test_list_names_what_there_is() -> None:
    everything = run("list")
    assert everything.exit_code == 0
    for what, name in (
        ("targets", "list_fixed"), ("scenarios", "eaug-eaug"), ("invariants", "14-progress"),
    ):  # fmt: skip
        assert name in run("list", what).stdout
        assert name in everything.stdout
    assert max(map(len, everything.stdout.splitlines())) <= 72


def test_failed_writes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise UserError("disk full")

    monkeypatch.setattr("sgxmodel.cli.check._write", full)
    assert "disk full" in check("list_fixed", "-s", "init-reclaim", "--json", "x").stderr


def test_one_failed_scenario_leaves_the_others() -> None:
    Path("s").write_text(
        "scenario s\nepc 1\nenclave A 2\nsetup open A; create A\ntask T: close A\n"
    )
    result = check("list_v2", "-s", "./s", "-s", "init-reclaim")
    assert result.exit_code == 1
    assert "ERROR: " in result.stdout
    assert "in the set-up" in result.stdout
    assert "1-one-list, init-reclaim" in " ".join(result.stdout.split())


def test_a_closed_space_holds() -> None:
    words = ["check", "list_fixed", "-s", "x-eaug-eaug", "--exhaustive"]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0
    assert "HOLDS" in result.output


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-s", "x-eaug-eaug"), 0, "EQUIVALENT"),
        (("--replace", "sgx_epc_move_reclaimable=list_move"), 1, "DIFFERENT"),
        (("--replace", "sgx_epc_move_reclaimable"), 2, "FUNCTION=FUNCTION"),
        (("-s", "x-eaug-eaug", "--states", "100"), 3, "INCONCLUSIVE"),
        (("--budget", "0.01"), 3, "INCONCLUSIVE"),
    ],
)
def test_compare_says_how_it_ended(words: tuple[str, ...], status: int, says: str) -> None:
    result = run("compare", "list_v2", "list_v2", *words)
    assert result.exit_code == status
    assert says in result.output
    assert max(map(len, result.stdout.splitlines()), default=0) <= 72


def test_an_executor_of_the_callers_gives_the_same() -> None:
    chosen = tuple(SCENARIOS[name] for name in ("eaug-eaug", "x-poison-reclaim"))
    plan = Plan("list_v2", chosen, schedules=20)
    alone = {c.result.scenario.name: c for c in check_target(plan)}
    with ThreadPoolExecutor(2) as executor:
        given = {c.result.scenario.name: c for c in check_on(plan, executor)}
    assert given == alone


def test_reductions_can_be_switched_off() -> None:
    words = ("check", "list_fixed", "-s", "x-poison-reclaim", "--exhaustive")
    reduced, full = run(*words, "-v"), run(*words, "-v", "--no-reduction")
    assert (reduced.exit_code, full.exit_code) == (0, 0)
    states = [int(r.stdout.split("closed, ")[1].split()[0]) for r in (reduced, full)]
    assert states[0] < states[1] / 2
    assert run(*words[:-1], "--no-reduction").exit_code == 2


def test_too_little_memory_is_inconclusive() -> None:
    result = run("check", "list_fixed", "-s", "fault-reclaim", "--exhaustive", "--memory", "60")
    assert result.exit_code == 3
    assert "the limit of 60 MB" in result.stdout


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sgxmodel", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("sgxmodel, version ")
