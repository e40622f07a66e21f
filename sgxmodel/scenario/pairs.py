# SPDX-License-Identifier: GPL-2.0-only
"""Every pair of calls in one scenario, made from the table of calls.

Scenario ``pair-touch`` has one task that touches a page, and one that makes
every other call after it: whoever is preempted inside its call races with all
of them.  A call that a file of the driver declares is in these scenarios at once: in
the other task after those whose place says something.
"""

from __future__ import annotations

from sgxmodel.scenario.model import VERBS, Scenario
from sgxmodel.scenario.text import parse

HEAD = """\
scenario pair-{verb}
about {verb}, while another task makes every other call once
schedules {schedules}
probe
epc 18
scan 2
low {low}
high {low}
va-slots 4
pcmds 2
enclave A 4
enclave B 2
enclave D 2
vepc V 4
vepc W 1
vepc U 1
{children}ksgxd
setup open A; create-debug A; add A 0-2; init A; modify A 2 trim; accept A 2
setup reclaim; touch A 0; vepc-open V; guest-ecreate V 0{before}
task T1: {call}
task T2: {others}
"""
BEFORE = {
    "create": "open D",
    "create-debug": "open D",
    "add": "open D; create D",
    "init": "open D; create D; add D 0",
    "guest-eadd": "guest-touch V 1",
}
"""What must have been done before the first task's call."""
FIRST = {"open": "D", "create": "D", "create-debug": "D", "add": "D 0-1", "init": "D"}
FIRST |= {"vepc-open": "W", "accept": "A 3", "remove": "A 2", "fork": "A E", "signal": "T2"}
"""Arguments of the first task's call where :data:`USUAL` does not say them."""
SECOND = {"open": "B", "create": "B", "create-debug": "B", "add": "B 0-1", "init": "B"}
SECOND |= {"vepc-open": "U", "accept": "A 3", "remove": "A 2", "fork": "A F", "exit": "F"}
SECOND |= {"signal": "T1"}
USUAL = {"enclave": "A", "page": "0", "pages": "0-1", "permissions": "r", "rights": "rw"}
USUAL |= {"type": "trim", "epc": "4", "vepc": "V", "vpage": "1", "child": "E", "task": "T1"}
USUAL |= {"descriptor": "provision", "argument": "remove-count"}
"""Page 4 is in use, page 2 of A has it: a free one shows nothing but what poison-stall does."""
EARLY = ("signal", "shrink", "direct", "poison", "reclaim")
"""Calls that need no lock of an enclave or address space: they do not wait for the first task."""
NEXT = (
    *("open", "create", "add", "init", "touch", "run", "accept", "restrict", "modify", "remove"),
    *(
        "create-debug",
        "peek",
        "poke",
        "vepc-open",
        "guest-touch",
        "guest-ecreate",
        "guest-eadd",
        "guest-einit",
    ),
)
"""The life of an enclave, then of a guest, in this order."""
LATE = ("munmap-page", "mprotect", "munmap", "mmap", "poison-at", "vepc-remove-all")
LAST = ("close", "vepc-close", "fork", "exit")
"""Calls after which little is left for others; they come at the end of the other task."""
PROCESSES = ("fork", "exit")
"""They make threads of all calls and cost two daemons, so only two scenarios have them."""
ALONE = {"stop-ksgxd": "sgx_init() has failed by then, so nobody can open the device"}
"""Calls that race with few others, and why."""


def pair_scenarios() -> dict[str, Scenario]:
    """One scenario for each call, by name."""
    made = [_scenario(verb) for verb in VERBS if verb not in ALONE]
    return {scenario.name: scenario for scenario in made}


def _scenario(verb: str) -> Scenario:
    forks = verb in PROCESSES
    placed = (*ALONE, *EARLY, *NEXT, *LATE, *LAST)
    others = [*EARLY, *NEXT, *(v for v in VERBS if v not in placed), *LATE]
    others += [v for v in LAST if forks or v not in PROCESSES]
    text = HEAD.format(
        verb=verb,
        schedules=30 if verb in (*LATE, *LAST) else 18,
        low=14 if verb == "direct" else 3,
        call=_call(verb, FIRST),
        others="; ".join(_call(other, SECOND) for other in others),
        before=f"; {BEFORE[verb]}" if verb in BEFORE else "",
        children="child E of A\nchild F of A\n" if forks else "",
    )
    return parse(text, f"pair-{verb}")


def _call(verb: str, args: dict[str, str]) -> str:
    if verb in args:
        return f"{verb} {args[verb]}"
    pages = iter("10")  # guest-eadd: page 1 becomes a child of the SECS in page 0
    kinds = [kind for kind in VERBS[verb].args if kind != "size"]
    words = [next(pages) if kind == "vpage" else USUAL[kind] for kind in kinds]
    return " ".join((verb, *words))
