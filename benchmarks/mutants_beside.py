# SPDX-License-Identifier: GPL-2.0-only
"""sgxmodel's mutants beside cosmic-ray's, over the same functions.

    python -m benchmarks.mutants_beside [MUTANTS [SEED]]

cosmic-ray (extra ``bench``) changes a copy of this repository and runs the project's own
tests on it; ``sgxmodel mutate`` decides as many mutants of the functions that ``list_fixed``
replaces. Both use all cores. Printed: mutants a minute, and how many were noticed of those
that could be. Run it from a checkout; it takes a quarter of an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from sgxmodel.machine.graph import KernelFunction
from sgxmodel.revisions.list_fixed import fixes

MODULE = "sgxmodel/revisions/list_fixed/fixes.py"
FUNCTIONS = ("sgx_drop_epc_page", "__sgx_reclaim_pages", "sgx_alloc_epc_page", "sgx_free_epc_page")
TESTS = (
    "-x -q -n auto -p no:cacheprovider properties/test_fixes.py properties/test_model.py stateful"
)
CONFIG = """[cosmic-ray]
module-path = "{module}"
timeout = 600.0
excluded-modules = []
test-command = "{python} -m pytest {tests}"
[cosmic-ray.distributor]
name = "local"
"""


def lines() -> set[int]:
    """Those of the functions under change."""
    out: set[int] = set()
    for name in FUNCTIONS:
        fn = vars(fixes)[name]
        assert isinstance(fn, KernelFunction)
        out |= set(range(fn.lineno + 1, (fn.tree.end_lineno or fn.lineno) + 1))
    return out


def cosmic(number: int, seed: int, root: Path, scratch: Path) -> tuple[int, int, float]:
    """(killed, decided, seconds) of cosmic-ray over a sample."""
    for name in ("sgxmodel", "properties", "stateful", "conftest.py", "pyproject.toml"):
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, scratch / name)
    environment = {**os.environ, "PYTHONPATH": str(scratch), "SGXMODEL_TREES": ""}
    text = CONFIG.format(module=MODULE, python=sys.executable, tests=TESTS)
    (scratch / "cr.toml").write_text(text)
    run = [str(Path(sys.executable).with_name("cosmic-ray"))]
    options = {"cwd": scratch, "env": environment, "check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*run, "init", "cr.toml", "cr.sqlite"], **options)  # type: ignore[call-overload]
    sample(scratch / "cr.sqlite", number, seed)
    began = time.monotonic()
    subprocess.run([*run, "exec", "cr.toml", "cr.sqlite"], **options)  # type: ignore[call-overload]
    seconds = time.monotonic() - began
    with sqlite3.connect(scratch / "cr.sqlite") as session:
        found = [row[0] for row in session.execute("select test_outcome from work_results")]
    return sum("KILLED" in str(one).upper() for one in found), len(found), seconds


def sample(session: Path, number: int, seed: int) -> None:
    """Keep that many of the mutants of our functions."""
    wanted = lines()
    with sqlite3.connect(session) as database:
        rows = list(database.execute("select job_id, start_pos_row from mutation_specs"))
        inside = sorted(job for job, line in rows if line in wanted)
        kept = set(Random(seed).sample(inside, min(number, len(inside))))
        for table in ("mutation_specs", "work_items"):
            database.executemany(
                f"delete from {table} where job_id = ?",
                [(job,) for job, _ in rows if job not in kept],
            )
    print(f"cosmic-ray: {len(kept)} of {len(inside)} mutants of these functions", flush=True)


def own(number: int, seed: int, scratch: Path) -> tuple[int, int, int, float]:
    """(killed, equivalent or stillborn, decided, seconds) of sgxmodel."""
    command = str(Path(sys.executable).with_name("sgxmodel"))
    words = [command, "mutate", "list_fixed", "--sample", str(number)]
    for name in FUNCTIONS:
        words += ["-f", name]
    words += ["--seed", str(seed), "--results", str(scratch / "own"), "--json", "own.json"]
    began = time.monotonic()
    subprocess.run(words, cwd=scratch, check=False, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    report = json.loads((scratch / "own.json").read_text())
    fates = [m["status"] for file in report["files"].values() for m in file["mutants"]]
    others = sum(fate in ("Ignored", "CompileError") for fate in fates)
    return fates.count("Killed"), others, len(fates), seconds


def main(number: int, seed: int) -> None:
    """Prints one line each."""
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="sgxmodel-beside-") as folder:
        killed, others, decided, seconds = own(number, seed, Path(folder))
        print(
            f"sgxmodel: {decided} mutants, {60 * decided / seconds:.1f} a minute; {killed} killed, "
            f"{others} equivalent or stillborn, {decided - killed - others} survive",
            flush=True,
        )
    with tempfile.TemporaryDirectory(prefix="sgxmodel-beside-") as folder:
        killed, decided, seconds = cosmic(number, seed, root, Path(folder))
        print(
            f"cosmic-ray: {decided} mutants, {60 * decided / seconds:.1f} a minute; "
            f"{killed} killed, {decided - killed} survive or are equivalent"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, int((sys.argv[2:] or ["0"])[0]))
