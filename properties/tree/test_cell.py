# SPDX-License-Identifier: GPL-2.0-only
"""What a stranger's driver tries, while it is compiled, loaded or run: refused, and told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from properties.tree.trees import any_tree, edited, library_of, patch_of, runner
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.tree import cell
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build, cache_directory, cell_of, compiler
from sgxmodel.tree.cell import CellDied
from sgxmodel.tree.confine import confined
from sgxmodel.tree.plan import plan
from sgxmodel.tree.source import DRIVER, find

PLACE = "static int ksgxd(void *p)\n{\n"
"""Where code is put into main.c: before this function, and at its beginning."""
SCENARIO = "x-fault-reclaim"


@attrs.frozen
class Try:
    """Code at file level and in a function that runs; ``$`` is a file that must not come to be.

    ``says``: what the check says of it; ``status``: its exit status.
    """

    before: str = ""
    within: str = ""
    says: str = ""
    status: int = 1


OPEN = 'extern int open(const char *, int, ...);\n#define ESCAPE() open("$", 0101, 0600)\n'
"""O_CREAT | O_WRONLY."""
RAW = """
static long raw(long n, long a, long b, long c)
{
    long ret;

    __asm__ volatile("%s" : "=a"(ret)
                     : "0"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return ret;
}
"""
UNSEEN = '__attribute__((no_sanitize("thread"))) static'
TRIES = {
    "write-home": Try(OPEN, "ESCAPE();", "the driver calls openat()"),
    "constructor": Try(
        OPEN + "__attribute__((constructor)) static void early(void) { ESCAPE(); }\n",
        "",
        "the driver calls openat() when it is loaded",
    ),
    "ifunc": Try(
        RAW.replace("static", UNSEEN, 1) % "syscall" + "static void never(void) { }\n"
        f'{UNSEEN} void *resolve(void) {{ raw(2, (long)"$", 0101, 0600); return never; }}\n'
        'void chosen(void) __attribute__((ifunc("resolve")));\n',
        "chosen();",
        "the driver calls open() when it is loaded",
    ),
    "destructor": Try(
        OPEN + "__attribute__((destructor)) static void late(void) { ESCAPE(); }\n",
        "",
        "code that runs when the driver is unloaded",
        3,
    ),
    "silent-constructor": Try(
        "static int made;\n__attribute__((constructor)) static void early(void) { made = 1; }\n",
        "",
        "code that runs when the driver is loaded: the checks do not see what it does",
        3,
    ),
    "raw": Try(
        RAW % "syscall",
        'raw(2, (long)"$", 0101, 0600);',
        "the driver calls open()",
    ),
    "hidden-assembly": Try(
        "#define PASTE(a, b) a##b\n",
        'PASTE(__as, m__) volatile("nop");',
        "inline assembly: the checks do not see what it does",
        3,
    ),
    "another-abi": Try(
        RAW % "int $0x80",
        "raw(20, 0, 0, 0);",
        "the driver calls system call 20 of another ABI",
    ),
    "x32": Try(
        RAW % "syscall",
        "raw(0x40000000 + 39, 0, 0, 0);",
        "the driver calls system call 1073741863 of another ABI",
    ),
    "fork-bomb": Try(
        "extern int fork(void);\n",
        "for (;;)\n\t\tfork();",
        "the driver calls clone()",
    ),
    "kill-parent": Try(
        "extern int kill(int, int);\nextern int getppid(void);\n",
        "kill(getppid(), 9);",
        "the driver calls getppid()",
    ),
    "kill-all": Try("extern int kill(int, int);\n", "kill(-1, 9);", "the driver calls kill()"),
    "socket": Try(
        "extern int socket(int, int, int);\n",
        "socket(2, 1, 0);",
        "the driver calls socket()",
    ),
    "exec": Try(
        "extern int execl(const char *, const char *, ...);\n",
        'execl("/bin/touch", "touch", "$", (char *)0);',
        "the driver calls execve()",
    ),
    "exit": Try("extern void exit(int);\n", "exit(0);", "the driver calls exit_group()"),
    "forged-reply": Try(
        "extern long write(int, const void *, unsigned long);\n",
        'char r[24] = "";\n\tfor (int fd = 0; fd < 64; fd++)\n\t\twrite(fd, r, sizeof(r));',
        "the driver calls write()",
    ),
    "forged-result": Try(
        "extern char *keep;\n",
        "for (int i = 0; i < 4096; i++)\n\t\tkeep[i] = 0;",
        "names keep: sgxmodel's own",
        2,
    ),
    "forged-by-address": Try(
        "",
        "char *from = (char *)&sgx_nr_free_pages;\n"
        "\tfor (long at = 0; at < 1 << 20; at += 64)\n\t\tfrom[at] = 0;",
        "the driver writes to the checker's memory",
    ),
    "forged-order": Try(
        "void eng_allow_none(void);\n",
        "eng_allow_none();",
        "names eng_allow_none: sgxmodel's own",
        2,
    ),
    "sleeps-for-ever": Try("extern int pause(void);\n", "pause();", "the driver calls pause()"),
    "incbin": Try(
        '__asm__(".section .rodata\\nstolen: .incbin \\"@\\"\\n.text");\n',
        "",
        "does not compile",
        2,
    ),
    "include": Try('#include "@"\n', "", "does not compile", 2),
}


def checked(target: Path, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sgxmodel", "check", str(target), "-s", SCENARIO, *more]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """On one line: texts are folded."""
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def traces(tmp_path: Path) -> str:
    return f"--traces={tmp_path / 'traces'}"


LONG = ("silent-constructor", "kill-all", "exec", "exit", "sleeps-for-ever", "x32")
"""Like others; not in the short set."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in TRIES]
)
def test_what_a_driver_tries_is_refused_and_told(name: str, tmp_path: Path, traces: str) -> None:
    tried, mark, secret = TRIES[name], tmp_path / "escaped", tmp_path / "secret.h"
    secret.write_text("int stolen_secret;\n")
    before, within = (
        code.replace("$", str(mark)).replace("@", str(secret)) if "int $0x80" not in code else code
        for code in (tried.before, tried.within)
    )
    code = f"{before}{PLACE}\t{within}\n" if within else f"{before}{PLACE}"
    tree = edited(any_tree(), tmp_path / "tree", [("main.c", PLACE, code)])
    done = checked(tree, "--schedules=400", traces)
    assert not mark.exists()
    assert "stolen_secret" not in said(done)
    assert tried.says in said(done), done.stdout + done.stderr
    assert done.returncode == tried.status


