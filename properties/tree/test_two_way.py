# SPDX-License-Identifier: GPL-2.0-only
"""The model and the driver of a tree do the same, call by call; a change of either shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from properties.tree.trees import any_tree, edited, engine_of
from sgxmodel import cli
from sgxmodel.revisions import revision
from sgxmodel.scenario.text import parse
from sgxmodel.twoway.compare import Agreement, Pair
from sgxmodel.twoway.programs import program


@pytest.mark.parametrize("first", range(0, 60, 15))
def test_the_same_after_every_call(tree: Path, first: int) -> None:
    pair = Pair(revision("mainline"), engine_of(tree))
    seen = Agreement()
    for seed in range(first, first + 15):
        assert pair.compare(program(seed), seen) is None, seed
    assert seen.calls > 300


ACCESSED = """
scenario accessed
epc 12
scan 1
enclave A 4
setup open A; create A; add A 0 tcs; init A; reclaim; reclaim
task T: touch A 0; reclaim; touch A 0; reclaim
"""


def test_a_refused_access_sets_accessed(tree: Path) -> None:
    """The page walk comes before the EPCM: the model had it the other way round."""
    assert Pair(revision("mainline"), engine_of(tree)).compare(parse(ACCESSED)) is None


CHANGES = {
    "order of a list": (
        "main.c", "list_add_tail(&page->list, &node->free_page_list);",
        "list_add(&page->list, &node->free_page_list);", "free",
    ),
    "a counter": (
        "encl.c", "encl->secs_child_cnt++;\n\n\tsgx_mark_page_reclaimable(encl_page",
        "encl->secs_child_cnt += 2;\n\n\tsgx_mark_page_reclaimable(encl_page", "encl",
    ),
    "a flag": (
        "main.c", "page->flags |= SGX_EPC_PAGE_RECLAIMER_TRACKED;", "", "flags",
    ),
    "a result": (
        "ioctl.c", "if (test_bit(SGX_ENCL_CREATED, &encl->flags))", "if (0)", "result",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_in_few_calls(tmp_path: Path, change: str) -> None:
    name, old, new, part = CHANGES[change]
    pair = Pair(revision("mainline"), engine_of(edited(any_tree(), tmp_path, [(name, old, new)])))
    for seed in range(60):
        scenario = program(seed)
        found = pair.compare(scenario)
        if found is not None:
            small, found = pair.smaller(scenario, found)
            assert len(small.tasks[0].calls) < 9
            assert any(key.startswith(part) for key, _, _ in found.parts), found
            return
    pytest.fail("no program shows it")


def test_the_command(tmp_path: Path) -> None:
    tree = any_tree()
    words = ["compare", "mainline", str(tree), "--programs", "3", "--concurrent", "0"]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    assert f"EQUIVALENT: mainline and {tree} in 3 programs" in result.stdout.replace("\n  ", " ")
    paragraphs = result.stdout.replace("\n  ", " ").splitlines()
    why = "Never seen, as that needs a call that overlaps: "
    assert any(line.startswith(why) and "create -EBUSY" in line for line in paragraphs)
    result = CliRunner().invoke(cli.main, [*words[:-1], "4"])
    assert result.exit_code == 0, result.output
    assert "and 4 concurrent programs" in result.stdout.replace("\n  ", " ")
    assert "Calls that overlapped:" in result.stdout
    copy = edited(tree, tmp_path, [CHANGES["a result"][:3]])
    result = CliRunner().invoke(cli.main, ["compare", "mainline", str(copy), "--programs", "60"])
    assert result.exit_code == 1, result.output
    assert "DIFFERENT" in result.stdout
    result = CliRunner().invoke(cli.main, [*words, "-s", "eaug-eaug"])
    assert result.exit_code == 2
    assert "is for two revisions of the model" in result.stderr


RIGHTS = """
scenario rights
epc 9
enclave A 4
task T: open A; create A; add A 0 tcs; mmap A rwx; mmap A rw; mprotect A 0 rwx; mprotect A 1 r
"""


def test_a_tcs_page_forbids_execution(tree: Path) -> None:
    """The model let any page be mapped with all rights."""
    assert Pair(revision("mainline"), engine_of(tree)).compare(parse(RIGHTS)) is None
