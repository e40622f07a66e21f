# SPDX-License-Identifier: GPL-2.0-only
"""A killed mutant's shortest trace."""

from __future__ import annotations

from sgxmodel.errors import UserError
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.invariants.checks import Checks
from sgxmodel.mutate.catalogue import with_changes
from sgxmodel.mutate.cover import setup_as_task
from sgxmodel.mutate.fate import Verdict
from sgxmodel.mutate.judge import Job
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.search.minimise import Minimiser
from sgxmodel.search.record import record
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.trace.events import Trace


def shortest(job: Job, verdict: Verdict) -> Trace | None:
    """The run that killed it, made small; None where no single run does (a promise)."""
    scenario = next((s for s, _ in job.scenarios if s.name == verdict.scenario), None)
    if scenario is None or verdict.killed_by[0] not in INVARIANTS:
        return None
    mutant = with_changes(revision(job.target), job.id, job.changes)
    world = build(mutant, setup_as_task(scenario) if verdict.setup else scenario)
    checks = Checks(world, None if verdict.setup else sequential_outcomes(world))
    runner = Runner(world, checks)
    schedule = Schedule(verdict.switches, verdict.choices)
    outcome = runner.run(Replay(schedule))
    key = (verdict.killed_by[0], verdict.function)
    if key not in outcome.found:
        return None
    small = Minimiser(runner).shrink(key, schedule)
    if small is None:
        raise UserError(f"{job.id}: its run does not replay: --retest it")
    return record(world, checks, small.schedule, key)
