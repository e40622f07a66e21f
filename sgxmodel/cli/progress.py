# SPDX-License-Identifier: GPL-2.0-only
"""A progress bar, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    total: int, what: str = "scenarios"
) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    """A bar on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield (lambda: None), (lambda how_far: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[runs]}"),
        console=Console(file=sys.__stderr__),  # it draws, so it has the stream itself
        transient=True,
        auto_refresh=False,
    )
    with bar:
        task = bar.add_task("", total=total, runs="")
        bar.refresh()
        yield (
            lambda: bar.update(task, advance=1, runs="", refresh=True),
            lambda how_far: bar.update(task, runs=how_far, refresh=True),
        )
