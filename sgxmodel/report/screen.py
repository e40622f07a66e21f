# SPDX-License-Identifier: GPL-2.0-only
"""The answer of a check on the first screen: verdict, what is new, what it costs.

What is new stands first, the most severe of it at the top; what the base has as well is
a line each.  The rest is for ``show``, ``-v`` and the JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from sgxmodel.invariants.base import Severity
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.report.causes import by_severity, severity
from sgxmodel.report.layout import ascii, plural, prose
from sgxmodel.report.summary import Entry, smallest
from sgxmodel.search.verdict import Verdict, worst
from sgxmodel.trace.events import Trace

Key = tuple[str, str]
WIDTH = 78
SHOWN = 12
"""Lines of one kind (incomplete scenarios, what is no longer seen) before the rest is counted."""


@attrs.frozen
class Finding:
    """One kind of violation: its most telling trace, where it is, and who shows it."""

    trace: Trace
    path: str
    scenarios: tuple[str, ...]

    @property
    def key(self) -> Key:
        return self.trace.key


@attrs.frozen
class Base:
    """What a target is held against.

    ``known``: what that shows; ``same``: whether in the scenarios that were run, so that
    what is missing now is gone; ``renamed``: functions by another name, new -> old;
    ``left_out``: whether the entries have only what is new.
    """

    name: str
    known: frozenset[Key]
    same: bool = True
    renamed: Mapping[str, str] = attrs.field(factory=dict)
    left_out: bool = False

    def has(self, key: Key) -> bool:
        return not self.left_out and self.old(key) in self.known

    def old(self, key: Key) -> Key:
        """A kind by the base's name of its function."""
        return key[0], self.renamed.get(key[1], key[1])


def findings(entries: Iterable[Entry]) -> list[Finding]:
    """One for each (invariant, function), the most severe first."""
    by_key: dict[Key, list[tuple[Trace, str]]] = {}
    for entry in entries:
        for trace, path in entry.found:
            by_key.setdefault(trace.key, []).append((trace, path))
    out = []
    for same in by_key.values():
        trace, path = smallest(same)
        out.append(Finding(trace, path, tuple(t.scenario for t, _ in same)))
    return sorted(out, key=lambda f: by_severity(f.key))


def ordered(entries: Iterable[Entry], base: Base | None) -> list[Finding]:
    """As the screen numbers them: what is new, then the others."""
    return sorted(
        findings(entries),
        key=lambda f: (base is not None and base.has(f.key), by_severity(f.key)),
    )


