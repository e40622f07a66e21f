# SPDX-License-Identifier: GPL-2.0-only
"""The command as its users have it: a process of its own, with all that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "SGXMODEL_TEST_MARK"
PATIENCE = 120.0
"""Seconds after which a test gives up: no test is about time."""
COMMAND = (sys.executable, "-m", "sgxmodel")


class Run:
    """A command that runs, in a folder with a temporary folder and a cache of its own."""

    def __init__(
        self, folder: Path, words: tuple[str, ...], cache: Path | None, command: tuple[str, ...]
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        env = os.environ | {MARK: self.mark, "TMPDIR": str(self.temporary)}
        env["PYTHONPATH"] = str(Path(__file__).parents[1])
        env["XDG_CACHE_HOME"] = str(cache or folder / "cache")
        self.process = subprocess.Popen(
            [*command, *words], cwd=folder, env=env, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def all(self) -> set[int]:
        """Every process that has come of it, and lives."""
        return set(_marked(f"{MARK}={self.mark}".encode()))

    def others(self) -> set[int]:
        """All but the command itself."""
        return self.all() - {self.process.pid}

    def left(self) -> list[str]:
        """What is in the temporary folder."""
        return sorted(os.listdir(self.temporary))

    def signal(self, number: int) -> tuple[int, str, str]:
        """Send it to the command alone; its status and what it printed."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def running(
    folder: Path, *words: str, cache: Path | None = None, command: tuple[str, ...] = COMMAND
) -> Iterator[Run]:
    """Nothing of it is left after a test that fails."""
    run = Run(folder, words, cache, command)
    try:
        yield run
    finally:
        for pid in run.all():
            os.kill(pid, 9)
        run.process.communicate()


def until(what: str, true: Callable[[], object]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


def _marked(word: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            marked = word in (entry / "environ").read_bytes().split(b"\0")
            if marked and b") Z " not in (entry / "stat").read_bytes():
                yield int(entry.name)
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
