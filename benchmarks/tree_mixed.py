# SPDX-License-Identifier: GPL-2.0-only
"""Random programs on a kernel tree: each kind of violation once, with its smallest trace.

    python benchmarks/tree_mixed.py DIRECTORY [RUNS [SEED [TRACES]]]

Every program gets 6000 schedules; kinds that a named scenario shows, too, are
counted and said to be so.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import attrs
from hypothesis import HealthCheck, Phase, given, seed, settings

from sgxmodel.errors import ScenarioError, TreeError
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import format as text_of
from sgxmodel.testing.programs import scenarios
from sgxmodel.trace.text import write
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build
from sgxmodel.tree.check import check_scenario
from sgxmodel.tree.runs import Key
from sgxmodel.tree.source import find

RUNS_EACH = 6000
BATCH = 200


class Enough(Exception):
    """As many runs as were asked for."""


def after_boot(scenario: Scenario) -> Scenario:
    """On a tree all EPC is dirty at boot: what the set-up calls is the first task's to call."""
    if not scenario.boot:
        return scenario
    first, *others = scenario.tasks
    first = attrs.evolve(first, calls=(*scenario.setup, *first.calls))
    return attrs.evolve(scenario, setup=(), tasks=(first, *others))


def main(directory: str, runs: int, first_seed: int, traces: Path) -> None:
    engine = Engine(build(find(directory)))
    count: Counter[Key] = Counter()
    smallest: dict[Key, int] = {}
    done = programs = refused = 0
    began = time.monotonic()

    def one(scenario: Scenario) -> None:
        nonlocal done, programs, refused
        scenario = after_boot(attrs.evolve(scenario, pcmds=32))
        try:
            result, written = check_scenario(
                engine, scenario, target=directory, runs=RUNS_EACH, seed=programs
            )
        except (ScenarioError, TreeError):
            refused += 1  # the set-up fails: as it should, some allocation fails on request
            return
        done += result.evidence.runs
        programs += 1
        for trace in written:
            count[trace.key] += 1
            if trace.length < smallest.get(trace.key, 1 << 30):
                smallest[trace.key] = trace.length
                write(traces / f"{trace.invariant}-{trace.function}.trace", trace)
                if count[trace.key] == 1:
                    print(f"{trace.key}: {trace.title}\n{text_of(scenario)}", flush=True)
        if done >= runs:
            raise Enough

    try:
        for batch in range(first_seed, 1 << 30):
            seed(batch)(
                settings(
                    max_examples=BATCH,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )(given(scenarios())(one))
            )()
    except (Enough, KeyboardInterrupt):
        pass
    finally:
        seconds = time.monotonic() - began
        print(f"{done} runs of {programs} programs ({refused} refused) in {seconds:.0f} s")
        for key, number in count.most_common():
            print(f"{number:6} programs  {key[0]:16} {key[1]}")


if __name__ == "__main__":
    where, *rest = sys.argv[1:]
    main(
        where,
        int(rest[0]) if rest else 1_000_000,
        int(rest[1]) if len(rest) > 1 else 0,
        Path(rest[2]) if len(rest) > 2 else Path("sgxmodel-traces"),
    )
