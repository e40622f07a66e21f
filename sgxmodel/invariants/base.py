# SPDX-License-Identifier: GPL-2.0-only
"""The invariants' names, and one exception class for each.

Hypothesis tells bugs apart by exception type, so no two properties share one.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class Severity(enum.IntEnum):
    """What a broken guarantee may do to a machine, the worst first."""

    CORRUPTION = 1
    STALL = 2
    LEAK = 3
    ERROR = 4
    RACE = 5

    def __str__(self) -> str:
        return EFFECTS[self]


EFFECTS = {
    Severity.CORRUPTION: "memory corruption or lost data",
    Severity.STALL: "deadlock or stall",
    Severity.LEAK: "leak",
    Severity.ERROR: "spurious error",
    Severity.RACE: "race, no effect seen",
}


class Violation(Exception):
    """An invariant does not hold.

    ``function``: where in kernel terms; ``title``: one line; ``message``: the
    contradiction in two or three lines.  ``severity``: of what the law guards
    against; the worst, where a new law does not say.  ``cost``: what it costs a user,
    as one clause.
    """

    id: ClassVar[str] = ""
    guarantee: ClassVar[str] = ""
    severity: ClassVar[Severity] = Severity.CORRUPTION
    cost: ClassVar[str] = ""

    def __init__(self, function: str, title: str, message: str = "") -> None:
        super().__init__(f"{self.id}: {title}" + (f"\n{message}" if message else ""))
        self.function = function
        self.title = title
        self.message = message

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str, str]]:
        return type(self), (self.function, self.title, self.message)

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes findings: (invariant, function)."""
        return (self.id, self.function)


class OneList(Violation):
    """1-one-list."""

    id = "1-one-list"
    guarantee = "each EPC page is on at most one list, its list_head is intact, and no page is lost"
    severity = Severity.CORRUPTION
    cost = "pages are lost, or the kernel follows a wild pointer"


class FreeFlags(Violation):
    """2-free-flags."""

    id = "2-free-flags"
    guarantee = "a page on a free list has IS_FREE only and no owner; an allocated one has no flag"
    severity = Severity.CORRUPTION
    cost = "the page's next user gets the state of the last one"


class Tracked(Violation):
    """3-tracked."""

    id = "3-tracked"
    guarantee = (
        "reclaimable pages are TRACKED and have an owner; TRACKED pages off the list are isolated"
    )
    severity = Severity.CORRUPTION
    cost = "the reclaimer loses sight of the page, or takes it from its user"


class Unreclaimable(Violation):
    """4-unreclaimable."""

    id = "4-unreclaimable"
    guarantee = "no VA page and no SECS page is on the reclaimable list or an isolate list"
    severity = Severity.CORRUPTION
    cost = "the reclaimer writes out a page that the hardware needs"


class InProgress(Violation):
    """5-in-progress."""

    id = "5-in-progress"
    guarantee = "only the reclaimer that isolated a page may drop, free or record it"
    severity = Severity.CORRUPTION
    cost = "a page is freed or reused while it is being written out"


class References(Violation):
    """6-references."""

    id = "6-references"
    guarantee = "every user of an object holds a reference and drops it once; no use after free"
    severity = Severity.CORRUPTION
    cost = "the kernel reads or writes freed memory"


class BeingReclaimed(Violation):
    """7-being-reclaimed."""

    id = "7-being-reclaimed"
    guarantee = "a page is marked BEING_RECLAIMED exactly while its backing pages are pinned"
    severity = Severity.CORRUPTION
    cost = "a page is used while it is being written out"


class Evicted(Violation):
    """8-evicted."""

    id = "8-evicted"
    guarantee = "every evicted page can be loaded back, and no data is lost"
    severity = Severity.CORRUPTION
    cost = "an enclave loses the contents of a page"


class ChildCount(Violation):
    """9-child-count."""

    id = "9-child-count"
    guarantee = "secs_child_cnt counts the resident pages; while it is not 0 the SECS is resident"
    severity = Severity.LEAK
    cost = "the enclave's SECS page is never freed"


class Epcm(Violation):
    """10-epcm."""

    id = "10-epcm"
    guarantee = "a free page is invalid in the EPCM, and no poisoned page is on a free list"
    severity = Severity.CORRUPTION
    cost = "EPC pages cannot be used again until reboot"


class FreeCount(Violation):
    """11-free-count."""

    id = "11-free-count"
    guarantee = "sgx_nr_free_pages is the number of pages that can be allocated"
    severity = Severity.STALL
    cost = "ksgxd is not woken in time, and faults may retry for ever"


class VaSlots(Violation):
    """12-va-slots."""

    id = "12-va-slots"
    guarantee = "every resident page has a free VA slot to go to; only evicted pages occupy one"
    severity = Severity.CORRUPTION
    cost = "a page cannot be written out or loaded back"


class Mappings(Violation):
    """13-mappings."""

    id = "13-mappings"
    guarantee = "a usable PTE or TLB entry maps the EPC page that its address has now, and no other"
    severity = Severity.CORRUPTION
    cost = "a process has a mapping of an EPC page that is no longer its own"


class Progress(Violation):
    """14-progress."""

    id = "14-progress"
    guarantee = "reclaim makes progress and reaches every page; no task retries for ever"
    severity = Severity.STALL
    cost = "a task or the reclaimer is stuck for ever"


class Errno(Violation):
    """15-errno."""

    id = "15-errno"
    guarantee = "-EBUSY is returned only after reclaim was requested; every error has a cause"
    severity = Severity.ERROR
    cost = "a call fails, or a process is killed, for no reason"


class BenignRace(Violation):
    """16-benign-race."""

    id = "16-benign-race"
    guarantee = "concurrent calls fail only in ways in which they can fail one after another"
    severity = Severity.ERROR
    cost = "a call fails, or a process is killed, although it did nothing wrong"


class LockOrder(Violation):
    """17-lock-order."""

    id = "17-lock-order"
    guarantee = "no deadlock, lock inversion, sleep in atomic context or lost wake-up"
    severity = Severity.STALL
    cost = "the kernel can deadlock, or sleeps where it must not"


class DataRace(Violation):
    """18-data-race."""

    id = "18-data-race"
    guarantee = "conflicting accesses to a shared field are ordered, or both are marked"
    severity = Severity.RACE
    cost = "KCSAN would report it"


class PlainRead(Violation):
    """18-plain-read."""

    id = "18-plain-read"
    guarantee = "a field that is written under a lock is read under that lock or with READ_ONCE()"
    severity = Severity.RACE
    cost = "KCSAN would report it"


class Tracking(Violation):
    """19-tracking."""

    id = "19-tracking"
    guarantee = "only one ETRACK cycle is open; EWB succeeds only after all CPUs inside have left"
    severity = Severity.CORRUPTION
    cost = "a page is written out while a CPU may still use it"


class End(Violation):
    """20-end."""

    id = "20-end"
    guarantee = "after the last close every EPC page is free or poisoned and every object is freed"
    severity = Severity.LEAK
    cost = "memory or EPC pages are lost until reboot"


class SystemCall(Violation):
    """21-system-call: of kernel trees only, see sgxmodel/tree/cell."""

    id = "21-system-call"
    guarantee = "the driver makes no system call and does not write to the checker's memory"
    severity = Severity.CORRUPTION
    cost = "kernel code has no reason to do this; it may attack the machine that checks it"
