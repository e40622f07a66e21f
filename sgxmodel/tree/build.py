# SPDX-License-Identifier: GPL-2.0-only
"""The driver of a tree, the shim and the engine, built into one library and cached.

The unity file includes the driver's .c files where they are; each header that
they name in angle brackets becomes a one-line forward to the shim, except the
two that describe SGX itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from pathlib import Path

import attrs

from sgxmodel import scratch
from sgxmodel.errors import TreeError
from sgxmodel.tree.confine import SYSTEM_CALLS, Library, confined, must_be_possible
from sgxmodel.tree.scan import must_not_name, unseen
from sgxmodel.tree.source import HEADERS, PARTS, Source
from sgxmodel.tree.values import table

VERSION = "1"
KEPT = 200
"""Libraries that stay in the cache, the latest used: less than a megabyte each."""
KEPT_ENGINES = 8
COMMON = ("-std=gnu11", "-g", "-fPIC", "-fno-strict-aliasing", "-fno-stack-protector")
ENGINE_FLAGS = ("-O2", "-Wall", "-Wextra")
DRIVER_FLAGS = (
    "-O1",
    "-ffreestanding",
    "-fno-inline",  # a function of the trace is a function of the source
    "-fsanitize=thread",  # our own hooks, in engine/tsan.c
    "-fno-omit-frame-pointer",
    "-Werror=implicit-function-declaration",
    "-Werror=int-conversion",
    "-Werror=incompatible-pointer-types",
)
LINK_FLAGS = ("-shared", "-Wl,-z,norelro,-z,now,-z,defs")
VOLATILE = {
    "gcc": ("--param=tsan-distinguish-volatile=1",),
    "clang": ("-mllvm", "-tsan-distinguish-volatile=1"),
}
LACKS = re.compile(
    r"implicit declaration of function '(\w+)'"
    r"|call to undeclared function '(\w+)'"
    r"|unknown type name '(\w+)'"
    r"|'(\w+)' undeclared"
    r"|use of undeclared identifier '(\w+)'"
    r"|has no member named '(\w+)'"
    r"|no member named '(\w+)'"
    r"|storage size of '(\w+)' isn't known"
)
ERROR = re.compile(r"^(.*?:\d+):\d+: (?:fatal )?error: (.*)$", re.MULTILINE)


@attrs.frozen
class Compiler:
    """A C compiler, by its command."""

    command: str
    kind: str
    version: str


def compiler(command: str | None = None) -> Compiler:
    """The one that is asked for, $CC, gcc or clang.  Raises :class:`TreeError`."""
    asked = command or os.environ.get("CC")
    for name in [asked] if asked else ["gcc", "clang", "cc"]:
        path = shutil.which(name)
        if path is None:
            continue
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = done.stdout.splitlines()[0] if done.stdout else ""
        return Compiler(path, "clang" if "clang" in version else "gcc", version)
    if asked:
        raise TreeError(f"{asked}: there is no such compiler")
    raise TreeError("a kernel tree is compiled: that needs gcc or clang, and neither is installed")


def cache_directory() -> Path:
    """Where built libraries are kept."""
    return scratch.cache() / "trees"


def build(
    source: Source,
    cc: Compiler | None = None,
    cache: Path | None = None,
    trusted: bool = False,
) -> Library:
    """The library for a tree, from the cache if nothing changed.

    ``trusted``: neither the compiler nor the driver is confined.
    """
    cc = cc or compiler()
    cache = cache or cache_directory()
    library = cache / f"{_hash(cc, source.files() + _own_files())}.so"
    cell = cell_of(cc, cache)
    if not trusted:
        must_be_possible(cell)
    beside = library.with_suffix(".unseen")
    if not library.is_file() or not beside.is_file():
        with scratch.scratch() as folder:
            made = built_in(folder, source, cc, cache, trusted)
            (folder / "unseen").write_text("\n".join(made.unseen), encoding="utf-8")
            _keep(folder / "unseen", beside)
            _keep(made.path, library)
        _prune(cache)
    for path in (library, beside):
        with suppress(OSError):  # somebody else's cache, or just pruned
            os.utime(path)
    return Library(library, cell, trusted, tuple(beside.read_text("utf-8").splitlines()))


def cell_of(cc: Compiler, cache: Path) -> Path:
    """The program that confines, and beside it the names of the system calls."""
    folder = cache / f"engine-{_hash(cc, _own_files())}"
    cell, names = folder / "cell", folder / SYSTEM_CALLS
    if not cell.is_file() or not names.is_file():
        with scratch.scratch() as work:
            made = work / "cell"
            files = sorted(map(str, own("cell").glob("*.c")))
            flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", f"-I{own('engine')}"]
            done = confined(None, [cc.command, *flags, *files, "-o", str(made), "-ldl"],
                            writes=[work])  # fmt: skip
            if done.returncode:
                raise TreeError(f"{cc.command}: the cell {_explain(done.stderr)}")
            made.with_name(SYSTEM_CALLS).write_text(_system_calls(cc, work))
            _keep(made.with_name(SYSTEM_CALLS), names)
            _keep(made, cell)
    return cell


def _system_calls(cc: Compiler, folder: Path) -> str:
    """A line a call of this machine: number, name."""
    done = confined(None, [cc.command, "-dM", "-E", "-"], writes=[folder],
                    given="#include <asm/unistd.h>\n")  # fmt: skip
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.MULTILINE)
    return "".join(f"{number} {name}\n" for name, number in found)


def _keep(built: Path, to: Path) -> None:
    """Under a name of its own first: another process may build the same."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_suffix(f".{os.getpid()}.part")
    shutil.copy(built, part)
    part.replace(to)


