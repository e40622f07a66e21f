# SPDX-License-Identifier: GPL-2.0-only
"""What a check could have seen: calls and results, leaves and codes, companions.

The lists are read off the code: a leaf's codes are what its function returns,
companions what model functions say with ``sometimes``.  So a new path that no
scenario walks shows as a zero.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from sgxmodel.hardware import epcm
from sgxmodel.machine.op import SOMETIMES, Primitive
from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import VERBS, Scenario

CALL, LEAF, COMPANION, RACE = "call", "leaf", "companion", "race"


@attrs.frozen
class Row:
    """How often something was seen; ``why`` says of a zero why it is one."""

    group: str
    name: str
    outcome: str
    count: int
    why: str = ""


WRONG_DRIVER = "the CPU refuses this only where the driver asks what it must not"
IPI_DONE = "every tracking cycle is ended by its IPI before encl->lock is released"
AFTER_WRONG = "follows a leaf that fails only where the driver is wrong"
REASONS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    WRONG_DRIVER: (
        ("EADD", ("#GP",)),
        ("EAUG", ("#PF",)),
        ("EBLOCK", ("SGX_BLKSTATE", "SGX_NOTBLOCKABLE", "SGX_PG_INVLD", "SGX_PG_IS_SECS")),
        ("ECREATE", ("#PF",)),
        ("EDBGRD", ("#GP",)),
        ("EDBGWR", ("#GP", "#PF")),
        ("EEXTEND", ("#GP",)),
        ("EINIT", ("#GP", "#PF")),
        ("ELDU", ("SGX_MAC_COMPARE_FAIL", "#GP", "#PF")),
        ("EMODPR", ("#GP",)),
        ("EMODT", ("#GP", "#PF")),
        ("ETRACK", ("#PF",)),
        ("EWB", ("SGX_PAGE_NOT_BLOCKED", "SGX_VA_SLOT_OCCUPIED", "SGX_CHILD_PRESENT")),
        ("EWB", ("#GP", "#PF")),
    ),
    IPI_DONE: (
        ("ETRACK", ("SGX_PREV_TRK_INCMPL",)),
        ("", ("ETRACK had to be repeated",)),
    ),
    AFTER_WRONG: (("init", ("-EIO",)), ("", ("EDBGWR failed",))),
    "a debugger waits for a page that is being reclaimed; list_fixed tells it so (P1)": (
        ("peek", ("-EBUSY",)),
        ("poke", ("-EBUSY",)),
    ),
    "nobody is inside an enclave when its pages are removed": (("EREMOVE", ("SGX_ENCLAVE_ACT",)),),
    "the reclaimer holds a reference, so the last one cannot be put meanwhile": (
        ("", ("release met a page that is being reclaimed",)),
    ),
}
UNREACHED = {
    (name, outcome): why
    for why, groups in REASONS.items()
    for name, outcomes in groups
    for outcome in outcomes
}
"""(name, outcome) -> why it is never seen; the name of a companion is empty."""


ONE_STEP = "each is one step, or one section of the same lock"
UNRACED = {("signal", "signal"): ONE_STEP, ("poison", "poison"): ONE_STEP}
"""Pairs of calls that scenarios make at a time and that never overlap, and why."""


def coverage(
    revision: Revision,
    scenarios: Sequence[Scenario],
    results: Mapping[tuple[str, str], int],
    leaves: Mapping[tuple[str, int], int],
    sometimes: Mapping[str, int],
    raced: Mapping[tuple[str, str], int],
) -> list[Row]:
    """Everything that these scenarios' calls could meet, with its count."""
    coded = dict.fromkeys(leaf_codes(revision), 0)
    said = dict.fromkeys(companions(revision), 0)
    named = Counter(
        {(leaf, epcm.NAMES.get(code, hex(code))): n for (leaf, code), n in leaves.items()}
    )
    return [
        *call_coverage(scenarios, results),
        *_rows(LEAF, coded, named),
        *(_row(COMPANION, "", what, n) for what, n in (said | dict(sometimes)).items()),
        *race_coverage(scenarios, raced),
    ]


