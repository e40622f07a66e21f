# SPDX-License-Identifier: GPL-2.0-only
"""The commands on kernel trees: statuses, patches, known violations, replay, bad input."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from properties.tree.trees import any_tree, edited, patch_of
from sgxmodel import cli
from sgxmodel.trace.text import read, write
from sgxmodel.tree.source import DRIVER

K2 = "16-benign-race sgx_encl_eaug_page"
PCMD = "pcmd_page_empty && !reclaimer_writing_to_pcmd(encl, pcmd_first_page)"
FIX_OF_K2 = (
    "\nerr_out_shrink:",

"\nerr_out_shrink:\n\tif (ret == -EBUSY)\n\t\tvmret = VM_FAULT_NOPAGE;\n",
)  # fmt: skip
DIRECT = "void sgx_reclaim_direct(void)\n{\n"
GONE_TOO_FAR = '__asm__ volatile("syscall" : : "a"(231), "D"(3) : "rcx", "r11", "memory");\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, list(map(str, words)))


def check(tree: Path | str, *words: str | Path) -> Result:
    return run("check", tree, "-s", "eaug-eaug", "-s", "fault-reclaim", "--jobs", "2", *words)


def trace_of(tree: Path) -> Path:
    return Path(f"sgxmodel-traces/{tree.name}-16-benign-race-sgx_encl_eaug_page.trace")


def test_a_tree_is_checked_and_its_trace_replays(tree: Path) -> None:
    result = check(tree)
    assert result.exit_code == 1, result.output
    assert "VIOLATED, 1 finding\n" in result.stdout
    assert "16-benign-race, eaug-eaug" in " ".join(result.stdout.split())
    assert f"sgxmodel replay {trace_of(tree)}" in run("show", "1").stdout.replace("\\\n", "")
    assert "fault-reclaim  PASSED" in check(tree, "-v").stdout
    again = run("replay", trace_of(tree))
    assert again.exit_code == 1
    assert "reproduced: 16-benign-race in sgx_encl_eaug_page\n" in again.stdout


def test_replay_says_whether_a_fix_helps(tree: Path) -> None:
    check(tree)
    patch = patch_of(tree, Path("fix.patch"), *FIX_OF_K2)
    result = run("replay", trace_of(tree), "--patch", patch)
    assert result.exit_code == 0, result.output
    assert "no longer reproduced: 16-benign-race" in result.stdout
    assert check(tree, "--patch", patch).exit_code == 0


def test_replay_says_how_to_name_a_tree_that_has_moved(tree: Path) -> None:
    check(tree)
    write("moved.trace", attrs.evolve(read(trace_of(tree)), target="./gone"))
    result = run("replay", "moved.trace")
    assert result.exit_code == 2
    assert "./gone: the trace was made there" in result.stderr
    assert run("replay", "moved.trace", "--target", tree).exit_code == 1


def test_replay_says_which_step_is_missing(tree: Path) -> None:
    check(tree)
    old = read(trace_of(tree))
    [switch] = old.switches
    assert switch.after is not None
    gone = attrs.evolve(switch, after=attrs.evolve(switch.after, function="sgx_gone"))
    write("gone.trace", attrs.evolve(old, switches=(gone,)))
    result = run("replay", "gone.trace")
    assert result.exit_code == 2
    assert "in sgx_gone()" in result.stdout
    Path("other").mkdir()
    assert "not a kernel tree" in run("replay", trace_of(tree), "--target", "./other").stderr


def test_a_patch_counts_for_what_is_new(tree: Path) -> None:
    patch = patch_of(tree, Path("x.patch"), PCMD, "pcmd_page_empty")
    result = check(tree, "--patch", patch, "--json", "out.json")
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "not counted, as the tree without the patch has them: 1 kind" in said
    document = json.loads(Path("out.json").read_text())
    verdicts = {s["name"]: s["verdict"] for s in document["scenarios"]}
    assert verdicts == {"eaug-eaug": "PASSED", "fault-reclaim": "VIOLATED"}
    assert document["known"] == [{"invariant": "16-benign-race", "function": "sgx_encl_eaug_page"}]
    trace = f"sgxmodel-traces/{tree.name}+x-8-evicted-__sgx_encl_eldu.trace"
    assert [patch.name for patch in read(trace).patches] == ["x.patch"]
    assert run("replay", trace).exit_code == 1
    assert run("replay", trace, "--target", tree).exit_code == 0


def test_what_hides_behind_a_known_kind_is_found_where_that_is_not(tree: Path) -> None:
    """6.1 and 6.12 have a 6-references in sgx_reclaim_pages() of their own (R1)."""
    old = "kref_get_unless_zero(&encl_page->encl->refcount) != 0"
    new = "(kref_get(&encl_page->encl->refcount), 1)"
    patch = patch_of(tree, Path("x.patch"), old, new, "main.c")
    words = ("-s", "remove-reclaim", "-s", "fault-reclaim-close", "--patch", patch)
    result = run("check", tree, *words)
    assert result.exit_code == 1, result.output
    said = " ".join(result.stdout.split())
    assert "refcount_t: addition on 0" in said
    assert "use after free: read" not in said


def test_a_known_violation_that_a_patch_makes_likely_is_named(tree: Path) -> None:
    """A page that only the first process's accesses keep is reclaimed more often."""
    old = "\t\tif (!ret)\n\t\t\tbreak;\n\t}"
    patch = patch_of(tree, Path("x.patch"), old, "\t\tbreak;\n\t}", "main.c")
    words = ("-s", "fork-poison", "-s", "poison-reclaim", "-s", "exit-poison")
    result = run("check", tree, *words, "--patch", patch)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "not seen to do it in this form" in said
    assert "18-plain-read in arch_memory_failure" in said.partition("in this form")[2]


