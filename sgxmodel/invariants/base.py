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
    guarantee = "a page is on at most one list, its list_head agrees, none is lost"
    severity = Severity.CORRUPTION
    cost = "pages are lost, or the kernel follows a wild pointer"


class FreeFlags(Violation):
    """2-free-flags."""

    id = "2-free-flags"
    guarantee = "on a free list: IS_FREE, no other flag, no owner; allocation leaves no flag"
    severity = Severity.CORRUPTION
    cost = "the page's next user gets the state of the last one"


class Tracked(Violation):
    """3-tracked."""

    id = "3-tracked"
    guarantee = "reclaimable means TRACKED and owned; TRACKED off the list means isolated"
    severity = Severity.CORRUPTION
    cost = "the reclaimer loses sight of the page, or takes it from its user"


class Unreclaimable(Violation):
    """4-unreclaimable."""

    id = "4-unreclaimable"
    guarantee = "a VA page or a SECS never enters the reclaimable or an isolate list"
    severity = Severity.CORRUPTION
    cost = "the reclaimer writes out a page that the hardware needs"


class InProgress(Violation):
    """5-in-progress."""

    id = "5-in-progress"
    guarantee = "only the reclaimer that isolated a page drops, frees or re-records it"
    severity = Severity.CORRUPTION
    cost = "a page is freed or reused while it is being written out"


class References(Violation):
    """6-references."""

    id = "6-references"
    guarantee = "who uses an object holds a reference, given back once; no use after free"
    severity = Severity.CORRUPTION
    cost = "the kernel reads or writes freed memory"


class BeingReclaimed(Violation):
    """7-being-reclaimed."""

    id = "7-being-reclaimed"
    guarantee = "the mark and the backing reference come and go together, under encl->lock"
    severity = Severity.CORRUPTION
    cost = "a page is used while it is being written out"


class Evicted(Violation):
    """8-evicted."""

    id = "8-evicted"
    guarantee = "what was written out can be loaded back: slot, PCMD and contents; no data lost"
    severity = Severity.CORRUPTION
    cost = "an enclave loses the contents of a page"


class ChildCount(Violation):
    """9-child-count."""

    id = "9-child-count"
    guarantee = "secs_child_cnt counts resident pages; the SECS is resident while it is above 0"
    severity = Severity.LEAK
    cost = "the enclave's SECS page is never freed"


class Epcm(Violation):
    """10-epcm."""

    id = "10-epcm"
    guarantee = "a free page is invalid in the EPCM; a poisoned one is on no free list"
    severity = Severity.CORRUPTION
    cost = "EPC pages cannot be used again until reboot"


class FreeCount(Violation):
    """11-free-count."""

    id = "11-free-count"
    guarantee = "sgx_nr_free_pages is what can be allocated"
    severity = Severity.STALL
    cost = "ksgxd is not woken in time, and faults may retry for ever"


class VaSlots(Violation):
    """12-va-slots."""

    id = "12-va-slots"
    guarantee = "free VA slots cover resident pages; a slot is in use exactly for an evicted page"
    severity = Severity.CORRUPTION
    cost = "a page cannot be written out, or not loaded back"


class Mappings(Violation):
    """13-mappings."""

    id = "13-mappings"
    guarantee = "no usable mapping of an EPC page other than the current one of its address"
    severity = Severity.CORRUPTION
    cost = "a process reaches an EPC page that is not its own any more"


class Progress(Violation):
    """14-progress."""

    id = "14-progress"
    guarantee = "a pass moves something, passes visit every page, who retries is served or told"
    severity = Severity.STALL
    cost = "a task, or the reclaimer, never gets on"


class Errno(Violation):
    """15-errno."""

    id = "15-errno"
    guarantee = "-EBUSY means somebody was asked to make room; every error has its cause"
    severity = Severity.ERROR
    cost = "a call fails, or a process is killed, without a cause"


class BenignRace(Violation):
    """16-benign-race."""

    id = "16-benign-race"
    guarantee = "a race of allowed calls kills nobody and fails no call that either order allows"
    severity = Severity.ERROR
    cost = "a call fails, or a process is killed, that did nothing wrong"


class LockOrder(Violation):
    """17-lock-order."""

    id = "17-lock-order"
    guarantee = "no deadlock, no lock inversion, no sleep in atomic context, no lost wake-up"
    severity = Severity.STALL
    cost = "the kernel can deadlock, or sleeps where it must not"


class DataRace(Violation):
    """18-data-race."""

    id = "18-data-race"
    guarantee = "no unordered write-write or read-modify-write of a shared field"
    severity = Severity.RACE
    cost = "KCSAN would report it"


class PlainRead(Violation):
    """18-plain-read."""

    id = "18-plain-read"
    guarantee = "no plain read of a field that another task writes under its lock"
    severity = Severity.RACE
    cost = "KCSAN would report it"


class Tracking(Violation):
    """19-tracking."""

    id = "19-tracking"
    guarantee = "one ETRACK cycle at a time; EWB succeeds only when every CPU inside has left"
    severity = Severity.CORRUPTION
    cost = "a page is written out while a CPU may still use it"


class End(Violation):
    """20-end."""

    id = "20-end"
    guarantee = "after the last close every page is free or poisoned, every object freed"
    severity = Severity.LEAK
    cost = "memory or EPC pages are lost until reboot"


class SystemCall(Violation):
    """21-system-call: of kernel trees only, see sgxmodel/tree/cell."""

    id = "21-system-call"
    guarantee = "a driver makes no system call, and leaves the memory of the checks alone"
    severity = Severity.CORRUPTION
    cost = "it is no code for a kernel, and may be an attack on whoever checks it"