def test_a_call_that_was_refused_is_replayed(tmp_path: Path, traces: str) -> None:
    for name in ("socket", "constructor"):
        tried = TRIES[name]
        code = tried.before.replace("$", str(tmp_path / "x")) + PLACE + tried.within
        tree = edited(any_tree(), tmp_path / name, [("main.c", PLACE, code)])
        checked(tree, "--schedules=400", traces)
        (trace,) = (tmp_path / "traces").glob(f"{name}-21-system-call-*.trace")
        command = [sys.executable, "-m", "sgxmodel", "replay", str(trace)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "reproduced: 21-system-call" in said(done)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path, traces: str) -> None:
    tree = edited(any_tree(), tmp_path / "tree", [])
    secret = tmp_path / "secret"
    secret.write_text("int stolen_secret;\n")
    (tree / DRIVER / "more.h").symlink_to(secret)
    done = checked(tree, traces)
    assert "more.h is a symbolic link out of the tree" in said(done)
    assert done.returncode == 2


def test_a_patch_may_not_make_such_a_link(tmp_path: Path, traces: str) -> None:
    name = f"{DRIVER}/more.h"
    patch = tmp_path / "link.patch"
    patch.write_text(
        f"diff --git a/{name} b/{name}\nnew file mode 120000\n--- /dev/null\n+++ b/{name}\n"
        "@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n"
    )
    done = checked(any_tree(), "--patch", str(patch), traces)
    assert "more.h is a symbolic link out of the tree" in said(done)
    assert done.returncode == 2


def test_a_patch_outside_of_the_driver_writes_nothing(tmp_path: Path, traces: str) -> None:
    for path in ("../../../escaped", "Makefile", "arch/x86/kernel/cpu/sgx/../../../../escaped"):
        patch = tmp_path / "out.patch"
        patch.write_text(
            f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
            "@@ -0,0 +1 @@\n+escaped\n"
        )
        done = checked(any_tree(), "--patch", str(patch), traces)
        assert done.returncode == 2
        assert "changes no file of the SGX driver" in said(done) or "does not apply" in said(done)
    assert not list(tmp_path.rglob("escaped"))


def test_a_makefile_is_never_run(tmp_path: Path, traces: str) -> None:
    tree = edited(any_tree(), tmp_path / "tree", [])
    mark = tmp_path / "escaped"
    for folder in (tree, tree / DRIVER):
        (folder / "Makefile").write_text(f"X := $(shell touch {mark})\nobj-y += main.o\n")
    assert checked(tree, "--schedules=50", traces).returncode in (0, 1)
    assert not mark.exists()


