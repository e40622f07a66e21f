# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees for the tests: named by SGXMODEL_TREES, or from Debian's source packages."""

from __future__ import annotations

import difflib
import os
import shutil
import tarfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sgxmodel.errors import UserError
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.scenario.text import parse
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build, cache_directory, compiler
from sgxmodel.tree.check import Search
from sgxmodel.tree.confine import Library
from sgxmodel.tree.plan import plan
from sgxmodel.tree.runs import Key, Runner
from sgxmodel.tree.sequential import learn_orders
from sgxmodel.tree.source import DRIVER, HEADERS, Source, find


@cache
def trees() -> tuple[Path, ...]:
    named = os.environ.get("SGXMODEL_TREES")
    if named is not None:
        return tuple(Path(p) for p in named.split(os.pathsep) if p)
    return tuple(map(unpacked, sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))))


def unpacked(archive: Path) -> Path:
    """Only the driver's files, once: an archive takes a minute to read.

    Two processes may both do it; what is there under the name is always whole.
    """
    to = cache_directory().parent / "sources" / archive.name.removesuffix(".tar.xz")
    if to.is_dir():
        return to
    to.parent.mkdir(parents=True, exist_ok=True)
    wanted = (f"{DRIVER}/", *map(str, HEADERS))
    with TemporaryDirectory(dir=to.parent) as scratch:
        with tarfile.open(archive) as tar:
            for member in tar:
                member.name = member.name.partition("/")[2]
                if member.isfile() and member.name.startswith(wanted):
                    tar.extract(member, scratch, filter="data")
        fresh = Path(scratch).rename(to.with_name(f".{to.name}.{os.getpid()}"))
        Path(scratch).mkdir()
    try:
        fresh.rename(to)
    except OSError:  # another process was first
        shutil.rmtree(fresh)
    return to


def ids() -> list[str]:
    return [path.name for path in trees()]


@cache
def engine_of(path: Path) -> Engine:
    return Engine(library_of(path))


@cache
def library_of(path: Path) -> Library:
    try:
        return build(find(path), compiler())
    except UserError as error:
        if "compiled" in str(error):
            pytest.skip(str(error))
        raise


def any_tree() -> Path:
    if not trees():
        pytest.skip("no kernel tree: set SGXMODEL_TREES, or install linux-source-6.12")
    return trees()[-1]


def runner(path: Path, name: str) -> Runner:
    """``name``: of a named scenario, or the text of one."""
    made = parse(name) if "\n" in name else scenario(name)
    engine = engine_of(path)
    return Runner(engine, plan(made))


def searched(path: Path, name: str, runs: int, seed: int = 0) -> Search:
    made = runner(path, name)
    learn_orders(made)
    search = Search(made, seed)
    search.go(runs, None, None)
    return search


def first_seen(path: Path, name: str, key: Key, runs: int, seed: int) -> int:
    """The run in which a kind is first seen, ``runs`` if it is not; the search ends there."""
    made = runner(path, name)
    if made.early:
        return 0 if key in {f.violation.key for f in made.early} else runs
    learn_orders(made)
    search = Search(made, seed)

    def stop(said: str) -> None:
        if key in search.first:
            raise StopIteration

    with suppress(StopIteration):
        search.go(runs, None, stop)
    return search.first.get(key, runs)


def kinds(path: Path, name: str, runs: int, seed: int = 0) -> set[Key]:
    early = {f.violation.key for f in runner(path, name).early}
    return early or set(searched(path, name, runs, seed).best)


def edited(source: Path, to: Path, edits: list[tuple[str, str, str]]) -> Path:
    """A copy with (file, old, new) put in; an edit that finds nothing is an error."""
    for file in Source("", source).files():
        target = to / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for name, old, new in edits:
        file = to / DRIVER / name
        text = file.read_text()
        assert old in text, (name, old)
        file.write_text(text.replace(old, new))
    return to


def patch_of(tree: Path, to: Path, old: str, new: str, file: str = "encl.c") -> Path:
    name = f"{DRIVER}/{file}"
    before = (tree / name).read_text()
    assert old in before, old
    after = before.replace(old, new)
    diff = difflib.unified_diff(
        before.splitlines(True), after.splitlines(True), f"a/{name}", f"b/{name}"
    )
    to.write_text("From: somebody\nSubject: [PATCH] x\n\n---\n" + "".join(diff))
    return to
