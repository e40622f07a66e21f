# SPDX-License-Identifier: GPL-2.0-only
"""Operators do what they say; mutants have names that last."""

from __future__ import annotations

import ast
import textwrap
from itertools import islice
from pathlib import Path

import pytest

from sgxmodel.errors import NotationError, UnknownNameError, UserError
from sgxmodel.machine.edit import edited
from sgxmodel.mutate.catalogue import _tidy, catalogue, mutants_of, operators_named, with_changes
from sgxmodel.mutate.changed import changed, in_lines, touched
from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.matrix import matrix
from sgxmodel.mutate.operators import OPERATORS
from sgxmodel.mutate.operators.base import is_ghost, statements
from sgxmodel.mutate.scope import GROUPS, functions_in, reachable
from sgxmodel.revisions import REVISIONS, revision

FIXED = revision("list_fixed")
DROP = FIXED.program.functions["sgx_drop_epc_page"].source


def function(body: str) -> ast.FunctionDef:
    node = ast.parse(f"def f():\n{textwrap.indent(body, '    ')}\n    return\n").body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operators_example_is_one_of_its_edits(name: str) -> None:
    operator = OPERATORS[name]
    tree = function(operator.before)
    made = [ast.dump(_tidy(edit.apply(tree))) for edit in operator.edits(tree)]
    assert ast.dump(_tidy(function(operator.after))) in made


@pytest.mark.parametrize("target", REVISIONS)
def test_no_two_mutants_are_the_same_and_none_is_the_function_itself(target: str) -> None:
    for fn in functions_in(revision(target), ["record", "drop", "free"]).values():
        texts = [ast.unparse(_tidy(m.tree())) for m in mutants_of(fn)]
        assert len(texts) == len(set(texts))
        assert ast.unparse(fn.tree) not in texts


def test_names_survive_edits_elsewhere_in_the_function() -> None:
    before = {m.id for m in mutants_of(DROP)}
    longer = edited(DROP, ("list_del(page.list)", "list_del(page.list)\npage.poison = 0"))
    after = {m.id for m in mutants_of(longer)}
    gone = before - after
    assert all("swap-statements" in name or "section" in name for name in gone)
    assert after - before


def test_ghost_state_and_assertions_are_not_mutated() -> None:
    pages = FIXED.program.functions["__sgx_reclaim_pages"].source
    assert not any(is_ghost(stmt) for _, _, stmt in statements(pages.tree))
    whats = [m.what for m in mutants_of(pages)]
    assert not any(what.startswith(("drop 'sometimes", "drop 'isolated")) for what in whats)


def test_a_mutant_with_an_unset_local_is_stillborn() -> None:
    found = [m for m in mutants_of(DROP) if m.operator == "drop-lock"]
    with_changes(FIXED, "m", ((DROP.name, found[0].tree()),))
    fault = FIXED.program.functions["sgx_vma_fault"].source
    entry = next(m for m in mutants_of(fault) if m.what.startswith("drop 'entry = "))
    with pytest.raises((NotationError, UserError), match="entry"):
        with_changes(FIXED, "m", ((fault.name, entry.tree()),))


def test_every_function_of_a_group_is_some_revisions() -> None:
    known = {name for r in REVISIONS.values() for name in reachable(r)}
    known |= {name for r in REVISIONS.values() for name in r.program.functions}
    assert {name for group in GROUPS.values() for name in group} <= known


def test_scope_by_function_group_file_and_operator() -> None:
    assert set(functions_in(FIXED, ["sgx_drop_epc_page"])) == {"sgx_drop_epc_page"}
    assert "sgx_drop_epc_page" in functions_in(FIXED, ["drop"])
    assert "ioctl_create" in functions_in(FIXED, (), ["driver/ioctl.py"])
    ends = catalogue(functions_in(FIXED, ["free"]), operators_named(("swap-end",)))
    assert {m.operator for m in ends.values()} == {"swap-end"}
    for wrong in ({"functions": ["nobody"]}, {"files": ["no.py"]}):
        with pytest.raises(UnknownNameError):
            functions_in(FIXED, **wrong)


PATCH = """\
--- a/sgxmodel/driver/main.py
+++ b/sgxmodel/driver/main.py
@@ -10,4 +10,5 @@
 a
+b
 c
-d
 e
 f
"""


def test_a_patch_names_the_lines_that_it_touched() -> None:
    lines = touched(PATCH)
    assert lines == {"sgxmodel/driver/main.py": {11, 12, 13}}
    assert in_lines(lines, "driver/main.py", 11)
    assert not in_lines(lines, "main_other.py", 11)


@pytest.mark.parametrize("text", ["", "hello", "+++ b/x\nno hunk", "@@ -1 +1 @@\n+x"])
def test_what_is_no_patch_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.patch"
    path.write_text(text)
    with pytest.raises(UserError, match="not a patch"):
        changed(str(path), tmp_path)


def test_the_matrix_says_who_kills_what_alone() -> None:
    found = matrix(
        {
            "f:drop-lock:1": Verdict("f:drop-lock:1", Fate.KILLED, ("17-lock-order", "20-end")),
            "f:drop-lock:2": Verdict("f:drop-lock:2", Fate.KILLED, ("20-end",)),
            "f:always:3": Verdict("f:always:3", Fate.SURVIVED),
        },
        without=("1-one-list",),
    )
    assert found.kills["17-lock-order", "drop-lock"] == 1
    assert found.total["20-end"] == 2
    assert found.alone == {"20-end": ("f:drop-lock:2",)}
    assert "1-one-list" not in found.idle
    assert "4-unreclaimable" in found.idle


def test_mutants_are_listed_in_the_same_order_every_time() -> None:
    first, second = ([m.id for m in islice(mutants_of(DROP), 20)] for _ in range(2))
    assert first == second