def _prune(cache: Path) -> None:
    """Drop what was not used for the longest time; another process may be at it, too."""
    for pattern in ("*.so", "*.unseen", "*.part", "engine-*"):
        kept = KEPT_ENGINES if pattern == "engine-*" else KEPT
        aged = []
        for path in cache.glob(pattern):
            with suppress(OSError):
                aged.append((path.stat().st_mtime, path))
        for _, path in sorted(aged, reverse=True)[kept:]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _own_files() -> list[Path]:
    return [file for part in ("shim", "engine", "cell") for file in sorted(own(part).iterdir())]


def own_hash(cc: Compiler) -> str:
    """Of the shim, the engine, the compiler and its flags."""
    return _hash(cc, _own_files())


def own(folder: str) -> Path:
    """Our shim, engine or cell."""
    return Path(str(resources.files("sgxmodel.tree"))) / folder


def _hash(cc: Compiler, files: list[Path]) -> str:
    digest = hashlib.sha256()
    flags = (*COMMON, *ENGINE_FLAGS, *DRIVER_FLAGS, *LINK_FLAGS, *VOLATILE[cc.kind])
    for text in (VERSION, cc.command, cc.version, *flags):
        digest.update(text.encode() + b"\0")
    for file in files:
        if file.suffix in (".c", ".h"):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


