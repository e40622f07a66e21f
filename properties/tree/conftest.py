# SPDX-License-Identifier: GPL-2.0-only
from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.trees import ids, trees


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``tree``: each kernel tree that is there."""
    if "tree" in metafunc.fixturenames:
        reason = "no kernel tree: set SGXMODEL_TREES, or install linux-source-6.12"
        none = [pytest.param(Path(), marks=pytest.mark.skip(reason=reason))]
        metafunc.parametrize("tree", trees() or none, ids=ids() or None)
