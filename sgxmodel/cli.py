# SPDX-License-Identifier: GPL-2.0-only
"""The command line.  Exit status: 0 passed, 1 violated, 2 error, 3 inconclusive."""

from __future__ import annotations

import functools
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import attrs
import click

from sgxmodel import __version__
from sgxmodel.errors import ScenarioError, UserError
from sgxmodel.invariants.base import INVARIANTS
from sgxmodel.report import files, json, summary, text
from sgxmodel.report.layout import prose
from sgxmodel.revisions import REVISIONS, revision
from sgxmodel.scenario import catalogue
from sgxmodel.scenario.coverage import coverage
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.text import parse
from sgxmodel.search.record import Answer, replay
from sgxmodel.search.target import DEBUG, Checked, Plan, check_target
from sgxmodel.search.verdict import Verdict, worst
from sgxmodel.trace.text import read

SCENARIO_BYTES_MAX = 1 << 20
INTERRUPTED = 130
MARGIN = 0.6
"""Seconds of the budget for starting up and for the report."""
NAME_COLUMNS = 24
DEFECT = f"a defect of sgxmodel, please report it ({DEBUG}=1 shows where): "


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sgxmodel")
def main() -> None:
    """Check the Linux SGX EPC reclaimer, and patches to it, by controlled schedules."""


# -- what can go wrong ------------------------------------------------------------------------


def _fail(message: str) -> NoReturn:
    click.echo(f"sgxmodel: {message}", err=True)
    sys.exit(Verdict.ERROR.status)


def _guarded(fn: Callable[..., int]) -> Callable[..., None]:
    """Errors become a few lines and a status; the function returns its own status."""

    @functools.wraps(fn)
    def wrapper(**options: Any) -> None:
        try:
            status = fn(**options)
            sys.stdout.flush()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            status = INTERRUPTED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 128 + 13
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            _fail(f"{DEFECT}{type(error).__name__}: {error}")
        sys.exit(status)

    return wrapper


