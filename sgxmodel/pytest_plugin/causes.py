# SPDX-License-Identifier: GPL-2.0-only
"""A cause fails one test: what all items saw, told once, at the end.

An item that searches notes what it saw and goes on.  It ends as ``violated``:
not passed, as it met a violation, and not failed, as others met the same.  Its
report carries the smallest run of each kind, so that it crosses from an xdist
worker.  When all items are done, the controller (or the one process there is)
takes the smallest run of each kind, makes it small, writes its trace and
reports one failed test: ``FILE::14-progress in FUNCTION``, by the file of the
item that saw that run.  So what fails, and by which example, does not depend on
which worker ran what when.  In the JUnit file an item's property ``violated``
names the kinds that it met, and a cause's property ``smallest`` names the item.

Until findings are told apart by cause, a kind, (invariant, function), stands
for one.

Like the rest of the plugin this file is loaded in every project, so it imports
nothing of the model; ``examples.py`` does, once something was seen.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sgxmodel.report.causes import Cause

LINES_MAX = 150
"""Of the whole output without ``-v``."""
OTHERS = 25
"""Lines of it that pytest writes itself."""
SIGHTINGS, CAUSE = "sgx_sightings", "sgx_cause"
"""What a report carries: what the item saw; that it is one of a cause."""


class Causes:
    """Collects what items saw; at the end a failed test for each cause."""

    def __init__(self, config: pytest.Config, target: str, seed: int) -> None:
        self.config = config
        self.target = target
        self.seed = seed
        self.seen: list[tuple[str, dict[str, Any]]] = []
        """Items, and what they saw."""
        self.causes: list[Cause] = []
        self.problems: list[str] = []

    # -- while items run ------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seen += [(report.nodeid, plain) for plain in vars(report).get(SIGHTINGS, ())]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
        """A cause is counted as failed; it is told in the section only."""
        if CAUSE in vars(report):
            return "failed", "", ""
        if report.when == "call" and report.passed and SIGHTINGS in vars(report):
            return "violated", "v", ("VIOLATED", {"yellow": True})
        return None

    # -- when all are done ----------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        try:
            result = yield
        except KeyboardInterrupt as error:
            # Ctrl-C, and nobody waits; else it is -x, by which xdist interrupts itself.
            self._report(small=type(error) is not KeyboardInterrupt)
            raise
        except session.Failed:
            self._report(small=True)
            raise
        self._report(small=True)
        return result

    def _report(self, small: bool) -> None:
        """Add a failed test for each cause."""
        if not self.seen:
            return
        from sgxmodel.pytest_plugin.examples import Examples, failed

        directory = self.config.getoption("sgx_traces") or "sgxmodel-traces"
        jobs = int(self.config.getoption("numprocesses", 0) or 0)
        examples = Examples(self.target, self.seed, self.config.invocation_params.dir, directory)
        log = self._log()
        for item, cause in examples.causes(self.seen, jobs, small):
            self.causes.append(cause)
            log(report=failed(item, cause))
        self.problems += examples.problems

    def _log(self) -> Any:
        """Tell all plugins of a report, but not --lf: a cause is no item that it could run."""
        manager = self.config.pluginmanager
        without = [p for p in [manager.get_plugin("lfplugin")] if p is not None]
        return manager.subset_hook_caller("pytest_runtest_logreport", without)

    # -- the section ----------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        """The section says it all; pytest's own lists of failures are for other tests."""
        stats = terminalreporter.stats
        failed = stats.pop("failed", [])
        others = [report for report in failed if CAUSE not in vars(report)]
        if others:
            stats["failed"] = others
        try:
            yield
        finally:
            if failed:
                stats["failed"] = failed
            if self.causes:
                self._section(terminalreporter)

    def _section(self, terminalreporter: pytest.TerminalReporter) -> None:
        from sgxmodel.report.causes import section
        from sgxmodel.report.layout import plural
        from sgxmodel.report.printable import printable

        many = plural(len(self.causes), "violation")
        terminalreporter.section(f"sgxmodel: {many} in {self.target}, the most severe first")
        whole = terminalreporter.config.get_verbosity() > 0
        for line in section(self.causes, None if whole else LINES_MAX - OTHERS):
            terminalreporter.line(printable(line))
        for problem in self.problems:
            terminalreporter.line(f"no trace was written: {printable(problem)}")
