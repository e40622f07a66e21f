# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel mutate`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

import attrs
import click

from sgxmodel.cli.base import INTERRUPTED, Seconds, cores, guarded, trust_option
from sgxmodel.cli.output import exact
from sgxmodel.cli.progress import progress
from sgxmodel.errors import UnknownNameError, UserError
from sgxmodel.mutate import schema
from sgxmodel.mutate.apply import apply
from sgxmodel.mutate.campaign import Campaign, within
from sgxmodel.mutate.catalogue import Mutant, catalogue, operators_named
from sgxmodel.mutate.changed import changed, in_lines
from sgxmodel.mutate.fate import TWO_WAY, Fate, Verdict
from sgxmodel.mutate.judge import Limits, names_of_killers
from sgxmodel.mutate.listed import TREES, reasons
from sgxmodel.mutate.matrix import matrix
from sgxmodel.mutate.processes import Processes, Template
from sgxmodel.mutate.scope import functions_in
from sgxmodel.mutate.show import shortest
from sgxmodel.mutate.store import Store, setting
from sgxmodel.report import mutants as report
from sgxmodel.report import text
from sgxmodel.report.json import dumps
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import MACHINES, SCENARIOS
from sgxmodel.search.verdict import Verdict as Answer
from sgxmodel.tree.build import cache_directory, cell_of, compiler
from sgxmodel.tree.confine import must_be_possible
from sgxmodel.tree.mutants import catalogue as trees
from sgxmodel.tree.mutants.campaign import TreeCampaign
from sgxmodel.tree.mutants.campaign import setting as tree_setting
from sgxmodel.tree.mutants.catalogue import TreeMutant
from sgxmodel.tree.mutants.operators import OPERATORS as C_OPERATORS
from sgxmodel.tree.source import Source, opened
from sgxmodel.tree.target import is_tree
from sgxmodel.twoway.oracle import TwoWay

Mutants = Mapping[str, Mutant | TreeMutant]
MANY = 60
"""Mutants for which it is worth the while to learn first how the clean target looks."""


@click.command()
@click.argument("target")
@click.option("--list", "listing", is_flag=True, help="Name the mutants in scope; run nothing.")
@click.option("--show", metavar="ID", help="A mutant's change, its fate and its shortest trace.")
@click.option("--apply", "applied", metavar="ID", help="Make the change in the source file.")
@click.option("--retest", metavar="ID", help="Decide one mutant anew.")
@click.option("--survivors", is_flag=True, help="Say what is known; run nothing.")
@click.option(
    "-f",
    "--function",
    "functions",
    multiple=True,
    metavar="NAME",
    help="A function, or a group: pass, record, drop, alloc, free, ewb, eldu, load, "
    "release, faults.  [default: all groups]",
)
@click.option("--file", "files", multiple=True, metavar="FILE", help="The functions of a file.")
@click.option(
    "-o",
    "--operator",
    "operators",
    multiple=True,
    metavar="NAME",
    help="An operator ('sgxmodel list operators').  [default: all]",
)
@click.option("--changed", "patch", metavar="REV|PATCH", help="Only lines that this touched.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="N of them, drawn by the seed.")
@click.option(
    "--schedules",
    type=click.IntRange(1, 10**6),
    metavar="N",
    help="Of each scenario, before a mutant is a survivor.  [default: 24; on a tree 600]",
)
@click.option(
    "--seed", type=int, default=0, metavar="N", show_default=True, help="Same seed, same fates."
)
@click.option("--without", multiple=True, metavar="ID", help="An invariant that does not count.")
@click.option(
    "--matrix",
    "thorough",
    is_flag=True,
    help="Look on after a kill; print invariants against operators.",
)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    metavar="N",
    help="Then N mutants of second order: pairs of survivors.",
)
@click.option(
    "--budget",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Wall-clock time; what is not done by then stays undecided.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 1024),
    default=cores,
    metavar="N",
    help="Mutants at a time.  [default: one for each core]",
)
@click.option("--fresh", is_flag=True, help="Decide everything anew.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("sgxmodel-mutants"),
    metavar="DIR",
    show_default=True,
    help="Where results are kept.",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    help="The mutation-testing report schema; '-': to stdout, and nothing else.",
)
@click.option("--html", "html_file", metavar="FILE", help="The same as one offline page.")
@click.option("--elements", metavar="FILE", help=f"Where the page's {schema.COMPONENT} is.")
@trust_option
@guarded
def mutate_command(**options: Any) -> int:
    """If I change this helper, would anything notice?

    Makes small changes to the functions of TARGET, one at a time, and checks
    each.  Exit status: 0 all are noticed or on the list of those that may
    live, 1 others survive, 2 error, 3 not all are decided.
    """
    return _Command(**options).run()


