# SPDX-License-Identifier: GPL-2.0-only
"""What was found stays found: every trace in traces/ replays, and is explained beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgxmodel.search.record import Answer, replay
from sgxmodel.trace.text import read

TRACES = sorted((Path(__file__).parent / "traces").glob("*.trace"))


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_replays(path: Path) -> None:
    assert replay(read(path)).answer is Answer.REPRODUCED


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_is_explained(path: Path) -> None:
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert "fix" in text
