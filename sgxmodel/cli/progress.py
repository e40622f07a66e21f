# SPDX-License-Identifier: GPL-2.0-only
"""How far a command is: a bar on a terminal, and a line for each thing that is found."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sgxmodel.report.layout import ascii

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

LINE = 78


class Progress:
    """Without a terminal only what is found is said."""

    def __init__(
        self, bar: Bar | None = None, task: TaskID | None = None, quiet: bool = False
    ) -> None:
        self.quiet = quiet
        self.bar = bar
        self.task = task
        self.began = time.monotonic()
        self.runs = self.findings = 0

    def advance(self, runs: int = 0) -> None:
        """One more is done, of so many runs."""
        self.runs += runs
        rate = self.runs / max(0.001, time.monotonic() - self.began)
        said = f"{self.runs:,} runs, {rate:,.0f}/s" if self.runs else ""
        self._update(advance=1, runs=said)

    def at(self, phase: str) -> None:
        """What it is at: build, the tree without the patch, ..."""
        self._update(phase=phase)

    def how_far(self, said: str) -> None:
        """Within one of many."""
        self._update(runs=said)

    def found(self, said: str) -> None:
        """A finding, in a line of its own."""
        self.findings += 1
        line = ascii(f"found: {said}")
        line = line if len(line) <= LINE else f"{line[: LINE - 3]}..."
        if self.bar is None:
            if not self.quiet:
                click.echo(line, err=True)
        else:
            self.bar.console.print(line, markup=False, highlight=False)
            self._update(found=f", {self.findings} found")

    def _update(self, **fields: Any) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, refresh=True, **fields)


@contextmanager
def progress(total: int, what: str = "scenarios", quiet: bool = False) -> Iterator[Progress]:
    """Of ``total`` things.  ``quiet``: without a terminal nothing is said."""
    if not sys.stderr.isatty():
        yield Progress(quiet=quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.fields[phase]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what + "{task.fields[found]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[runs]}"),
        console=Console(file=sys.__stderr__),  # it draws, so it has the stream itself
        transient=True,
        auto_refresh=False,
    )
    with bar:
        task = bar.add_task("", total=total, runs="", phase="search", found="")
        bar.refresh()
        yield Progress(bar, task)
