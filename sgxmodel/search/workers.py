# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios in worker processes: in parallel, one budget shared out, deaths contained."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from sgxmodel.processes import end_with
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.verdict import Checked, failed

STOP = signal.SIGUSR1
RESERVE = 0.05
"""Part of a scenario's time that is kept for writing its traces down."""
Work = Callable[[Scenario, "float | None"], Checked]
"""Checks a scenario until a ``time.monotonic()``; it has to be picklable."""


def share(deadline: float | None, jobs: int, waiting: int) -> float | None:
    """When the next one of the ``waiting`` scenarios has to end."""
    if deadline is None:
        return None
    now = time.monotonic()
    left = max(0.0, deadline - now)
    return now + left * (1 - RESERVE) * min(1.0, jobs / waiting)


def in_workers(
    work: Work,
    scenarios: tuple[Scenario, ...],
    jobs: int,
    deadline: float | None,
    died: str,
    grace: float = 0.0,
) -> Iterator[Checked]:
    """Each result as it comes.

    ``grace``: seconds that an interrupt leaves to work that answers a
    KeyboardInterrupt with what it had; a second interrupt ends that, too.

    Which of several scenarios took a process down nobody can tell: those that were
    running are run again, each in a process of its own.  What dies there is an
    ERROR that says ``died``.
    """
    todo, suspects = list(scenarios), list[Scenario]()
    jobs = max(1, min(jobs, len(todo)))
    while todo:
        yield from _until_one_dies(work, todo, suspects, jobs, deadline, grace)
    for i, scenario in enumerate(suspects):
        until = share(deadline, 1, len(suspects) - i)
        try:
            with pool(1) as alone:
                yield alone.submit(work, scenario, until).result()
        except BrokenProcessPool:
            yield failed(scenario, died)


def _until_one_dies(
    work: Work,
    todo: list[Scenario],
    suspects: list[Scenario],
    jobs: int,
    deadline: float | None,
    grace: float,
) -> Iterator[Checked]:
    running: dict[Future[Checked], Scenario] = {}
    others = set(multiprocessing.active_children())
    with pool(jobs) as executor:
        while todo or running:
            try:
                while todo and len(running) < jobs:
                    until = share(deadline, jobs, len(todo))
                    running[executor.submit(_interruptible, work, todo[0], until)] = todo[0]
                    del todo[0]
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    del running[future]
                    yield result
            except BrokenProcessPool:
                suspects.extend(running.values())
                return
            except KeyboardInterrupt:
                if grace:
                    yield from _last_words(running, others, grace)
                raise


def _last_words(
    running: Iterable[Future[Checked]],
    others: set[multiprocessing.process.BaseProcess],
    grace: float,
) -> Iterator[Checked]:
    """What interrupted work still says."""
    for child in set(multiprocessing.active_children()) - others:
        if child.pid is not None:
            os.kill(child.pid, STOP)
    done, _ = wait(running, timeout=grace)
    for future in done:
        if future.exception() is None:
            yield future.result()


@contextmanager
def pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes; an interrupt ends them at once, as does the end of this thread.

    They are forked by the thread that submits the first task: see :func:`end_with`.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    executor = ProcessPoolExecutor(jobs, context, _begin, (os.getpid(),))
    try:
        yield executor
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _begin(parent: int) -> None:
    """A worker ends with its parent, and leaves it to that to answer signals to all."""
    for number in (signal.SIGINT, signal.SIGTERM, STOP):
        signal.signal(number, signal.SIG_IGN)
    end_with(parent)


def _interruptible(work: Work, scenario: Scenario, until: float | None) -> Checked:
    """Work that the parent may interrupt, by a signal that a terminal does not send."""
    signal.signal(STOP, signal.default_int_handler)
    try:
        return work(scenario, until)
    finally:
        signal.signal(STOP, signal.SIG_IGN)
