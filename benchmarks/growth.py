# SPDX-License-Identifier: GPL-2.0-only
"""How states and CPU time grow with pages and tasks, with and without reductions.

    python -m benchmarks.growth [--pages 2-6] [--tasks 2-4] [--enclaves 1] [--states N]
                                [--plot FILE]

One task makes a pass over all pages, dealt out to so many enclaves, each of the
others touches a page of its own.  A space that did not close within ``--states`` has a ``>``.
The plot needs matplotlib (the extra ``bench``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search.exhaustive import machine_of
from sgxmodel.search.explore.explorer import Budget, Explorer


@attrs.frozen
class Cell:
    """One measurement."""

    pages: int
    tasks: int
    reduction: bool
    closed: bool
    states: int
    seconds: float

    def __str__(self) -> str:
        return f"{'' if self.closed else '>'}{self.states:,} {self.seconds:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="list_fixed")
    parser.add_argument("--pages", type=span, default=span("2-6"))
    parser.add_argument("--tasks", type=span, default=span("2-4"))
    parser.add_argument("--enclaves", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument("--states", type=int, default=300_000)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    cells = []
    print("pages tasks  reduced: states, CPU s   not reduced: states, CPU s")
    for tasks in given.tasks:
        for pages in given.pages:
            pair = [
                measured(given.target, (pages, tasks, given.enclaves), reduction, given.states)
                for reduction in (True, False)
            ]
            cells += pair
            print(f"{pages:5} {tasks:5}  {pair[0]!s:23} {pair[1]}", flush=True)
    if given.plot:
        plot(cells, given.plot)


def span(text: str) -> range:
    """``2-6``, both included."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


Size = tuple[int, int, int]
"""Pages, tasks, enclaves."""


def scenario(size: Size) -> Scenario:
    pages, tasks, enclaves = size
    names = "ABC"[:enclaves]
    each = -(-pages // enclaves)
    lines = ["scenario growth", f"epc {pages + 2 + enclaves}", f"scan {pages}"]
    lines += [f"enclave {name} {1 << (each - 1).bit_length()}" for name in names]
    calls = [f"open {name}; create {name}" for name in names]
    where = [f"{names[i % enclaves]} {i // enclaves}" for i in range(pages)]
    calls += [f"add {page}" for page in where]
    calls += [f"init {name}" for name in names]
    lines.append("setup " + "; ".join(calls))
    lines += [f"task T{i}: touch {where[i % pages]}" for i in range(tasks - 1)]
    return parse("\n".join([*lines, "task R: reclaim", ""]))


def measured(target: str, size: Size, reduction: bool, states: int) -> Cell:
    machine = machine_of(build(revision(target), scenario(size)))
    began = time.process_time()
    explorer = Explorer(machine, reduction=reduction, budget=Budget(states=states))
    result = explorer.run()
    seconds = time.process_time() - began
    return Cell(size[0], size[1], reduction, result.closed, result.states, seconds)


def plot(cells: Iterable[Cell], file: Path) -> None:
    """States over pages, on a logarithmic scale: one line a number of tasks and a way."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    lines: dict[tuple[int, bool], list[Cell]] = {}
    for cell in cells:
        if cell.closed:
            lines.setdefault((cell.tasks, cell.reduction), []).append(cell)
    for (tasks, reduction), line in sorted(lines.items()):
        style = "-o" if reduction else "--x"
        name = f"{tasks} tasks, {'reduced' if reduction else 'not reduced'}"
        axes.plot([c.pages for c in line], [c.states for c in line], style, label=name)
    axes.set(xlabel="pages", ylabel="states", yscale="log")
    axes.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
