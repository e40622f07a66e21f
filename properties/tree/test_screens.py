# SPDX-License-Identifier: GPL-2.0-only
"""First screens as users see them, kept as text in screens/ and read aloud when they change.

    SGXMODEL_WRITE_SCREENS=1 pytest properties/tree/test_screens.py

writes them anew.  Lines of source and numbers of steps are left out: they go with the tree.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from properties.tree.test_command_line import FIX_OF_K2
from properties.tree.trees import patch_of, trees
from sgxmodel import cli

SCREENS = Path(__file__).parent / "screens"
SCENARIOS = (
    "eaug-eaug", "fault-reclaim", "remove-reclaim", "young-head", "x-exhausted", "ksgxd-rest",
    "poison-reclaim", "poison-stall",
)  # fmt: skip
LINES_MAX = 150
FIRST = 15
"""The first new finding stands within so many lines."""


@attrs.frozen
class Case:
    """A patch: an edit of a file."""

    file: str
    old: str
    new: str
    status: int = 1


MARK = "\tpage->flags |= SGX_EPC_PAGE_RECLAIMER_TRACKED;\n\tlist_add%s(&page->list"
SKIP = "\t\tlist_add_tail(&epc_page->list, &sgx_active_page_list);\n\t\tspin_unlock"
WRITE = "\t\tsgx_reclaimer_write(epc_page, &backing[i]);\n\n"
PUT = "\t\tkref_put(&encl_page->encl->refcount, sgx_encl_release);\n"
SLOT = "\tsgx_free_va_slot(encl_page->va_page, va_offset);\n\tlist_move"
COUNT = "\tencl->secs_child_cnt++;\n"
LOADED = "\tsgx_mark_page_reclaimable(entry->epc_page);"
MARKED = "\t\tencl_page->desc |= SGX_ENCL_PAGE_BEING_RECLAIMED;\n"
UNLOCK = "\t\tmutex_unlock(&encl_page->encl->lock);\n"
CASES = {
    "list-end": Case("main.c", MARK % "_tail", MARK % ""),
    "skip-lost": Case("main.c", SKIP, "\t\tspin_unlock"),
    "reference": Case("main.c", WRITE + PUT, WRITE),
    "va-slot": Case("encl.c", SLOT, "\tlist_move"),
    "child-count": Case("encl.c", COUNT + LOADED, LOADED),
    "marked-late": Case("main.c", MARKED + UNLOCK, UNLOCK + MARKED),
    "correct-order": Case("encl.c", COUNT + LOADED, LOADED + "\n" + COUNT, 0),
    "correct-words": Case("main.c", "\tint cnt = 0;\n", "\tint cnt = 0; /* kept pages */\n", 0),
    "fix-of-k2": Case("encl.c", *FIX_OF_K2, 0),
}


def screen(*words: str | Path) -> tuple[int, str]:
    chosen = [word for name in SCENARIOS for word in ("-s", name)]
    command = ["check", *map(str, words), *chosen, "--schedules", "2000", "--jobs", "2"]
    result = CliRunner().invoke(cli.main, command)
    return result.exit_code, result.stdout


def plain(text: str, tree: Path) -> str:
    """Without what goes with a version of the kernel."""
    text = " ".join(text.replace(str(tree), "./linux").split(" "))
    text = re.sub(r"(\w+\.[ch]):\d+", r"\1:N", text)
    return re.sub(r"[\d,]+ steps", "N steps", text)


def agrees(name: str, text: str) -> None:
    """With what was read aloud."""
    kept = SCREENS / f"{name}.txt"
    if "SGXMODEL_WRITE_SCREENS" in os.environ:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text, encoding="ascii")
    assert text.split() == kept.read_text(encoding="ascii").split()


def fits(text: str) -> None:
    """Plain ASCII of 80 columns, and short."""
    lines = text.splitlines()
    assert len(lines) <= LINES_MAX
    assert max(map(len, lines)) <= 80
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


SHORT = ("list-end", "reference", "correct-order", "fix-of-k2")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n not in SHORT)) for n in CASES]
)
def test_of_a_patch(name: str) -> None:
    if not trees():
        pytest.skip("no kernel tree: set SGXMODEL_TREES, or install linux-source-6.12")
    tree, case = trees()[-1], CASES[name]
    patch = patch_of(tree, Path(f"{name}.patch"), case.old, case.new, case.file)
    status, text = screen(tree, "--patch", patch)
    fits(text)
    assert status == case.status, text
    assert f"+ {name}.patch: {'PASSED' if status == 0 else 'VIOLATED'}" in " ".join(text.split())
    if status:
        first = next(i for i, line in enumerate(text.splitlines()) if line.startswith("  1  "))
        assert first < FIRST
    agrees(name, plain(text, tree))


def test_of_a_tree(tree: Path) -> None:
    status, text = screen(tree)
    fits(text)
    assert status == 1
    agrees(tree.name, plain(text, tree))


def test_of_the_patch_that_the_project_grew_from() -> None:
    words = ["check", "list_v2", "--schedules", "60", "--jobs", "2"]
    for name in ("eaug-eaug-reclaim", "fork-reclaim", "poison-close", "poison-stall"):
        words += ["-s", name]
    result = CliRunner().invoke(cli.main, words)
    fits(result.stdout)
    assert result.exit_code == 1
    agrees("list_v2", plain(result.stdout, Path("/nowhere")))
