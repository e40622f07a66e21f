# SPDX-License-Identifier: GPL-2.0-only
"""What is compared after a call, as plain data."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

STUCK = "does not return"


@attrs.frozen
class After:
    """A call's result, and the state after it by part."""

    result: str
    state: Mapping[str, str]


@attrs.frozen
class Difference:
    """The first call after which two systems differ, and in what: (part, one, other)."""

    call: str
    index: int
    parts: tuple[tuple[str, str, str], ...]


def difference(calls: tuple[str, ...], one: list[After], other: list[After]) -> Difference | None:
    """Call by call.  What comes after the first difference would say nothing."""
    for i, call in enumerate(calls):
        if i >= len(one) or i >= len(other):
            if len(one) == len(other):
                return None
            missing = "not reached"
            ends = [x[i].result if i < len(x) else missing for x in (one, other)]
            return Difference(call, i, (("result", ends[0], ends[1]),))
        a, b = one[i], other[i]
        parts = [("result", a.result, b.result)] if a.result != b.result else []
        if STUCK not in (a.result, b.result):
            keys = list(dict.fromkeys((*a.state, *b.state)))
            parts += [
                (key, a.state.get(key, "nothing"), b.state.get(key, "nothing"))
                for key in keys
                if a.state.get(key) != b.state.get(key)
            ]
        if parts:
            return Difference(call, i, tuple(parts))
        if a.result == STUCK:
            return None
    return None