def test_nothing_of_the_environment_is_in_a_cell(tmp_path: Path, traces: str) -> None:
    """Nor an open file: what a driver can name, it could write into a trace."""
    before = "extern char **environ;\nextern long read(int, void *, unsigned long);\n"
    code = f'{before}{PLACE}\tWARN(environ && *environ, "there is an environment");\n'
    tree = edited(any_tree(), tmp_path / "tree", [("main.c", PLACE, code)])
    done = checked(tree, "--schedules=50", traces, SECRET="stolen")
    assert "there is an environment" not in said(done)
    assert done.returncode in (0, 1)


def test_without_a_cell_it_is_only_run_when_trusted(
    tmp_path: Path, traces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that lacks a part is one whose cell says so."""
    cache = tmp_path / "cache"
    assert checked(any_tree(), "--schedules=50", traces, XDG_CACHE_HOME=str(cache)).returncode != 2
    (binary,) = cache.rglob("cell")
    binary.write_text('#!/bin/sh\n[ "$1" = possible ] && exit 102\nexit 1\n')
    done = checked(any_tree(), traces, XDG_CACHE_HOME=str(cache))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no Landlock" in done.stderr
    assert "--trust" in done.stderr


def test_trusted_it_may_do_anything(tmp_path: Path, traces: str) -> None:
    """What the cell is for: the same driver without it."""
    mark = tmp_path / "escaped"
    tried = TRIES["write-home"]
    code = tried.before.replace("$", str(mark)) + PLACE + tried.within
    tree = edited(any_tree(), tmp_path / "tree", [("main.c", PLACE, code)])
    done = checked(tree, "--schedules=50", traces, "--trust")
    assert mark.exists()
    assert "the driver ran with all your rights" in said(done)


def test_the_compiler_has_no_network_and_writes_one_folder(tmp_path: Path) -> None:
    """Asked of the cell itself, with a compiler that tries."""
    binary = cell_of(compiler(), cache_directory())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tries = {
            f"import socket; socket.create_connection(('127.0.0.1', {port}))": False,
            f"open({str(tmp_path / 'other')!r}, 'w')": False,
            f"open({str(tmp_path / 'own' / 'x')!r}, 'w')": True,
            "open('/etc/passwd')": False,
        }
        (tmp_path / "own").mkdir()
        reads = [Path(sys.prefix), Path(sys.base_prefix)]
        for code, works in tries.items():
            done = confined(binary, [sys.executable, "-c", code], reads, [tmp_path / "own"])
            assert (done.returncode == 0) is works, code + done.stderr


def test_a_patch_is_judged_in_a_cell_too(tmp_path: Path, traces: str) -> None:
    mark = tmp_path / "escaped"
    tried = TRIES["constructor"]
    before = tried.before.replace("$", str(mark))
    patch = patch_of(any_tree(), tmp_path / "x.patch", PLACE, before + PLACE, "main.c")
    done = checked(any_tree(), "--schedules=50", "--patch", str(patch), traces)
    assert not mark.exists()
    assert tried.says in said(done)
    assert done.returncode == 1


def test_what_a_cell_writes_is_kept_in_range(tmp_path: Path) -> None:
    made = runner(any_tree(), SCENARIO)
    raw = made.engine.cell.shared.result
    raw.nfound = raw.nswitch = raw.nchoice = 1 << 30
    assert (made.result.nfound, made.result.nswitch, made.result.nchoice) == (64, 4096, 256)
    raw.nfound = -1
    assert made.result.nfound == 0
    raw.found[0].id, raw.found[0].title = b"\xff\xfe", b"\xff" * 160
    assert made.violation(raw.found[0]).id == "21-system-call"


def test_a_driver_that_never_comes_back_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run is under way while it is loaded, so it is the parent that looks."""
    monkeypatch.setattr(cell, "SECONDS", 1)
    code = "__attribute__((constructor)) static void early(void) { for (;;) ; }\n" + PLACE
    tree = edited(any_tree(), tmp_path / "tree", [("main.c", PLACE, code)])
    with pytest.raises(CellDied, match="1 s of processor time went by") as died:
        Engine(build(find(tree)))
    assert died.value.endless


def test_a_cell_that_died_is_replaced() -> None:
    engine = Engine(library_of(any_tree()))
    made = plan(SCENARIOS[SCENARIO])
    assert engine.boot(made.config, made.calls) == 0
    engine.cell.process.kill()
    with pytest.raises(CellDied, match="SIGKILL"):
        engine.run()
    assert engine.boot(made.config, made.calls) == 0
    assert engine.proves()
