# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of a tree: patches that git takes, fates that the engine and the object code give."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Collection
from functools import cache
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from properties.tree.trees import any_tree
from sgxmodel import cli
from sgxmodel.errors import TreeError, UnknownNameError
from sgxmodel.mutate.fate import PROMISE, TWO_WAY, Fate, Verdict
from sgxmodel.mutate.listed import TREES, listed, reasons
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.cell import CellDied
from sgxmodel.tree.mutants import campaign
from sgxmodel.tree.mutants.campaign import setting
from sgxmodel.tree.mutants.catalogue import TreeMutant, catalogue, mutants_of
from sgxmodel.tree.mutants.judge import TreeJob, clean_of, compiled, died, judge, with_races
from sgxmodel.tree.mutants.operators import OPERATORS
from sgxmodel.tree.source import copied, find
from sgxmodel.twoway.oracle import TwoWay

FEW = tuple(SCENARIOS[n] for n in ("init-reclaim", "fault-reclaim"))
RUNS = 60
TOY = b"""\
static void __init toy(struct page *page)
{
	int ret;

	spin_lock(&lru.lock);
	list_add_tail(&page->list, &lru.pages);
	page->count++;
	page->count += 2;
	spin_unlock(&lru.lock);

	if (page->ready && READ_ONCE(page->flags) != 0)
		goto out;

	list_for_each_entry(page, &lru.pages, list) {
		if (kref_get_unless_zero(&page->ref))
			continue;
		wake_up(&queue);
	}
	WARN_ON(page->count);
	ret = __eblock(page);
	if (ret)
		return;
out:
	kref_put(&page->ref, release);
}
"""


def toy(*operators: str, chosen: Collection[str] = ()) -> dict[str, str]:
    found = mutants_of("main.c", TOY, chosen or operators)
    return {m.what: m.changed().decode() for m in found}


# -- operators ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("swap-end", "\tlist_add(&page->list, &lru.pages);"),
        ("and-or", "\tif (page->ready || READ_ONCE(page->flags) != 0)"),
        ("comparison", "\tif (page->ready && READ_ONCE(page->flags) == 0)"),
        ("drop-condition", "\tif (page->ready)"),
        ("weak-reference", "\t\tif ((kref_get(&page->ref), 1))"),
        ("skip-leaf", "\tret = 0;"),
        ("negate-condition", "\tif (!(ret))"),
        ("add-reference", "\t{ kref_put(&page->ref, release); kref_put(&page->ref, release); }"),
        ("plain-access", "\tif (page->ready && (page->flags) != 0)"),
        ("arithmetic", "\tpage->count--;"),
        ("constant", "\tpage->count += 1;"),
    ],
)
def test_an_operator_makes_this_line(operator: str, line: str) -> None:
    assert any(line in text.splitlines() for text in toy(operator).values())


def test_a_dropped_statement_leaves_no_trace_of_itself() -> None:
    (text,) = (t for w, t in toy("drop-statement").items() if "list_add_tail" in w)
    assert text.encode() == TOY.replace(b"\tlist_add_tail(&page->list, &lru.pages);\n", b"")


def test_a_dropped_section_loses_both_its_ends() -> None:
    (text,) = toy("drop-section").values()
    assert "spin_" not in text


def test_warnings_and_messages_are_not_mutated() -> None:
    assert not any("WARN_ON" in what for what in toy(chosen=tuple(OPERATORS)))


def test_no_two_mutants_of_a_function_are_the_same() -> None:
    texts = list(toy(chosen=tuple(OPERATORS)).values())
    assert len(texts) == len(set(texts))
    assert TOY.decode() not in texts


def test_a_mutants_name_does_not_depend_on_where_it_stands() -> None:
    moved = b"\n\n" + TOY.replace(b"\tint ret;\n", b"\tint ret;\n\tint more;\n")
    names = [[m.id for m in mutants_of("main.c", s, tuple(OPERATORS))] for s in (TOY, moved)]
    assert names[0] == names[1]


# -- a tree -------------------------------------------------------------------------------------


@cache
def mutants() -> dict[str, TreeMutant]:
    return catalogue(find(any_tree()))


def test_all_mutants_of_a_tree_have_names_of_their_own_and_lines_in_their_files() -> None:
    for name, mutant in mutants().items():
        assert mutant.id == name
        assert 1 <= mutant.line <= mutant.source.count(b"\n")
        assert mutant.changed() != mutant.source
        assert "\n" not in mutant.subject()


