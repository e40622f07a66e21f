# SPDX-License-Identifier: GPL-2.0-only
"""Whether a changed tree still does, in programs of one task, what the model does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from sgxmodel.errors import ScenarioError, TreeError
from sgxmodel.revisions import revision
from sgxmodel.scenario.model import Scenario
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.mutants.judge import Noticed
from sgxmodel.twoway import tree
from sgxmodel.twoway.compare import Pair
from sgxmodel.twoway.programs import program
from sgxmodel.twoway.state import After, Difference

TARGET = "mainline"
PROGRAMS = 300


@attrs.frozen
class TwoWay:
    """As data: it goes to the processes that judge mutants.

    ``agreed``: seed -> hash of what the clean tree gave, of the programs in
    which it and the model are the same.
    """

    programs: int = PROGRAMS
    agreed: tuple[tuple[int, str], ...] = ()

    def learnt(self, engine: Engine) -> TwoWay:
        """Of the clean tree."""
        pair = Pair(revision(TARGET), engine)
        agreed = []
        for seed in range(self.programs):
            scenario = program(seed)
            try:
                if pair.compare(scenario) is None:
                    agreed.append((seed, _hash(tree.run(engine, scenario))))
            except ScenarioError:
                continue  # one of the two has no room for it
        return attrs.evolve(self, agreed=tuple(agreed))

    def key(self) -> str:
        """Hash of what its answers depend on beside the model."""
        here = Path(__file__).parent
        code = [f.read_bytes() for f in sorted(here.glob("*.py"))]
        return hashlib.sha256(b"\0".join(code) + repr(self.programs).encode()).hexdigest()[:16]

    def notices(self, engine: Engine) -> Noticed | None:
        """The first of these programs in which a mutant differs."""
        for seed, before in self.agreed:
            scenario = program(seed)
            try:
                same = _hash(tree.run(engine, scenario)) == before
            except TreeError as error:  # it does not come through the set-up
                return Noticed(str(error), scenario.name)
            if not same:
                return Noticed(self._told_apart(engine, scenario), scenario.name)
        return None

    def _told_apart(self, engine: Engine, scenario: Scenario) -> str:
        found = Pair(revision(TARGET), engine).compare(scenario)
        return "not the same twice" if found is None else said(found)


def said(found: Difference) -> str:
    """A difference in a line."""
    part, model, here = found.parts[0]
    return f"after '{found.call}' {part} is {here or 'empty'}, on the model {model or 'empty'}"


def _hash(afters: list[After]) -> str:
    digest = hashlib.sha256()
    for after in afters:
        digest.update(repr((after.result, sorted(after.state.items()))).encode())
    return digest.hexdigest()[:16]
