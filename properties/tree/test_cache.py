# SPDX-License-Identifier: GPL-2.0-only
"""The cache of built libraries: it does not grow without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from properties.tree.trees import edited
from sgxmodel.tree import build as building
from sgxmodel.tree.build import build
from sgxmodel.tree.source import find


def test_what_was_not_used_for_the_longest_time_goes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "KEPT", 2)
    cache = tmp_path / "cache"
    place = "static int ksgxd(void *p)\n{\n"
    sources = [
        find(str(edited(tree, tmp_path / str(n), [("main.c", place, f"/* {n} */\n{place}")])))
        for n in range(3)
    ]
    first, second = (build(source, cache=cache).path for source in sources[:2])
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    assert build(sources[0], cache=cache).path == first  # it is used again
    third = build(sources[2], cache=cache).path
    assert set(cache.glob("*.so")) == {first, third}
    assert len(list(cache.glob("engine-*"))) == 1
