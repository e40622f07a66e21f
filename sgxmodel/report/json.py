# SPDX-License-Identifier: GPL-2.0-only
"""A check as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from sgxmodel.report.summary import Entry
from sgxmodel.scenario.coverage import Row
from sgxmodel.search.verdict import Verdict, worst
from sgxmodel.trace.events import Trace


def document(
    target: str,
    entries: Sequence[Entry],
    message: str = "",
    verdict: Verdict | None = None,
    seen: Sequence[Row] | None = None,
) -> str:
    """The object, ASCII, with an end of line.  ``message`` says why it is an ERROR.

    ``seen``: what could have been seen and how often it was, if that was asked for.
    """
    given = verdict or worst(entry.verdict for entry in entries)
    errors = [f"{e.name}: {e.result.message}" for e in entries if e.verdict is Verdict.ERROR]
    out: dict[str, Any] = {"target": target, "verdict": str(given)}
    if message or errors:
        out["message"] = message or "; ".join(errors)
    known = sorted({key for entry in entries for key in entry.result.known})
    if known:
        out["known"] = [{"invariant": i, "function": f} for i, f in known]
    unlike = sorted({said for entry in entries for said in entry.result.unlike})
    if unlike:
        out["unlike_known"] = unlike
    out["scenarios"] = [_scenario(entry) for entry in entries]
    if seen is not None:
        out["coverage"] = [attrs.asdict(row) for row in seen]
    return dumps(out, indent=2) + "\n"


def dumps(out: Any, indent: int | None = None) -> str:
    """JSON, printable ASCII: the one control byte that json lets through is DEL."""
    return json.dumps(out, indent=indent).replace("\x7f", "\\u007f")


def _scenario(entry: Entry) -> dict[str, Any]:
    result = entry.result
    out: dict[str, Any] = {"name": entry.name, "verdict": str(result.verdict)}
    evidence = result.evidence
    out["violations"] = [_violation(trace, path) for trace, path in entry.found]
    out["evidence"] = {
        "runs": evidence.runs,
        "states": evidence.states,
        "transitions": evidence.transitions,
        "closed": evidence.closed,
    }
    out["sometimes"] = dict.fromkeys(result.scenario.promises, 0) | dict(
        sorted(result.sometimes.items())
    )
    if evidence.closed:
        out["unreached"] = dict(result.unreached)
    return out


def _violation(trace: Trace, path: str) -> dict[str, Any]:
    return {
        "invariant": trace.invariant,
        "function": trace.function,
        "title": trace.title,
        "steps": trace.length,
        "preemptions": trace.preemptions,
        "trace": path,
    }
