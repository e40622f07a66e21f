# SPDX-License-Identifier: GPL-2.0-only
"""`sgxmodel list`."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import click

from sgxmodel.cli.base import guarded
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.mutate.operators import OPERATORS
from sgxmodel.report.layout import prose
from sgxmodel.revisions import REVISIONS
from sgxmodel.scenario import catalogue

NAME_COLUMNS = 24


@attrs.frozen
class _Kind:
    heading: str
    items: Callable[[], list[tuple[str, str]]]


KINDS = {
    "targets": _Kind("Targets", lambda: [(r.name, r.about) for r in REVISIONS.values()]),
    "scenarios": _Kind(
        "Scenarios",
        lambda: [(s.name, s.about) for s in (catalogue.ALL | catalogue.MACHINES).values()],
    ),
    "invariants": _Kind(
        "Invariants", lambda: [(i, cls.guarantee) for i, cls in INVARIANTS.items()]
    ),
    "operators": _Kind(
        "Mutation operators", lambda: [(o.name, o.about) for o in OPERATORS.values()]
    ),
}


@click.command()
@click.argument("what", type=click.Choice(list(KINDS)), required=False)
@guarded
def list_command(what: str | None) -> int:
    """Name the targets, scenarios, invariants and mutation operators that there are."""
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
