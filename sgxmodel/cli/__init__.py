# SPDX-License-Identifier: GPL-2.0-only
"""The command line.  Exit status: 0 passed, 1 violated, 2 error, 3 inconclusive, 128 + a signal.

One file a command; the names of the commands are given here.
"""

from __future__ import annotations

import click

from sgxmodel import __version__
from sgxmodel.cli.base import Commands
from sgxmodel.cli.check import check_command
from sgxmodel.cli.compare import compare_command
from sgxmodel.cli.listing import list_command
from sgxmodel.cli.mutate import mutate_command
from sgxmodel.cli.replay import replay_command
from sgxmodel.cli.show import show_command


@click.group(
    cls=Commands,
    # click takes out what looks like a colour, unless colours are wanted: we show it instead.
    context_settings={"help_option_names": ["-h", "--help"], "color": True},
)
@click.version_option(__version__, prog_name="sgxmodel")
def main() -> None:
    """Check the Linux SGX EPC reclaimer, and patches to it, by controlled schedules."""


main.add_command(check_command, "check")
main.add_command(compare_command, "compare")
main.add_command(show_command, "show")
main.add_command(replay_command, "replay")
main.add_command(mutate_command, "mutate")
main.add_command(list_command, "list")