class Seconds(click.FloatRange):
    """A positive, finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


# -- check ------------------------------------------------------------------------------------


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@main.command()
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
@click.option(
    "--traces",
    type=click.Path(path_type=Path),
    default=Path("sgxmodel-traces"),
    metavar="DIR",
    show_default=True,
    help="Where the traces of violations go.",
)
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
    default=_cores,
    metavar="N",
    help="Scenarios at a time.  [default: one for each core]",
)
@click.option(
    "--exhaustive",
    is_flag=True,
    help="Cover every interleaving (small scenarios); ends in HOLDS if it closes.",
)
@click.option("--coverage", "counts", is_flag=True, help="Count all that was seen.")
@_guarded
def check(
    target: str,
    names: tuple[str, ...],
    schedules: int | None,
    seed: int,
    budget: float | None,
    traces: Path,
    json_file: str | None,
    jobs: int,
    exhaustive: bool,
    counts: bool,
) -> int:
    """Run scenarios on TARGET and report which invariants they violate."""
    deadline = None if budget is None else time.monotonic() + budget - min(MARGIN, budget / 4)
    try:
        revision(target)
        scenarios = _scenarios(names)
        files.usable(traces)
        if json_file not in (None, "-"):
            _json_writable(Path(str(json_file)))
    except UserError as error:
        if json_file == "-":
            click.echo(json.document(target, (), str(error), Verdict.ERROR), nl=False)
        raise
    plan = Plan(target, scenarios, schedules, seed, deadline, jobs, exhaustive)
    checked, interrupted = _run(plan)
    entries, problems = files.save(traces, ((c.result, c.traces) for c in checked))
    note = "interrupted" if interrupted else ""
    whole = not names and not interrupted
    if json_file:
        _write_json(json_file, target, entries, note)
    if json_file != "-":
        _print(target, entries, note, counts, whole)
    for problem in problems:
        click.echo(f"sgxmodel: {problem}", err=True)
    return INTERRUPTED if interrupted else worst(e.verdict for e in entries).status


def _scenarios(names: Sequence[str]) -> tuple[Scenario, ...]:
    if not names:
        return tuple(catalogue.SCENARIOS.values())
    chosen: dict[str, Scenario] = {}
    for name in names:
        scenario = _scenario(name)
        if chosen.setdefault(scenario.name, scenario) != scenario:
            raise ScenarioError(f"{name}: there are two scenarios named '{scenario.name}'")
    return tuple(chosen.values())


def _scenario(name: str) -> Scenario:
    if name in catalogue.SCENARIOS or not (os.path.lexists(name) or os.sep in name):
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


def _run(plan: Plan) -> tuple[list[Checked], bool]:
    """All results that there are, in the order of the scenarios; whether it was interrupted."""
    done: list[Checked] = []
    interrupted = False
    with _progress(len(plan.scenarios)) as (advance, runs):
        try:
            for one in check_target(plan, runs):
                done.append(one)
                advance()
        except KeyboardInterrupt:
            interrupted = True
    order = {scenario.name: i for i, scenario in enumerate(plan.scenarios)}
    return sorted(done, key=lambda c: order[c.result.scenario.name]), interrupted


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[], None], Callable[[int, int], None]]]:
    """A bar on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield (lambda: None), (lambda run, planned: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("scenarios"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[runs]}"),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
    with bar:
        task = bar.add_task("", total=total, runs="")
        bar.refresh()
        yield (
            lambda: bar.update(task, advance=1, runs="", refresh=True),
            lambda run, planned: bar.update(task, runs=f"run {run} of {planned}", refresh=True),
        )


def _write_json(name: str, target: str, entries: list[summary.Entry], note: str) -> None:
    verdict = worst([*(e.verdict for e in entries), *([Verdict.INCONCLUSIVE] if note else ())])
    document = json.document(target, entries, note, verdict)
    if name == "-":
        click.echo(document, nl=False)
        return
    try:
        Path(name).write_text(document, encoding="ascii")
    except OSError as error:
        raise UserError(f"{name}: cannot be written: {error.strerror or error}") from None


def _print(target: str, entries: list[summary.Entry], note: str, counts: bool, whole: bool) -> None:
    for one in summary.violations(entries):
        click.echo(f"{one}\n{'=' * 72}\n")
    if counts or (whole and not any(e.found for e in entries)):
        click.echo(summary.coverage(_coverage(target, entries), counts))
    click.echo(summary.summary(target, entries, note), nl=False)


def _coverage(target: str, entries: list[summary.Entry]) -> list[Any]:
    results: Counter[tuple[str, str]] = Counter()
    leaves: Counter[tuple[str, int]] = Counter()
    sometimes: Counter[str] = Counter()
    for entry in entries:
        results.update(entry.result.results)
        leaves.update(entry.result.leaves)
        sometimes.update(entry.result.sometimes)
    scenarios = [entry.result.scenario for entry in entries]
    return list(coverage(revision(target), scenarios, results, leaves, sometimes))


# -- replay -----------------------------------------------------------------------------------


@main.command("replay")
@click.argument("trace", metavar="TRACE", type=click.Path())
@_guarded
def replay_command(trace: str) -> int:
    """Run a trace again by its named steps.

    Exit status: 1 it reproduces, 0 it no longer does, 2 a step cannot be matched.
    """
    old = read(trace)
    result = replay(old)
    what = f"{old.invariant} in {old.function}"
    if result.trace is not None:
        same = "" if result.trace.steps == old.steps else ", by other steps than in the file"
        click.echo(text.violation(result.trace, trace))
        said = f"reproduced: {what}{same}"
    elif result.answer is Answer.GONE:
        said = f"no longer reproduced: {what}"
    else:
        said = f"cannot be replayed: {what}: these steps of the trace did not happen:"
    click.echo("\n".join([*prose(said), *(n for note in result.notes for n in prose(note, 2, 2))]))
    return result.answer.value


# -- list -------------------------------------------------------------------------------------


@attrs.frozen
class _Kind:
    heading: str
    items: Callable[[], list[tuple[str, str]]]


KINDS = {
    "targets": _Kind("Targets", lambda: [(r.name, r.about) for r in REVISIONS.values()]),
    "scenarios": _Kind(
        "Scenarios", lambda: [(s.name, s.about) for s in catalogue.SCENARIOS.values()]
    ),
    "invariants": _Kind(
        "Invariants", lambda: [(i, cls.guarantee) for i, cls in INVARIANTS.items()]
    ),
}


@main.command("list")
@click.argument("what", type=click.Choice(list(KINDS)), required=False)
@_guarded
def list_command(what: str | None) -> int:
    """Name the targets, scenarios and invariants that there are."""
    for kind in (KINDS[what],) if what else KINDS.values():
        if not what:
            click.echo(f"{kind.heading}:")
        for name, about in kind.items():
            click.echo("\n".join(_item(name, about, 2 if what is None else 0)))
        if not what:
            click.echo()
    return 0


def _item(name: str, about: str, indent: int) -> list[str]:
    lines = prose(about, NAME_COLUMNS)
    if len(name) + indent < NAME_COLUMNS and lines:
        lines[0] = f"{' ' * indent}{name:<{NAME_COLUMNS - indent}}{lines[0].strip()}"
        return lines
    return [" " * indent + name, *lines]
