# SPDX-License-Identifier: GPL-2.0-only
"""Programs of one task, drawn by a seed: long, and mostly sensible."""

from __future__ import annotations

from random import Random

import attrs

from sgxmodel.scenario.model import FAILURES, CallSpec, Scenario, TaskLine
from sgxmodel.scenario.text import ARGUMENTS, DESCRIPTORS

USUAL = ("touch", "touch", "touch", "accept", "accept", "run", "modify-trim", "remove")
ODD = ("add", "modify-tcs", "poison-at", "init", "create", "munmap", "close", "restrict",
       "mmap", "munmap-page", "mprotect", "peek", "poke", "provision", "refused")  # fmt: skip
SIZES = (1, 2, 4, 4, 3)
"""ECREATE refuses the last."""
RIGHTS = ("none", "r", "rw", "rwx")


@attrs.frozen
class Cast:
    """Who there is: enclaves with their sizes, a child of the first one, virtual EPCs."""

    enclaves: tuple[tuple[str, int], ...]
    children: tuple[tuple[str, str], ...]
    vepcs: tuple[tuple[str, int], ...]

    def process(self, rng: Random) -> tuple[str, int]:
        """A process, and the size of the enclave that it maps."""
        sizes = dict(self.enclaves)
        family = [*self.enclaves, *((child, sizes[of]) for child, of in self.children)]
        return rng.choice(family)


def program(seed: int, length: int = 32) -> Scenario:
    """A configuration and ``length`` calls or a few more.  The same seed, the same program."""
    rng = Random(seed)
    cast = _cast(rng)
    epc = _epc(rng)
    calls: list[CallSpec] = []
    for name, size in cast.enclaves:
        calls += _life(rng, name, size)
    calls += [CallSpec("vepc-open", (name,)) for name, _ in cast.vepcs]
    while len(calls) < length:
        call = _call(rng, cast, sum(epc))
        calls.append(call)
        if call.verb == "close" and not cast.children and rng.random() < 0.5:
            calls += _life(rng, call.args[0], dict(cast.enclaves)[call.args[0]])
    if cast.children:  # a child is born once
        calls.insert(rng.randrange(len(calls)), CallSpec("fork", ("A", "C")))
    low = rng.randint(1, 4)
    return Scenario(
        f"drawn-{seed}",
        epc=epc,
        scan=rng.randint(1, 4),
        low=low,
        high=low + rng.randint(0, 3),
        va_slots=rng.choice((2, 3, 8)),
        sgx2=rng.random() < 0.85,
        ksgxd=False,
        enclaves=cast.enclaves,
        children=cast.children,
        vepcs=cast.vepcs,
        tasks=(TaskLine("T", tuple(calls), rng.randrange(len(epc))),),
    )


def _cast(rng: Random, sizes: tuple[int, ...] = SIZES) -> Cast:
    enclaves = tuple((name, rng.choice(sizes)) for name in "AB"[: rng.randint(1, 2)])
    children = (("C", "A"),) if rng.random() < 0.3 else ()
    vepcs = (("V", rng.randint(1, 3)), ("W", 1)) if rng.random() < 0.2 else ()
    return Cast(enclaves, children, vepcs)


def _epc(rng: Random) -> tuple[int, ...]:
    if rng.random() < 0.6:
        return (rng.randint(4, 16),)
    return (rng.randint(1, 8), rng.randint(1, 8))


def _pages(rng: Random, size: int) -> str:
    """One page, or now and then a range."""
    first = rng.randrange(size)
    last = rng.randrange(first, size) if rng.random() < 0.3 else first
    return str(first) if first == last else f"{first}-{last}"


def _life(rng: Random, name: str, size: int) -> list[CallSpec]:
    """How a loader builds an enclave; now and then a step is left out."""
    create = "create-debug" if rng.random() < 0.2 else "create"
    out = [CallSpec("open", (name,)), CallSpec(create, (name,))]
    for page in range(rng.randint(0, size)):
        out.append(CallSpec("add", (name, str(page), rng.choice(("reg", "reg", "reg", "tcs")))))
    out.append(CallSpec("init", (name,)))
    if rng.random() < 0.1:
        del out[rng.randrange(1, len(out))]
    return out


