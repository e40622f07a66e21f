# SPDX-License-Identifier: GPL-2.0-only
"""A newcomer's four things: a kernel call, a revision, an invariant and a scenario, a file each.

They are written into a copy of the package, no file of it is changed, and the command
line must know, run and check them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sgxmodel
from sgxmodel import driver
from sgxmodel.driver.calls import Verb, calls_of
from sgxmodel.errors import LinkError
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.kernel.list import list_head
from sgxmodel.machine.discover import modules_of
from sgxmodel.machine.layout import static
from sgxmodel.machine.program import functions_of, statics_of
from sgxmodel.revisions import REVISIONS, mainline
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import VERBS

PACKAGE = Path(sgxmodel.__file__).parent
NEW = {
    "driver/kick.py": '''
"""kick(): a call that no kernel has."""

from sgxmodel.driver.calls import Verb
from sgxmodel.driver.structs import process
from sgxmodel.kernel.ref import atomic_long_inc, atomic_long_t
from sgxmodel.machine.layout import static
from sgxmodel.machine.notation import kernel
from sgxmodel.machine.op import sometimes

kicks = static("kicks", atomic_long_t)


@kernel
def user_kick(proc: process, index: int) -> int:
    """Count a kick."""
    sometimes("a page was kicked")
    atomic_long_inc(kicks)
    return 0


CALLS = (Verb("kick", user_kick, ("enclave", "page"), ("0",), "kick a page"),)
''',
    "revisions/twice.py": '''
"""list_fixed, but a kick counts twice."""

from sgxmodel.driver.kick import kicks
from sgxmodel.driver.structs import process
from sgxmodel.kernel.ref import atomic_long_inc
from sgxmodel.machine.notation import kernel

BASE = "list_fixed"


@kernel
def user_kick(proc: process, index: int) -> int:
    """Count a kick, and again."""
    atomic_long_inc(kicks)
    atomic_long_inc(kicks)
    return 0
''',
    "invariants/predicates/kicks.py": '''
"""21-kicks: nobody is kicked more than twice."""

from collections.abc import Iterator

from sgxmodel.invariants.base import Violation
from sgxmodel.invariants.predicate import Finding, Predicate
from sgxmodel.invariants.view import View


class Kicks(Violation):
    """21-kicks."""

    id = "21-kicks"
    guarantee = "two kicks are enough"


def check_kicks(view: View) -> Iterator[Finding]:
    """Looked at whenever the counter was written."""
    kicks = view.world.layout.namespace["kicks"]
    if view.S[kicks.counter] > 2:
        yield Kicks, kicks, "a third kick", f"{view.S[kicks.counter]} were counted"


PREDICATES = (Predicate(check_kicks, {"kicks.counter"}.__contains__),)
''',
    "scenario/named/kicked.scenario": """
scenario kicked
about a page is kicked by two
small
epc 4
enclave A 2
setup open A; create A; add A 0; init A
task T1: kick A 0
task T2: kick A 0
promise a page was kicked
""",
}
HEADER = "# SPDX-License-Identifier: GPL-2.0-only"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, with one new file for each of the four."""
    where = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(PACKAGE, where / "sgxmodel", ignore=shutil.ignore_patterns("*.c", "*.h"))
    for name, text in NEW.items():
        file = where / "sgxmodel" / name
        assert not file.exists()
        file.write_text(HEADER + text, encoding="utf-8")
    return where


def run(copy: Path, *words: str) -> tuple[int, dict[str, Any]]:
    main = [sys.executable, "-c", "from sgxmodel.cli import main; main()"]
    done = subprocess.run(
        [*main, *words, "--json", "-", "-j", "1"],
        env={**os.environ, "PYTHONPATH": str(copy)},
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("how", [("--schedules", "10"), ("--exhaustive",)], ids=["runs", "all"])
def test_four_new_files_work_together(copy: Path, how: tuple[str, ...]) -> None:
    status, said = run(copy, "check", "twice", "-s", "kicked", *how)
    assert status == 1
    (finding,) = said["scenarios"][0]["violations"]
    assert (finding["invariant"], finding["function"]) == ("21-kicks", "user_kick")


def test_a_new_call_meets_every_other_one(copy: Path) -> None:
    status, said = run(
        copy, "check", "list_fixed", "-s", "pair-kick", "-s", "kicked", "--schedules", "6",
        "--coverage",
    )  # fmt: skip
    assert status == 0, said
    rows = {(row["name"], row["outcome"]): row["count"] for row in said["coverage"]}
    assert rows["kick", "0"] > 0
    assert any("kick" in row for row in rows if "reclaim" in row)


# -- what is found is what is there, in an order that nobody's disk decides ---------------------


def test_every_file_of_the_driver_is_found_in_the_order_of_their_names() -> None:
    names = [m.__name__.rpartition(".")[2] for m in modules_of(driver)]
    files = [f.stem for f in (PACKAGE / "driver").glob("*.py") if f.stem != "__init__"]
    assert names == sorted(files)


def test_every_call_is_declared_by_one_file() -> None:
    declared = [v for m in modules_of(driver) for v in vars(m).get("CALLS", ())]
    assert [verb.name for verb in declared] == list(VERBS)


def test_every_revision_and_scenario_is_found() -> None:
    there = (PACKAGE / "revisions").iterdir()
    revisions = {p.stem for p in there if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert list(REVISIONS) == sorted(revisions - {"__init__", "base", "replace"})
    assert len(SCENARIOS) == len(list((PACKAGE / "scenario" / "named").glob("*.scenario")))


def test_every_invariant_of_the_list_is_there() -> None:
    assert {int(name.partition("-")[0]) for name in INVARIANTS} >= set(range(1, 21))


# -- mistakes are told --------------------------------------------------------------------------


def test_a_call_with_an_unknown_kind_of_argument_is_refused() -> None:
    with pytest.raises(LinkError, match="no kind of argument 'planet'"):
        Verb("fly", "user_fly", ("planet",), ("0",), "")


def test_what_is_there_twice_is_refused() -> None:
    (file,) = (m for m in modules_of(driver) if m.__name__.endswith(".file"))
    with pytest.raises(LinkError, match="a call 'open' already"):
        calls_of((file, file))
    with pytest.raises(LinkError, match="is defined in"):
        functions_of(file, file)


def test_two_statics_of_one_name_are_refused() -> None:
    (lru,) = (m for m in modules_of(mainline) if m.__name__.endswith(".lru"))
    other = ModuleType("other")
    vars(other)["mine"] = static("sgx_reclaimer_lock", list_head)
    with pytest.raises(LinkError, match="a static sgx_reclaimer_lock already"):
        statics_of(lru, other)
