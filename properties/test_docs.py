# SPDX-License-Identifier: GPL-2.0-only
"""The documents: lengths, links and command lines."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from sgxmodel.cli import main
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.report.layout import prose
from sgxmodel.scenario import catalogue
from sgxmodel.scenario.model import FAILURES, MACHINE, VERBS

ROOT = Path(__file__).parents[1]
LINES_MAX = {"README.md": 120, "ARCHITECTURE.md": 150}
OWN = ("sgxmodel/tree/README.md", "sgxmodel/tree/findings.md", "CHANGELOG.md")
PAGES = sorted(
    {*(ROOT / name for name in (*LINES_MAX, *OWN)), *ROOT.glob("docs/*.md")}
    | {*ROOT.glob("sgxmodel/revisions/*/README.md")}
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`((?:\S*/)?sgxmodel [^`]+)`|^    (?:.*&& )?((?:\S*/)?sgxmodel .+)$", re.M)
LEFT_OUT = "..."
"""A command with this in it is cut short."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> list[str]:
    """The command lines of a page; what a shell does with them is cut off."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    lines = [" ".join((a or b).split()) for a, b in COMMAND.findall(text)]
    return [line for line in lines if LEFT_OUT not in line]


def parses(words: list[str]) -> None:
    """Raises click's own error for a line that the parser does not take."""
    group = main
    assert isinstance(group, click.Group)
    command = group.commands.get(words[0])
    if command is None:
        assert words[0] in ("--help", "--version"), f"no command {words[0]}"
        return
    if "--help" not in words:
        command.make_context(words[0], words[1:])


@pytest.mark.parametrize("page", LINES_MAX)
def test_the_first_pages_are_short(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= LINES_MAX[page]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=name)
def test_commands_are_what_the_parser_takes(page: Path) -> None:
    for line in commands(page):
        parses(shlex.split(line)[1:])
    for module in re.findall(r"python -m (benchmarks\.\w+)", page.read_text(encoding="utf-8")):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_a_wrong_command_is_noticed() -> None:
    assert any("check list_v2" in line for line in commands(ROOT / "README.md"))
    for line in ("check list_v2 --patience 3", "shew 1", "check", "replay"):
        with pytest.raises((click.ClickException, AssertionError)):
            parses(line.split())


def test_every_word_of_scenarios_is_explained() -> None:
    text = (ROOT / "docs/scenarios.md").read_text(encoding="utf-8")
    said = {part.split()[0] for part in re.findall(r"`([^`]+)`", text)}
    assert {*VERBS, *FAILURES, *MACHINE} - said == set()
    pairs = sum(one.startswith("pair-") for one in catalogue.ALL)
    files, machines = len(catalogue.ALL) - pairs, len(catalogue.MACHINES)
    flat = " ".join(text.split())
    assert f"the {files + pairs + machines} that come with the tool: {files} files" in flat
    assert f"{pairs} made from the table of calls" in flat
    assert f"{machines} that need a kernel tree" in flat


def test_guarantees_are_one_short_sentence() -> None:
    for law in INVARIANTS.values():
        assert len(prose(f"Expected: {law.guarantee}.", 0, 2)) <= 2, law.id
        assert not law.guarantee.endswith(".")
