# SPDX-License-Identifier: GPL-2.0-only
"""Each kind that findings.md explains has a trace, and that shows it on every tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.trees import engine_of
from sgxmodel import tree as package
from sgxmodel.search.record import Answer
from sgxmodel.trace.text import read
from sgxmodel.tree.replay import replay_on

TRACES = sorted((Path(__file__).parent / "traces").glob("*.trace"))
FINDINGS = Path(package.__file__).with_name("findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_is_replayed(tree: Path, path: Path) -> None:
    """Recorded on 6.12; the steps of 6.1 have the same names."""
    assert replay_on(engine_of(tree), read(str(path))).answer is Answer.REPRODUCED


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.stem)
def test_a_finding_is_explained(path: Path) -> None:
    trace = read(str(path))
    assert path.stem == "-".join(trace.key)
    assert f"({', '.join(trace.key)})" in " ".join(FINDINGS.split())
