# SPDX-License-Identifier: GPL-2.0-only
"""What the command line calls: patches, revisions, errors that say what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from properties.tree.trees import any_tree, edited, patch_of
from sgxmodel.errors import UserError
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.search.verdict import Checked, Verdict
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.source import DRIVER, HEADERS, find, opened, patch_in
from sgxmodel.tree.target import TreePlan, check_tree, is_tree

CONDITION = "pcmd_page_empty && !reclaimer_writing_to_pcmd(encl, pcmd_first_page)"


def plan_of(tree: Path, *patches: Path) -> TreePlan:
    scenarios = (scenario("fault-reclaim"), scenario("eaug-eaug"))
    return TreePlan(str(tree), scenarios, tuple(map(patch_in, patches)), runs=3000)


def checked(plan: TreePlan) -> list[Checked]:
    return [c for c in check_tree(plan) if c is not None]


def test_check(tmp_path: Path) -> None:
    results = {c.result.scenario.name: c for c in checked(plan_of(any_tree()))}
    assert results["fault-reclaim"].result.verdict is Verdict.PASSED
    assert results["eaug-eaug"].result.verdict is Verdict.VIOLATED
    assert [t.key for t in results["eaug-eaug"].traces] == [
        ("16-benign-race", "sgx_encl_eaug_page")
    ]


def test_patch_shows_only_what_is_new(tmp_path: Path) -> None:
    tree = any_tree()
    before = find(tree).text()
    patch = patch_of(tree, tmp_path / "x.patch", CONDITION, "pcmd_page_empty")
    results = {c.result.scenario.name: c for c in checked(plan_of(tree, patch))}
    assert results["eaug-eaug"].result.verdict is Verdict.PASSED
    assert results["eaug-eaug"].result.known == (("16-benign-race", "sgx_encl_eaug_page"),)
    assert ("8-evicted", "__sgx_encl_eldu") in {t.key for t in results["fault-reclaim"].traces}
    assert find(tree).text() == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nothing\n", "does not apply"),
        ("--- a/README\n+++ b/README\n@@ -1 +1 @@\n-a\n+b\n", "changes no file"),
        (f"--- a/{DRIVER}/main.c\n+++ b/{DRIVER}/main.c\n@@ -1 +1 @@\n-zzz\n+b\n",
         "does not apply"),
    ],
)  # fmt: skip
def test_patch_that_is_none(tmp_path: Path, content: str, says: str) -> None:
    patch = tmp_path / "x.patch"
    patch.write_text(content)
    with pytest.raises(UserError, match=says):
        list(check_tree(plan_of(any_tree(), patch)))


def test_revision_of_git(tmp_path: Path) -> None:
    edited(any_tree(), tmp_path, [])
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
        user = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *user, *command], cwd=tmp_path, check=True)
    (tmp_path / DRIVER / "main.c").write_text("broken")
    with opened(f"{tmp_path}@v1") as source:
        assert source.text() == find(any_tree()).text()
    with pytest.raises(UserError, match="@v2"), opened(f"{tmp_path}@v2"):
        pass


def test_not_a_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory"):
        list(check_tree(plan_of(tmp_path / "absent")))
    with pytest.raises(UserError, match=r"not a kernel tree.*main\.c|not a kernel tree"):
        list(check_tree(plan_of(tmp_path)))
    assert is_tree(str(tmp_path))
    assert not is_tree("mainline")


def test_broken_code(tmp_path: Path) -> None:
    place = "void sgx_reclaim_direct(void)\n{\n"
    tree = any_tree()
    unknown = edited(tree, tmp_path / "a", [("main.c", place, f"{place}folio_frobnicate(1);")])
    with pytest.raises(UserError, match="lacks folio_frobnicate"):
        build(find(unknown), compiler(), tmp_path / "cache")
    broken = edited(tree, tmp_path / "b", [("main.c", place, f"{place}int 3x;")])
    with pytest.raises(UserError, match=r"does not compile:\n.*main\.c:\d+"):
        build(find(broken), compiler(), tmp_path / "cache")


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(UserError, match="gcc or clang"):
        compiler()
    with pytest.raises(UserError, match="no such compiler"):
        compiler("tcc")


def test_only_the_driver_is_needed(tmp_path: Path) -> None:
    copy = edited(any_tree(), tmp_path, [])
    assert {p.relative_to(copy) for p in copy.rglob("*.h")} >= set(HEADERS)
    assert build(find(copy)) == build(find(any_tree()))
