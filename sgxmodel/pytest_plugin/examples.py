# SPDX-License-Identifier: GPL-2.0-only
"""From what items saw to causes: the smallest run of each, made smaller, in a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from sgxmodel.errors import UserError
from sgxmodel.processes import end_with
from sgxmodel.pytest_plugin.causes import CAUSE
from sgxmodel.report.causes import Cause, by_severity
from sgxmodel.report.files import save_trace
from sgxmodel.search.reduce import recorded, reduced
from sgxmodel.search.sighting import Key, Sighting, sighting
from sgxmodel.trace.events import Trace


class Text:
    """How a cause fails, in the words of the report; pytest asks for these attributes."""

    def __init__(self, path: str, cause: Cause) -> None:
        self.text = cause.whole()
        self.reprcrash = SimpleNamespace(path=path, lineno=0, message=cause.brief()[0])

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: Any) -> None:
        tw.write(self.text)


def failed(item: str, cause: Cause) -> pytest.TestReport:
    """The report of a test that failed by a cause."""
    path = item.partition("::")[0]
    report = pytest.TestReport(
        nodeid=f"{path}::{cause.name}",
        location=(path, 0, cause.name),
        keywords={},
        outcome="failed",
        longrepr=Text(path, cause),  # type: ignore[arg-type]
        when="call",
        user_properties=[("smallest", item)],
    )
    vars(report)[CAUSE] = True
    return report


@attrs.define
class Examples:
    """Where examples are made small, and where they are kept."""

    target: str
    seed: int
    here: Path
    """The directory that pytest was started in."""
    directory: str
    problems: list[str] = attrs.field(factory=list)
    """Traces that could not be written."""

    def causes(
        self, seen: Iterable[tuple[str, dict[str, Any]]], jobs: int, small: bool
    ) -> Iterator[tuple[str, Cause]]:
        """The item that saw the smallest run of each kind, and that kind, the worst first."""
        of_kind: dict[Key, list[tuple[Sighting, str]]] = {}
        for item, plain in seen:
            one = sighting(plain)
            of_kind.setdefault(one.key, []).append((one, item))
        smallest = [min(of_kind[key], key=_order) for key in sorted(of_kind, key=by_severity)]
        traces = self._traces([one for one, _ in smallest], jobs, small)
        for (one, item), trace in zip(smallest, traces, strict=True):
            yield item, self._cause(one, item, trace, len(of_kind[one.key]))

    def _traces(self, seen: list[Sighting], jobs: int, small: bool) -> Iterator[Trace | None]:
        """The example of each, in as many processes as xdist has workers."""
        work = partial(reduced if small else recorded, self.target)
        jobs = min(jobs, len(seen))
        if jobs < 2:
            yield from map(work, seen)
            return
        # Not forked: xdist has threads in this process.
        with ProcessPoolExecutor(jobs, get_context("spawn"), end_with, (os.getpid(),)) as pool:
            yield from pool.map(work, seen)

    def _cause(self, seen: Sighting, item: str, trace: Trace | None, times: int) -> Cause:
        if trace is None:
            return Cause(seen.key, seen.title, times, self._search(item))
        path = self._save(trace)
        again = shlex.join(["sgxmodel", "replay", path]) if path else self._search(item)
        return Cause(seen.key, trace.title, times, again, trace, path)

    def _save(self, trace: Trace) -> str:
        try:
            path = save_trace(self.here / self.directory, trace)
        except UserError as error:
            self.problems.append(str(error))
            return ""
        return os.path.relpath(path, self.here)

    def _search(self, item: str) -> str:
        """The command that comes to the example by searching again."""
        options = ["--sgx-target", self.target, "--sgx-seed", str(self.seed)]
        return shlex.join(["pytest", item, *options])


def _order(found: tuple[Sighting, str]) -> tuple[Any, ...]:
    """By size; among equals by what does not depend on who came first."""
    seen, item = found
    return (seen.size, item, seen.program, str(seen.schedule))