@attrs.define
class _Command:
    target: str
    listing: bool
    show: str | None
    applied: str | None
    retest: str | None
    survivors: bool
    functions: tuple[str, ...]
    files: tuple[str, ...]
    operators: tuple[str, ...]
    patch: str | None
    sample: int | None
    schedules: int | None
    seed: int
    without: tuple[str, ...]
    thorough: bool
    pairs: int | None
    budget: float | None
    jobs: int
    fresh: bool
    results: Path
    json_file: str | None
    html_file: str | None
    elements: str | None
    trusted: bool
    template: Template | None = None

    def run(self) -> int:
        if is_tree(self.target):
            with opened(self.target) as source:
                return self.go(source)
        return self.go(None)

    def go(self, source: Source | None) -> int:
        """One command, on a model or on a tree."""
        script = schema.component(self.elements) if self.html_file else ""
        mutants = self.scope(source)
        if self.listing:
            for mutant in mutants.values():
                click.echo(f"{mutant.id}  {mutant.path}:{mutant.line}: {mutant.what}")
            return 0
        if self.applied:
            mutant = one(mutants, self.applied)
            if isinstance(mutant, TreeMutant):
                exact(mutant.patch())  # a tree is an input: 'git am' takes it
                return 0
            first, last = apply(mutant)
            click.echo(f"{mutant.path}: lines {first} to {last} rewritten: {mutant.what}")
            return 0
        campaign = self.campaign(mutants, source)
        if self.show:
            return self.shown(campaign, one(mutants, self.show))
        if self.retest:
            one(mutants, self.retest)
            campaign.anew(self.retest)
        interrupted = False if self.survivors else self.decide(campaign)
        return self.report(campaign, script, interrupted)

    def scope(self, source: Source | None) -> Mutants:
        """The mutants in scope, by id."""
        mutants: Mutants
        if source is not None:
            mutants = trees.catalogue(
                source, self.files or trees.FILES, self.functions, self.operators or C_OPERATORS
            )
            home = source.root
        else:
            functions = functions_in(revision(self.target), self.functions, self.files)
            mutants = catalogue(functions, operators_named(self.operators))
            home = Path(str(resources.files("sgxmodel")))
        if self.patch:
            lines = changed(self.patch, home)
            mutants = {m.id: m for m in mutants.values() if in_lines(lines, m.path, m.line)}
        if self.sample is not None:
            names = sorted(mutants)
            drawn = set(Random(self.seed).sample(names, min(self.sample, len(names))))
            mutants = {name: mutant for name, mutant in mutants.items() if name in drawn}
        return mutants

    def campaign(self, mutants: Any, source: Source | None) -> Campaign | TreeCampaign:
        killers = names_of_killers() if source is None else (*names_of_killers(), TWO_WAY)
        for name in self.without:
            if name not in killers:
                known = ", ".join(killers)
                raise UnknownNameError(f"there is no invariant '{name}'; there are {known}")
        if source is not None:
            return self.tree_campaign(mutants, source)
        if self.trusted:
            raise UserError("--trust is for kernel trees")
        limits = Limits(self.schedules or 24, self.seed, self.without, self.thorough)
        scenarios = tuple(SCENARIOS.values())
        store = Store(self.results, self.target, setting(scenarios, limits))
        return Campaign(
            revision(self.target), mutants, scenarios, limits, store,
            lambda: Processes(self.jobs, self.template), self.jobs, self.fresh,
        )  # fmt: skip

    def tree_campaign(self, mutants: dict[str, TreeMutant], source: Source) -> TreeCampaign:
        if self.pairs or self.thorough:
            raise UserError("--pairs and --matrix are for the model's revisions")
        if not self.trusted:
            must_be_possible(cell_of(compiler(), cache_directory()))
        scenarios = (*SCENARIOS.values(), *MACHINES.values())
        runs = self.schedules or 600
        beside = TwoWay()
        under = tree_setting(scenarios, runs, self.seed, self.without, beside)
        name = re.sub(r"[^\w.-]+", "-", self.target).strip("-.")
        store = Store(self.results, name, under)
        return TreeCampaign(
            source, mutants, scenarios, runs, self.seed, self.without, store,
            lambda: Processes(self.jobs), self.jobs, self.fresh, beside, self.trusted,
        )  # fmt: skip

    def decide(self, campaign: Campaign | TreeCampaign) -> bool:
        """Run what is to be run.  Whether it was interrupted; what is done is kept."""
        over = within(self.budget)
        if isinstance(campaign, Campaign) and len(campaign.todo()) >= MANY:
            self.template = Template(campaign.learn())
        try:
            return self.decided(campaign, over)
        finally:
            if self.template is not None:
                self.template.close()

    def decided(self, campaign: Campaign | TreeCampaign, over: Callable[[], bool]) -> bool:
        with progress(len(campaign.todo()), "mutants") as bar:
            try:
                for _verdict in campaign.go(over):
                    bar.advance()
                if self.pairs and isinstance(campaign, Campaign) and not over():
                    for pair in campaign.pairs(self.pairs, over):
                        by = ", ".join(pair.killed_by)
                        click.echo(f"{pair.id}: {pair.fate}{': ' + by if by else ''}", err=True)
            except KeyboardInterrupt:
                return True
        return False

    def reasons(self, mutants: Mutants) -> dict[str, str]:
        """Mutant id -> why it may live."""
        of_trees = reasons(TREES)
        found = {} if is_tree(self.target) else reasons(self.target)
        for name, mutant in mutants.items():
            if isinstance(mutant, TreeMutant) and mutant.key() in of_trees:
                found[name] = of_trees[mutant.key()]
        return found

    def shown(self, campaign: Campaign | TreeCampaign, mutant: Mutant | TreeMutant) -> int:
        verdict = campaign.known().get(mutant.id)
        why = self.reasons({mutant.id: mutant}).get(mutant.id, "")
        click.echo("\n".join(report.details(mutant, verdict, why)))
        if isinstance(campaign, TreeCampaign) or isinstance(mutant, TreeMutant):
            if isinstance(mutant, TreeMutant):
                click.echo(f"\non the list of survivors it would be {mutant.key()}")
            click.echo(f"\nsgxmodel mutate {self.target} --apply ID gives the patch")
        elif verdict is not None and verdict.fate is Fate.KILLED:
            trace = shortest(campaign.job(mutant), verdict)
            if trace is not None:
                click.echo("\n" + text.violation(trace, ""))
        return 0

    def report(self, campaign: Campaign | TreeCampaign, script: str, interrupted: bool) -> int:
        known = campaign.known()
        why = self.reasons(campaign.mutants)
        mutants: list[schema.Shown] = list(campaign.mutants.values())
        document = schema.document(self.target, mutants, known, why)
        if self.html_file:
            write(self.html_file, schema.page(document, script))
        if self.json_file == "-":
            click.echo(dumps(document))
        else:
            if self.json_file:
                write(self.json_file, dumps(document, indent=1) + "\n")
            unlisted = [m for m in mutants if m.id not in why] if not self.survivors else mutants
            for line in report.survivors(unlisted, known, why):
                click.echo(line)
            if self.thorough:
                click.echo("\n".join(report.matrix(matrix(known, self.without))))
            alive = [n for n, v in known.items() if v.fate is Fate.SURVIVED]
            note = "interrupted" if interrupted else "the budget ended" if self.budget else ""
            listed = sum(n in why for n in alive)
            lines = report.summary(self.target, len(mutants), known, listed, note)
            click.echo("\n".join(lines))
        return INTERRUPTED if interrupted else status(known, len(mutants), why)


def one(mutants: Mutants, name: str) -> Mutant | TreeMutant:
    """A mutant by its id.  Raises :class:`UnknownNameError`."""
    if name not in mutants:
        raise UnknownNameError(f"there is no mutant '{name}' in scope; --list names them")
    return mutants[name]


def status(known: Mapping[str, Verdict], planned: int, why: Mapping[str, str]) -> int:
    """The exit status: the worst that there is."""
    fates = {v.fate for name, v in known.items() if name not in why}
    if Fate.CRASH in fates:
        return Answer.ERROR.status
    if Fate.SURVIVED in fates:
        return Answer.VIOLATED.status
    return Answer.INCONCLUSIVE.status if len(known) < planned else Answer.PASSED.status


def write(name: str, content: str) -> None:
    """A report file.  Raises :class:`UserError`."""
    try:
        Path(name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{name}: cannot be written: {error.strerror or error}") from None
