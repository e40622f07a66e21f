# SPDX-License-Identifier: GPL-2.0-only
"""The pytest plugin, as who runs it sees it: what fails, what is printed, what is left."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import attrs
import pytest

from sgxmodel.invariants.base import Severity
from sgxmodel.search.record import Answer, replay
from sgxmodel.trace.text import read

pytest_plugins = ["pytester"]

SEARCH = """
import pytest
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.search.check import check_scenario

NAMES = ["eaug-eaug-reclaim", "poison-close"]

@pytest.mark.parametrize("name", NAMES)
def test_scenario(name, sgx_target, sgx_seed, sgx_sightings):
    found = check_scenario(sgx_target, scenario(name), schedules=4, seed=sgx_seed, shrink=False)
    for finding in found.findings:
        sgx_sightings.finding(finding)
"""
ALL = ("test_search.py", "--sgx-target", "list_v2", "--junitxml", "out.xml")
WAYS = pytest.mark.parametrize("way", [(), ("-n", "2")], ids=["one-process", "xdist"])
F1 = "14-progress in __sgx_reclaim_pages"
F3 = "18-data-race in sgx_drop_epc_page"
F5 = "1-one-list in sgx_free_epc_page"
HARNESS = re.compile(r"Traceback|\.py:\d|ExceptionGroup|hypothesis\.|> +raise|Falsifying")


@attrs.frozen
class Run:
    """A run of pytest, and the directory that it was in."""

    result: pytest.RunResult
    path: Path

    @property
    def lines(self) -> list[str]:
        return self.result.outlines


RUNS: dict[tuple[str, ...], Run] = {}
"""Several tests look at the same run."""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_search=SEARCH)
    return pytester


def searched(project: pytest.Pytester, *options: str) -> Run:
    """What came of the search with these options."""
    if options not in RUNS:
        RUNS[options] = Run(project.runpytest_subprocess(*ALL, *options), project.path)
    return RUNS[options]


def failures(path: Path) -> list[str]:
    """The kinds by which a test failed, by the JUnit file."""
    cases = ElementTree.parse(path / "out.xml").iter("testcase")
    return [str(c.get("name")) for c in cases if c.find("failure") is not None]


def met(path: Path) -> set[str]:
    """The kinds that the items met, by the JUnit file."""
    found = ElementTree.parse(path / "out.xml").iter("property")
    kinds = [str(p.get("value")).split(", ") for p in found if p.get("name") == "violated"]
    return {kind for some in kinds for kind in some}


def section(run: Run) -> list[str]:
    """The section at the end, and not what pytest says after it."""
    start = next(i for i, line in enumerate(run.lines) if "the most severe first" in line)
    return run.lines[start:-1]


@WAYS
def test_a_cause_fails_one_test(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    run = searched(project, *way)
    causes = Counter(failures(run.path))
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert set(causes.values()) == {1}
    assert set(causes) == met(run.path) > {F1, F3, F5}
    assert run.result.parseoutcomes() == {"failed": len(causes), "violated": 2}


@WAYS
def test_what_is_printed_is_the_answer(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    run = searched(project, *way)
    text = "\n".join(run.lines)
    assert [line for line in run.lines if HARNESS.search(line)] == []
    assert len(run.lines) <= 150
    assert "task R: reclaim" in text
    assert re.search(r"read epc\d.flags \(TRACKED\)\n +WARNING: the reclaimer", text)
    assert "sgxmodel replay sgxmodel-traces/list_v2-14-progress-__sgx_reclaim_pages.trace" in text
    assert "FAILURES" not in text


def test_the_most_severe_comes_first(project: pytest.Pytester) -> None:
    said = [line for line in section(searched(project)) if line.startswith("-- ")]
    assert said == [f"-- {severity} --" for severity in Severity if f"-- {severity} --" in said]
    assert said[0] == f"-- {Severity.CORRUPTION} --"


def test_who_runs_what_decides_nothing(project: pytest.Pytester) -> None:
    alone = section(searched(project))
    assert section(searched(project, "-n", "2")) == alone
    assert section(searched(project, "-n", "3", "--dist", "load")) == alone


@WAYS
def test_every_cause_has_a_trace_that_replays(
    project: pytest.Pytester, way: tuple[str, ...]
) -> None:
    run = searched(project, *way)
    traces = [read(path) for path in (run.path / "sgxmodel-traces").glob("*.trace")]
    kinds = sorted(f"{t.invariant} in {t.function}" for t in traces)
    assert kinds == sorted(failures(run.path))
    assert {replay(trace).answer for trace in traces} == {Answer.REPRODUCED}


def test_a_trace_that_cannot_be_written_is_no_loss(project: pytest.Pytester) -> None:
    (project.path / "file").write_text("in the way", encoding="ascii")
    run = searched(project, "--sgx-traces", "file")
    run.result.stdout.fnmatch_lines(["no trace was written: *"])
    assert "test_search.py::" in (again := "\n".join(run.lines).partition(": pytest ")[2])
    assert "--sgx-target list_v2 --sgx-seed 0" in again.splitlines()[0]


def test_verbose_says_it_all(project: pytest.Pytester) -> None:
    run = searched(project, "-v")
    run.result.stdout.fnmatch_lines(["test_search.py::test_scenario?poison-close? VIOLATED *"])
    assert run.lines.count("reproduce:") == len(failures(run.path))


def test_a_target_without_a_fault_passes(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--sgx-target", "list_fixed")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes() == {"passed": 2}
    assert "the most severe first" not in "\n".join(result.outlines)


def test_other_tests_fail_as_they_always_do(project: pytest.Pytester) -> None:
    """So does a search that raises: what it saw before that is told as well."""
    project.makepyfile(test_search=f"{SEARCH}\n    assert not found.findings\n")
    result = project.runpytest_subprocess(*ALL, "-rf")
    result.stdout.fnmatch_lines(["*= FAILURES =*", "E * assert not *", "*the most severe first*"])
    assert (
        sum(line.startswith("FAILED test_search.py::test_scenario[") for line in result.outlines)
        == 2
    )
    assert result.parseoutcomes() == {"failed": len(failures(project.path))}
    assert len(failures(project.path)) == 2 + len(met(project.path))


def test_one_violation_is_enough_for_x(project: pytest.Pytester) -> None:
    run = searched(project, "-x")
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED
    assert run.result.parseoutcomes()["violated"] == 1


def test_last_failed_does_not_keep_what_it_cannot_run(project: pytest.Pytester) -> None:
    project.runpytest_subprocess(*ALL)
    again = project.runpytest_subprocess("--lf", "--co")
    again.stdout.fnmatch_lines(["run-last-failure: no previously failed tests*"])


def test_nothing_is_said_in_other_projects(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_it():\n    assert 'sgxmodel.machine' not in sys.modules"
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert not [n for n in result.outlines if "sgxmodel" in n and not n.startswith("plugins: ")]
