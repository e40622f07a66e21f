# SPDX-License-Identifier: GPL-2.0-only
"""Runs a second on a kernel tree: four tasks, ksgxd and a worker, on one core.

    python -m benchmarks.tree_throughput DIRECTORY [RUNS]

Beside each other: preemption at synchronisation points, preemption at every memory access
of the driver, and a bare loop of coroutine switches.  CPU time, best of three; the build's is
wall time, for the compiler is another process.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sgxmodel.scenario.text import parse
from sgxmodel.tree.api import WALK
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build
from sgxmodel.tree.confine import Library
from sgxmodel.tree.plan import plan
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.source import find

SCENARIO = """
scenario throughput
about four tasks, ksgxd and a worker
epc 9
low 3
high 4
pcmds 32
enclave A 8
ksgxd
setup open A; create A; add A 0; add A 1; add A 2; add A 3; init A
task T1: touch A 0; touch A 1; touch A 2; touch A 3
task T2: touch A 2; touch A 3; touch A 0; touch A 1
task T3: accept A 4; touch A 4; touch A 1; accept A 5
task T4: reclaim; remove A 3; reclaim; touch A 2; close A
"""
MODES: dict[str, dict[str, int]] = {
    "synchronisation points": {},
    "every memory access": {"memory": 1},
    "the same, and data races": {"memory": 1, "races": 1},
}
SWITCHES = 20_000_000


def best(engine: Engine, work: Callable[[], int]) -> float:
    """How many a second of CPU time, of this process and the cell; best of three."""

    def spent() -> float:
        return time.process_time() + engine.cell.processor_time() / 1e9

    rates = []
    for _ in range(3):
        began = spent()
        count = work()
        rates.append(count / (spent() - began))
    return max(rates)


def searched(runner: Runner, runs: int, how: dict[str, int]) -> Callable[[], int]:
    """That many runs, whatever they find."""

    def work() -> int:
        done = 0
        while done < runs:
            at, _ = runner.search(WALK, runs - done, done, **how)
            done += at
        return done

    return work


def switched(engine: Engine) -> int:
    engine.switches(SWITCHES)
    return SWITCHES


def timed_build(directory: str, cache: Path) -> tuple[Library, float]:
    began = time.monotonic()
    library = build(find(directory), cache=cache)
    return library, time.monotonic() - began


def main(directory: str, runs: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        library, cold = timed_build(directory, Path(scratch))
        _, cached = timed_build(directory, Path(scratch))
        engine = Engine(library)
        runner = Runner(engine, plan(parse(SCENARIO)))
        print(f"build: {cold:.1f} s cold, {cached:.2f} s cached")
        for name, how in MODES.items():
            before = runner.stats.runs, runner.stats.steps
            rate = best(engine, searched(runner, runs, how))
            steps = (runner.stats.steps - before[1]) / (runner.stats.runs - before[0])
            print(f"{name:28} {rate:10,.0f} runs/s of {steps:.0f} steps")
        bare = best(engine, lambda: switched(engine))
        print(f"{'bare loop of switches':28} {bare:10,.0f} /s")
        print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
