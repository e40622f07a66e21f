# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark of the engine runs; what it measures is asserted nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import tree_throughput


def test_runs_a_second(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree_throughput.main(str(tree), 400)
    assert capsys.readouterr().out.count("runs/s") == len(tree_throughput.MODES)