def race_coverage(scenarios: Iterable[Scenario], raced: Mapping[tuple[str, str], int]) -> list[Row]:
    """Which calls overlapped which: all pairs that different tasks of a scenario make."""
    possible = {pair for scenario in scenarios for pair in pairs_of(scenario)}
    return [
        Row(RACE, *pair, raced.get(pair, 0), UNRACED.get(pair, ""))
        for pair in sorted(possible | set(raced))
    ]


def pairs_of(scenario: Scenario) -> set[tuple[str, str]]:
    """Pairs of calls, each in alphabetical order, that are not of one task."""
    verbs = [{call.verb for call in task.calls} for task in scenario.tasks]
    verbs += [{"ksgxd"}] * scenario.ksgxd
    both = {(a, b) for i, mine in enumerate(verbs) for a in mine for of in verbs[:i] for b in of}
    return {(min(pair), max(pair)) for pair in both}


def call_coverage(
    scenarios: Iterable[Scenario], results: Mapping[tuple[str, str], int]
) -> list[Row]:
    """The calls' results alone: all that is known of a kernel tree's paths."""
    verbs = {call.verb for s in scenarios for t in s.tasks for call in t.calls}
    called: dict[tuple[str, str], int] = {
        (verb, result): 0 for verb in VERBS if verb in verbs for result in VERBS[verb].results
    }
    return list(_rows(CALL, called, {k: n for k, n in results.items() if k[0] in verbs}))


def _rows(
    group: str, possible: dict[tuple[str, str], int], seen: Mapping[tuple[str, str], int]
) -> Iterator[Row]:
    order = list(dict.fromkeys(name for name, _ in possible))
    both = possible | dict(seen)
    for name, outcome in sorted(both, key=lambda k: order.index(k[0]) if k[0] in order else 999):
        yield _row(group, name, outcome, both[name, outcome])


def _row(group: str, name: str, outcome: str, count: int) -> Row:
    return Row(group, name, outcome, count, "" if count else UNREACHED.get((name, outcome), ""))


def companions(revision: Revision) -> list[str]:
    """Every path that the program says it walked."""
    return companions_of(revision, revision.program.functions)


def companions_of(revision: Revision, functions: Iterable[str]) -> list[str]:
    """The same of some functions."""
    found: dict[str, None] = {}
    for name in functions:
        fn = revision.program.functions[name]
        for call in _calls(fn.source.tree):
            if _called(call, fn.source.globals) is SOMETIMES:
                found[ast.literal_eval(call.args[0])] = None
    return sorted(found)


def leaf_codes(revision: Revision) -> list[tuple[str, str]]:
    """(leaf, code) for each ENCLS leaf that the program uses."""
    leaves: dict[str, Primitive] = {}
    for fn in revision.program.functions.values():
        for call in _calls(fn.source.tree):
            prim = _called(call, fn.source.globals)
            if isinstance(prim, Primitive) and prim.original.__module__.endswith(".encls"):
                leaves[prim.name] = prim
    return [(name, code) for name in sorted(leaves) for code in _codes(leaves[name])]


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))


def _called(call: ast.Call, names: Mapping[str, object]) -> object:
    assert isinstance(call.func, ast.Name)
    return names.get(call.func.id)


def _codes(prim: Primitive) -> list[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(prim.original)))
    values = [n.value for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value]
    while any(isinstance(v, ast.IfExp) for v in values):
        values = [
            part
            for v in values
            for part in ((v.body, v.orelse) if isinstance(v, ast.IfExp) else (v,))
        ]
    codes = {_code(v) for v in values}
    return [name for code, name in sorted(epcm.NAMES.items()) if code in codes]


def _code(value: ast.expr) -> object:
    if isinstance(value, ast.Constant):
        return value.value
    return vars(epcm).get(value.id) if isinstance(value, ast.Name) else None
