# SPDX-License-Identifier: GPL-2.0-only
"""A built driver and its engine, in a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from sgxmodel.errors import TreeError
from sgxmodel.tree.api import (
    EVENTS,
    FOUND,
    SWITCHES,
    Call,
    Config,
    RawResult,
    RawSchedule,
    Stats,
)
from sgxmodel.tree.cell import Cell, Denied, Op
from sgxmodel.tree.confine import SYSTEM_CALLS, Library
from sgxmodel.tree.names import Names


class Engine:
    """One built driver, loaded.  It runs one scenario at a time.

    What the process that runs it died of is raised once, as :class:`CellDied`; the next
    boot begins in a new one.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.cell = Cell(library.cell, library.path, library.trusted)

    @property
    def denied(self) -> Denied | None:
        """The system call that loading the driver ended with."""
        return self.cell.denied

    @cached_property
    def names(self) -> Names:
        """Functions and lines of the driver's addresses."""
        return Names(self.library, self.base)

    @cached_property
    def system_calls(self) -> dict[int, str]:
        """The names of this machine's system calls."""
        lines = self.library.cell.with_name(SYSTEM_CALLS).read_text("ascii").splitlines()
        return {int(number): name for number, name in map(str.split, lines)}

    @property
    def schedule(self) -> RawSchedule:
        """What the next run reads."""
        schedule: RawSchedule = self.cell.shared.schedule
        return schedule

    @property
    def result(self) -> RawResult:
        """What the latest run wrote, within bounds.  A driver may have written there, too."""
        result: RawResult = self.cell.shared.result
        for name, most in (("nfound", FOUND), ("nswitch", SWITCHES), ("nchoice", 256)):
            setattr(result, name, max(0, min(getattr(result, name), most)))
        return result

    @property
    def stats(self) -> Stats:
        """Sums over the searches of a cell."""
        stats: Stats = self.cell.shared.stats
        return stats

    def boot(self, config: Config, calls: Sequence[Call]) -> int:
        """Boot the driver and run the set-up: how much is wrong by then.

        Raises :class:`TreeError` if the set-up fails otherwise.
        """
        if not self.cell.alive and self.denied is None:
            self.__init__(self.library)  # type: ignore[misc]
        shared = self.cell.shared
        shared.config = config
        shared.result.nfound = shared.result.nswitch = shared.result.nchoice = 0
        shared.calls[: len(calls)] = list(calls)
        status = self.cell.ask(Op.BOOT, len(calls))
        if status < 0:
            raise TreeError(shared.error.decode("ascii", "replace"))
        return self.cell.ask(Op.BOOT_RESULT) if status else 0

    def run(self) -> int:
        """One run of ``schedule``; the number of findings."""
        return self.cell.ask(Op.RUN)

    def search(self, runs: int) -> int:
        """Runs with seeds that follow, until one finds something: its number, or 0."""
        return self.cell.ask(Op.SEARCH, runs)

    def proves(self) -> bool:
        """Whether a run that the engine itself makes fail is seen to fail."""
        return bool(self.cell.ask(Op.PROVE))

    def counted(self, call: int) -> dict[int, int]:
        """How often a call gave each result since the boot, as of the latest :meth:`tables`."""
        shared = self.cell.shared
        pairs = zip(shared.counted[call], shared.count[call], strict=True)
        return {value: count for value, count in pairs if count}

    def tables(self) -> None:
        """Fetch what :meth:`counted` and :meth:`seen` give."""
        self.cell.ask(Op.TABLES)

    def seen(self, what: int) -> int:
        """How often a path was walked since the boot; see plan.SEEN."""
        return int(self.cell.shared.seen[what])

    def allow(self, call: int, value: int) -> None:
        """A result that some order without overlap gives for a call."""
        self.cell.ask(Op.ALLOW, call, value)

    def allow_any(self) -> None:
        """No call is judged by its result."""
        self.cell.ask(Op.ALLOW_NONE)

    def traced(self, work: Callable[[], object], holds: int = EVENTS) -> str:
        """What ``work`` runs, with its events as lines of tab-separated text."""
        self.cell.ask(Op.TRACE, holds)
        work()
        self.cell.ask(Op.TRACE, 0)
        return str(self.cell.shared.trace.decode("ascii", "replace"))

    @property
    def base(self) -> int:
        """Where the library is loaded: program counters minus this are its own."""
        return self.cell.base

    @property
    def state_bytes(self) -> int:
        """What a restore copies."""
        return self.cell.state_bytes

    def switches(self, count: int) -> None:
        """A bare loop of coroutine switches, for comparison."""
        self.cell.ask(Op.BENCHMARK, count)