def built_in(
    scratch: Path, source: Source, cc: Compiler, cache: Path, trusted: bool = False
) -> Library:
    """The library, made in a folder where ``unity.o``, the driver's object, stays beside it."""
    cell = cell_of(cc, cache)
    tools = Tools(cc, None if trusted else cell, source, scratch)
    _forward(source, scratch / "include")
    unity = scratch / "unity.c"
    unity.write_text(_unity(source))
    includes = [f"-I{scratch / 'include'}", f"-I{own('shim')}"]
    flags = [*COMMON, *DRIVER_FLAGS, *VOLATILE[cc.kind], *includes, *_names(source)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        engine = _engine(tools, cell.parent, pool)
        driver = pool.submit(_object, tools, source.name, unity, flags)
        expanded = pool.submit(tools.run, [*flags, "-E", str(unity)])
        objects = [driver.result(), *engine]
    text, folder = expanded.result().stdout, source.driver
    must_not_name(text, folder, objects[0], engine)
    library = scratch / "tree.so"
    done = tools.run([*LINK_FLAGS, *map(str, objects), "-o", str(library)])
    if done.returncode:
        raise TreeError(f"{source.name}: {_undefined(done.stderr)}")
    return Library(library, cell, trusted, tuple(unseen(text, folder)))


@attrs.frozen
class Tools:
    """A compiler that reads a driver, the shim and the engine, and writes one folder."""

    cc: Compiler
    cell: Path | None
    source: Source
    scratch: Path

    def run(self, args: list[str]) -> subprocess.CompletedProcess[str]:
        headers = [self.source.root / h for h in HEADERS]
        kept = [own("shim"), own("engine")]
        if self.cell is not None:
            kept.append(self.cell.parent)
        reads = [self.source.driver, *headers, *kept]
        return confined(self.cell, [self.cc.command, *args], reads, [self.scratch])


def _engine(tools: Tools, folder: Path, pool: ThreadPoolExecutor) -> list[Path]:
    """The engine's objects: the same for every tree, so kept apart.

    What lies between the first and the last is the engine's.
    """
    files = sorted(own("engine").glob("*.c"), key=_place)
    flags = [*COMMON, *ENGINE_FLAGS]
    missing = [f for f in files if not (folder / f"{f.stem}.o").is_file()]
    made = pool.map(lambda f: _object(tools, "engine", f, flags), missing)
    for built in list(made):
        _keep(built, folder / built.name)
    with suppress(OSError):
        os.utime(folder)
    return [folder / f"{f.stem}.o" for f in files]


def _place(file: Path) -> tuple[int, str]:
    return {"fence": 0, "last": 2}.get(file.stem, 1), file.stem


def _forward(source: Source, include: Path) -> None:
    for name in source.includes():
        target = include / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text('#include "shim.h"\n')
    for header in HEADERS:
        name = str(header.relative_to("arch/x86/include"))
        (include / name).parent.mkdir(parents=True, exist_ok=True)
        (include / name).write_text(f'#include "{source.root / header}"\n')


def _unity(source: Source) -> str:
    def include(name: str) -> str:
        return f'#include "{source.driver / name}"'

    return "\n".join(
        [
            '#include "shim.h"',
            "#define CONFIG_X86_SGX_KVM 1",
            "/* encls.h is inline assembly: leaves.h is in its place. */",
            "#define _X86_ENCLS_H",
            include("sgx.h"),
            include("encl.h"),
            '#include "leaves.h"',
            '#include "tunables.h"',
            *map(include, PARTS),
            '#include "probe.c"',
            '#include "ioctls.c"',
            '#include "observe.c"',
            table(source.text()),
            "",
        ]
    )


def _names(source: Source) -> list[str]:
    """What probe.c has to know of this tree."""
    text = source.text()
    out = []
    if "sgx_active_page_list" in text:
        out.append("-DHAVE_ACTIVE_LIST")
    elif "sgx_global_lru" in text:
        out.append("-DHAVE_GLOBAL_LRU")
    if "encl_owner" in text:
        out.append("-DHAVE_ENCL_OWNER")
    if re.search(r"sgx_numa_nodes\[\w+\]\.size", text):
        out.append("-DHAVE_NODE_SIZE")
    return out


def _object(tools: Tools, name: str, file: Path, flags: list[str]) -> Path:
    out = tools.scratch / f"{file.stem}.o"
    done = tools.run([*flags, "-c", str(file), "-o", str(out)])
    if done.returncode:
        raise TreeError(f"{name}: {_explain(done.stderr)}")
    return out


def _explain(stderr: str) -> str:
    names = sorted({next(filter(None, found)) for found in LACKS.findall(stderr)})
    if names:
        return "the shim of the kernel API lacks " + ", ".join(names)
    errors = [f"{where}: {what}" for where, what in ERROR.findall(stderr)]
    return "does not compile:\n  " + "\n  ".join(errors[:3] or stderr.splitlines()[:3])


def _undefined(stderr: str) -> str:
    names = sorted(set(re.findall(r"undefined reference to [`'](\w+)'", stderr)))
    if names:
        return "the shim of the kernel API lacks " + ", ".join(names)
    return "does not link:\n  " + "\n  ".join(stderr.splitlines()[:3])
