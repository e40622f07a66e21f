# SPDX-License-Identifier: GPL-2.0-only
"""Run jobs on any executor; what a lost worker had is done again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Protocol, TypeVar

from sgxmodel.mutate.fate import Fate, Verdict
from sgxmodel.mutate.judge import judge
from sgxmodel.mutate.processes import WorkerDied

TRIES = 3
TICK = 0.2
"""Seconds after which ``over`` is asked again."""


class Named(Protocol):
    """All that is asked of a job here."""

    @property
    def id(self) -> str: ...


J = TypeVar("J", bound=Named)


def lost(job: Named, why: str) -> Verdict:
    """A worker that ends each time is a defect of the tool."""
    return Verdict(job.id, Fate.CRASH, why=f"its worker was lost {TRIES} times: {why}")


def run(
    jobs: Iterable[J],
    make: Callable[[], Executor],
    width: int,
    over: Callable[[], bool] = lambda: False,
    work: Callable[[J], Verdict] = judge,  # type: ignore[assignment]
) -> Iterator[Verdict]:
    """Verdicts as they come, ``width`` jobs at a time.

    ``make``: an executor (processes here, or a cluster's); it is made anew when
    it breaks.  ``work`` decides a job; one that ended its worker every time is lost.
    When ``over()`` says so, or the caller stops listening, what is under way is dropped.
    """
    todo = deque(jobs)
    losses: Counter[str] = Counter()
    running: dict[Future[Verdict], J] = {}
    executor = make()
    try:
        while (todo or running) and not over():
            while todo and len(running) < width:
                job = todo.popleft()
                running[executor.submit(work, job)] = job
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
                        yield lost(job, str(error))
            if broken:
                todo.extendleft(running.values())
                running.clear()
                executor.shutdown(wait=False)
                executor = make()
    finally:
        executor.shutdown(wait=not running, cancel_futures=True)
