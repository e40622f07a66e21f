# SPDX-License-Identifier: GPL-2.0-only
"""One run over the mutants of a model target: what is known, what is to do, the proof first."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from random import Random

import attrs

from sgxmodel.errors import UserError
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.mutate.apart import learnt
from sgxmodel.mutate.catalogue import Changes, Mutant
from sgxmodel.mutate.cover import Reach, is_small, order, reach, small
from sgxmodel.mutate.fate import Fate, Verdict, decided
from sgxmodel.mutate.judge import Job, Limits
from sgxmodel.mutate.runner import run
from sgxmodel.mutate.scope import reachable
from sgxmodel.mutate.store import Store, setting
from sgxmodel.mutate.walked import needed
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.model import Scenario

CLEAN, FORCED = "clean", "forced"
FORCED_IN = "sgx_free_epc_page"


class SetupError(UserError):
    """The proof of set-up failed: fates would mean nothing."""


@attrs.define(eq=False)
class Campaign:
    """Mutants of one target under given limits, with what is known of them.

    ``make`` and ``width``: the executor.  Iterate over :meth:`go` to run what
    is not known; :meth:`known` is what there is, at any time.
    """

    target: Revision
    mutants: dict[str, Mutant]
    scenarios: Sequence[Scenario]
    limits: Limits
    store: Store
    make: Callable[[], Executor]
    width: int
    fresh: bool = False
    _reaches: list[Reach] = attrs.field(factory=list)
    _closed: tuple[str, ...] = ()
    """The small scenarios: those that the clean target closes."""

    def known(self) -> dict[str, Verdict]:
        """Verdicts by mutant id, in the catalogue's order."""
        found = {m.id: self.store.get(self.store.key(m)) for m in self.mutants.values()}
        return {name: verdict for name, verdict in found.items() if verdict is not None}

    def anew(self, name: str) -> None:
        """Only this mutant, and whatever is known of it does not count."""
        self.mutants = {name: self.mutants[name]}
        self.fresh = True

    def todo(self) -> list[Mutant]:
        """Mutants without a verdict."""
        if self.fresh:
            return list(self.mutants.values())
        known = self.known()
        return [m for m in self.mutants.values() if not decided(known.get(m.id))]

    def go(self, over: Callable[[], bool] = lambda: False) -> Iterator[Verdict]:
        """Decide what is to be decided.  Raises :class:`SetupError`."""
        todo = self.todo()
        self.fresh = False
        if not todo:
            return
        self.prove(over)
        by_id = {m.id: m for m in todo}
        for verdict in run(map(self.job, todo), self.make, self.width, over):
            self.store.put(self.store.key(by_id[verdict.id]), verdict)
            yield verdict

    def prove(self, over: Callable[[], bool] = lambda: False) -> None:
        """The clean target passes, and a forced failure fails.  Raises :class:`SetupError`."""
        source = repr(
            sorted((n, f.source.lineno) for n, f in self.target.program.functions.items())
        )
        text = "".join(ast.dump(f.source.tree) for f in self.target.program.functions.values())
        key = self.store.key_of(CLEAN, source + text)
        proved = self.store.get(key)
        if proved is not None:
            self._closed = proved.closed
            return
        everything = tuple((s, self._promises(s)) for s in self.scenarios)
        jobs = [
            Job(CLEAN, self.target.name, (), everything, self.limits),
            Job(FORCED, self.target.name, self._forced(), everything, self.limits),
        ]
        verdicts = {v.id: v for v in run(jobs, self.make, self.width, over)}
        if over():
            return
        clean, forced = verdicts[CLEAN], verdicts[FORCED]
        if clean.fate is not Fate.SURVIVED:
            by = ", ".join(clean.killed_by) or clean.why
            raise SetupError(
                f"{self.target.name} does not pass before anything is changed: {by} "
                f"({clean.scenario}: {clean.title}); --without leaves an invariant out"
            )
        if forced.fate is not Fate.KILLED:
            raise SetupError(
                f"a forced failure ({FORCED_IN}() does nothing) is not noticed: {forced.why}"
            )
        self._closed = clean.closed
        self.store.put(key, clean)

    def learn(self) -> Callable[[], object]:
        """What a process can find out before its first mutant: how the clean target looks."""
        small = tuple(s.name for s in self.scenarios if is_small(s))
        return partial(learnt, self.target.name, tuple(self.scenarios), small, self.limits.states)

    def _forced(self) -> Changes:
        fn = self.target.program.functions[FORCED_IN].source
        return ((FORCED_IN, emptied(fn)),)

    def job(self, mutant: Mutant) -> Job:
        """A mutant with its scenarios, the likely and cheap ones first."""
        return self._job(mutant.id, (mutant,))

    def _job(self, name: str, mutants: tuple[Mutant, ...]) -> Job:
        names: list[str] = []
        for mutant in mutants:
            callers = [f for f in reachable(self.target).values() if mutant.function in f.calls]
            for scenario in order(self.reaches(), mutant.fn, mutant.line, callers):
                if scenario not in names:
                    names.append(scenario)
        closed = [r for r in self.reaches() if r.scenario in self._closed]
        exact, missing = small(closed, needed(mutants[0].fn, mutants[0].tree()))
        by_name = {s.name: s for s in self.scenarios}
        return Job(
            name,
            self.target.name,
            tuple((m.function, m.tree()) for m in mutants),
            tuple((by_name[n], self._promises(by_name[n])) for n in names),
            self.limits,
            exact if len(mutants) == 1 else (),
            missing,
        )

    def pairs(self, count: int, over: Callable[[], bool] = lambda: False) -> Iterator[Verdict]:
        """Second-order mutants: pairs of survivors of two functions, drawn by the seed.

        A pair of killed ones says little; two that hide each other do.
        """
        known = self.known()
        alive = [m for m in self.mutants.values() if known.get(m.id, NOT).fate is Fate.SURVIVED]
        every = [
            (a, b) for i, a in enumerate(alive) for b in alive[i + 1 :] if a.function != b.function
        ]
        Random(self.limits.seed).shuffle(every)
        jobs = {f"{a.id}+{b.id}": (a, b) for a, b in every[:count]}
        keys = {
            name: self.store.key_of(name, a.source_hash() + b.source_hash())
            for name, (a, b) in jobs.items()
        }
        for name in jobs:
            old = self.store.get(keys[name])
            if old is not None and decided(old):
                yield old
        todo = [self._job(n, jobs[n]) for n in jobs if not decided(self.store.get(keys[n]))]
        for verdict in run(todo, self.make, self.width, over):
            self.store.put(keys[verdict.id], verdict)
            yield verdict

    def reaches(self) -> list[Reach]:
        """What the scenarios come to; found out once."""
        if not self._reaches:
            find = partial(reach_of, self.target.name, seed=self.limits.seed)
            with self.make() as executor:
                self._reaches = list(executor.map(find, self.scenarios))
        return self._reaches

    def _promises(self, scenario: Scenario) -> tuple[str, ...]:
        return next(r.promises for r in self.reaches() if r.scenario == scenario.name)


def reach_of(target: str, scenario: Scenario, seed: int) -> Reach:
    """The same as :func:`reach`, for another process."""
    return reach(revision(target), scenario, seed)


NOT = Verdict("", Fate.STILLBORN)


def emptied(fn: KernelFunction) -> ast.FunctionDef:
    """A function that does nothing."""
    return ast.fix_missing_locations(
        ast.FunctionDef(
            fn.tree.name,
            fn.tree.args,
            [ast.Return(None)],
            [],
            lineno=fn.lineno,
            col_offset=0,
            end_lineno=fn.lineno,
            end_col_offset=0,
        )
    )


def campaign(
    target: Revision,
    mutants: dict[str, Mutant],
    scenarios: Sequence[Scenario],
    limits: Limits,
    store_of: Callable[[str], Store],
    make: Callable[[], Executor],
    width: int,
) -> Campaign:
    """A campaign whose results are kept under all that they depend on."""
    store = store_of(setting(scenarios, limits))
    return Campaign(target, mutants, scenarios, limits, store, make, width)


def within(seconds: float | None) -> Callable[[], bool]:
    """Whether a budget is over."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
