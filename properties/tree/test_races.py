# SPDX-License-Identifier: GPL-2.0-only
"""18-data-race and 18-plain-read on trees: what orders, what is marked, and whose fault it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from properties.tree.trees import edited, searched
from sgxmodel.tree.runs import Key

TWO = "scenario two\nepc 4\ntask T1: direct\ntask T2: direct\n"
PLACE = "void sgx_reclaim_direct(void)\n{\n"
SHARED = "long shared, other; static atomic_long_t counted; static DEFINE_SPINLOCK(lock);\n"
KIND = {
    "shared++;": "18-data-race",
    "WRITE_ONCE(shared, READ_ONCE(shared) + 1);": None,
    "WRITE_ONCE(shared, 1); other = shared;": "18-data-race",
    "spin_lock(&lock); shared++; spin_unlock(&lock);": None,
    "spin_lock(&lock); shared++; spin_unlock(&lock); if (shared > 9) return;": "18-plain-read",
    "spin_lock(&lock); shared++; spin_unlock(&lock); if (data_race(shared) > 9) return;": None,
    "spin_lock(&lock); spin_unlock(&lock); shared++;": "18-data-race",
    "atomic_long_inc(&counted);": None,
    "counted.counter++;": "18-data-race",
    "atomic_long_inc(&counted); if (counted.counter > 9) return;": "18-data-race",
    "if (smp_load_acquire(&shared)) other++; else smp_store_release(&shared, 1);": None,
}


def races(tree: Path, to: Path, code: str) -> set[Key]:
    copy = edited(tree, to, [("main.c", PLACE, f"{SHARED}{PLACE}{code}\n")])
    return set(searched(copy, TWO, 400).best)


@pytest.mark.parametrize("code", KIND)
def test_what_is_a_race(tree: Path, tmp_path: Path, code: str) -> None:
    kind = KIND[code]
    assert races(tree, tmp_path, code) == ({(kind, "sgx_reclaim_direct")} if kind else set())


def test_names_of_fields_and_places(tree: Path) -> None:
    found = searched(tree, "poison-reclaim", 2000).best["18-data-race", "sgx_reclaim_pages"]
    title, message = found.violation.title, found.violation.message
    assert ".flags in sgx_reclaim_pages / " in title
    assert "plain write by R in sgx_reclaim_pages() (arch/x86/kernel/cpu/sgx/main.c:" in message
    assert "), without a list lock,\nunordered with plain read by P in " in message
    assert message.endswith(", with a list lock held")


def test_names_of_statics(tree: Path, tmp_path: Path) -> None:
    copy = edited(tree, tmp_path, [("main.c", PLACE, f"{SHARED}{PLACE}counted.counter++;\n")])
    [found] = searched(copy, TWO, 400).best.values()
    assert found.violation.title.startswith("data race on counted.counter in sgx_reclaim_direct")


def test_a_free_is_an_access(tree: Path) -> None:
    """The use after free shows in runs in which the reader happened to be first."""
    best = searched(tree, "remove-reclaim", 3000).best
    violation = best["18-plain-read", "sgx_reclaim_pages"].violation
    assert "encl_page#" in violation.title
    assert ".encl in sgx_encl_remove_pages / sgx_reclaim_pages" in violation.title
    assert "free by" in violation.message
