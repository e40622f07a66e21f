# SPDX-License-Identifier: GPL-2.0-only
"""What all commands share: errors in a few lines, a status, options' types."""

from __future__ import annotations

import functools
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from sgxmodel.cli import output, signals
from sgxmodel.errors import UserError
from sgxmodel.search.target import DEBUG
from sgxmodel.search.verdict import Verdict

INTERRUPTED = 130
DEFECT = f"a defect of sgxmodel, please report it ({DEBUG}=1 shows where): "


def fail(message: str) -> NoReturn:
    """Say why nothing could be done, and exit 2."""
    click.echo(f"sgxmodel: {message}", err=True)
    sys.exit(Verdict.ERROR.status)


def guarded(fn: Callable[..., int]) -> Callable[..., None]:
    """Errors become a few lines and a status; the function returns its own status."""

    @functools.wraps(fn)
    def wrapper(**options: Any) -> None:
        try:
            status = fn(**options)
        except UserError as error:
            fail(str(error))
        except KeyboardInterrupt:
            status = INTERRUPTED
        except Exception as error:
            if os.environ.get(DEBUG):
                traceback.print_exc()
            fail(f"{DEFECT}{type(error).__name__}: {error}")
        sys.exit(status)

    return wrapper


trust_option = click.option(
    "--trust",
    "trusted",
    is_flag=True,
    help="Run a kernel tree's driver, and the compiler, with all your rights: not confined.",
)


traces_option = click.option(
    "--traces",
    type=click.Path(path_type=Path),
    default=Path("sgxmodel-traces"),
    metavar="DIR",
    show_default=True,
    help="Where the traces of findings are.",
)


class Commands(click.Group):
    """All commands, with what holds for each word that they print and for their end."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """As click's, which ends by SystemExit."""
        with output.streams() as (out, err), signals.heeded() as interrupt:
            status: Any = 0
            try:
                try:
                    super().main(*args, **extra)
                except SystemExit as ended:
                    status = ended.code
                out.flush()
            except UserError as error:
                click.echo(f"sgxmodel: {error}", err=True)
                out.failed = True
            except KeyboardInterrupt:  # its number says the rest
                pass
            if interrupt.number:
                status = interrupt.status
            sys.exit(Verdict.ERROR.status if out.failed or err.failed else status)


class Seconds(click.FloatRange):
    """A positive, finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
