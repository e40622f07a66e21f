# SPDX-License-Identifier: GPL-2.0-only
"""The driver's files in a kernel tree: found, copied for a patch, never written to."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from sgxmodel.errors import TreeError
from sgxmodel.scratch import scratch
from sgxmodel.trace.events import Patch

DRIVER = Path("arch/x86/kernel/cpu/sgx")
HEADERS = (Path("arch/x86/include/asm/sgx.h"), Path("arch/x86/include/uapi/asm/sgx.h"))
PARTS = ("main.c", "encl.c", "ioctl.c", "driver.c", "virt.c")
NEEDED = ("sgx.h", "encl.h", *PARTS)
PATCH_BYTES_MAX = 1 << 20
INCLUDE = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.MULTILINE)


@attrs.frozen
class Source:
    """The driver in a directory; ``name`` is how the user called it."""

    name: str
    root: Path

    @property
    def driver(self) -> Path:
        return self.root / DRIVER

    def files(self) -> list[Path]:
        """All files that the build reads, in a fixed order."""
        own = sorted(p for p in self.driver.iterdir() if p.suffix in (".c", ".h"))
        return [*own, *(self.root / h for h in HEADERS)]

    def text(self) -> str:
        """Everything, as one text to look for names in."""
        return "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in self.files())

    def includes(self) -> list[str]:
        """The headers that the driver names in angle brackets."""
        return sorted(set(INCLUDE.findall(self.text())))


def find(path: str | Path, name: str | None = None) -> Source:
    """The driver below a directory.  Raises :class:`TreeError` that says what is missing."""
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise TreeError(f"{path}: there is no such directory")
    missing = [str(DRIVER / n) for n in NEEDED if not (root / DRIVER / n).is_file()]
    missing += [str(h) for h in HEADERS if not (root / h).is_file()]
    if missing:
        raise TreeError(f"{path}: not a kernel tree with the SGX driver: no {missing[0]}")
    source = Source(name or str(path), root)
    _must_stay_inside(source)
    return source


def _must_stay_inside(source: Source) -> None:
    """A symbolic link out of the tree would show a file of the user's to whoever wrote it."""
    for file in source.files():
        if not file.resolve().is_relative_to(source.root.resolve()):
            where = file.relative_to(source.root)
            raise TreeError(f"{source.name}: {where} is a symbolic link out of the tree")


@contextmanager
def opened(target: str, patches: Sequence[Patch] = ()) -> Iterator[Source]:
    """A directory, or ``directory@revision`` of git; with patches, a copy that has them."""
    directory, at, revision = target.rpartition("@")
    with scratch() as folder:
        copy = folder / "tree"
        if at and not Path(target).expanduser().is_dir():
            _checkout(Path(directory).expanduser(), revision, copy)
            source = find(copy, target)
        else:
            source = find(target)
            if patches:
                source = copied(source, copy)
        for patch in patches:
            _apply(source, patch)
            _must_stay_inside(source)
        yield source


def identity(target: str, source: Source) -> str:
    """Which tree it is: the commit, and whether its driver is changed; or a hash of the files.

    git is told to run nothing that a repository names.
    """
    directory, at, revision = target.rpartition("@")
    named = at and not Path(target).expanduser().is_dir()
    where = Path(directory if named else target).expanduser()
    git = ["git", "-C", str(where), "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    with suppress(TreeError):
        done = _run([*git, "rev-parse", "--verify", "--end-of-options",
                     f"{revision if named else 'HEAD'}^{{commit}}"])  # fmt: skip
        commit = done.stdout.decode("ascii", "replace").split()
        if not done.returncode and commit:
            paths = [str(DRIVER), *map(str, HEADERS)]
            dirty = not named and _run([*git, "status", "--porcelain", "--", *paths]).stdout
            return f"commit {commit[0]}{', with changes that are not committed' if dirty else ''}"
    digest = hashlib.sha256(source.text().encode("utf-8", "replace")).hexdigest()
    return f"files with SHA-256 {digest[:16]}"


def copied(source: Source, to: Path) -> Source:
    """The driver's files in another place, where they may be changed."""
    for file in source.files():
        target = to / file.relative_to(source.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return Source(source.name, to)


def _checkout(repository: Path, revision: str, to: Path) -> None:
    if not repository.is_dir():
        raise TreeError(f"{repository}: there is no such directory")
    paths = [str(DRIVER), *map(str, HEADERS)]
    # "--end-of-options": a revision that looks like one is still no option.
    done = _run(
        ["git", "-C", str(repository), "archive", "--format=tar", "--end-of-options",
         revision, *paths],
    )  # fmt: skip
    if done.returncode:
        raise TreeError(f"{repository}@{revision}: {_first_line(done.stderr)}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(to, filter="data")


def patch_in(file: Path) -> Patch:
    """A diff or a mail.  Raises :class:`TreeError`."""
    try:
        with file.open("rb") as opened_file:
            data = opened_file.read(PATCH_BYTES_MAX + 1)
    except OSError as error:
        raise TreeError(f"{file}: {error.strerror}") from None
    if len(data) > PATCH_BYTES_MAX:
        raise TreeError(f"{file}: larger than any patch of a driver")
    return Patch(file.name, data.decode("utf-8", "surrogateescape"))


def _apply(source: Source, patch: Patch) -> None:
    before = source.text()
    root = source.root
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent), "LC_ALL": "C"}
    includes = [f"--include={DRIVER}/*", *(f"--include={h}" for h in HEADERS)]
    text = patch.text.encode("utf-8", "surrogateescape")
    done = _run(["git", "apply", "-p1", *includes], cwd=root, env=env, given=text)
    if done.returncode:
        raise TreeError(f"{patch}: does not apply: {_first_line(done.stderr)}")
    if source.text() == before:
        raise TreeError(f"{patch}: changes no file of the SGX driver")


def _run(
    command: list[str],
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    given: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command, capture_output=True, check=False, cwd=cwd, env=env, input=given
        )
    except FileNotFoundError:
        raise TreeError(f"{command[0]} is needed for this and not installed") from None


def _first_line(output: bytes) -> str:
    text = output.decode("utf-8", "replace").strip()
    return text.splitlines()[0].removeprefix("error: ").removeprefix("fatal: ") if text else "?"