def _call(rng: Random, cast: Cast, epc: int) -> CallSpec:
    draw = rng.random()
    if draw < 0.3:
        return CallSpec(rng.choice(("reclaim", "reclaim", "direct")))
    if draw < 0.32:
        return CallSpec("poison", (str(rng.randrange(epc)),))
    if cast.vepcs and draw < 0.5:
        return _guest(rng, cast)
    if cast.children and draw < 0.34:
        return CallSpec("exit", (rng.choice("CCCA"),))
    return _of_process(rng, cast, rng.choice(USUAL) if draw < 0.9 else rng.choice(ODD))


def _of_process(rng: Random, cast: Cast, verb: str) -> CallSpec:
    name, size = cast.process(rng)
    page = str(rng.randrange(size))
    match verb.partition("-")[0]:
        case "modify":
            return CallSpec("modify", (name, _pages(rng, size), verb.removeprefix("modify-")))
        case "add":
            return CallSpec("add", (name, _pages(rng, size), rng.choice(("reg", "tcs"))))
        case "restrict":
            return CallSpec("restrict", (name, _pages(rng, size), rng.choice(("r", "rw", "w"))))
        case "remove":
            return CallSpec("remove", (name, _pages(rng, size)))
        case "mprotect":
            return CallSpec("mprotect", (name, page, rng.choice(RIGHTS)))
        case "provision":
            return CallSpec("provision", (name, rng.choice(DESCRIPTORS)))
        case "refused":
            return CallSpec("refused", (name, rng.choice(ARGUMENTS)))
        case "mmap":
            return CallSpec("mmap", (name, rng.choice(RIGHTS)))
    if verb in ("init", "create", "munmap", "close"):
        return CallSpec(verb, (name,))
    return CallSpec(verb, (name, page))


def _guest(rng: Random, cast: Cast) -> CallSpec:
    name, size = rng.choice(cast.vepcs)
    page = str(rng.randrange(size))
    match rng.randrange(12):
        case 0:
            return CallSpec("vepc-close", (name,))
        case 1:
            return CallSpec("vepc-remove-all", (name,))
        case 2 | 3:
            return CallSpec("guest-touch", (name, page))
        case 4:
            return CallSpec("guest-einit", (name, page))
        case 5 | 6 | 7:
            return CallSpec("guest-ecreate", (name, page))
    other, room = rng.choice(cast.vepcs)
    return CallSpec("guest-eadd", (name, page, other, str(rng.randrange(room))))


RACING = ("touch", "touch", "touch", "accept", "accept", "run", "modify-trim", "remove", "reclaim",
          "reclaim", "direct")  # fmt: skip
RARE = ("add", "modify-tcs", "poison-at", "poison", "init", "create", "munmap", "close", "restrict",
        "mmap", "munmap-page", "mprotect", "peek", "poke", "provision", "refused", "exit", "shrink",
        "signal", "signal")  # fmt: skip


def concurrent(seed: int) -> Scenario:
    """Two or three tasks of one to four calls, after a set-up.  The same seed, the same program."""
    rng = Random(f"tasks {seed}")
    cast = _cast(rng, SIZES[:-1])
    epc = _epc(rng) if rng.random() < 0.5 else (rng.randint(4, 9),)
    setup: list[CallSpec] = []
    for name, size in cast.enclaves:
        setup += _whole_life(rng, name, size)
    setup += [CallSpec("vepc-open", (name,)) for name, _ in cast.vepcs]
    setup += [CallSpec("reclaim") for _ in range(rng.choice((0, 0, 1, 2)))]
    unopened = rng.choice((0, 0, 0, 1)) and [name for name, _ in cast.enclaves[1:]]
    if unopened:  # a loader at work while others run
        setup = [call for call in setup if call.args[:1] != ("B",)]
    names = [f"T{i + 1}" for i in range(rng.choice((2, 2, 3)))]
    tasks = tuple(
        TaskLine(name, _racing(rng, cast, sum(epc), names, name), rng.randrange(len(epc)))
        for name in names
    )
    if cast.children:  # a child is born once
        first = attrs.evolve(tasks[0], calls=(CallSpec("fork", ("A", "C")), *tasks[0].calls))
        tasks = (first, *tasks[1:])
    if unopened:
        life = _whole_life(rng, "B", dict(cast.enclaves)["B"])
        tasks = (*tasks[:-1], attrs.evolve(tasks[-1], calls=tuple(life)))
    low = rng.randint(1, 3)
    return Scenario(
        f"concurrent-{seed}",
        epc=epc,
        scan=rng.randint(1, 4),
        low=low,
        high=low + rng.randint(0, 2),
        va_slots=rng.choice((2, 3, 8)),
        sgx2=rng.random() < 0.9,
        ksgxd=rng.random() < 0.4,
        enclaves=cast.enclaves,
        children=cast.children,
        vepcs=cast.vepcs,
        fail=_failures(rng),
        setup=tuple(setup),
        tasks=tasks,
    )


