# SPDX-License-Identifier: GPL-2.0-only
"""Traces: their text form, their files, and replay by name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.some_traces import recorded, traces
from sgxmodel.errors import TraceError
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.words import Words
from sgxmodel.search.record import Answer, replay
from sgxmodel.trace.events import Point, Switch, Trace
from sgxmodel.trace.text import HEADER, format, parse, read, write


def parses_or_says_why(text: str) -> None:
    with suppress(TraceError):
        parse(text)


@given(traces())
def test_text_form_round_trip(trace: Trace) -> None:
    text = format(trace)
    assert text.isascii()
    assert parse(text) == trace


@given(traces(), st.data())
def test_a_truncated_trace_is_known_as_such(trace: Trace, data: st.DataObject) -> None:
    text = format(trace)
    cut = data.draw(st.integers(0, len(text) - len("end\n")))
    with pytest.raises(TraceError):
        parse(text[:cut])


@given(traces(), st.data())
def test_a_damaged_trace_is_no_crash(trace: Trace, data: st.DataObject) -> None:
    text = format(trace)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    junk = data.draw(st.text(max_size=8) | st.sampled_from(['"', "\\", "step", "\n", "|", '|"']))
    parses_or_says_why(text[:start] + junk + text[end:])


@given(st.text() | st.text().map(lambda t: f"{HEADER}1\n{t}") | st.from_regex(r"# sgxmodel .*"))
def test_foreign_text_is_no_crash(text: str) -> None:
    parses_or_says_why(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a trace"),
        ("#include <linux/list.h>\n", "not a trace"),
        (f"{HEADER}3\n", "newer"),
        (f"{HEADER}0\n", "no trace version 0"),
        (f"{HEADER}one\n", "names no version"),
        (f"{HEADER}1\n", "truncated"),
        (f"{HEADER}1\nend\n", "no 'target' line"),
        (f"{HEADER}1\nfrob 1\n", ":2: 'frob'"),
        (f"{HEADER}1\nstep 99999999999 T c f g 1 t\n", "whole number"),
        (f'{HEADER}1\ntitle "\n', "quote"),
        (f"{HEADER}1\nend\nend\n", "follows the end"),
    ],
)
def test_broken_text_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(TraceError, match=says) as raised:
        parse(text)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda b: f"{HEADER}1\n".encode() + b))
def test_a_file_of_any_bytes_is_refused(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.trace"
        path.write_bytes(data)
        with pytest.raises(TraceError):
            read(path)


def test_no_file_but_a_trace_is_written_over(tmp_path: Path) -> None:
    path, trace = tmp_path / "a" / "x.trace", recorded("list_v2", "init-reclaim", "1-one-list")
    write(path, trace)
    write(path, trace)
    assert read(path) == trace
    path.write_text("mine")
    with pytest.raises(TraceError, match="exists"):
        write(path, trace)
    assert path.read_text() == "mine"
    assert [p.name for p in path.parent.iterdir()] == ["x.trace"]


# -- replay by name ---------------------------------------------------------------------------


def test_a_recorded_run_replays_step_by_step() -> None:
    trace = recorded("list_v2", "eaug-eaug", "16-benign-race")
    result = replay(parse(format(trace)))
    assert result.answer is Answer.REPRODUCED
    assert result.trace == trace
    assert trace.preemptions == 1


def test_a_fixed_fault_no_longer_replays() -> None:
    trace = recorded("list_v2", "init-reclaim", "1-one-list")
    assert replay(trace, revision("list_fixed")).answer is Answer.GONE


def test_a_step_that_is_gone_is_named() -> None:
    trace = recorded("list_v2", "eaug-eaug", "16-benign-race")
    gone = Point("T1", "sgx_vma_fault", "renamed(encl)", 1)
    result = replay(attrs.evolve(trace, switches=(Switch(gone, "T2"),)))
    assert result.answer is Answer.UNMATCHED
    assert "T1 in sgx_vma_fault(): renamed(encl)" in result.notes[0]


def test_choices_replay_by_name() -> None:
    trace = recorded("mainline", "fork-fails", "13-mappings")
    assert trace.choices
    assert replay(trace).trace == trace


@pytest.mark.parametrize(
    "change",
    [
        {"scenario_text": "scenario x\n"},
        {"scenario_text": "frob"},
        {"switches": (Switch(None, "nobody"),)},
    ],
)
def test_a_trace_that_does_not_fit_is_an_error(change: dict[str, Any]) -> None:
    trace = attrs.evolve(recorded("list_v2", "init-reclaim", "1-one-list"), **change)
    with pytest.raises(TraceError):
        replay(trace)


def test_changes_are_in_kernel_words() -> None:
    trace = recorded("list_v2", "init-reclaim", "1-one-list")
    changes = {change for step in trace.steps for change in step.changes}
    assert "epc2.flags: +IN_PROGRESS" in changes
    assert "epc2: reclaimable -> iso of R" in changes
    assert "encl.refcount: 2 -> 3" in changes
    assert trace.steps[-1].changes[0] == "epc2: iso of R -> free_page_list and iso of R"


def test_a_corrupted_list_is_followed_up_to_the_entry_that_does_not_point_back() -> None:
    world = build(revision("list_v2"), SCENARIOS["init-reclaim"])
    words, before = Words(world), list(world.first)
    after, iso = list(world.first), world.isos[world.task_structs[1]]
    after[iso.next] = world.pages[3].list
    assert words.changes(before, after) == [f"epc3: free_page_list -> free_page_list and {iso}"]
