# SPDX-License-Identifier: GPL-2.0-only
"""What is printed where: streams that fail, and text of others on a terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from properties.commands import COMMAND
from properties.some_traces import recorded
from properties.tree.trees import trees
from sgxmodel import cli
from sgxmodel.report.json import dumps
from sgxmodel.report.printable import printable
from sgxmodel.trace.text import write
from sgxmodel.tree.source import DRIVER, HEADERS

NASTY = "\x1b[2J\x07\x7f\x9b\u202e\u200b\r"
"""Clears the screen, rings, deletes, clears again, turns letters round, hides, overwrites."""
SCENARIO = "scenario s\nenclave A 2\nabout {}\ntask T: open A\npromise {}\n"
FULL = Path("/dev/full")


def run(folder: Path, *words: str, **how: int) -> subprocess.CompletedProcess[bytes]:
    """To the end; what is not said of a stream is read."""
    env = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.run([*COMMAND, *words], cwd=folder, env=env, check=False, **streams)


# -- streams that fail ------------------------------------------------------------------------

COMMANDS = {
    "help": ("--help",),
    "help of a command": ("check", "-h"),
    "version": ("--version",),
    "list": ("list",),
    "check": ("check", "list_v2", "-s", "init-reclaim", "--schedules", "20"),
    "json": ("check", "list_v2", "-s", "init-reclaim", "--schedules", "20", "--json", "-"),
    "replay": ("replay", "a.trace"),
    "compare": ("compare", "list_v2", "list_v2", "-s", "x-eaug-eaug", "--states", "100"),
    "mutate": ("mutate", "list_fixed", "-f", "drop", "--list"),
}


@pytest.fixture(params=COMMANDS, ids=lambda name: name.replace(" ", "-"))
def words(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, ...]:
    write(tmp_path / "a.trace", recorded("list_v2", "init-reclaim", "1-one-list"))
    return COMMANDS[request.param]


def errors(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """All lines but those that say what is found as it comes."""
    return [n for n in done.stderr.decode().splitlines() if not n.startswith("found: ")]


def says(done: subprocess.CompletedProcess[bytes], why: str) -> None:
    assert errors(done) == [f"sgxmodel: standard output: {why}"]
    assert done.returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        says(run(tmp_path, *words, stdout=full.fileno()), "No space left on device")
    if words[0] == "check" and "-h" not in words:
        assert list((tmp_path / "sgxmodel-traces").iterdir())


def test_a_pipe_that_nobody_reads_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    read, end = os.pipe()
    os.close(read)
    try:
        says(run(tmp_path, *words, stdout=end), "Broken pipe")
    finally:
        os.close(end)


def test_a_closed_descriptor_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    """And no file that is opened gets its number."""
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, *words]
    says(subprocess.run(shell, cwd=tmp_path, capture_output=True), "Bad file descriptor")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_without_standard_error_results_stay(tmp_path: Path, redirected: str) -> None:
    """A message that cannot be said is an error, and no word too much on standard output."""
    for words, status, printed in (
        (("list", "targets"), 0, b"list_fixed"),
        (("list", "nonsense"), 2, b""),
        (("check", "nonsense"), 2, b""),
    ):
        shell = ["sh", "-c", f'exec "$@" {redirected}', "sh", *COMMAND, *words]
        done = subprocess.run(shell, cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stderr) == (status, b"")
        assert printed in done.stdout
        assert bool(done.stdout) == bool(printed)


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_report_is_printed_though_a_file_cannot_be_written(tmp_path: Path) -> None:
    done = run(tmp_path, *COMMANDS["check"], "--json", "/dev/full")
    assert b"VIOLATED" in done.stdout
    assert errors(done) == ["sgxmodel: /dev/full: cannot be written: No space left on device"]
    assert done.returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_file_is_written_though_nothing_can_be_printed(tmp_path: Path) -> None:
    words = (*COMMANDS["check"], "--json", "out.json", "--save-known", "known")
    with FULL.open("w") as full:
        says(run(tmp_path, *words, stdout=full.fileno()), "No space left on device")
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "VIOLATED"
    assert "1-one-list" in (tmp_path / "known").read_text()


# -- text of others ---------------------------------------------------------------------------


def test_what_shows_nothing_is_shown() -> None:
    assert printable(NASTY) == r"\x1b[2J\x07\x7f\x9b\u202e\u200b\x0d"
    assert printable("\udc9b\U000e0041\u2028") == r"\udc9b\U000e0041\u2028"
    assert printable("a line\n\tand Größe, 大, é") == "a line\n        and Größe, 大, é"


def test_json_has_no_control_bytes() -> None:
    text = dumps({"a": NASTY})
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {"a": NASTY}


def _scenario_file(folder: Path) -> tuple[str, ...]:
    (folder / "s").write_text(SCENARIO.format(NASTY.strip(), NASTY.strip()), newline="\n")
    return ("check", "list_fixed", "-s", "./s", "--schedules", "2")


def _broken_scenario(folder: Path) -> tuple[str, ...]:
    (folder / "s").write_text(f"scenario s\n{NASTY}word\n", newline="\n")
    return ("check", "list_fixed", "-s", "./s")


def _scenario_name(folder: Path) -> tuple[str, ...]:
    return ("check", "list_fixed", "-s", f"{NASTY}.scenario")


def _file_name(folder: Path) -> tuple[str, ...]:
    (folder / f"{NASTY}.trace").write_text("no trace")
    return ("replay", f"{NASTY}.trace")


def _bytes_that_are_no_text(folder: Path) -> tuple[str, ...]:
    return ("replay", os.fsdecode(b"\x9b\xff\x1b.trace"))


def _trace_file(folder: Path) -> tuple[str, ...]:
    """Escapes in a trace stand for any character."""
    trace = recorded("list_v2", "init-reclaim", "1-one-list")
    text = trace.scenario_text.replace("about ", f"about {NASTY.strip()}")
    write(folder / "a.trace", attrs.evolve(trace, scenario_text=text, title=NASTY))
    assert (folder / "a.trace").read_text().replace("\n", "").isprintable()
    return ("replay", "a.trace")


def _target(folder: Path) -> tuple[str, ...]:
    return ("check", f"./{NASTY}")


def _usage(folder: Path) -> tuple[str, ...]:
    return ("list", NASTY)


def _option(folder: Path) -> tuple[str, ...]:
    return (f"--{NASTY}",)


def _number(folder: Path) -> tuple[str, ...]:
    return ("check", "list_v2", "--seed", NASTY)


def _known_file(folder: Path) -> tuple[str, ...]:
    (folder / "known").write_text(f"# sgxmodel known violations {NASTY}\n")
    return ("check", "list_v2", "--known", "known")


def _json(folder: Path) -> tuple[str, ...]:
    return (*_scenario_file(folder), "--json", "-")


def _changed(folder: Path) -> tuple[str, ...]:
    return ("mutate", "list_fixed", "--changed", NASTY)


INPUTS = [_scenario_file, _broken_scenario, _scenario_name, _file_name, _bytes_that_are_no_text,
          _trace_file, _target, _usage, _option, _number, _known_file, _json, _changed]  # fmt: skip


def harmless(done: subprocess.CompletedProcess[bytes]) -> str:
    """Its output, which no terminal obeys."""
    text = (done.stdout + done.stderr).decode()
    assert [c for c in text if c != "\n" and not c.isprintable()] == []
    assert "defect" not in text
    return text


@pytest.mark.parametrize("made", INPUTS, ids=lambda made: made.__name__)
def test_no_input_commands_the_terminal(
    tmp_path: Path, made: Callable[[Path], tuple[str, ...]]
) -> None:
    text = harmless(run(tmp_path, *made(tmp_path)))
    assert re.search(r"\\(x|u00)1b", text)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_shown(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = run(tmp_path, "check", "list_v2", "-s", "大\x1b")
    assert done.returncode == 2
    assert rb"\u5927\x1b" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal of its own")
def test_a_terminal_gets_no_more_than_a_file(tmp_path: Path) -> None:
    """click strips colours off files, and lets terminals have them."""
    ours, theirs = os.openpty()
    run(tmp_path, "check", "list_v2", "-s", f"{NASTY}.scenario", stderr=theirs)
    os.close(theirs)
    said = os.read(ours, 1 << 16)
    os.close(ours)
    assert rb"\x1b[2J" in said
    assert b"\x1b" not in said


# -- kernel trees -----------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy that may be changed."""
    if not trees():
        pytest.skip("no kernel tree")
    to = tmp_path / "tree"
    shutil.copytree(trees()[0] / DRIVER, to / DRIVER)
    for header in HEADERS:
        (to / header).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trees()[0] / header, to / header)
    return to


