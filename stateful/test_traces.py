# SPDX-License-Identifier: GPL-2.0-only
"""What was found stays found: every trace in traces/ replays, and is explained beside it.

revisions/mainline.known is what ``sgxmodel check mainline --save-known`` wrote; with
``--known`` the same check passes.  properties/test_model.py holds some runs of each
scenario to it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sgxmodel.revisions import known_of
from sgxmodel.search.known import read as read_known
from sgxmodel.search.record import Answer, replay
from sgxmodel.trace.text import read

WHERE = Path(__file__).parent / "traces"
TRACES = sorted(WHERE.glob("*.trace"))
KNOWN = read_known(known_of("mainline"))
PARTS = ("Code path:", "Interleaving:", "On a real machine:", "Smallest fix:")


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_replays(path: Path) -> None:
    assert replay(read(path)).answer is Answer.REPRODUCED


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_is_explained(path: Path) -> None:
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert [part for part in PARTS if f"\n{part}" not in text] == []


def test_every_kind_of_finding_of_mainline_has_its_trace() -> None:
    assert {read(path).key for path in TRACES} == KNOWN
