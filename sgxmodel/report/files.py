# SPDX-License-Identifier: GPL-2.0-only
"""Where the traces of a check go, and searches that were cut short."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from sgxmodel.errors import TraceError
from sgxmodel.report.summary import Entry, smallest
from sgxmodel.search.resume import ResumeError, is_search
from sgxmodel.search.resume import write as write_search
from sgxmodel.search.verdict import ScenarioResult
from sgxmodel.trace.events import Trace
from sgxmodel.trace.text import is_trace, write

NOT_WRITTEN = "(not written)"
NEWEST = "newest"
HEADER = "# sgxmodel findings 1\n"


def usable(directory: Path) -> None:
    """Say before a long run that traces could not be written after it."""
    nearest = next(p for p in (directory, *directory.absolute().parents) if os.path.lexists(p))
    if not nearest.is_dir():
        raise TraceError(f"{nearest}: not a directory: give --traces another one")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise TraceError(f"{nearest}: not writable: give --traces another directory")


def save(
    directory: Path, target: str, checked: Iterable[tuple[ScenarioResult, Sequence[Trace]]]
) -> tuple[list[Entry], list[str]]:
    """Write traces and unfinished searches; entries that name the files, and what went wrong.

    The smallest trace of each (invariant, function) gets the plain name.
    """
    every = list(checked)
    best: dict[tuple[str, str], list[tuple[Trace, str]]] = {}
    for _, traces in every:
        for trace in traces:
            best.setdefault(trace.key, []).append((trace, ""))
    plain = [smallest(same)[0] for same in best.values()]
    entries, problems = [], []
    for result, traces in every:
        found = []
        for trace in traces:
            path = NOT_WRITTEN
            try:
                path = save_trace(directory, trace, any(trace is p for p in plain))
            except TraceError as error:
                problems.append(str(error))
            found.append((trace, path))
        if result.unfinished:
            try:
                result = _unfinished(directory, target, result)
            except ResumeError as error:
                problems.append(str(error))
        entries.append(Entry(result, tuple(found)))
    return entries, problems


def remember(directory: Path, paths: Iterable[str]) -> None:
    """What ``show N`` is about: the traces of the newest check, in the screen's order."""
    written = [path for path in paths if path != NOT_WRITTEN]
    if not written:
        return
    names = "".join(f"{Path(path).name}\n" for path in written)
    fresh = directory / f".{NEWEST}.{os.getpid()}"
    try:
        fresh.write_text(HEADER + names, encoding="ascii")
        fresh.replace(directory / NEWEST)
    except OSError as error:
        raise TraceError(f"{directory / NEWEST}: cannot be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)


def remembered(directory: Path, number: int) -> Path:
    """The trace of a finding's number.  Raises :class:`TraceError`."""
    path = directory / NEWEST
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    if not text.startswith(HEADER):
        raise TraceError(
            f"{directory}: no check has left findings there: run 'sgxmodel check', or "
            "give --traces its directory"
        )
    names = text.removeprefix(HEADER).splitlines()
    if not 1 <= number <= len(names) or "/" in names[number - 1]:
        raise TraceError(f"{directory}: the newest check has the findings 1 to {len(names)}")
    return directory / names[number - 1]


def _unfinished(directory: Path, target: str, result: ScenarioResult) -> ScenarioResult:
    """Write a search that was cut short; the result says how to go on."""
    for name in _names(f"{target}-{result.scenario.name}", "search"):
        path = directory / name
        if not os.path.lexists(path) or is_search(path):
            write_search(path, result.unfinished)
            message = f"{result.message}; to go on: --resume {path}"
            return attrs.evolve(result, message=message)
    return result


def save_trace(directory: Path, trace: Trace, plain: bool = True) -> str:
    """Write one trace; its path.  The ``plain`` name does not say which scenario it is of."""
    # Of a kernel tree's path the last part.
    target = trace.target.rstrip("/").rpartition("/")[2].lstrip(".") or "tree"
    patches = "+".join(Path(patch.name).stem for patch in trace.patches)
    parts = [f"{target}+{patches}" if patches else target, trace.invariant, trace.function]
    stem = "-".join(parts if plain else [*parts, trace.scenario])
    for name in _names(stem, "trace"):
        path = directory / name
        if not os.path.lexists(path) or is_trace(path):
            write(path, trace)
            break
    return str(path)


def _names(stem: str, kind: str) -> Iterator[str]:
    """What is in the way and is none of that kind is left alone."""
    stem = re.sub(r"[^A-Za-z0-9_.+-]", "_", stem)[:200]
    yield f"{stem}.{kind}"
    for number in range(2, 100):
        yield f"{stem}-{number}.{kind}"
