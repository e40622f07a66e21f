# SPDX-License-Identifier: GPL-2.0-only
"""Decide one mutant of a tree: compile, compare the object code, search, see who reaches it."""

from __future__ import annotations

import hashlib
import resource
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import attrs
from elftools.elf.elffile import ELFFile

from sgxmodel.errors import TreeError, UserError
from sgxmodel.invariants.base import Violation
from sgxmodel.mutate.fate import PROMISE, TWO_WAY, Fate, Verdict
from sgxmodel.scenario.model import Scenario
from sgxmodel.scratch import scratch
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import built_in, cache_directory, compiler
from sgxmodel.tree.cell import CellDied
from sgxmodel.tree.check import Search
from sgxmodel.tree.confine import Library
from sgxmodel.tree.mutants.operators import UNDECIDABLE
from sgxmodel.tree.plan import plan
from sgxmodel.tree.runs import Key, Runner
from sgxmodel.tree.sequential import learn_orders, stands
from sgxmodel.tree.source import copied, find

FIRST = 40
"""Runs of every scenario before the full number of any."""
BASELINE = 20
"""So many times the runs of a mutant are made of the clean tree, to know what it has."""
KEPT = 0.1
"""A promise counts if the clean tree keeps it so often for each run."""


@attrs.frozen
class Noticed:
    """What tells a mutant from the model, and in which program."""

    title: str
    scenario: str


class Oracle(Protocol):
    """What is asked when no invariant objects: see :class:`sgxmodel.twoway.oracle.TwoWay`."""

    def learnt(self, engine: Engine) -> Self:
        """What holds of the clean tree."""

    def key(self) -> str:
        """Hash of what its answers depend on."""

    def notices(self, engine: Engine) -> Noticed | None:
        """Whether it does not hold any more."""


@attrs.frozen(eq=False)
class Clean:
    """What the clean tree is like.

    ``known``: scenario -> the kinds that it has; ``promises``: scenario -> paths that
    it walks so often that it means something if a mutant never does; ``code``: hash
    of its object code.
    """

    code: str
    known: Mapping[str, frozenset[Key]]
    promises: Mapping[str, tuple[str, ...]]
    oracle: Oracle | None = None


@attrs.frozen(eq=False)
class TreeJob:
    """A mutant as data.  ``trap``: the file with a trap where the change is."""

    id: str
    root: str
    file: str
    content: bytes
    trap: bytes
    scenarios: tuple[Scenario, ...]
    runs: int
    seed: int
    clean: Clean
    without: tuple[str, ...] = ()
    trusted: bool = False
    """Whether its driver runs without being confined."""