def test_known_violations_do_not_count(tree: Path) -> None:
    assert check(tree, "--save-known", "known").exit_code == 1
    assert Path("known").read_text().splitlines()[1:] == [K2]
    result = check(tree, "--known", "known", "--save-known", "known")
    assert result.exit_code == 0
    assert "not counted, as --known names them: 1 kind" in result.stdout
    assert Path("known").read_text().splitlines()[1:] == [K2]


def test_known_violations_of_the_model() -> None:
    words = ("check", "list_v2", "-s", "init-reclaim", "--schedules", "20")
    assert run(*words, "--save-known", "known").exit_code == 1
    assert run(*words, "--known", "known").exit_code == 0


def test_a_promise_that_is_not_kept_is_inconclusive(tree: Path) -> None:
    text = "scenario s\nepc 8\nenclave A 1\nsetup open A; create A; add A 0; init A\n"
    text += "task T: touch A 0\npromise %s\n"
    Path("s").write_text(text % "the SECS was loaded back")
    result = run("check", tree, "-s", "./s")
    assert result.exit_code == 3, result.output
    assert "promised but never seen: the SECS was loaded back" in result.stdout
    Path("s").write_text(text % "an enclave was released")
    assert run("check", tree, "-s", "./s").exit_code == 3
    Path("s").write_text(
        text.replace("touch A 0", "touch A 0; close A") % "an enclave was released"
    )
    assert run("check", tree, "-s", "./s").exit_code == 0


def test_a_revision_of_git(tree: Path) -> None:
    copy = edited(tree, Path("repository").absolute(), [])
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
        user = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *user, *command], cwd=copy, check=True)
    (copy / DRIVER / "main.c").write_text("broken")
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    assert check(f"{copy}@v1").exit_code == 1
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == before
    result = check(f"{copy}@v2")
    assert result.exit_code == 2
    assert "v2" in result.stderr


def test_what_a_driver_does_to_its_process_is_a_finding(tree: Path) -> None:
    copy = edited(tree, Path("t"), [("main.c", DIRECT, DIRECT + GONE_TOO_FAR)])
    Path("s").write_text("scenario s\nepc 4\ntask T: direct\n")
    result = check(f"./{copy}", "--schedules", "3000", "-s", "./s")
    assert "the driver calls exit_group()" in " ".join(result.stdout.split())
    assert "16-benign-race, eaug-eaug" in " ".join(result.stdout.split())


BAD = [
    (("{tree}", "--patch", "none"), "No such file"),
    (("{tree}", "--patch", "text"), "does not apply"),
    (("{tree}", "--exhaustive"), "revisions of the model"),
    (("mainline", "--patch", "text"), "directory of a kernel tree"),
    (("mainline", "--cc", "gcc"), "directory of a kernel tree"),
    (("{tree}", "--cc", "no-such-compiler"), "no such compiler"),
    (("./empty",), "not a kernel tree"),
    (("./gone",), "no such directory"),
    (("./gone@v1",), "no such directory"),
    (("./empty@v1",), "empty@v1"),
    (("./lacks",), "lacks folio_frobnicate"),
    (("./broken",), "does not compile"),
    (("{tree}", "--known", "gone"), "No such file"),
    (("{tree}", "--known", "text"), "not a list of known"),
    (("{tree}", "--known", "newer"), "version 9"),
    (("{tree}", "--known", "odd"), "odd:2"),
    (("{tree}", "--save-known", "text"), "left alone"),
    (("{tree}", "--save-known", "empty"), "directory"),
    (("{tree}", "--save-known", "gone/x"), "cannot be written"),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(w) for w, _ in BAD])
def test_bad_input_is_told_in_a_few_lines(words: tuple[str, ...], says: str) -> None:
    tree = any_tree()
    Path("empty").mkdir()
    edited(tree, Path("lacks"), [("main.c", DIRECT, DIRECT + "folio_frobnicate(1);")])
    edited(tree, Path("broken"), [("main.c", DIRECT, DIRECT + "int 3x;")])
    Path("text").write_text("mine\n")
    Path("newer").write_text("# sgxmodel known violations 9\n")
    Path("odd").write_text("# sgxmodel known violations 1\nodd\n")
    before = sorted(Path().rglob("*"))
    result = run("check", *(w.replace("{tree}", str(tree)) for w in words), "-s", "eaug-eaug")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert says in result.stderr
    assert "defect" not in result.stderr
    assert len(result.stderr.splitlines()) <= 4
    assert sorted(Path().rglob("*")) == before
    assert Path("text").read_text() == "mine\n"
