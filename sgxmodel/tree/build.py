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
from sgxmodel.tree.binding import TreeError
from sgxmodel.tree.source import HEADERS, PARTS, Source

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


def build(source: Source, cc: Compiler | None = None, cache: Path | None = None) -> Path:
    """The library for a tree, from the cache if nothing changed."""
    cc = cc or compiler()
    cache = cache or cache_directory()
    library = cache / f"{_hash(cc, source.files() + _own_files())}.so"
    if not library.is_file():
        with scratch.scratch() as folder:
            _keep(built_in(folder, source, cc, cache), library)
        _prune(cache)
    with suppress(OSError):  # somebody else's cache, or just pruned
        os.utime(library)
    return library


def _keep(built: Path, to: Path) -> None:
    """Under a name of its own first: another process may build the same."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_suffix(f".{os.getpid()}.part")
    shutil.copyfile(built, part)
    part.replace(to)


def _prune(cache: Path) -> None:
    """Drop what was not used for the longest time; another process may be at it, too."""
    for pattern, kept in (("*.so", KEPT), ("*.part", KEPT), ("engine-*", KEPT_ENGINES)):
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
    return sorted(own("shim").iterdir()) + sorted(own("engine").iterdir())


def own_hash(cc: Compiler) -> str:
    """Of the shim, the engine, the compiler and its flags."""
    return _hash(cc, _own_files())


def own(folder: str) -> Path:
    """Our shim or engine."""
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


def built_in(scratch: Path, source: Source, cc: Compiler, cache: Path) -> Path:
    """The library, made in a folder where ``unity.o``, the driver's object, stays beside it."""
    _forward(source, scratch / "include")
    unity = scratch / "unity.c"
    unity.write_text(_unity(source))
    includes = [f"-I{scratch / 'include'}", f"-I{own('shim')}"]
    flags = [*COMMON, *DRIVER_FLAGS, *VOLATILE[cc.kind], *includes, *_names(source)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        engine = _engine(cc, scratch, cache, pool)
        driver = pool.submit(_object, cc, source.name, scratch, unity, flags)
        objects = [driver.result(), *engine]
    library = scratch / "tree.so"
    done = _cc(cc, [*LINK_FLAGS, *map(str, objects), "-o", str(library), "-ldl"])
    if done.returncode:
        raise TreeError(f"{source.name}: {_undefined(done.stderr)}")
    return library


def _engine(cc: Compiler, scratch: Path, cache: Path, pool: ThreadPoolExecutor) -> list[Path]:
    """The engine's objects: the same for every tree, so kept apart."""
    folder = cache / f"engine-{_hash(cc, _own_files())}"
    files = sorted(own("engine").glob("*.c"))
    flags = [*COMMON, *ENGINE_FLAGS]
    missing = [f for f in files if not (folder / f"{f.stem}.o").is_file()]
    made = pool.map(lambda f: _object(cc, "engine", scratch, f, flags), missing)
    for built in list(made):
        _keep(built, folder / built.name)
    with suppress(OSError):
        os.utime(folder)
    return [folder / f"{f.stem}.o" for f in files]


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


def _object(cc: Compiler, name: str, scratch: Path, file: Path, flags: list[str]) -> Path:
    out = scratch / f"{file.stem}.o"
    done = _cc(cc, [*flags, "-c", str(file), "-o", str(out)])
    if done.returncode:
        raise TreeError(f"{name}: {_explain(done.stderr)}")
    return out


def _cc(cc: Compiler, args: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LC_ALL": "C"}  # what is looked for in messages is English
    return subprocess.run([cc.command, *args], capture_output=True, text=True, check=False, env=env)


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
