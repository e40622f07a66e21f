# SPDX-License-Identifier: GPL-2.0-only
"""The benchmarks run: what they print is asserted nowhere, for machines are shared and noisy."""

from __future__ import annotations

import pytest

from benchmarks import throughput


def test_operations_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["throughput", "list_fixed", "4"])
    throughput.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["with checkers", "bare loop"]
