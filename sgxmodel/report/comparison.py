# SPDX-License-Identifier: GPL-2.0-only
"""What `sgxmodel compare` says, in 72 columns."""

from __future__ import annotations

from sgxmodel.report.layout import plural, prose, wrap
from sgxmodel.report.steps import interleaving
from sgxmodel.scenario import text as scenarios
from sgxmodel.search.compare import Answer, Compared, Different, Equivalent, Event

NOT_SHOWN = ("promise ", "schedules ", "about ", "scenario ", "small")
BEFORE_MAX = 12
"""Events that both show are listed up to here, the last ones."""
INSTEAD_MAX = 3


def text(answer: Answer, a: str, b: str) -> str:
    """The whole report."""
    if isinstance(answer, Different):
        lines = _different(answer, a, b)
    elif isinstance(answer, Equivalent):
        lines = [*prose(f"EQUIVALENT: {a} and {b}, within the bound:", 0, 2)]
        lines += _bound(answer.scenarios)
    else:
        lines = [*prose(f"INCONCLUSIVE: {answer.why}", 0, 2)]
        lines += ["No difference in:" if answer.scenarios else "Nothing was compared."]
        lines += _bound(answer.scenarios) if answer.scenarios else []
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _bound(done: tuple[Compared, ...]) -> list[str]:
    """What was covered."""
    sequences = [c for c in done if c.scenario.name == "sequence"]
    lines = []
    if sequences:
        calls = len(sequences[0].scenario.tasks[0].calls)
        lines.append(f"{len(sequences)} sequences of {plural(calls, 'call')}{_size(sequences)}")
    for one in done:
        if one.scenario.name != "sequence":
            lines.append(f"every interleaving of {one.scenario.name}{_size([one])}")
    return [part for line in lines for part in prose(line, 2, 4)]


def _size(done: list[Compared]) -> str:
    a, b = (sum(c.states[i] for c in done) for i in (0, 1))
    return f": {a} and {b} states, {sum(c.events for c in done)} visible"


def _different(found: Different, a: str, b: str) -> list[str]:
    out = [*prose(f"DIFFERENT: {a} and {b}", 0, 2), ""]
    out += ["Told apart by:", ""]
    for line in scenarios.format(found.scenario).splitlines():
        if not line.startswith(NOT_SHOWN):
            out += wrap(line, 2)
    out.append("")
    if found.before:
        out.append("Both show:")
        left = len(found.before) - BEFORE_MAX
        if left > 0:
            out.append(f"  ... {plural(left, 'event')}")
        for event in found.before[-BEFORE_MAX:]:
            out += _event(event)
    out += [*prose(f"Then only {found.only} can show:"), *_event(found.event)]
    other = b if found.only == a else a
    if found.instead:
        out += prose(f"and {other} goes on with:")
        for i, event in enumerate(found.instead[:INSTEAD_MAX]):
            out += ["or:"] if i else []
            out += _event(event)
        if len(found.instead) > INSTEAD_MAX:
            out.append(f"  ... or {plural(len(found.instead) - INSTEAD_MAX, 'other event')}")
    else:
        out += prose(f"and {other} does not go on.")
    for name, run in found.runs:
        out += ["", *prose(f"{name}:"), "", *interleaving(run)]
    return out


def _event(event: Event) -> list[str]:
    return [part for name, value in event for part in wrap(f"{name}: {value or 'nothing'}", 2)]
