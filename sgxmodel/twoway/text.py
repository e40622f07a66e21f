# SPDX-License-Identifier: GPL-2.0-only
"""What the comparison of a model and a tree says, in 72 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from sgxmodel.driver.calls import PARTLY
from sgxmodel.report.layout import plural, prose, wrap
from sgxmodel.scenario.coverage import UNRACED
from sgxmodel.scenario.model import VERBS, Scenario
from sgxmodel.scenario.text import format as scenario_text
from sgxmodel.twoway.compare import Agreement
from sgxmodel.twoway.concurrent import UNDECIDED, Apart, Seen
from sgxmodel.twoway.state import STUCK, Difference

NEEDS = {
    "signal": "as it has no one to interrupt in a program of one task",
    "-EINTR": "as that needs a signal",
    "-EBUSY": "as that needs a call that overlaps",
    "-EAGAIN": "as that needs a call that overlaps",
    "-ERESTARTSYS": "as that needs a signal",
    "-EIO": "as that needs a leaf that fails",
    "OOM": "as that needs a failed allocation",
    "-ENOMEM": "as that needs a failed allocation",
    "-EPERM": "as that needs a leaf that fails",
    "-EFAULT": "as that needs a leaf that fails",
    "NOT_TRACKED": "as that needs a call that overlaps",
}
"""What programs of one task cannot give."""
NEVER = {
    "stop-ksgxd": "as these programs begin after the boot",
    "init -EIO": "as the driver hands EINIT what it accepts",
}


def why_not(verb: str, result: str, threads: bool) -> str:
    """Why a result was not seen."""
    never = NEVER.get(verb) or NEVER.get(f"{verb} {result}")
    if never:
        return never
    if threads:
        return "as no program that was drawn comes there"
    kind = result.partition(" after ")[0]
    return NEEDS.get(verb) or NEEDS.get(kind) or "not drawn"


def text(seen: Agreement, threads: Seen, a: str, b: str) -> str:
    """The whole report."""
    counted = f"{plural(seen.programs, 'program')}, {plural(seen.calls, 'call')}"
    if threads.programs:
        counted += (
            f", and {plural(threads.programs, 'concurrent program')}, {plural(threads.runs, 'run')}"
        )
    ended = why_inconclusive(seen, threads)
    if seen.different:
        out = [*prose(f"DIFFERENT: {a} and {b}, after {counted}", 0, 2), ""]
        out += [*_told_apart(seen.different[0]), *_parts(seen.different[1], a, b)]
    elif threads.different:
        out = [*prose(f"DIFFERENT: {a} and {b}, after {counted}", 0, 2), ""]
        out += [*_told_apart(threads.different[0]), *_apart(threads.different[1], a, b)]
    else:
        what = f"INCONCLUSIVE: {ended}; no difference" if ended else f"EQUIVALENT: {a} and {b}"
        out = [*prose(f"{what} in {counted}", 0, 2), ""]
        out += [*_answers(threads, a, b), *_coverage(seen, threads), *_overlaps(threads)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def why_inconclusive(seen: Agreement, threads: Seen) -> str:
    """Why nothing is claimed, if that is so."""
    undecided = len(threads.undecided)
    return seen.ended or threads.ended or (undecided and f"{undecided} runs undecided") or ""


def _told_apart(scenario: Scenario) -> Iterator[str]:
    yield from ("Told apart by:", "")
    for line in scenario_text(scenario).splitlines():
        yield from wrap(line, 2)
    yield ""


def _apart(found: Apart, a: str, b: str) -> Iterator[str]:
    """What the tree did, and what the model has instead."""
    yield from prose(f"{b} can do this, {a} in no interleaving:")
    for task, results in found.ran.outcome.results.items():
        yield from prose(f"{task}: {', '.join(results)}", 2, 4)
    if found.parts:
        yield from prose(f"With these results {a} comes to another state, for one to this:")
    for part, one, other in found.parts:
        yield from prose(f"{part}: {a}: {one or 'empty'}; {b}: {other or 'empty'}", 2, 4)


def _answers(threads: Seen, a: str, b: str) -> Iterator[str]:
    """How closely the model could follow."""
    if not threads.runs:
        return
    yield from prose(f"{a} does what {b} did in {threads.decided()} of {threads.runs} runs:")
    for answer, count in threads.answers.items():
        if answer != UNDECIDED:
            yield from prose(f"{answer}: {count}", 2, 4)
    for invariant, count in sorted(threads.broken.items()):
        yield from prose(f"not compared, as {invariant} ended the run: {count}", 2, 4)
    if threads.undecided:
        named = ", ".join(f"{name} (run {run})" for name, run in threads.undecided)
        yield from prose(
            f"UNDECIDED, the search was cut short: {len(threads.undecided)}: {named}", 2, 4
        )
    yield ""


def _overlaps(threads: Seen) -> Iterator[str]:
    """Which calls were under way at the same time."""
    if not threads.runs:
        return
    verbs = [verb for verb in VERBS if verb != "stop-ksgxd"]
    pairs = {(min(a, b), max(a, b)) for a in verbs for b in verbs}
    met = pairs & set(threads.raced)
    yield ""
    yield from prose(f"Calls that overlapped: {len(met)} of {len(pairs)} pairs.", 0, 2)
    for verb, missed in groupby(sorted(pairs - met - set(UNRACED)), key=lambda pair: pair[0]):
        yield from prose(f"Not met by {verb}: {', '.join(b for _, b in missed)}.", 2, 4)
    for first, second in sorted(set(UNRACED) - met):
        yield from prose(f"Never {first} and {second}: {UNRACED[first, second]}.", 2, 4)


def _parts(found: Difference, a: str, b: str) -> Iterator[str]:
    yield from prose(f"After '{found.call}':")
    for part, one, other in found.parts:
        yield from prose(f"{part}: {a}: {one or 'empty'}; {b}: {other or 'empty'}", 2, 4)


def _coverage(seen: Agreement, threads: Seen) -> Iterator[str]:
    """Results of calls, and of those never seen why."""
    results = seen.results + threads.results
    kinds = Counter[tuple[str, str]]()
    for (verb, result), count in results.items():
        kind, partly, _ = result.partition(" after ")
        kinds[verb, f"{kind} {PARTLY}" if partly else result] += count
    yield "Results of calls:"
    for verb, members in groupby(sorted(kinds), key=lambda k: k[0]):
        said = ", ".join(f"{result} {kinds[verb, result]}" for _, result in members)
        yield from prose(f"{verb}: {said}", 2, 4)
    if any(result == STUCK for _, result in results):
        yield from prose(
            "A call that does not return waits for ksgxd, which these programs leave out.", 0, 2
        )
    yield ""
    missing: dict[str, list[str]] = {}
    for verb, what in VERBS.items():
        for result in what.results:
            if not kinds[verb, result]:
                why = why_not(verb, result, bool(threads.runs))
                missing.setdefault(why, []).append(f"{verb} {result}")
    for why, names in missing.items():
        yield from prose(f"Never seen, {why}: {', '.join(names)}.", 0, 2)
