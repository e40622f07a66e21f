# SPDX-License-Identifier: GPL-2.0-only
"""Who holds what is left at the end: gets and puts by function and line.

The kernel's ref_tracker keeps such a list while it runs; here it is read off the
events of the set-up and the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from sgxmodel.trace.events import Step
from sgxmodel.trace.naming import focus_of

COUNT = re.compile(r"(?:\w+#\d+\.refcount|references): (\d+) -> (\d+)")
SHOWN = 3
"""Pointers that are named."""
HOLDERS = {
    "sgx_open": "the open file",
    "sgx_release": "the open file",
    "sgx_encl_mm_add": "an address space",
    "sgx_mmu_notifier_free": "an address space",
    "sgx_mmu_notifier_release": "an address space",
}
"""Functions of the driver that take and give back one and the same reference."""


@attrs.frozen
class Entry:
    """One get or put."""

    change: int
    what: str
    function: str
    place: str
    task: str
    after: str = ""
    """The step before it."""

    @property
    def holder(self) -> str:
        """Whose reference it is; a function that is not known gives back what it takes."""
        if self.change < 0 and self.after.startswith("kfree(encl_mm#"):
            return "an address space"  # sgx_release() drains the mm list
        return HOLDERS.get(self.function, f"{self.function}()")

    def __str__(self) -> str:
        return f"{self.what} in {self.function}(), {self.place} ({self.task})"


def ledger(title: str, steps: Iterable[Step]) -> str:
    """What is left of the references of the object that a title names; "" if it has none."""
    name = next(iter(sorted(n for n in focus_of(title) if "#" in n or n.startswith("memcg"))), "")
    if not name:
        return ""
    entries = list(_entries(name, steps))
    left = unmatched(entries)
    missing = sum(e.change for e in entries)
    if not entries or missing <= 0:
        return ""
    took, gave = ([e for e in left if e.change == sign] for sign in (1, -1))
    out = [f"references of {name}: {missing} of {_gets(entries)} not given back"]
    out += [f"- {entry}{_verdict(len(took), missing)}" for entry in took]
    out += [f"+ given back: {entry}" for entry in gave]
    paired = len(entries) - len(left)
    if paired:
        out.append(f"{paired} other gets and puts match")
    return "\n".join(out)


def pointers(fields: Sequence[str]) -> str:
    """Who points to an object that nobody freed."""
    known = list(
        dict.fromkeys(field.removesuffix(".next").removesuffix(".prev") for field in fields)
    )
    if not known:
        return "nothing points to it any more"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"{', '.join(known[:SHOWN])}{more} still {'point' if known[1:] else 'points'} to it"


def _gets(entries: Sequence[Entry]) -> int:
    return sum(e.change > 0 for e in entries)


def _verdict(candidates: int, missing: int) -> str:
    return ": no put" if candidates == missing else ": perhaps no put"


def _entries(name: str, steps: Iterable[Step]) -> Iterable[Entry]:
    after: dict[str, str] = {}
    for step in steps:
        before, after[step.task] = after.get(step.task, ""), step.text
        if f"({name})" not in step.text and step.result != name:
            continue
        for change in step.changes:
            found = COUNT.fullmatch(change)
            if found:
                sign = 1 if int(found[2]) > int(found[1]) else -1
                place = f"{step.file.rpartition('/')[2]}:{step.lineno}" if step.file else "?"
                what = f"{step.text.partition('(')[0]}()"
                yield Entry(sign, what, step.function, place, step.call or step.task, before)


def unmatched(entries: Sequence[Entry]) -> list[Entry]:
    """Each put is paired with the latest get before it of the same holder."""
    open_gets: dict[str, list[int]] = {}
    left = set(range(len(entries)))
    for i, entry in enumerate(entries):
        mine = open_gets.setdefault(entry.holder, [])
        if entry.change > 0:
            mine.append(i)
        elif mine:
            left -= {i, mine.pop()}
    return [entries[i] for i in sorted(left)]
