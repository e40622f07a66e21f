# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel replay`."""

from __future__ import annotations

import click

from sgxmodel.cli.base import guarded
from sgxmodel.report import text
from sgxmodel.report.layout import prose
from sgxmodel.search.record import Answer, replay
from sgxmodel.trace.text import read


@click.command()
@click.argument("trace", metavar="TRACE", type=click.Path())
@guarded
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
