# SPDX-License-Identifier: GPL-2.0-only
"""The explorer beside Spin on the peers' model: whole commands, one machine, one run.

    python -m benchmarks.explore [--peers DIRECTORY] [--repeat N] [--sizes small,medium]

The directory holds epc.pml and epc_macro.pml; without it, or without spin and
gcc, those rows say so.  ``large`` is run once, with the reduction (minutes, and
some GB).  Quote ratios of one run, never seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.explore_one import SIZES

Row = tuple[str, str, list[float], str]
"""What is measured, on what, seconds of each repetition, remarks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sizes", default="small,medium")
    given = parser.parse_args()
    before = load()
    rows = []
    for size in given.sizes.split(","):
        repeat = 1 if size == "large" else given.repeat
        rows += [*ours(size, repeat), *spin(size, given.peers, repeat)]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {before} to {load()}, {python}")
    table(rows)


def load() -> str:
    """How many processes wanted to run, of late."""
    return f"{os.getloadavg()[0]:.1f}"


def ours(size: str, repeat: int) -> Iterator[Row]:
    def command(*how: str) -> Callable[[], str]:
        line = [sys.executable, "-m", "benchmarks.explore_one", size, *how]
        return lambda: run(line, Path.cwd())

    for how in ("reduced",) if size == "large" else ("unreduced", "reduced"):
        yield (f"explorer, {how}", size, *timed(command(how, "0"), repeat))
    if size == "large":
        return
    for bug in range(1, 6):
        yield (f"bug {bug}, fewest steps", size, *timed(command("unreduced", str(bug)), repeat))
        yield (f"bug {bug}, fewest preemptions", size, *timed(command("smallest", str(bug)), 1))


def spin(size: str, folder: Path | None, repeat: int) -> Iterator[Row]:
    cases = {"spin, plain, gcc -O2": ("epc.pml", "-O2"), "spin, plain, gcc -O0": ("epc.pml", "-O0"),
             "spin, atomics, gcc -O2": ("epc_macro.pml", "-O2"),
             "spin, atomics, gcc -O0": ("epc_macro.pml", "-O0")}  # fmt: skip
    if size == "large":
        del cases["spin, plain, gcc -O0"]
    for name, (source, level) in cases.items():
        if folder is None or not shutil.which("spin") or not shutil.which("gcc"):
            yield (name, size, [], "not run: needs --peers, spin and gcc")
            continue
        yield (name, size, *timed(verifier(size, folder / source, level), repeat))


def verifier(size: str, source: Path, level: str) -> Callable[[], str]:
    """spin, gcc and pan, as one command."""
    s = SIZES[size]
    values = {"N": s.n, "E": s.e, "K": s.k, "RR": s.r, "DN": s.dn, "NF": s.nf, "FN": s.fn}
    defines = [f"-D{name}={value}" for name, value in {**values, "P0": s.p0}.items()]

    def whole() -> str:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            run(["spin", "-o2", *defines, "-a", str(source.resolve())], here)
            run(["gcc", level, "-w", "-DNOREDUCE", "-DMEMLIM=18000", "-o", "pan", "pan.c"], here)
            said = run(["./pan", "-m100000"], here)
        kept = [line.strip() for line in said.splitlines()]
        stored = next(line for line in kept if "states, stored" in line).split()[0]
        memory = next(line for line in kept if "total actual memory" in line).split()[0]
        return f"{stored} states, {memory} MB"

    return whole


def run(line: list[str], where: Path) -> str:
    done = subprocess.run(line, cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def timed(command: Callable[[], str], repeat: int) -> tuple[list[float], str]:
    seconds, said = [], ""
    for _ in range(repeat):
        began = time.perf_counter()
        said = command()
        seconds.append(time.perf_counter() - began)
    return seconds, said


def table(rows: list[Row]) -> None:
    """Medians, spread (highest less lowest), and each as a share of plain Spin with -O2."""
    base = {
        size: statistics.median(s) for name, size, s, _ in rows if s and "plain, gcc -O2" in name
    }
    print(f"{'size':7} {'what':28} {'s':>7} {'spread':>7} {'ratio':>6}  remarks")
    for name, size, seconds, said in rows:
        if not seconds:
            print(f"{size:7} {name:28} {'-':>7} {'-':>7} {'-':>6}  {said}")
            continue
        median, spread = statistics.median(seconds), max(seconds) - min(seconds)
        ratio = f"{median / base[size]:6.2f}" if size in base else "     -"
        print(f"{size:7} {name:28} {median:7.2f} {spread:7.2f} {ratio}  {said}")


if __name__ == "__main__":
    main()
