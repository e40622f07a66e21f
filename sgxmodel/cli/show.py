# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel show`."""

from __future__ import annotations

from pathlib import Path

import click

from sgxmodel.cli.base import guarded, traces_option
from sgxmodel.report import files, text
from sgxmodel.trace.text import read


@click.command()
@click.argument("what", metavar="N|TRACE")
@traces_option
@guarded
def show_command(what: str, traces: Path) -> int:
    """Show one finding, fit for a mail: of the newest check by its number, or a trace file."""
    path = str(files.remembered(traces, int(what))) if what.isdecimal() else what
    click.echo(text.violation(read(path), path), nl=False)
    return 0
