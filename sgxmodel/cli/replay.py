# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel replay`."""

from __future__ import annotations

from pathlib import Path

import click

from sgxmodel.cli.base import guarded, trust_option
from sgxmodel.errors import UserError
from sgxmodel.report import text
from sgxmodel.report.layout import prose
from sgxmodel.revisions import REVISIONS, revision
from sgxmodel.search import record
from sgxmodel.search.record import Answer, ReplayResult
from sgxmodel.trace.events import Trace
from sgxmodel.trace.text import read
from sgxmodel.tree import replay as tree
from sgxmodel.tree.source import patch_in
from sgxmodel.tree.target import is_tree


@click.command()
@click.argument("trace", metavar="TRACE", type=click.Path())
@click.option("--target", metavar="TARGET", help="Run it on this target instead: does a fix help?")
@click.option(
    "--patch",
    "patches",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of a kernel tree: these patches instead of the trace's.  May be repeated.",
)
@click.option("--cc", metavar="COMMAND", help="The compiler of a kernel tree.")
@trust_option
@guarded
def replay_command(
    trace: str,
    target: str | None,
    patches: tuple[Path, ...],
    cc: str | None,
    trusted: bool,
) -> int:
    """Run a trace again by its named steps.

    Exit status: 1 it reproduces, 0 it no longer does, 2 a step cannot be matched.
    """
    old = read(trace)
    result = _replay(old, target, patches, cc, trusted)
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


def _replay(
    trace: Trace, target: str | None, patches: tuple[Path, ...], cc: str | None, trusted: bool
) -> ReplayResult:
    where = target or trace.target
    if where not in REVISIONS and is_tree(where):
        if target is None and not Path(where.partition("@")[0]).is_dir():
            raise UserError(
                f"{where}: the trace was made there, and there is no such directory; "
                "say --target DIRECTORY"
            )
        return tree.replay(trace, target, tuple(map(patch_in, patches)) or None, cc, trusted)
    for option, given in {"--patch": patches, "--cc": cc, "--trust": trusted}.items():
        if given:
            raise UserError(f"{option} is for kernel trees")
    return record.replay(trace, revision(where))
