# SPDX-License-Identifier: GPL-2.0-only
"""What the comparison of a model and a tree says, in 72 columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sgxmodel.report.layout import plural, prose, wrap
from sgxmodel.scenario.model import VERBS
from sgxmodel.scenario.text import format as scenario_text
from sgxmodel.twoway.compare import Agreement
from sgxmodel.twoway.state import STUCK, Difference

NOT_DRAWN = {
    "signal": "has no one to interrupt in a program of one task",
    "stop-ksgxd": "has no ksgxd to stop",
    "-EINTR": "needs a signal",
    "-EBUSY": "needs a call that overlaps",
    "-EAGAIN": "needs a call that overlaps",
    "-ERESTARTSYS": "needs a signal",
    "-EIO": "needs a leaf that fails",
    "OOM": "needs a failed allocation",
    "-ENOMEM": "needs a failed allocation",
    "-EPERM": "needs a leaf that fails",
    "-EFAULT": "needs a leaf that fails",
    "NOT_TRACKED": "needs a call that overlaps",
    "-ENODEV": "needs a CPU without SGX2 at an SGX2 call",
}


def text(seen: Agreement, a: str, b: str) -> str:
    """The whole report."""
    counted = f"{plural(seen.programs, 'program')}, {plural(seen.calls, 'call')}"
    if seen.different:
        out = [*prose(f"DIFFERENT: {a} and {b}, after {counted}", 0, 2), ""]
        out += ["Told apart by:", ""]
        out += [w for line in scenario_text(seen.different[0]).splitlines() for w in wrap(line, 2)]
        out += ["", *_parts(seen.different[1], a, b)]
    elif seen.ended:
        out = [*prose(f"INCONCLUSIVE: {seen.ended}; no difference in {counted}", 0, 2), ""]
        out += _coverage(seen)
    else:
        out = [*prose(f"EQUIVALENT: {a} and {b} in {counted}", 0, 2), ""]
        out += _coverage(seen)
    return "\n".join(line.rstrip() for line in out) + "\n"


def _parts(found: Difference, a: str, b: str) -> Iterator[str]:
    yield from prose(f"After '{found.call}':")
    for part, one, other in found.parts:
        yield from prose(f"{part}: {a}: {one or 'empty'}; {b}: {other or 'empty'}", 2, 4)


def _coverage(seen: Agreement) -> Iterator[str]:
    """Results of calls, and of those never seen why."""
    yield "Results of calls:"
    for verb, members in groupby(sorted(seen.results), key=lambda k: k[0]):
        said = ", ".join(f"{result} {seen.results[verb, result]}" for _, result in members)
        yield from prose(f"{verb}: {said}", 2, 4)
    if any(result == STUCK for _, result in seen.results):
        yield from prose(
            "A call that does not return waits for ksgxd, which these programs leave out.", 0, 2
        )
    yield ""
    for verb, what in VERBS.items():
        for result in what.results:
            if not seen.results[verb, result]:
                why = NOT_DRAWN.get(verb) or NOT_DRAWN.get(result) or "not drawn"
                yield from prose(f"Never seen: {verb} {result}: {why}.", 0, 2)
