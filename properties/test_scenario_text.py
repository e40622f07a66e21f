# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario's text may not say."""

from __future__ import annotations

import pytest

from sgxmodel.errors import ScenarioError
from sgxmodel.scenario.text import parse
from sgxmodel.twoway.programs import concurrent

AGAIN = "scenario s\nenclave A 2\n{more}task T: open A; close A; open A; create A\n"


def test_a_name_is_opened_again_by_whom_alone_uses_it() -> None:
    assert parse(AGAIN.format(more="")).tasks[0].calls[2].verb == "open"


@pytest.mark.parametrize("more", ["child B of A\n", "task U: touch A 0\n"])
def test_a_name_stands_for_one_file_at_a_time(more: str) -> None:
    """The child, or a call under way, would have the old file: the model has one for a name."""
    with pytest.raises(ScenarioError, match="opened twice"):
        parse(AGAIN.format(more=more))


def test_a_virtual_epc_is_opened_once() -> None:
    text = "scenario s\nvepc V 1\ntask T: vepc-open V; vepc-close V; vepc-open V\n"
    with pytest.raises(ScenarioError, match="opened twice"):
        parse(text)


def test_no_program_opens_a_name_again_while_others_use_it() -> None:
    """629 did, and took the comparison of model and tree down; 1176 could not be decided."""
    for seed in range(700):
        opens = [str(c) for c in concurrent(seed).all_calls() if c.verb.endswith("open")]
        assert len(opens) == len(set(opens)), seed
