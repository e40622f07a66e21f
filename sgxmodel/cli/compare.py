# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel compare`."""

from __future__ import annotations

import time

import click

from sgxmodel.cli.base import INTERRUPTED, Seconds, guarded, trust_option
from sgxmodel.cli.check import named_scenarios
from sgxmodel.cli.progress import progress
from sgxmodel.errors import UserError
from sgxmodel.report import comparison
from sgxmodel.revisions import REVISIONS, Revision, revision
from sgxmodel.revisions.replace import Replacement, replaced
from sgxmodel.scenario import catalogue
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.sequences import sequences
from sgxmodel.search.compare import Bound, Different, Equivalent, compare
from sgxmodel.tree.target import is_tree
from sgxmodel.twoway import compare as twoway
from sgxmodel.twoway import concurrent as concurrently
from sgxmodel.twoway import text as agreement

MEMORY_MB = 4_000
STATUS = {Equivalent: 0, Different: 1}
INCONCLUSIVE = 3


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--replace",
    "replacements",
    multiple=True,
    metavar="FUNCTION=FUNCTION",
    help="In B, do what the second one does, a function or a list helper; may be given again.",
)
@click.option(
    "-s",
    "--scenario",
    "names",
    multiple=True,
    metavar="SCENARIO",
    help="A named scenario, or a file with one; may be given again.  [default: the small ones]",
)
@click.option(
    "--calls",
    type=click.IntRange(0, 6),
    metavar="N",
    help="Also every sequence of N calls of one task.  [default: 3; 0 with -s]",
)
@click.option(
    "--states",
    type=click.IntRange(1, 10**9),
    default=Bound().states,
    metavar="N",
    show_default=True,
    help="Most states of one side of a scenario.",
)
@click.option(
    "--budget",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Wall-clock time of the whole command.  [default: none]",
)
@click.option(
    "--programs",
    type=click.IntRange(1, 10**9),
    default=300,
    metavar="N",
    show_default=True,
    help="Random programs of one task, where B is a kernel tree.",
)
@click.option(
    "--concurrent",
    type=click.IntRange(0, 10**9),
    default=100,
    metavar="N",
    show_default=True,
    help="Random programs of several tasks, where B is a kernel tree.",
)
@click.option("--seed", type=int, default=0, metavar="N", show_default=True, help="The first one.")
@trust_option
@guarded
def compare_command(
    a: str,
    b: str,
    replacements: tuple[str, ...],
    names: tuple[str, ...],
    calls: int | None,
    states: int,
    budget: float | None,
    programs: int,
    concurrent: int,
    seed: int,
    trusted: bool,
) -> int:
    """Say whether users can tell the targets A and B apart, within a bound.

    Where B is a kernel tree the same random programs run on both, one call after
    the other, and the whole state is compared after each; then programs of
    several tasks run on the tree, and the model must be able to do the same.

    Every interleaving of the scenarios is covered.  Compared are results, the
    kernel's complaints, the order of page lists, and which pages are free,
    tracked and isolated.  Exit status: 0 EQUIVALENT, 1 DIFFERENT, 2 an error,
    3 INCONCLUSIVE.
    """
    deadline = None if budget is None else time.monotonic() + budget
    one = revision(a)
    if b not in REVISIONS and is_tree(b):
        fixed = {"--replace": replacements, "-s": names, "--calls": calls is not None}
        for option, given in fixed.items():
            if given:
                raise UserError(f"{option} is for two revisions of the model")
        return _with_tree(
            one, twoway.Plan(b, programs, concurrent, seed, deadline, trusted=trusted)
        )
    if trusted:
        raise UserError("--trust is for kernel trees")
    two = replaced(revision(b), tuple(Replacement.parse(text) for text in replacements))
    length = calls if calls is not None else (0 if names else 3)
    named = named_scenarios(names) if names else _small()
    scenarios = (*sequences(length), *named)
    bound = Bound(states, MEMORY_MB, deadline)
    with progress(len(scenarios)) as bar:

        def step(done: int, planned: int, scenario: Scenario) -> None:
            if done:
                bar.advance()

        answer = compare(one, two, scenarios, bound, step)
    click.echo(comparison.text(answer, one.name, two.name), nl=False)
    if getattr(answer, "interrupted", False):
        return INTERRUPTED
    return STATUS.get(type(answer), INCONCLUSIVE)


def _with_tree(one: Revision, plan: twoway.Plan) -> int:
    engine = twoway.loaded(plan)
    threads = concurrently.Seen()
    with progress(plan.programs + plan.concurrent, "programs") as bar:
        seen = twoway.compare(one, plan, engine, bar.advance)
        if not seen.different and not seen.ended:
            threads = concurrently.compare(one, plan, engine, bar.advance)
    click.echo(agreement.text(seen, threads, one.name, plan.target), nl=False)
    if "interrupted" in (seen.ended, threads.ended):
        return INTERRUPTED
    if seen.different or threads.different:
        return 1
    return INCONCLUSIVE if agreement.why_inconclusive(seen, threads) else 0


def _small() -> tuple[Scenario, ...]:
    return tuple(s for s in catalogue.SCENARIOS.values() if s.small)
