# SPDX-License-Identifier: GPL-2.0-only
"""An executor that gives each task a process of its own.

A mutant may spoil its process or take it down; no other one notices.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

T = TypeVar("T")
PRELOAD = ["__main__", "sgxmodel.mutate.judge"]


class WorkerDied(RuntimeError):
    """A process ended without a result: killed, or out of memory."""


class Processes(Executor):
    """At most ``width`` processes at a time, each for one task, forked from one that is ready."""

    def __init__(self, width: int) -> None:
        self.threads = ThreadPoolExecutor(width)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD)
        self.running: set[BaseProcess] = set()
        self.stopped = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return self.threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        receive, send = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_work, args=(send, fn, args, kwargs), daemon=True)
        if self.stopped:
            raise WorkerDied("stopped")
        process.start()
        self.running.add(process)
        send.close()
        try:
            ok, value = receive.recv()
        except EOFError:
            process.join()
            raise WorkerDied(f"its process ended with {process.exitcode}") from None
        finally:
            receive.close()
            process.join()
            self.running.discard(process)
        if not ok:
            raise value
        return value  # type: ignore[no-any-return]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Without ``wait`` the processes are ended at once."""
        if not wait:
            self.stopped = True
            for process in tuple(self.running):
                process.terminate()
        self.threads.shutdown(wait=wait, cancel_futures=cancel_futures)


def _work(send: Connection, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = (True, fn(*args, **kwargs))
    except BaseException as error:
        result = (False, error)
    send.send(result)
