# SPDX-License-Identifier: GPL-2.0-only
"""A violation as a kernel developer pastes it into a mail."""

from __future__ import annotations

from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.report.layout import command, plural, prose, wrap
from sgxmodel.report.steps import interleaving
from sgxmodel.trace.events import Trace

NOT_SHOWN = ("promise ", "schedules ", "about ", "scenario ")


def title(trace: Trace) -> str:
    """``KIND: detail in FUNCTION``."""
    said = trace.title.rstrip(":. ")
    if trace.function not in said:
        said += f" in {trace.function}"
    return f"{trace.invariant}: {said}"


def violation(trace: Trace, path: str, also: tuple[str, ...] = ()) -> str:
    """The whole report of one violation.  ``also``: other scenarios that show it.

    Without a ``path`` there is no trace that could be replayed.
    """
    out = [*prose(title(trace), 0, 4), ""]
    if trace.message:
        out += [*(line for part in trace.message.split("\n") for line in prose(part)), ""]
    if trace.invariant in INVARIANTS:
        out += [*prose(f"Expected: {INVARIANTS[trace.invariant].guarantee}.", 0, 2), ""]
    out += [*_scenario(trace, also), "", *interleaving(trace)]
    if trace.origin:
        out += ["", *(line for said in trace.origin for line in prose(said, 0, 2))]
    if path:
        out += ["", "reproduce:", *command(["sgxmodel", "replay", path])]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _scenario(trace: Trace, also: tuple[str, ...]) -> list[str]:
    about = [n for n in trace.scenario_text.splitlines() if n.startswith("about ")]
    what = f": {about[0].removeprefix('about ')}" if about else ""
    counts = f"{plural(trace.length, 'step')}, {plural(trace.preemptions, 'preemption')}"
    with_patches = "".join(f" and {patch}" for patch in trace.patches)
    seen = f"Seen with {trace.target}{with_patches} in {counts}, scenario {trace.scenario}{what}."
    out = prose(seen)
    if also:
        others = ", ".join(also) if len(also) <= 3 else f"{len(also)} other scenarios"
        out += prose(f"Also seen in {others}.")
    return [*out, "", *scenario_lines(trace)]


def scenario_lines(trace: Trace) -> list[str]:
    """The scenario, without what does not decide a run."""
    out = []
    for line in trace.scenario_text.splitlines():
        if line.strip() and not line.startswith(NOT_SHOWN):
            out += wrap(line, 2)
    return out
