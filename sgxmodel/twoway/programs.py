# SPDX-License-Identifier: GPL-2.0-only
"""Programs of one task, drawn by a seed: long, and mostly sensible."""

from __future__ import annotations

from random import Random

from sgxmodel.scenario.model import CallSpec, Scenario, TaskLine

USUAL = ("touch", "touch", "touch", "accept", "accept", "run", "modify-trim", "remove")
ODD = ("add", "modify-tcs", "poison-at", "init", "create", "munmap", "close")


def program(seed: int, length: int = 30) -> Scenario:
    """A configuration and ``length`` calls or a few more.  The same seed, the same program."""
    rng = Random(seed)
    enclaves = tuple((name, rng.randint(1, 5)) for name in "AB"[: rng.randint(1, 2)])
    epc = _epc(rng)
    calls: list[CallSpec] = []
    for name, size in enclaves:
        calls += _life(rng, name, size)
    while len(calls) < length:
        name, size = rng.choice(enclaves)
        calls.append(_call(rng, name, size, sum(epc)))
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
        enclaves=enclaves,
        tasks=(TaskLine("T", tuple(calls), rng.randrange(len(epc))),),
    )


def _epc(rng: Random) -> tuple[int, ...]:
    if rng.random() < 0.6:
        return (rng.randint(4, 16),)
    return (rng.randint(1, 8), rng.randint(1, 8))


def _life(rng: Random, name: str, size: int) -> list[CallSpec]:
    """How a loader builds an enclave; now and then a step is left out."""
    out = [CallSpec("open", (name,)), CallSpec("create", (name,))]
    for page in range(rng.randint(0, size)):
        out.append(CallSpec("add", (name, str(page), rng.choice(("reg", "reg", "reg", "tcs")))))
    out.append(CallSpec("init", (name,)))
    if rng.random() < 0.1:
        del out[rng.randrange(1, len(out))]
    return out


def _call(rng: Random, name: str, size: int, epc: int) -> CallSpec:
    page = str(rng.randrange(size))
    draw = rng.random()
    if draw < 0.3:
        return CallSpec(rng.choice(("reclaim", "reclaim", "direct")))
    if draw < 0.32:
        return CallSpec("poison", (str(rng.randrange(epc)),))
    verb = rng.choice(USUAL) if draw < 0.94 else rng.choice(ODD)
    if verb.startswith("modify-"):
        return CallSpec("modify", (name, page, verb.removeprefix("modify-")))
    if verb == "add":
        return CallSpec("add", (name, page, rng.choice(("reg", "tcs"))))
    if verb in ("init", "create", "munmap", "close"):
        return CallSpec(verb, (name,))
    return CallSpec(verb, (name, page))