@attrs.frozen
class Screen:
    """All that the first screen says.

    ``target``: with its patches; ``removed``: kinds of the base that were not seen;
    ``note``: why it ended early.
    """

    target: str
    patches: tuple[str, ...]
    entries: Sequence[Entry]
    base: Base | None = None
    note: str = ""
    left_out: int = 0

    def text(self) -> str:
        """Plain ASCII of 80 columns at most."""
        found = ordered(self.entries, self.base)
        new = [f for f in found if self.base is None or not self.base.has(f.key)]
        old = found[len(new) :]
        out = [*self._headline(len(new), len(old))]
        out += self._new(new)
        out += self._unlike()
        out += self._old(old, len(new))
        out += self._not_counted()
        out += self._removed(found)
        out += self._incomplete()
        out += ["", *self._tried(), *self._more(found)]
        return "\n".join(line.rstrip() for line in out) + "\n"

    def _headline(self, new: int, old: int) -> list[str]:
        verdict = worst(e.verdict for e in self.entries)
        with_patches = "".join(f" + {p}" for p in self.patches)
        said = f"{self.target}{with_patches}: {verdict}"
        if new or old:
            said += f", {plural(new, 'finding')}"
            if self.base is not None:
                said += f" that {self.base.name} does not have"
        return prose(said, 0, 2)

    def _new(self, new: Sequence[Finding]) -> list[str]:
        out: list[str] = []
        said: Severity | None = None
        for number, finding in enumerate(new, 1):
            if severity(finding.key) is not said:
                said = severity(finding.key)
                out += ["", f"{str(said).capitalize()}:"]
            again = number > 1 and new[number - 2].key[0] == finding.key[0]
            out += _two_lines(number, finding, again)
        return out

    def _unlike(self) -> list[str]:
        """What may hide behind a known kind, each with scenarios that show it."""
        places: dict[str, list[str]] = {}
        for entry in self.entries:
            for said in entry.result.unlike:
                places.setdefault(said, []).append(entry.name)
        if self.base is None or not places:
            return []
        said = f"Not counted: {self.base.name} breaks the same invariant in the same function, "
        out = ["", *prose(said + "but was not seen to do it in this form:", 0, 2)]
        for what, names in sorted(places.items())[:SHOWN]:
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            out += prose(f"{what} ({', '.join(names[:2])}{more})", 2, 2)
        if len(places) > SHOWN:
            out.append(f"  ... and {len(places) - SHOWN} more: -v has them")
        return out

    def _old(self, old: Sequence[Finding], first: int) -> list[str]:
        if not old or self.base is None:
            return []
        out = ["", f"{self.base.name} has these, too:"]
        for number, finding in enumerate(old, first + 1):
            out.append(_one_line(number, finding))
        return out

    def _not_counted(self) -> list[str]:
        kinds = {kind for entry in self.entries for kind in entry.result.known}
        if not kinds:
            return []
        who = f"{self.base.name} has" if self.base is not None else "--known names"
        said = f"Seen and not counted, as {who} them: {plural(len(kinds), 'kind')} of finding"
        return ["", *prose(f"{said} (-v lists them).", 0, 2)]

    def _removed(self, found: Sequence[Finding]) -> list[str]:
        """Said only where all that was planned was run: what was not looked for is not gone."""
        if self.base is None or not self.base.same or self.note or not self._whole():
            return []
        every = [*(f.key for f in found), *(k for e in self.entries for k in e.result.known)]
        seen = set(map(self.base.old, every))
        gone = sorted(self.base.known - seen, key=by_severity)
        if not gone:
            return []
        said = f"No longer seen, of what {self.base.name} has:"
        return ["", *_some(said, [f"{law} in {function}" for law, function in gone])]

    def _whole(self) -> bool:
        evidence = [entry.result.evidence for entry in self.entries]
        return all(e.closed or e.runs >= e.planned > 0 for e in evidence)

    def _incomplete(self) -> list[str]:
        """What has no verdict, each reason once."""
        reasons: dict[str, list[str]] = {}
        for entry in self.entries:
            if entry.verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE):
                reasons.setdefault(f"{entry.verdict}: {entry.result.message}", []).append(
                    entry.name
                )
        out: list[str] = []
        for why, names in list(reasons.items())[:SHOWN]:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            out += prose(f"{why} ({', '.join(names[:3])}{more})", 0, 2)
        if len(reasons) > SHOWN:
            out.append(f"... and {len(reasons) - SHOWN} other reasons: -v has them")
        return ["", *out] if out else []

    def _tried(self) -> list[str]:
        evidence = [e.result.evidence for e in self.entries]
        closed = sum(one.closed for one in evidence)
        runs, steps = (sum(getattr(o, n) for o in evidence) for n in ("runs", "transitions"))
        said = f"Tried: {plural(len(evidence), 'scenario')}"
        if closed:
            said += f", every interleaving of {closed}"
        if closed < len(evidence):
            said += f", {runs:,} runs, {steps:,} steps"
        if self.left_out:
            said += f"; {plural(self.left_out, 'scenario')} left out"
        return prose(f"{said}{'; ' + self.note if self.note else ''}.", 0, 2)

    def _more(self, found: Sequence[Finding]) -> list[str]:
        if not found:
            return []
        which = "1" if len(found) == 1 else f"N (1 to {len(found)})"
        return [f"More: sgxmodel show {which}, for a mail; check -v, for all scenarios."]


def _two_lines(number: int, finding: Finding, again: bool) -> list[str]:
    """What happened in this run, and what it costs, if that was not said just ``again``."""
    trace = finding.trace
    law = INVARIANTS.get(trace.invariant)
    out = prose(in_a_line(trace), 5)
    out[0] = f"{number:3}  {out[0].lstrip()}"
    cost = f"{law.cost}; " if not again and law is not None and law.cost else ""
    return [*out, *prose(f"{cost}{trace.invariant}, {_seen(finding)}", 5)]


def where(trace: Trace) -> str:
    """``function() at file:line``, as far as it is known."""
    at = ""
    for step in reversed(trace.steps):
        if step.function == trace.function and step.file.startswith("arch/"):
            at = f" {step.file.rpartition('/')[2]}:{step.lineno}"
            break
    return f"{trace.function}(){at}"


def _seen(finding: Finding) -> str:
    more = len(finding.scenarios) - 1
    return finding.trace.scenario + (f" and {plural(more, 'other scenario')}" if more else "")


def _one_line(number: int, finding: Finding) -> str:
    line = ascii(f"{number:3}  {in_a_line(finding.trace)}")
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def in_a_line(trace: Trace) -> str:
    """Where, and what."""
    return f"{where(trace)}: {_title(trace)}"


def _title(trace: Trace) -> str:
    return trace.title.rstrip(":. ").removeprefix("WARNING: ")


def _some(said: str, items: Sequence[str]) -> list[str]:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return prose(f"{said} {', '.join(items[:SHOWN])}{more}.", 0, 2)