class Killed(Exception):
    """The mutant was noticed."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


def judge(job: TreeJob) -> Verdict:
    """The fate of a mutant."""
    began = time.process_time()
    try:
        verdict = _judged(job)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.name}:{where.lineno})"
        verdict = Verdict(job.id, Fate.CRASH, why=why)
    spent = time.process_time() - began + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    return attrs.evolve(verdict, seconds=round(spent, 3))


def _judged(job: TreeJob) -> Verdict:
    with scratch() as folder:
        try:
            library, code = compiled(
                Path(job.root), job.file, job.content, folder / "mutant", job.trusted
            )
        except TreeError as error:
            return Verdict(job.id, Fate.STILLBORN, why=str(error).partition(": ")[2])
        if code == job.clean.code:
            return Verdict(job.id, Fate.EQUIVALENT, why="identical object code")
        if job.id.split(":")[1] == UNDECIDABLE:
            return Verdict(
                job.id, Fate.UNDECIDABLE, why="runs are sequentially consistent: not seen here"
            )
        try:
            runs = searched(job, library)
        except Killed as killed:
            return killed.verdict
        except CellDied as error:
            return died(job, error)
        why = "" if reached(job, folder / "trap") else "no scenario comes to this line"
        return Verdict(job.id, Fate.SURVIVED, schedules=runs, why=why)


def compiled(
    root: Path, file: str, content: bytes | None, folder: Path, trusted: bool = False
) -> tuple[Library, str]:
    """(library, hash of the driver's code) of a tree with one file changed."""
    folder.mkdir()
    source = copied(find(root), folder / "tree")
    if content is not None:
        (source.driver / file).write_bytes(content)
    library = built_in(folder, source, compiler(), cache_directory(), trusted)
    return library, code_hash(folder / "unity.o")


def code_hash(path: Path) -> str:
    """Of all that would be loaded: sections with code and data, and their relocations."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        elf = ELFFile(file)
        loaded = {i for i, section in enumerate(elf.iter_sections()) if section["sh_flags"] & 0x2}
        for i, section in enumerate(elf.iter_sections()):
            of_loaded = (
                section["sh_type"] in ("SHT_RELA", "SHT_REL") and section["sh_info"] in loaded
            )
            if (i in loaded and section["sh_type"] != "SHT_NOBITS") or of_loaded:
                digest.update(section.name.encode() + b"\0" + section.data())
    return digest.hexdigest()[:24]


def searched(job: TreeJob, library: Library) -> int:
    """Runs of all scenarios, few first.  Raises :class:`Killed`."""
    engine = Engine(library)
    searches: dict[str, Search] = {}
    total = 0
    for runs in (min(FIRST, job.runs), job.runs):
        for scenario in job.scenarios:
            try:
                runner = Runner(engine, plan(scenario))
            except CellDied:
                raise
            except TreeError as error:  # a call of the set-up fails
                if "15-errno" in job.without:
                    continue
                raise Killed(_setup(job, scenario, str(error), total)) from None
            known = job.clean.known[scenario.name]
            early = [f for f in runner.early if f.violation.key not in known]
            if runner.early:
                _noticed(job, scenario, [f.violation for f in early], total, True)
                continue
            learn_orders(runner)
            search = Search(runner, job.seed)
            if scenario.name in searches:
                search.runs = searches[scenario.name].runs
            searches[scenario.name] = search
            before = search.runs
            search.go(runs, None, None)
            total += search.runs - before
            # As in a check: what seems to come of a race may come of an order not asked yet.
            new = [
                f.violation
                for key, f in search.best.items()
                if key not in known and stands(runner, f)
            ]
            _noticed(job, scenario, new, total, False)
            if runs == job.runs:
                _promised(job, runner, total)
    if job.clean.oracle is not None and TWO_WAY not in job.without:
        _beside(job, job.clean.oracle, engine, total)
    return total


def _promised(job: TreeJob, runner: Runner, total: int) -> None:
    name, seen = runner.plan.scenario.name, runner.seen()
    missing = [p for p in job.clean.promises[name] if not seen[p]]
    if missing and PROMISE not in job.without:
        title = "promised but never seen: " + "; ".join(missing)
        raise Killed(
            Verdict(job.id, Fate.KILLED, (PROMISE,), title=title, scenario=name, schedules=total)
        )


def _beside(job: TreeJob, oracle: Oracle, engine: Engine, total: int) -> None:
    found = oracle.notices(engine)
    if found is not None:
        raise Killed(
            Verdict(
                job.id, Fate.KILLED, (TWO_WAY,), title=found.title, scenario=found.scenario,
                schedules=total,
            )
        )  # fmt: skip


def _setup(job: TreeJob, scenario: Scenario, said: str, total: int) -> Verdict:
    return Verdict(
        job.id, Fate.KILLED, ("15-errno",), title=said, scenario=scenario.name,
        schedules=total, setup=True,
    )  # fmt: skip


def _noticed(
    job: TreeJob, scenario: Scenario, found: Sequence[Violation], total: int, setup: bool
) -> None:
    violations = [v for v in found if v.id not in job.without]
    if violations:
        first = violations[0]
        raise Killed(
            Verdict(
                job.id,
                Fate.KILLED,
                killed_by=tuple(dict.fromkeys(v.id for v in violations)),
                function=first.function,
                title=first.title,
                scenario=scenario.name,
                schedules=total,
                setup=setup,
            )
        )


def reached(job: TreeJob, folder: Path) -> bool:
    """Whether some scenario comes to the change: a trap there is found, or ends a process."""
    try:
        library, _ = compiled(Path(job.root), job.file, job.trap, folder, job.trusted)
    except UserError:
        return True  # nowhere to put a trap: nothing is claimed
    try:
        searched(attrs.evolve(job, runs=FIRST, without=()), library)
    except (Killed, UserError):
        return True
    return False


def clean_of(
    root: str,
    scenarios: tuple[Scenario, ...],
    runs: int,
    seed: int,
    oracle: Oracle | None = None,
    trusted: bool = False,
) -> Clean:
    """What the clean tree is like."""
    with scratch() as folder:
        library, code = compiled(Path(root), "", None, folder / "clean", trusted)
        engine = Engine(library)
        known: dict[str, frozenset[Key]] = {}
        promises: dict[str, tuple[str, ...]] = {}
        for scenario in scenarios:
            runner = Runner(engine, plan(scenario))
            kinds = {f.violation.key for f in runner.early}
            promises[scenario.name] = ()
            if not runner.early:
                learn_orders(runner)
                for more in (seed, seed + 1):
                    search = Search(runner, more)
                    search.go(BASELINE * runs // 2, None, None)
                    kinds |= set(search.best)
                promises[scenario.name] = _kept(runner, scenario, BASELINE * runs)
            known[scenario.name] = frozenset(kinds)
        learnt = None if oracle is None else oracle.learnt(engine)
        return Clean(code, with_races(known), promises, learnt)


def _kept(runner: Runner, scenario: Scenario, runs: int) -> tuple[str, ...]:
    seen = runner.seen()
    return tuple(p for p in scenario.promises if seen.get(p, 0) >= KEPT * runs)


def with_races(known: Mapping[str, frozenset[Key]]) -> dict[str, frozenset[Key]]:
    """A race that the clean tree has in one scenario kills nothing in another.

    It is of two functions, and a mutant that only reclaims more often comes to
    it sooner: nothing else of the mutant is shown by that.
    """
    races = frozenset(key for keys in known.values() for key in keys if key[0].startswith("18-"))
    return {name: keys | races for name, keys in known.items()}


def died(job: TreeJob, error: CellDied) -> Verdict:
    """A driver that took its process down: the kernel would not have lived either."""
    if error.endless:
        by, title = "14-progress", f"a loop without end: {error.why}"
    else:
        by, title = "6-references", str(error)
    return Verdict(job.id, Fate.KILLED, (by,), title=title)
