# SPDX-License-Identifier: GPL-2.0-only
"""Run jobs on any executor; what a lost worker had is done again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait

from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import Job, judge
from sgxmodel.mutate.processes import WorkerDied

TRIES = 3
TICK = 0.2
"""Seconds after which ``over`` is asked again."""


def run(
    jobs: Iterable[Job],
    make: Callable[[], Executor],
    width: int,
    over: Callable[[], bool] = lambda: False,
) -> Iterator[Verdict]:
    """Verdicts as they come, ``width`` jobs at a time.

    ``make``: an executor (processes here, or a cluster's); it is made anew when
    it breaks.  When ``over()`` says so, or the caller stops listening, what is
    under way is dropped.
    """
    todo = deque(jobs)
    losses: Counter[str] = Counter()
    running: dict[Future[Verdict], Job] = {}
    executor = make()
    try:
        while (todo or running) and not over():
            while todo and len(running) < width:
                job = todo.popleft()
                running[executor.submit(judge, job)] = job
            done, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                job = running.pop(future)
                try:
                    yield future.result()
                except (WorkerDied, BrokenExecutor) as error:
                    broken = broken or isinstance(error, BrokenExecutor)
                    losses[job.id] += 1
                    if losses[job.id] < TRIES:
                        todo.appendleft(job)
                    else:
                        why = f"its worker was lost {TRIES} times: {error}"
                        yield Verdict(job.id, Fate.CRASH, why=why)
            if broken:
                todo.extendleft(running.values())
                running.clear()
                executor.shutdown(wait=False)
                executor = make()
    finally:
        executor.shutdown(wait=not running, cancel_futures=True)