def test_a_compiler_that_quotes_a_line(tmp_path: Path, tree: Path) -> None:
    with (tree / DRIVER / "main.c").open("a", encoding="utf-8", newline="\n") as file:
        file.write(f'\n#error "{NASTY.strip()}"\n')
    done = run(tmp_path, "check", "./tree", "-s", "init-reclaim")
    assert done.returncode == 2
    assert "does not compile" in harmless(done)


def test_patches_names(tmp_path: Path, tree: Path) -> None:
    name = f"{NASTY}.patch"
    (tmp_path / name).write_text("nothing")
    harmless(run(tmp_path, "check", "./tree", "--patch", name, "-s", "init-reclaim"))


def test_a_patch_is_for_git_byte_by_byte_and_for_a_terminal_harmless(
    tmp_path: Path, tree: Path
) -> None:
    main = tree / DRIVER / "main.c"
    text = main.read_text().replace("\tkfree(section);", f"\tkfree(section); /* {NASTY[:-1]} */")
    main.write_text(text, newline="\n")
    listed = run(tmp_path, "mutate", "./tree", "--list").stdout.decode().splitlines()
    harmless(run(tmp_path, "mutate", "./tree", "--list"))
    ours, theirs = os.openpty()
    name = listed[0].split()[0]
    patch = run(tmp_path, "mutate", "./tree", "--apply", name).stdout
    assert b"\t" in patch
    done = subprocess.run(["git", "apply", "--check"], cwd=tree, input=patch, check=False)
    assert done.returncode == 0
    run(tmp_path, "mutate", "./tree", "--apply", name, stdout=theirs)
    assert b"\t" not in os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)


def test_the_runner_of_tests_gets_its_streams_back() -> None:
    before = sys.stdout, sys.stderr
    assert CliRunner().invoke(cli.main, ["list", "targets"]).exit_code == 0
    assert (sys.stdout, sys.stderr) == before
