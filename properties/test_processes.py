# SPDX-License-Identifier: GPL-2.0-only
"""What is left of a command that is killed: no process, nothing in the temporary folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from properties.commands import COMMAND, Run, running, until
from properties.tree.trees import trees
from sgxmodel import processes
from sgxmodel.mutate.processes import Processes, Template
from sgxmodel.scratch import ScratchError, cache, held, scratch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

LONG = ("--schedules", "1000000", "-j", "2")
EXHAUSTIVE = ("check", "list_fixed", "-s", "fault-reclaim", "-s", "remove-reclaim", "--exhaustive",
              "-j", "2")  # fmt: skip
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])


@pytest.fixture
def short() -> Iterator[Path]:
    """A cache with a name that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sgx", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def ends(run: Run, number: signal.Signals) -> None:
    """At once, as a signal to the command alone wants it, and nothing stays behind."""
    status, _, err = run.signal(number)
    assert status == (143 if number == signal.SIGTERM else -number)
    assert err == ""
    until("all have ended", lambda: not run.all())
    assert run.left() == []


def stale(home: Path) -> list[str]:
    """Scratch directories that are there."""
    return sorted(p.parent.name for p in (home / "sgxmodel" / "scratch").glob("*/.lock"))


# -- commands ---------------------------------------------------------------------------------


@BOTH
def test_the_workers_of_a_check_end(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "check", "list_fixed", *LONG) as run:
        until("workers", lambda: len(run.others()) >= 2)
        ends(run, number)


@BOTH
def test_the_processes_of_mutants_end(tmp_path: Path, short: Path, number: signal.Signals) -> None:
    """multiprocessing's two helpers, the template, and one that is at work."""
    with running(tmp_path, "mutate", "list_fixed", "-j", "2", cache=short) as run:
        until("processes", lambda: len(run.others()) >= 4)
        ends(run, number)
        assert len(stale(short)) == (number == signal.SIGKILL)


@pytest.mark.skipif(not trees(), reason="no kernel tree")
@BOTH
@pytest.mark.parametrize("words", [("check",), ("mutate",)])
def test_the_processes_of_a_tree_end(
    tmp_path: Path, short: Path, words: tuple[str, ...], number: signal.Signals
) -> None:
    many = LONG if words == ("check",) else ("-j", "2")
    with running(tmp_path, *words, str(trees()[0]), *many, cache=short) as run:
        built = short / "sgxmodel" / "trees"
        if words == ("check",):
            until("a library", lambda: list(built.glob("*.so")))
        else:  # of its sockets, of the command, and of a process of its
            until("scratch directories", lambda: len(stale(short)) >= 3)
        until("workers", lambda: len(run.others()) >= 2)
        ends(run, number)
        if number == signal.SIGTERM:
            assert stale(short) == []
        else:
            assert stale(short)
    with running(tmp_path, "mutate", str(trees()[0]), "--list", cache=short) as again:
        again.process.communicate()
        assert stale(short) == []


def test_a_terminated_check_says_what_it_has(tmp_path: Path) -> None:
    words = ("check", "list_fixed", "-s", "init-reclaim", "-s", "eaug-eaug", *LONG)
    with running(tmp_path, *words) as run:
        until("workers", lambda: len(run.others()) >= 2)
        status, out, err = run.signal(signal.SIGTERM)
    assert (status, err) == (143, "")
    assert "interrupted" in out


def test_a_terminated_search_leaves_what_can_be_resumed(tmp_path: Path) -> None:
    """Its workers answer, although all of a group get the signal, as by timeout(1)."""
    with running(tmp_path, *EXHAUSTIVE) as run:
        until("workers", lambda: len(run.others()) >= 2)
        time.sleep(2)  # what they have by then does not matter
        os.killpg(run.process.pid, signal.SIGTERM)
        out, err = run.process.communicate()
    assert (run.process.returncode, err) == (143, "")
    assert len(list((tmp_path / "sgxmodel-traces").glob("*.search"))) == 2
    assert "--resume" in out


