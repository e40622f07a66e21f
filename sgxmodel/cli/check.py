# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel check`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from sgxmodel.cli.base import INTERRUPTED, Seconds, cores, guarded, traces_option, trust_option
from sgxmodel.cli.progress import progress
from sgxmodel.errors import ScenarioError, UserError
from sgxmodel.report import files, json, screen, summary
from sgxmodel.revisions import REVISIONS, known_of, revision
from sgxmodel.scenario import catalogue
from sgxmodel.scenario.coverage import Row, call_coverage, coverage
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search import known, resume
from sgxmodel.search.target import MEMORY_MB, Plan, check_target
from sgxmodel.search.verdict import Checked, Verdict, worst
from sgxmodel.tree.plan import runnable
from sgxmodel.tree.source import patch_in
from sgxmodel.tree.target import Learnt, TreePlan, check_tree, is_tree

SCENARIO_BYTES_MAX = 1 << 20
MARGIN = 2.2
"""Seconds of the budget for starting up and for the report."""


@click.command()
@click.argument("target")
@click.option(
    "-s",
    "--scenario",
    "names",
    multiple=True,
    metavar="SCENARIO",
    help="A named scenario, or a file with one; may be given again.  [default: all]",
)
@click.option(
    "--schedules",
    type=click.IntRange(1, 10**9),
    metavar="N",
    help="Schedules per scenario.  [default: each scenario's own number]",
)
@click.option(
    "--seed", type=int, default=0, metavar="N", show_default=True, help="Same seed, same run."
)
@click.option(
    "--budget",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Wall-clock time of the whole command.  [default: none]",
)
@traces_option
@click.option(
    "--json",
    "json_file",
    type=click.Path(),
    metavar="FILE",
    help="Write one JSON object; '-': to stdout, and nothing else there.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 1024),
    default=cores,
    metavar="N",
    help="Scenarios at a time.  [default: one for each core]",
)
@click.option(
    "--exhaustive",
    is_flag=True,
    help="Cover every interleaving (small scenarios); ends in HOLDS if it closes.",
)
@click.option(
    "--no-reduction",
    is_flag=True,
    help="With --exhaustive: one step an operation, for those who do not trust reductions.",
)
@click.option(
    "--memory",
    type=click.IntRange(50, 10**6),
    default=MEMORY_MB,
    metavar="MB",
    show_default=True,
    help="With --exhaustive: past it a search is INCONCLUSIVE; each job has as much.",
)
@click.option(
    "--resume",
    "unfinished",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --exhaustive: go on with a search that was cut short.  May be repeated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also each finding in full, and each scenario.")
@click.option("--coverage", "counts", is_flag=True, help="Count all that was seen.")
@click.option(
    "--patch",
    "patches",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Apply a diff or mail to a copy of the tree; only what is new counts.  May be repeated.",
)
@click.option(
    "--known",
    "known_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Kinds of violations that do not count, as --save-known wrote them.",
)
@click.option(
    "--save-known",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write down the kinds of violations that were found.",
)
@click.option(
    "--cc",
    metavar="COMMAND",
    help="The compiler of a kernel tree.  [default: $CC, gcc or clang]",
)
@trust_option
@guarded
def check_command(
    target: str,
    names: tuple[str, ...],
    schedules: int | None,
    seed: int,
    budget: float | None,
    traces: Path,
    json_file: str | None,
    jobs: int,
    exhaustive: bool,
    no_reduction: bool,
    memory: int,
    unfinished: tuple[Path, ...],
    verbose: bool,
    counts: bool,
    patches: tuple[Path, ...],
    known_file: Path | None,
    save_known: Path | None,
    cc: str | None,
    trusted: bool,
) -> int:
    """Run scenarios on TARGET and report which invariants they violate.

    TARGET is a revision of the model ('sgxmodel list targets'), the directory of a
    kernel tree, or DIRECTORY@REVISION of a git repository; a directory is never
    written to.
    """
    deadline = None if budget is None else time.monotonic() + budget - min(MARGIN, 0.4 * budget)
    try:
        tree = _is_tree(target)
        only_for(
            tree, {"--patch": patches, "--cc": cc, "--trust": trusted}, {"--exhaustive": exhaustive}
        )
        for option, value in {"--no-reduction": no_reduction, "--resume": unfinished}.items():
            if value and not exhaustive:
                raise UserError(f"{option} is for --exhaustive")
        scenarios = named_scenarios(names, tree)
        left: tuple[str, ...] = ()
        if tree and not names:
            scenarios, left = runnable(scenarios)
        mails = tuple(map(patch_in, patches))
        files.usable(traces)
        searches = tuple(resume.read(f, target, scenarios, not no_reduction) for f in unfinished)
        old = known.read(known_file) if known_file else frozenset()
        if save_known:
            known.writable(save_known)
        if json_file not in (None, "-"):
            _json_writable(Path(str(json_file)))
    except UserError as error:
        if json_file == "-":
            click.echo(json.document(target, (), str(error), Verdict.ERROR), nl=False)
        raise
    base = None if tree else _base(target, not names)
    if tree:
        learnt = Learnt()
        tree_plan = TreePlan(target, scenarios, mails, schedules, seed, deadline, jobs, cc, trusted)
        checked, interrupted = _run_tree(tree_plan, learnt, old.__contains__, json_file)
        if patches and learnt.base is not None:
            base = screen.Base("the tree without the patch", learnt.base, left_out=True)
        _tell(learnt.unseen, trusted, left if verbose else ())
    else:
        plan = Plan(
            target,
            scenarios,
            schedules,
            seed,
            deadline,
            jobs,
            exhaustive,
            reduction=not no_reduction,
            memory_mb=memory,
            unfinished=searches,
        )
        checked, interrupted = _run(
            len(scenarios),
            scenarios,
            lambda runs: check_target(plan, runs),
            lambda key: key in old or (base is not None and base.has(key)),
            quiet=json_file == "-",
        )
    kinds = known.kinds(checked)
    checked = [known.without(c, old) for c in checked]
    entries, problems = files.save(traces, target, ((c.result, c.traces) for c in checked))
    note = "interrupted" if interrupted else ""
    found = screen.ordered(entries, base)
    document = _json(target, entries, note, counts) if json_file else ""
    # Standard output comes last, and a file that cannot be written does not keep it back.
    lost = _problem(files.remember, traces, [f.path for f in found])
    if save_known and not interrupted:
        lost += _problem(known.write, save_known, kinds)
    if json_file not in (None, "-"):
        lost += _problem(_write, Path(str(json_file)), document)
    if json_file == "-":
        click.echo(document, nl=False)
    else:
        if verbose:
            _print_all(target, entries, note)
        if counts:
            click.echo(summary.coverage(_coverage(target, entries), True))
            if tree:
                click.echo(summary.OF_A_TREE)
        names_of_patches = tuple(map(str, patches))
        shown = screen.Screen(target, names_of_patches, entries, base, note, len(left))
        click.echo(shown.text(), nl=False)
    for problem in (*problems, *lost):
        click.echo(f"sgxmodel: {problem}", err=True)
    if lost:
        return Verdict.ERROR.status
    return INTERRUPTED if interrupted else worst(e.verdict for e in entries).status


def _is_tree(target: str) -> bool:
    """A revision's name comes first.  Raises for what is neither."""
    if target not in REVISIONS and is_tree(target):
        return True
    revision(target)
    return False


def only_for(tree: bool, trees: dict[str, Any], models: dict[str, Any]) -> None:
    """Options that do not fit the target are errors, not ignored."""
    for option, given in (models if tree else trees).items():
        if given:
            what = "revisions of the model" if tree else "the directory of a kernel tree"
            raise UserError(f"{option} is for {what}")


def named_scenarios(names: Sequence[str], tree: bool = False) -> tuple[Scenario, ...]:
    """The scenarios of these names or files, all of the model's or a tree's if none is given."""
    if not names:
        every = catalogue.ALL | catalogue.MACHINES if tree else catalogue.ALL
        return tuple(every.values())
    chosen: dict[str, Scenario] = {}
    for name in names:
        scenario = _scenario(name)
        if chosen.setdefault(scenario.name, scenario) != scenario:
            raise ScenarioError(f"{name}: there are two scenarios named '{scenario.name}'")
    return tuple(chosen.values())


def _scenario(name: str) -> Scenario:
    if (
        name in catalogue.ALL
        or name in catalogue.MACHINES
        or not (os.path.lexists(name) or os.sep in name)
    ):
        return catalogue.scenario(name)
    try:
        with open(name, "rb") as file:
            data = file.read(SCENARIO_BYTES_MAX + 1)
    except OSError as error:
        raise ScenarioError(f"{name}: {error.strerror or error}") from None
    if len(data) > SCENARIO_BYTES_MAX:
        raise ScenarioError(f"{name}: too large for a scenario")
    try:
        return parse(data.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise ScenarioError(f"{name}: not a scenario: not UTF-8 text") from None


def _json_writable(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: is a directory: --json needs a file, or '-' for stdout")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UserError(f"{path}: cannot be written: give --json another file")


Results = Callable[[Callable[[str], None]], Iterable["Checked | None"]]


def _run(
    total: int,
    scenarios: Sequence[Scenario],
    results: Results,
    old: Callable[[known.Key], bool],
    learnt: Learnt | None = None,
    quiet: bool = False,
) -> tuple[list[Checked], bool]:
    """All results that there are, in the order of the scenarios; whether it was interrupted.

    What is found first is said at once, but for what is ``old``.
    """
    done: list[Checked] = []
    said: set[known.Key] = set()
    interrupted = False
    with progress(total, quiet=quiet) as bar:
        try:
            if learnt is not None:
                bar.at(learnt.phase)
            for one in results(bar.how_far):
                if learnt is not None:
                    bar.at(learnt.phase)
                bar.advance(0 if one is None else one.result.evidence.runs)
                if one is None:
                    continue
                done.append(one)
                for trace in one.traces:
                    if trace.key not in said and not old(trace.key):
                        said.add(trace.key)
                        bar.found(screen.in_a_line(trace))
        except KeyboardInterrupt:
            interrupted = True
    order = {scenario.name: i for i, scenario in enumerate(scenarios)}
    return sorted(done, key=lambda c: order[c.result.scenario.name]), interrupted


def _base(target: str, whole: bool) -> screen.Base | None:
    """What a revision is laid over, and what a check of that is known to find."""
    changed = revision(target)
    path = known_of(changed.before)
    if not path.is_file():
        return None
    return screen.Base(changed.before, known.read(path), whole, changed.renamed)


def _run_tree(
    plan: TreePlan, learnt: Learnt, old: Callable[[known.Key], bool], json_file: str | None
) -> tuple[list[Checked], bool]:
    """With patches each scenario is run on the tree without them first."""
    total = len(plan.scenarios) * (2 if plan.patches else 1)
    try:
        return _run(
            total,
            plan.scenarios,
            lambda runs: check_tree(plan, learnt),
            old,
            learnt,
            json_file == "-",
        )
    except UserError as error:
        if json_file == "-":
            click.echo(json.document(plan.target, (), str(error), Verdict.ERROR), nl=False)
        raise


def _tell(unseen: tuple[str, ...], trusted: bool, left: tuple[str, ...]) -> None:
    """What was not looked at."""
    for what in unseen:
        click.echo(f"sgxmodel: {what}: the checks do not see what it does", err=True)
    if trusted:
        click.echo("sgxmodel: --trust: the driver ran with all your rights", err=True)
    for why in left:
        click.echo(f"sgxmodel: left out: {why}", err=True)


def _json(target: str, entries: list[summary.Entry], note: str, counts: bool) -> str:
    verdict = worst([*(e.verdict for e in entries), *([Verdict.INCONCLUSIVE] if note else ())])
    seen = _coverage(target, entries) if counts else None
    return json.document(target, entries, note, verdict, seen)


def _problem(write: Callable[..., None], *args: Any) -> list[str]:
    """What goes wrong there, if something does."""
    try:
        write(*args)
    except UserError as error:
        return [str(error)]
    return []


def _write(file: Path, document: str) -> None:
    try:
        file.write_text(document, encoding="ascii")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror or error}") from None


def _print_all(target: str, entries: list[summary.Entry], note: str) -> None:
    """Each finding, and a line for each scenario."""
    for one in summary.violations(entries):
        click.echo(f"{one}\n{'=' * 72}\n")
    click.echo(summary.summary(target, entries, note), nl=False)
    click.echo(f"\n{'=' * 72}\n")


def _coverage(target: str, entries: list[summary.Entry]) -> list[Row]:
    results: Counter[tuple[str, str]] = Counter()
    leaves: Counter[tuple[str, int]] = Counter()
    sometimes: Counter[str] = Counter()
    raced: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        results.update(entry.result.results)
        leaves.update(entry.result.leaves)
        sometimes.update(entry.result.sometimes)
        raced.update(entry.result.raced)
    scenarios = [entry.result.scenario for entry in entries]
    if target not in REVISIONS:
        return call_coverage(scenarios, results)
    return list(coverage(revision(target), scenarios, results, leaves, sometimes, raced))
