# SPDX-License-Identifier: GPL-2.0-only
"""The driver's files in a kernel tree: found, copied for a patch, never written to."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from sgxmodel.scratch import scratch
from sgxmodel.tree.binding import TreeError

DRIVER = Path("arch/x86/kernel/cpu/sgx")
HEADERS = (Path("arch/x86/include/asm/sgx.h"), Path("arch/x86/include/uapi/asm/sgx.h"))
PARTS = ("main.c", "encl.c", "ioctl.c", "driver.c", "virt.c")
NEEDED = ("sgx.h", "encl.h", *PARTS)
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
    return Source(name or str(path), root)


@contextmanager
def opened(target: str, patches: Sequence[Path] = ()) -> Iterator[Source]:
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
        yield source


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


def _apply(source: Source, patch: Path) -> None:
    if not patch.is_file():
        raise TreeError(f"{patch}: there is no such file")
    before = source.text()
    root = source.root
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent), "LC_ALL": "C"}
    includes = [f"--include={DRIVER}/*", *(f"--include={h}" for h in HEADERS)]
    done = _run(["git", "apply", "-p1", *includes, str(patch.resolve())], cwd=root, env=env)
    if done.returncode:
        raise TreeError(f"{patch}: does not apply: {_first_line(done.stderr)}")
    if source.text() == before:
        raise TreeError(f"{patch}: changes no file of the SGX driver")


def _run(
    command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd=cwd, env=env)
    except FileNotFoundError:
        raise TreeError(f"{command[0]} is needed for this and not installed") from None


def _first_line(output: bytes) -> str:
    text = output.decode("utf-8", "replace").strip()
    return text.splitlines()[0].removeprefix("error: ").removeprefix("fatal: ") if text else "?"
