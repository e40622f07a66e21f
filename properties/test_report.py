# SPDX-License-Identifier: GPL-2.0-only
"""Reports: plain ASCII in 72 columns, whatever the trace holds."""

from __future__ import annotations

import json
import re
import shlex
import string

import attrs
from hypothesis import example, given
from hypothesis import strategies as st

from properties.some_traces import WORDS, recorded, traces
from sgxmodel.invariants.base import Severity
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.report import json as report_json
from sgxmodel.report.causes import Cause, by_severity, section
from sgxmodel.report.columns import PAGE
from sgxmodel.report.layout import WIDTH, command, prose, wrap
from sgxmodel.report.steps import LINES_MAX, interleaving
from sgxmodel.report.summary import Entry, coverage, summary, violations
from sgxmodel.report.text import title, violation
from sgxmodel.revisions import revision
from sgxmodel.scenario import coverage as scenario_coverage
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.verdict import Evidence, ScenarioResult, Verdict
from sgxmodel.trace.events import Step, Trace

PLAIN = st.text(string.ascii_lowercase + "/._-", min_size=1, max_size=200)

RUNS = st.tuples(st.sampled_from(["T1", "T2", "T3"]), st.integers(1, 9)).map(
    lambda r: [r[0]] * r[1]
)


LIST_FIXED, EVERY = revision("list_fixed"), list(SCENARIOS.values())


def is_mail(text: str, wide: frozenset[str] = frozenset()) -> bool:
    """Plain lines of up to 72 columns, those of ``wide`` of up to 80."""
    return all(
        len(line) <= (PAGE if line in wide else WIDTH)
        and line.isascii()
        and line.isprintable()
        and line == line.rstrip()
        for line in text.split("\n")
    )


def is_report(text: str, trace: Trace) -> bool:
    return is_mail(text, frozenset(interleaving(trace)))


def steps_of(*tasks: str) -> tuple[Step, ...]:
    return tuple(
        Step(i, task, f"call {task}", f"fn_{task}", "f.py", 1, f"op_{task}({i})")
        for i, task in enumerate(tasks, 1)
    )


def trace_of(*tasks: str) -> Trace:
    return attrs.evolve(EMPTY, steps=steps_of(*tasks))


EMPTY = Trace("list_v2", "s", "scenario s\n", "1-one-list", "f", "t", "m", 0, (), (), ())


def test_only_a_trace_in_a_file_can_be_replayed() -> None:
    """``mutate --show`` has none: the target is a mutant, which no name means."""
    assert "sgxmodel replay x.trace" in violation(trace_of("T1"), "x.trace")
    assert "replay" not in violation(trace_of("T1"), "")


# -- causes -----------------------------------------------------------------------------------