def test_a_second_signal_ends_a_command_at_once(tmp_path: Path) -> None:
    """Workers that are stopped cannot answer, and the command would wait for their last words."""
    with running(tmp_path, *EXHAUSTIVE) as run:
        until("workers", lambda: len(run.others()) >= 2)
        for pid in run.others():
            os.kill(pid, signal.SIGSTOP)
        run.process.send_signal(signal.SIGTERM)
        caught = Path(f"/proc/{run.process.pid}/status")
        until("it has the first", lambda: not _heeds(caught.read_text(), signal.SIGTERM))
        status, _, _ = run.signal(signal.SIGTERM)
        assert status == -signal.SIGTERM
        until("all have ended", lambda: not run.all())


def _heeds(status: str, number: int) -> bool:
    [mask] = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


# -- processes of processes -------------------------------------------------------------------


def _sleep(_: object) -> None:
    time.sleep(10**6)


def _learn() -> None:
    LEARNT.append(1)


def _known(_: object) -> bool:
    return bool(LEARNT)


LEARNT: list[int] = []


def begin() -> None:
    """A template that has learnt something, and two tasks in processes that it has forked."""
    template = Template(_learn)
    pool = Processes(3, template)
    while not pool.submit(_known, None).result():
        pass
    for _ in range(2):
        pool.submit(_sleep, None)
    print("begun", flush=True)
    time.sleep(10**6)


@BOTH
def test_what_a_template_has_forked_ends(
    tmp_path: Path, short: Path, number: signal.Signals
) -> None:
    program = ("-c", "from properties.test_processes import begin; begin()")
    with running(tmp_path, *program, cache=short, command=COMMAND[:1]) as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline() == "begun\n"
        until("two tasks", lambda: len(run.others()) >= 5)
        run.signal(number)
        until("all have ended", lambda: not run.all())
        assert run.left() == []


def test_where_the_system_does_not_tell_a_child_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_killed_with_parent", lambda: False)
    monkeypatch.setattr(processes, "LOOK", 0.01)
    child = os.fork()
    if child == 0:
        processes.end_with(-1)  # as if the parent had another number by now
        time.sleep(10**6)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_a_child_whose_parent_has_ended_does_not_begin() -> None:
    child = os.fork()
    if child == 0:
        processes.end_with(-1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


# -- scratch directories ----------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache() / "scratch"


def folders(home: Path) -> list[Path]:
    return [p for p in home.iterdir() if p.is_dir()]


def test_a_scratch_directory_is_gone_at_the_end(home: Path) -> None:
    with scratch() as folder:
        (folder / "file").touch()
        assert folders(home) == [folder]
    assert folders(home) == []


def test_only_what_nobody_holds_is_cleared_away(home: Path) -> None:
    old, lock = held()
    (old / "tree").mkdir()
    with scratch() as folder:
        assert set(folders(home)) == {old, folder}
    os.close(lock)
    with scratch() as folder:
        assert folders(home) == [folder]


def test_a_child_that_may_use_a_directory_holds_it(home: Path) -> None:
    old, lock = held()
    child = os.fork()
    if child == 0:
        time.sleep(10**6)
    os.close(lock)
    with scratch():
        assert old in folders(home)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with scratch():
        assert old not in folders(home)


def test_a_directory_is_never_seen_without_its_lock(home: Path) -> None:
    """Whoever makes one keeps the others out until it is locked."""
    home.mkdir(parents=True)
    with open(home / ".lock", "w") as everything:
        fcntl.flock(everything, fcntl.LOCK_EX)
        child = os.fork()
        if child == 0:
            everything.close()  # else it waits for itself
            held()
            os._exit(0)
        time.sleep(0.2)
        assert folders(home) == []
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(folders(home)) == 1


def test_a_cache_that_cannot_be_used_is_named(home: Path) -> None:
    home.parent.write_text("a file")
    with pytest.raises(ScratchError, match=r"scratch: .*XDG_CACHE_HOME"), scratch():
        pass
