# SPDX-License-Identifier: GPL-2.0-only
"""One run over the mutants of a tree: what is known, what is to do, the proof first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from random import Random

import attrs

from sgxmodel.mutate.campaign import SetupError
from sgxmodel.mutate.catalogue import digest
from sgxmodel.mutate.fate import Fate, Verdict, decided
from sgxmodel.mutate.runner import run
from sgxmodel.mutate.store import Store, engine_hash
from sgxmodel.scenario.model import Scenario
from sgxmodel.tree.build import compiler, own_hash
from sgxmodel.tree.mutants.catalogue import TreeMutant
from sgxmodel.tree.mutants.judge import Clean, Oracle, TreeJob, clean_of, judge
from sgxmodel.tree.mutants.syntax import functions, parsed
from sgxmodel.tree.source import Source

HERE = Path(__file__).parents[1]
"""All that a tree is searched by, and mutants judged."""
FORCED_IN = ("main.c", "sgx_free_epc_page")


def setting(
    scenarios: tuple[Scenario, ...],
    runs: int,
    seed: int,
    without: tuple[str, ...],
    oracle: Oracle | None = None,
) -> str:
    """What results depend on beside the mutated function."""
    searched = [f.read_text(encoding="utf-8") for f in sorted(HERE.rglob("*.py"))]
    return digest(
        engine_hash(), own_hash(compiler()), *searched, *map(repr, scenarios),
        repr((runs, seed, without)), "" if oracle is None else oracle.key(),
    )  # fmt: skip


@attrs.define(eq=False, slots=False)
class TreeCampaign:
    """As :class:`sgxmodel.mutate.campaign.Campaign`, for a kernel tree."""

    source: Source
    mutants: dict[str, TreeMutant]
    scenarios: tuple[Scenario, ...]
    runs: int
    seed: int
    without: tuple[str, ...]
    store: Store
    make: Callable[[], Executor]
    width: int
    fresh: bool = False
    oracle: Oracle | None = None
    trusted: bool = False

    def known(self) -> dict[str, Verdict]:
        """Verdicts by mutant id, in the catalogue's order."""
        found = {m.id: self.store.get(self.store.key(m)) for m in self.mutants.values()}
        return {name: verdict for name, verdict in found.items() if verdict is not None}

    def anew(self, name: str) -> None:
        """Only this mutant, and whatever is known of it does not count."""
        self.mutants = {name: self.mutants[name]}
        self.fresh = True

    def todo(self) -> list[TreeMutant]:
        """Mutants without a verdict."""
        known = {} if self.fresh else self.known()
        return [m for m in self.mutants.values() if not decided(known.get(m.id))]

    def go(self, over: Callable[[], bool] = lambda: False) -> Iterator[Verdict]:
        """Decide what is to be decided, drawn by the seed: a run that is cut short is a sample.

        Raises :class:`SetupError`.
        """
        todo = self.todo()
        self.fresh = False
        if not todo:
            return
        Random(self.seed).shuffle(todo)
        self.prove(over)
        by_id = {m.id: m for m in todo}
        for verdict in self._run(map(self.job, todo), over):
            self.store.put(self.store.key(by_id[verdict.id]), verdict)
            yield verdict

    def prove(self, over: Callable[[], bool] = lambda: False) -> None:
        """The tree shows nothing that it was not known to have, and a forced failure does."""
        file, function = FORCED_IN
        content = (self.source.driver / file).read_bytes()
        body = dict(functions(parsed(content)))[function]
        emptied = content[: body.start_byte] + b"{ }" + content[body.end_byte :]
        jobs = [self._job("clean:clean", file, content + b"\n\n", b""),
                self._job("forced:forced", file, emptied, b"")]  # fmt: skip
        jobs[0] = attrs.evolve(jobs[0], clean=attrs.evolve(jobs[0].clean, code=""))
        verdicts = {v.id: v for v in self._run(iter(jobs), over)}
        if over():
            return
        clean, forced = verdicts["clean:clean"], verdicts["forced:forced"]
        if clean.fate is not Fate.SURVIVED:
            raise SetupError(
                f"{self.source.name}: unchanged, it shows what {len(self.scenarios)} scenarios "
                f"did not show before: {', '.join(clean.killed_by)}: {clean.title or clean.why}"
            )
        if forced.fate is not Fate.KILLED:
            raise SetupError(
                f"{self.source.name}: a forced failure ({function}() does nothing) "
                f"is not noticed: {forced.why}"
            )

    def job(self, mutant: TreeMutant) -> TreeJob:
        """A mutant as data."""
        return self._job(mutant.id, mutant.file, mutant.changed(), mutant.trap())

    def _job(self, name: str, file: str, content: bytes, trap: bytes) -> TreeJob:
        return TreeJob(
            name, str(self.source.root), file, content, trap, self.scenarios,
            self.runs, self.seed, self.baseline, self.without, self.trusted,
        )  # fmt: skip

    @cached_property
    def baseline(self) -> Clean:
        """What the clean tree is like."""
        with self.make() as pool:
            return pool.submit(
                clean_of, str(self.source.root), self.scenarios, self.runs, self.seed,
                self.oracle, self.trusted,
            ).result()  # fmt: skip

    def _run(self, jobs: Iterator[TreeJob], over: Callable[[], bool]) -> Iterator[Verdict]:
        return run(jobs, self.make, self.width, over, judge)