CAUSES = st.lists(
    st.builds(
        Cause,
        key=st.tuples(st.sampled_from(list(INVARIANTS)), st.sampled_from(["f", "g", "h"])),
        title=WORDS,
        seen_in=st.integers(1, 9),
        again=st.just("sgxmodel replay x.trace"),
        trace=st.none() | traces(),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda cause: cause.key,
)


@given(CAUSES, st.integers(20, 150))
def test_causes_keep_to_their_room(causes: list[Cause], room: int) -> None:
    lines = section(causes, room)
    assert len(lines) <= room
    told = [line for line in lines if re.match(r"\d+-\S+ in \w", line)]
    left = re.findall(r"\.\.\. and (\d+) more", "\n".join(lines[-1:]))
    assert len(told) + sum(map(int, left)) == len(causes)


@given(CAUSES)
def test_the_most_severe_cause_comes_first(causes: list[Cause]) -> None:
    order = sorted(causes, key=lambda cause: by_severity(cause.key))
    assert [c.severity for c in order] == sorted(c.severity for c in causes)
    told = [line for line in section(causes, 10_000) if re.match(r"\d+-\S+ in \w", line)]
    assert [line.partition(":")[0] for line in told] == [c.name for c in order]


@given(CAUSES)
def test_with_room_everything_is_shown_whole(causes: list[Cause]) -> None:
    lines = [line.strip() for line in section(causes, 100_000)]
    for cause in causes:
        assert {line.strip() for line in cause.example()} <= set(lines)


def test_every_law_says_how_severe_it_is() -> None:
    assert [law.id for law in INVARIANTS.values() if "severity" not in vars(law)] == []
    assert {law.severity for law in INVARIANTS.values()} == set(Severity)


# -- layout -----------------------------------------------------------------------------------


ODD = tuple(Step(0, task, "", "", "", 0, "") for task in ("nobody", "end"))
FOREIGN = Trace("", "", "", "", "", "", "", 0, (), (), ODD)
"""Its scenario has no task of one of these names."""


@given(traces(), PLAIN)
@example(FOREIGN, "f")
def test_any_violation_is_fit_for_mail(trace: Trace, path: str) -> None:
    assert is_report(violation(trace, path), trace)


@given(traces(st.sampled_from(["T1", "T2"])), PLAIN)
def test_so_is_one_of_two_tasks(trace: Trace, path: str) -> None:
    assert is_report(violation(trace, path, ("a", "b" * 80)), trace)


@given(st.text())
def test_wrapping_loses_nothing_but_blanks(text: str) -> None:
    plain = "".join(c for c in text if c.isascii() and c.isprintable())
    for lines in (wrap(plain, 4), prose(plain, 2, 4)):
        assert "".join("".join(lines).split()) == "".join(plain.split())


def test_flags_and_calls_are_broken_between_words() -> None:
    assert wrap("write epc2.flags: -TRACKED -ENCLAVE", 1, 2, 30)[1] == "   -ENCLAVE"
    assert wrap("list_move(epc5.list, node0.sgx_poison_page_list)", 1, 2, 35) == [
        " list_move(epc5.list,",
        "   node0.sgx_poison_page_list)",
    ]


@given(st.text(string.printable[:95], min_size=1) | PLAIN)
def test_the_command_can_be_pasted_into_a_shell(path: str) -> None:
    text = "\n".join(command(["sgxmodel", "replay", path])).replace("\\\n", "")
    assert shlex.split(text) == ["sgxmodel", "replay", path]


def test_the_title_says_kind_detail_and_function_once() -> None:
    trace = attrs.evolve(EMPTY, title="epc2 is lost:", function="f")
    assert title(trace) == "1-one-list: epc2 is lost in f"
    assert title(attrs.evolve(trace, title="race in g / f")) == "1-one-list: race in g / f"


# -- interleaving -----------------------------------------------------------------------------


def test_two_tasks_stand_side_by_side() -> None:
    lines = interleaving(trace_of("T1", "T2", "T1"))
    assert lines[0] == f"{'T1: call T1':<41}T2: call T2"
    assert lines[2:] == [
        "fn_T1()",
        "  op_T1(1)",
        f"{'':41}fn_T2()",
        f"{'':41}  op_T2(2)",
        "fn_T1()",
        "  op_T1(3)",
    ]


def test_so_do_three_where_they_fit() -> None:
    lines = interleaving(trace_of("T1", "T2", "T3"))
    assert lines[0] == f"{'T1: call T1':<27}{'T2: call T2':<27}T3: call T3"
    assert lines[-1] == f"{'':54}  op_T3(3)"


def test_three_tasks_that_do_not_fit_are_prefixed_lines() -> None:
    trace = trace_of("T1", "T2", "ksgxd")
    steps = [attrs.evolve(s, text=f"{'a_long_name_' * 4}({s.task})") for s in trace.steps]
    lines = interleaving(attrs.evolve(trace, steps=tuple(steps)))
    assert lines[0] == "T1:    fn_T1()"
    assert lines[-1].startswith("ksgxd: ")


def test_four_tasks_are_prefixed_lines() -> None:
    lines = interleaving(trace_of("T1", "T2", "T3", "ksgxd"))
    assert lines[:2] == ["T1:    fn_T1()", "T1:      op_T1(1)"]


def test_a_step_of_a_tree_has_its_place() -> None:
    """At the right of the first line that has room, else on one of its own."""
    [step] = trace_of("T1").steps
    step = attrs.evolve(step, file="arch/x86/kernel/cpu/sgx/main.c", lineno=353)
    lines = interleaving(attrs.evolve(EMPTY, steps=(step,)))
    assert lines[0] == "Files: arch/x86/kernel/cpu/sgx."
    assert lines[-1] == f"{'  op_T1(1)':<70}main.c:353"
    other = attrs.evolve(step, task="T2", text="spin_lock(sgx_reclaimer_lock)")
    lines = interleaving(attrs.evolve(EMPTY, steps=(step, other)))
    assert lines[-2:] == [f"{'':41}  spin_lock(sgx_reclaimer_lock)", f"{'':70}main.c:353"]


def test_a_star_is_on_what_changes_the_object_of_the_violation() -> None:
    def step(number: int, text: str, *changes: str) -> Step:
        return Step(number, "T1", "reclaim", "f", "", 0, text, "", changes)

    trace = attrs.evolve(
        EMPTY,
        title="EPC page 2 is on two lists",
        steps=(
            step(1, "list_del(EPC page 2)", "head of A -> no list"),
            step(2, "list_del(EPC page 3)", "head of A -> no list"),
            step(3, "write EPC page 2.flags", "EPC page 2.flags: TRACKED -> 0"),
            step(4, "read EPC page 2.flags"),
            step(5, "spin_unlock(l)"),
        ),
    )
    starred = [line[2:] for line in interleaving(trace) if line.startswith("* ")]
    assert starred == ["list_del(EPC page 2)", "EPC page 2.flags: TRACKED -> 0"]


def test_of_a_loop_without_end_the_last_round_is_shown() -> None:
    def step(number: int, text: str) -> Step:
        return Step(number, "T1", "touch A 0", "f", "", 0, text)

    round_ = ["a_look()", *(f"read x{i}" for i in range(30)), "told()"]
    steps = tuple(step(i, text) for i, text in enumerate(round_ * 5))
    trace = attrs.evolve(EMPTY, invariant="14-progress", steps=steps)
    lines = [line.strip() for line in interleaving(trace)]
    assert lines[-len(round_) :] == round_


def test_what_a_task_has_at_hand_is_marked_where_a_violation_names_nothing() -> None:
    steps = (
        Step(1, "T1", "touch A 0", "f", "", 0, "shmem_truncate_range(backing page 5)"),
        Step(2, "T1", "touch A 0", "f", "", 0, "shmem_truncate_range(backing page 7)"),
        Step(3, "T2", "touch A 1", "g", "", 0, "ELDU(EPC page 2, backing page 5)", "#GP"),
    )
    lines = interleaving(attrs.evolve(EMPTY, title="WARNING: ELDU failed", steps=steps))
    assert next(line for line in lines if line.startswith("* ")).endswith("page 5)")
    assert not any(line.startswith("* ") and "page 7" in line for line in lines)


def test_locks_that_nobody_else_takes_are_left_out() -> None:
    def step(number: int, task: str, text: str) -> Step:
        return Step(number, task, "reclaim", f"f_{task}", "", 0, text)

    quiet = [step(i, "T1", f"spin_lock(l{i})") for i in range(2, 6)]
    steps = (step(1, "T1", "a(x)"), *quiet, step(6, "T1", "b(x)"), step(7, "T2", "c(y)"))
    text = "\n".join(interleaving(attrs.evolve(EMPTY, steps=steps)))
    assert "spin_lock" not in text
    assert "... 4 steps" in text
    shared = (*steps, step(8, "T2", "spin_lock(l3)"))
    text = "\n".join(interleaving(attrs.evolve(EMPTY, steps=shared)))
    assert text.count("spin_lock(l3)") == 2


def test_what_the_set_up_did_comes_first() -> None:
    before = Step(0, "setup", "open A", "sgx_open", "", 0, "kref_init(encl#1)")
    lines = interleaving(attrs.evolve(EMPTY, steps=(before, *steps_of("T1", "T2"))))
    assert lines[0] == "In the set-up, before that:"
    assert lines[2] == "setup: open A"
    assert f"{'T1: call T1':<41}T2: call T2" in lines


@given(st.lists(st.sampled_from(["T1", "T2"]).map(lambda t: [t] * 3) | RUNS, max_size=30))
def test_every_step_is_shown_or_counted(runs: list[list[str]]) -> None:
    tasks = ["T1", *(task for some in runs for task in some)]
    lines = interleaving(trace_of(*tasks))
    text = "\n".join(lines)
    if "what came before" in text:
        return
    hidden = sum(map(int, re.findall(r"\.\.\. (\d+) step", text)))
    assert hidden + len(re.findall(r"op_T\d\(", text)) == len(tasks)


def test_a_long_run_is_cut_to_what_tells() -> None:
    trace = recorded("list_v2", "eaug-eaug", "16-benign-race")
    text = violation(trace, "x.trace")
    assert len(interleaving(trace)) < LINES_MAX * 2
    assert "xa_load(encl.page_array, 1) = NULL" in text
    assert re.search(r"xa_insert\(encl.page_array, 1,\n\s*encl_page\d+\) = 0", text)
    assert "= -EBUSY" in text
    assert "'accept A 1' returns SIGBUS" in text
    assert re.search(r"\.\.\. \d+ steps", text)


def test_changes_stand_with_their_step() -> None:
    text = violation(recorded("list_v2", "init-reclaim", "1-one-list"), "x.trace")
    assert "* write epc2.flags: +IN_PROGRESS\n" in text
    assert "    epc2: iso of R -> free_page_list and iso of R\n" in text


# -- the whole check --------------------------------------------------------------------------


def result_of(name: str, verdict: Verdict, message: str = "") -> ScenarioResult:
    scenario = attrs.evolve(SCENARIOS["numa"], name=name)
    evidence = Evidence(runs=3, planned=5, transitions=70)
    seen = {"a scan was full": 2}
    return ScenarioResult(scenario, verdict, (), evidence, seen, {}, {}, message=message)


@given(WORDS, WORDS)
def test_the_summary_is_fit_for_mail(name: str, message: str) -> None:
    entry = Entry(result_of(name, Verdict.INCONCLUSIVE, message))
    assert is_mail(summary("list_v2", [entry], "interrupted"))


def test_the_worst_verdict_counts() -> None:
    entries = [Entry(result_of("a", Verdict.PASSED)), Entry(result_of("b", Verdict.INCONCLUSIVE))]
    text = summary("list_v2", entries)
    assert "b  INCONCLUSIVE  3 of 5 runs\n" in text
    assert "list_v2: INCONCLUSIVE in 2 scenarios, 6 runs, 140 steps" in text


def test_each_kind_of_violation_is_told_once_by_its_smallest_trace() -> None:
    big, small = trace_of("T1", "T1"), attrs.evolve(trace_of("T1"), scenario="other")
    entries = [
        Entry(result_of("s", Verdict.VIOLATED), ((big, "big.trace"),)),
        Entry(result_of("other", Verdict.VIOLATED), ((small, "small.trace"),)),
    ]
    [text] = violations(entries)
    assert "sgxmodel replay small.trace" in text
    assert "Also seen in s." in text


def test_what_was_never_seen_is_listed_with_its_reason() -> None:
    rows = scenario_coverage.coverage(
        revision("list_fixed"),
        EVERY,
        {("touch", "0"): 7},
        {("EWB", 0): 2},
        {},
        {},
    )
    text = coverage(rows)
    never = text.partition("Never seen:")[2]
    assert "touch: SIGBUS" in never
    assert "  a scan was full\n" in never
    assert f"{scenario_coverage.IPI_DONE}."[:40] in text
    assert is_mail(coverage(rows, everything=True))
    assert "touch: 0 7," in coverage(rows, everything=True)


def test_reasons_are_for_what_exists() -> None:
    rows = scenario_coverage.coverage(LIST_FIXED, EVERY, {}, {}, {}, {})
    assert set(scenario_coverage.UNREACHED) <= {(row.name, row.outcome) for row in rows}


def test_the_json_object() -> None:
    entry = Entry(result_of("s", Verdict.VIOLATED), ((trace_of("T1", "T2"), "x.trace"),))
    [scenario] = (got := json.loads(report_json.document("list_v2", [entry])))["scenarios"]
    assert set(got) == {"target", "verdict", "scenarios"}
    assert (got["target"], got["verdict"]) == ("list_v2", "VIOLATED")
    assert set(scenario) == {"name", "verdict", "violations", "evidence", "sometimes"}
    assert scenario["evidence"] == {"runs": 3, "states": 0, "transitions": 70, "closed": False}
    assert scenario["sometimes"]["a scan was full"] == 2
    assert set(SCENARIOS["numa"].promises) <= set(scenario["sometimes"])
    assert scenario["violations"] == [
        {
            "invariant": "1-one-list",
            "function": "f",
            "title": "t",
            "steps": 2,
            "preemptions": 0,
            "trace": "x.trace",
        }
    ]


def test_an_error_has_a_message() -> None:
    entry = Entry(result_of("s", Verdict.ERROR, "broken"))
    assert json.loads(report_json.document("list_v2", [entry]))["message"] == "s: broken"
