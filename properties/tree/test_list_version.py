# SPDX-License-Identifier: GPL-2.0-only
"""The patch that this project grew from, on real code: F1, F3 and F5 are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.list_version import list_version
from properties.tree.trees import kinds
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.tree.plan import runnable
from sgxmodel.tree.runs import Key

FOUND: dict[str, tuple[str, Key]] = {
    "F1": ("eaug-eaug-reclaim", ("14-progress", "sgx_reclaim_pages")),
    "F3": ("poison-close", ("18-data-race", "sgx_drop_epc_page")),
    "F5": ("fault-reclaim", ("1-one-list", "sgx_free_epc_page")),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("list-version")


@pytest.mark.parametrize("fault", FOUND)
def test_found(tree: Path, scratch: Path, fault: str) -> None:
    name, key = FOUND[fault]
    copy = list_version(tree, scratch / tree.name / "with")
    assert key in kinds(copy, name, 3000)
    others = frozenset(FOUND) - {fault}
    assert key in kinds(list_version(tree, scratch / tree.name / fault, others), name, 3000)


def test_without_its_faults_nothing_is_new(tree: Path, scratch: Path) -> None:
    copy = list_version(tree, scratch / tree.name / "without", frozenset(FOUND))
    for name in (s.name for s in runnable(SCENARIOS.values())[0]):
        new = kinds(copy, name, 1500) - kinds(tree, name, 3000)
        assert not {k for k in new if k[1] != "arch_memory_failure"}, (name, new)