def _failures(rng: Random) -> tuple[tuple[str, int], ...]:
    """What may fail, once: mostly nothing."""
    if rng.random() < 0.6:
        return ()
    drawn = rng.sample(list(FAILURES), rng.randint(1, 3))
    return tuple((what, 1) for what in drawn)


def _whole_life(rng: Random, name: str, size: int) -> list[CallSpec]:
    """A loader that makes no mistake, up to a point."""
    out = [CallSpec("open", (name,)), CallSpec("create", (name,))]
    added = range(rng.randint(0, size))
    for page in added:
        out.append(CallSpec("add", (name, str(page), rng.choice(("reg", "reg", "reg", "tcs")))))
    out.append(CallSpec("init", (name,)))
    return out if rng.random() < 0.85 else out[: rng.randint(1, len(out))]


def _racing(rng: Random, cast: Cast, epc: int, names: list[str], me: str) -> tuple[CallSpec, ...]:
    if rng.random() < 0.25:
        return _phrase(rng, cast)
    return tuple(_racing_call(rng, cast, epc, names, me) for _ in range(rng.randint(1, 4)))


def _phrase(rng: Random, cast: Cast) -> tuple[CallSpec, ...]:
    """Calls that mean something together, and may get far only together."""
    size = cast.enclaves[0][1]
    page, pages = str(rng.randrange(size)), f"0-{size - 1}" if size > 1 else "0"
    V, W = (cast.vepcs[0][0], cast.vepcs[-1][0]) if cast.vepcs else ("", "")
    phrases = [
        f"modify A {pages} trim; accept A {page}; remove A {pages}",
        f"modify A {page} trim; accept A {page}; remove A {page}",
        f"accept A {page}; modify A {page} tcs; accept A {page}; peek A {page}",
        f"accept A {page}; restrict A {pages} r; accept A {page}; poke A {page}",
        f"add A {pages} reg; init A",
        f"add A {pages} tcs; add A {page} reg",
        f"munmap A; mmap A rw; touch A {page}",
        f"mprotect A {page} r; touch A {page}; mprotect A {page} rwx",
    ]
    if cast.vepcs:
        phrases += [
            f"guest-ecreate {V} 0; guest-eadd {W} 0 {V} 0; guest-einit {V} 0; vepc-close {V}",
            f"guest-ecreate {V} 0; guest-eadd {W} 0 {V} 0; vepc-remove-all {V}",
            f"vepc-close {V}; guest-touch {V} 0",
            f"vepc-remove-all {W}; guest-ecreate {W} 0; vepc-remove-all {W}; vepc-close {W}",
        ] * 2
    calls = [words.split() for words in rng.choice(phrases).split("; ")]
    return tuple(CallSpec(verb, tuple(args)) for verb, *args in calls)


def _racing_call(rng: Random, cast: Cast, epc: int, names: list[str], me: str) -> CallSpec:
    if cast.vepcs and rng.random() < 0.3:
        return _guest(rng, cast)
    verb = rng.choice(RACING if rng.random() < 0.75 else RARE)
    match verb:
        case "reclaim" | "direct" | "shrink":
            return CallSpec(verb)
        case "poison":
            return CallSpec(verb, (str(rng.randrange(epc)),))
        case "signal":
            return CallSpec(verb, (rng.choice([n for n in names if n != me]),))
        case "exit":
            return CallSpec(verb, (cast.process(rng)[0],))
    return _of_process(rng, cast, verb)
