# SPDX-License-Identifier: GPL-2.0-only
"""An executor that gives each task a process of its own.

A mutant may spoil its process or take it down; no other one notices.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from sgxmodel.processes import end_with
from sgxmodel.scratch import ScratchError, held

T = TypeVar("T")
Work = tuple[Callable[..., Any], Any, Any]
SERVER = "sgxmodel.mutate.server"
PRELOAD = [SERVER, "__main__", "sgxmodel.mutate.judge"]
SOCKET_BYTES = 107
"""Of the name of a socket in a file system."""


class WorkerDied(RuntimeError):
    """A process ended without a result: killed, or out of memory."""


def _context() -> Any:
    """The server runs after this: it ends with the thread that started it, so not one of a pool."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    _sockets()
    forkserver.ensure_running()
    return context


@cache
def _sockets() -> None:
    """Have multiprocessing keep its sockets where a killed run does not leave them for ever.

    It removes its directory at the end; the lock is held till then.  Names of sockets have
    to be short: below a long name, or one that cannot be written to, they are in the
    temporary folder.
    """
    with suppress(ScratchError):
        held(_directory_of_sockets)


def _directory_of_sockets(home: Path) -> Path:
    before = tempfile.tempdir
    if len(os.fsencode(home)) + len("/pymp-12345678/listener-12345678") <= SOCKET_BYTES:
        tempfile.tempdir = str(home)
    try:
        return Path(util.get_temp_dir())
    finally:
        tempfile.tempdir = before


def _end_with_the_server() -> None:
    """Of a process that it has forked."""
    end_with(getattr(sys.modules.get(SERVER), "PID", os.getppid()))


class Processes(Executor):
    """At most ``width`` processes at a time, each for one task, forked from one that is ready.

    With a :class:`Template` it is that one, once it has learnt what it is to know.
    """

    def __init__(self, width: int, template: Template | None = None) -> None:
        self.threads = ThreadPoolExecutor(width)
        self.context = _context()
        self.template = template
        self.running: set[int] = set()
        self.stopped = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return self.threads.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: Any, kwargs: Any) -> T:
        if self.stopped:
            raise WorkerDied("stopped")
        work = (fn, args, kwargs)
        receive, process = self._forked(work) or self._started(work)
        pid = 0
        try:
            pid = receive.recv()
            self.running.add(pid)
            if self.stopped:  # meanwhile
                _end(pid)
            ok, value = receive.recv()
        except EOFError:
            raise WorkerDied(f"its process {_ended(process)}") from None
        finally:
            receive.close()
            if process is not None:
                process.join()
            self.running.discard(pid)
        if not ok:
            raise value
        return value  # type: ignore[no-any-return]

    def _forked(self, work: Work) -> tuple[Connection, None] | None:
        if self.template is None:
            return None
        receive, send = self.context.Pipe(duplex=False)
        if self.template.fork(send, work):
            return receive, None
        receive.close()
        return None

    def _started(self, work: Work) -> tuple[Connection, Any]:
        receive, send = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_started_work, args=(send, *work), daemon=True)
        process.start()
        send.close()
        return receive, process

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """An interrupt does not wait for work that nobody asks for any more."""
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Without ``wait`` the processes are ended at once; that much is waited for."""
        if not wait:
            self.stopped = True
            for pid in tuple(self.running):
                _end(pid)
        self.threads.shutdown(cancel_futures=cancel_futures or not wait)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _ended(process: Any) -> str:
    if process is None:
        return "died"
    process.join()
    return f"ended with {process.exitcode}"


def _started_work(*task: Any) -> None:
    _end_with_the_server()
    _work(*task)


def _work(send: Connection, fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    send.send(os.getpid())
    try:
        result = (True, fn(*args, **kwargs))
    except BaseException as error:
        result = (False, error)
    send.send(result)


class Template:
    """A process that learns something once, and is then forked for each task.

    What every task would have to find out for itself is in its memory by then.
    """

    def __init__(self, learn: Callable[[], object]) -> None:
        context = _context()
        self.lock = threading.Lock()
        self.ready = False
        self.control, its = context.Pipe()
        self.process = context.Process(target=_template, args=(its, learn), daemon=True)
        self.process.start()
        its.close()

    def fork(self, send: Connection, work: Work) -> bool:
        """Have a task done there.  False: it has not learnt yet, or is no more."""
        with self.lock, send:
            try:
                if not self.ready and self.control.poll():
                    self.ready = bool(self.control.recv())
                if self.ready:
                    self.control.send((send, *work))
                    self.control.recv()
            except (EOFError, OSError):
                self.ready = False
            return self.ready

    def close(self) -> None:
        """No more tasks; those that run end."""
        with self.lock:
            self.ready = False
            self.control.close()
        self.process.terminate()
        self.process.join()


def _template(control: Connection, learn: Callable[[], object]) -> None:
    _end_with_the_server()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    learn()
    gc.freeze()  # the collector of a child would write to all pages that they share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    control.send(True)
    template = os.getpid()
    while True:
        try:
            task = control.recv()
        except EOFError:
            return
        if not os.fork():
            end_with(template)
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _work(*task)
            os._exit(0)
        task[0].close()
        control.send(True)