def test_git_takes_a_patch_and_the_file_is_the_mutant(tmp_path: Path) -> None:
    source = copied(find(any_tree()), tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "tree"]):
        subprocess.run([*git, *words], check=True)
    chosen = [m for m in mutants().values() if m.function == "sgx_free_epc_page"][:3]
    for mutant in chosen:
        done = subprocess.run(
            [*git, "am", "-q"], input=mutant.patch(), text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert (source.driver / mutant.file).read_bytes() == mutant.changed()
        subprocess.run([*git, "reset", "-q", "--hard", "HEAD~1"], check=True)


def test_what_is_not_there_is_an_error() -> None:
    source = find(any_tree())
    with pytest.raises(UnknownNameError, match="nobody"):
        catalogue(source, names=["nobody"])
    with pytest.raises(UnknownNameError, match="nothing"):
        catalogue(source, operators=["nothing"])
    with pytest.raises(TreeError, match=r"none\.c"):
        catalogue(source, files=["none.c"])


@cache
def job() -> TreeJob:
    root = str(any_tree())
    clean = clean_of(root, FEW, RUNS, 0)
    content = (find(root).driver / "main.c").read_bytes()
    return TreeJob("f:o:1", root, "main.c", content, b"", FEW, RUNS, 0, clean)


def one(function: str, what: str) -> str:
    return next(
        name for name, m in mutants().items() if m.function == function and m.what.startswith(what)
    )


def decided(function: str, what: str) -> Verdict:
    mutant = mutants()[one(function, what)]
    return judge(attrs.evolve(job(), id=mutant.id, content=mutant.changed(), trap=mutant.trap()))


def test_identical_object_code_is_equivalent() -> None:
    same = attrs.evolve(job(), content=job().content + b"\n/* more */\n")
    assert judge(same).fate is Fate.EQUIVALENT


def test_the_limit_of_processor_time_is_not_set_here() -> None:
    """It once ended the test run, two minutes later and somewhere else."""
    before = resource.getrlimit(resource.RLIMIT_CPU)
    judge(attrs.evolve(job(), content=job().content + b"\n/* other */\n"))
    assert resource.getrlimit(resource.RLIMIT_CPU) == before


def test_what_does_not_compile_is_stillborn() -> None:
    broken = attrs.evolve(job(), content=job().content + b"int x = nothing;\n")
    assert judge(broken).fate is Fate.STILLBORN


def test_a_reclaimer_that_loses_pages_is_noticed() -> None:
    verdict = decided("sgx_reclaim_pages", "drop 'sgx_free_epc_page(epc_page)")
    assert verdict.fate is Fate.KILLED
    assert "20-end" in verdict.killed_by


def test_a_survivor_says_whether_anybody_comes_there() -> None:
    assert decided("sgx_paddr_to_page", "drop 'return NULL").why == "no scenario comes to this line"


def asked(name: str, scenarios: tuple[str, ...], oracle: TwoWay | None, *without: str) -> Verdict:
    chosen = tuple(SCENARIOS[n] for n in scenarios)
    clean = clean_of(str(any_tree()), chosen, RUNS, 0, oracle)
    mutant = mutants()[name]
    return judge(
        attrs.evolve(
            job(), id=name, file=mutant.file, content=mutant.changed(), trap=mutant.trap(),
            scenarios=chosen, clean=clean, without=without,
        )
    )  # fmt: skip


def test_a_path_that_is_not_walked_any_more_is_noticed() -> None:
    name = one("__sgx_encl_extend", "skip '__eextend")
    verdict = asked(name, ("eextend-fails",), None)
    assert verdict.killed_by == (PROMISE,)
    assert verdict.title == "promised but never seen: EEXTEND failed"
    assert asked(name, ("eextend-fails",), None, PROMISE).fate is Fate.SURVIVED


def test_what_no_invariant_objects_to_is_compared_with_the_model() -> None:
    name = one("sgx_free_epc_page", "list_add for")
    verdict = asked(name, ("init-reclaim",), TwoWay(5))
    assert verdict.killed_by == (TWO_WAY,)
    assert " free0 is " in verdict.title
    assert verdict.scenario.startswith("drawn-")
    assert asked(name, ("init-reclaim",), TwoWay(5), TWO_WAY).fate is Fate.SURVIVED


def test_a_program_in_which_the_clean_tree_differs_tells_nothing(tmp_path: Path) -> None:
    """It would kill each mutant."""
    name = one("sgx_free_epc_page", "list_add for")
    other, _ = compiled(any_tree(), "main.c", mutants()[name].changed(), tmp_path / "other")
    same, _ = compiled(any_tree(), "", None, tmp_path / "same")
    agreed = [TwoWay(5).learnt(Engine(library)).agreed for library in (same, other)]
    assert [seed for seed, _ in agreed[0]] == list(range(5))
    assert len(agreed[1]) < 5


def test_results_depend_on_the_programs_that_are_compared() -> None:
    keys = {setting(FEW, RUNS, 0, (), oracle) for oracle in (None, TwoWay(5), TwoWay(6))}
    assert len(keys) == 3


def test_a_driver_that_takes_its_process_down_is_noticed() -> None:
    assert died(job(), CellDied("it slept", endless=True)).killed_by == ("14-progress",)
    assert died(job(), CellDied("SIGSEGV")).killed_by == ("6-references",)


def test_a_race_of_the_clean_tree_kills_in_no_scenario() -> None:
    race, other = ("18-data-race", "sgx_reclaim_pages"), ("2-list", "sgx_free_epc_page")
    known = with_races({"poison-reclaim": frozenset([race, other]), "fork-poison": frozenset()})
    assert known == {
        "poison-reclaim": frozenset([race, other]),
        "fork-poison": frozenset([race]),
    }


def test_a_reclaimer_that_takes_young_pages_is_not_blamed_for_the_races_of_poison() -> None:
    names = ("fork-poison", "poison-reclaim", "poison-close")
    chosen = tuple(SCENARIOS[n] for n in names)
    root = str(any_tree())
    clean = clean_of(root, chosen, RUNS, 0)
    asked = attrs.evolve(job(), scenarios=chosen, clean=clean)
    mutant = next(
        m for m in mutants().values()
        if m.function == "sgx_reclaimer_age" and m.what.startswith("drop 'ret = !sgx_encl_test")
    )  # fmt: skip
    made = attrs.evolve(asked, id=mutant.id, content=mutant.changed(), trap=mutant.trap())
    assert judge(made).fate is Fate.SURVIVED


def test_results_depend_on_what_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = setting(FEW, RUNS, 0, ())
    (tmp_path / "judge.py").write_text("other = 1")
    monkeypatch.setattr(campaign, "HERE", tmp_path)
    assert setting(FEW, RUNS, 0, ()) != before


def test_apply_prints_a_patch_and_touches_nothing() -> None:
    root = any_tree()
    name = next(n for n, m in mutants().items() if m.function == "sgx_free_epc_page")
    before = (find(root).driver / "main.c").read_bytes()
    result = CliRunner().invoke(cli.main, ["mutate", str(root), "--apply", name])
    assert result.exit_code == 0
    assert result.stdout == mutants()[name].patch()
    assert (find(root).driver / "main.c").read_bytes() == before


# -- the list of survivors ----------------------------------------------------------------------


def named() -> TreeMutant:
    """One that is on the list."""
    listed = reasons(TREES)
    found = next((m for m in mutants().values() if m.key() in listed), None)
    return found or pytest.skip("nothing of this tree is on the list")


def show(tree: Path, name: str) -> str:
    words = ["mutate", str(tree), "--show", name, "--results", str(tree / "results")]
    return CliRunner().invoke(cli.main, words).output


def test_a_reason_holds_wherever_the_function_is_the_same(tmp_path: Path) -> None:
    mutant = named()
    source = copied(find(any_tree()), tmp_path)
    file = source.driver / mutant.file
    file.write_bytes(b"static int unrelated;\n\n" + mutant.source)
    (there,) = (m for n, m in catalogue(source).items() if n == mutant.id)
    assert there.key() == mutant.key()
    shown = show(tmp_path, mutant.id)
    assert "May live: " in shown


def test_a_reason_does_not_hold_for_another_text_of_the_function(tmp_path: Path) -> None:
    mutant = named()
    source = copied(find(any_tree()), tmp_path)
    first = mutant.body[0] + 1
    changed = mutant.source[:first] + b"\n\tcond_resched();\n" + mutant.source[first:]
    (source.driver / mutant.file).write_bytes(changed)
    (there,) = (m for n, m in catalogue(source).items() if n == mutant.id)
    assert there.key() != mutant.key()
    shown = show(tmp_path, mutant.id)
    assert "May live: " not in shown


def test_the_list_names_each_mutant_once_and_gives_a_reason() -> None:
    names = [name for reason in listed(TREES) for name in reason.mutants]
    assert len(names) == len(set(names))
    assert all(reason.why for reason in listed(TREES))
