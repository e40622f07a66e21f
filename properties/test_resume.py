# SPDX-License-Identifier: GPL-2.0-only
"""Searches that were cut short: taken up again, or refused in a line."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from sgxmodel import cli
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search import resume
from sgxmodel.search.exhaustive import explore_scenario
from sgxmodel.search.verdict import ScenarioResult, Verdict

SCENARIO = SCENARIOS["x-fault-reclaim"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def explored(target: str, reduction: bool, states: int | None, before: bytes) -> ScenarioResult:
    return explore_scenario(
        revision(target),
        SCENARIO,
        reduction=reduction,
        states=states,
        unfinished=resume.Unfinished(SCENARIO.name, "file", before) if before else None,
    )


def said(result: ScenarioResult) -> tuple[object, ...]:
    findings = [(f.violation.key, f.schedule, f.steps, f.preemptions) for f in result.findings]
    seen = [set(c) for c in (result.sometimes, result.results, result.leaves)]
    return result.verdict, result.evidence, findings, seen, result.missing, result.message


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("target", ["list_fixed", "list_v2"])
def test_a_search_in_pieces_ends_as_a_whole_one(target: str, reduction: bool) -> None:
    whole = explored(target, reduction, None, b"")
    pieces, data = 0, b""
    for limit in range(100, whole.evidence.states, whole.evidence.states // 5):
        result = explored(target, reduction, limit, data)
        if not result.unfinished:
            break
        assert result.verdict is Verdict.INCONCLUSIVE
        pieces, data = pieces + 1, result.unfinished
    assert pieces > 1
    assert said(explored(target, reduction, None, data)) == said(whole)


def test_an_interrupt_after_the_space_closed_is_taken_up_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sgxmodel.search.exhaustive.Races.find", interrupted)
        result = explored("list_fixed", True, None, b"")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert explored("list_fixed", True, None, result.unfinished).verdict is Verdict.HOLDS


# -- the command line -------------------------------------------------------------------------


def check(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["check", *words])


def unfinished() -> Path:
    """A search that the memory limit ended at once."""
    result = check("list_fixed", "-s", SCENARIO.name, "--exhaustive", "--memory", "50")
    assert result.exit_code == Verdict.INCONCLUSIVE.status
    file = Path("sgxmodel-traces") / f"list_fixed-{SCENARIO.name}.search"
    assert f"--resume {file}" in " ".join(result.stdout.split())
    return file


def test_a_search_that_ran_out_of_memory_is_left_beside_the_traces_and_goes_on() -> None:
    file = str(unfinished())
    result = check("list_fixed", "-s", SCENARIO.name, "--exhaustive", "--resume", file)
    assert result.exit_code == 0
    assert "list_fixed: HOLDS" in result.stdout


def refused(file: Path, *words: str, target: str = "list_fixed", name: str = SCENARIO.name) -> str:
    result = check(target, "-s", name, "--exhaustive", *words, "--resume", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_what_does_not_fit_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = unfinished()
    assert "is of target 'list_fixed'" in refused(file, target="list_v2")
    assert "which is not checked here" in refused(file, name="eaug-eaug")
    assert "with reduction" in refused(file, "--no-reduction")
    Path("other").write_text(f"scenario {SCENARIO.name}\nenclave A 2\ntask T: open A\n")
    assert "is not what it was" in refused(file, name="./other")
    with monkeypatch.context() as patch:
        patch.setattr(resume, "_code", lambda: "other code")
        assert "the model's code is not what it was" in refused(file)
    with monkeypatch.context() as patch:
        patch.setattr(resume, "VERSION", 3)
        assert "version 2, this sgxmodel reads 3" in refused(file)
    result = check("list_fixed", "-s", SCENARIO.name, "--resume", str(file))
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.99])
def test_a_broken_file_is_refused(at: float) -> None:
    file = unfinished()
    data = bytearray(file.read_bytes())
    whole = bytes(data)
    data[int(at * len(data))] ^= 0x10
    for broken in (bytes(data), whole[: int(at * len(whole))], whole + b"x"):
        file.write_bytes(broken)
        assert str(file) in refused(file)


def test_a_whole_file_with_nonsense_in_it_is_refused() -> None:
    file = unfinished()
    of = resume.about("list_fixed", SCENARIO, True)
    saved, seen = resume.unpack(explored("list_fixed", True, 500, b"").unfinished, of, "file")
    log = [*saved.log[1:], saved.log[0]]
    levels = [[*saved.levels[0], 7], *saved.levels[1:]]
    proof = attrs.evolve(saved.mark, proof=saved.mark.proof + 1)
    for changes in ({"log": log}, {"levels": levels}, {"mark": proof}):
        wrong = attrs.evolve(saved, **changes)
        file.write_bytes(resume.pack(of, wrong, seen))
        result = check("list_fixed", "-s", SCENARIO.name, "--exhaustive", "--resume", str(file))
        assert result.exit_code == 2
        assert "does not fit the model" in " ".join(result.stdout.split())


def test_a_file_that_is_not_there_and_one_of_another_kind() -> None:
    assert "No such file" in refused(Path("nothing"))
    Path("text").write_text("hello\n")
    assert "not an unfinished search" in refused(Path("text"))
