# SPDX-License-Identifier: GPL-2.0-only
"""The text form of a scenario: one statement a line, `#` begins a comment.

scenario drop-poison
about a page is removed while the machine check handler reports it
epc 6
enclave A 4
setup open A; create A; add A 0
task T1: close A
task T2: poison-at A 0
promise a page in use was poisoned
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import attrs

from sgxmodel.errors import ScenarioError
from sgxmodel.scenario.model import FAILURES, MACHINE, VERBS, CallSpec, Scenario, TaskLine

TYPES = {"reg": "REG", "tcs": "TCS", "trim": "TRIM"}
RIGHTS = ("none", "r", "rw", "rwx")
PERMISSIONS = ("none", "r", "w", "rw", "rx", "rwx")
DESCRIPTORS = ("nothing", "enclave", "provision")
"""What a file descriptor stands for: no open file, /dev/sgx_enclave, /dev/sgx_provision."""
ARGUMENTS = tuple(
    f"{ioctl}-{wrong}"
    for ioctl, what in {
        "restrict": "count result unaligned empty beyond wraps unknown write-only",
        "modify": "count result unaligned empty beyond wraps unknown",
        "remove": "count unaligned empty beyond wraps",
        "add": "source unaligned empty beyond wraps unknown write-only tcs-rights reserved type",
    }.items()
    for wrong in what.split()
)
"""What is wrong with the argument of an ioctl that takes a range of pages.

``count`` and ``result`` are what an earlier ioctl has left there; ``unaligned``, ``empty``,
``beyond`` and ``wraps`` the range; ``source`` where the contents are; the others the rights
and the page type.
"""
BOOT_KINDS = ("secs", "reg", "va", "none")
LIMIT = 64
"""Bounds on numbers from outside: EPC pages a node, enclave pages, calls, tasks."""


def parse(text: str, where: str = "scenario") -> Scenario:
    """Read a scenario.  Raises :class:`ScenarioError` with the line."""
    reader = _Reader(where)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.partition("#")[0].strip()
        if stripped:
            reader.number = number
            reader.statement(stripped)
    return reader.finish()


def format(scenario: Scenario) -> str:
    """The text of a scenario; :func:`parse` gives it back."""
    default = Scenario("")
    out = [f"scenario {scenario.name}"]
    if scenario.about:
        out.append(f"about {scenario.about}")
    out.append("epc " + " ".join(map(str, scenario.epc)))
    for word in ("scan", "low", "high", "va_slots", "check_sched", "pcmds", "schedules"):
        value = getattr(scenario, word)
        if value != getattr(default, word):
            out.append(f"{word.replace('_', '-')} {value}")
    if scenario.small:
        out.append("small")
    if scenario.probe:
        out.append("probe")
    if not scenario.sgx2:
        out.append("sgx1")
    if scenario.boot:
        out.append("boot " + " ".join(scenario.boot))
    if scenario.machine:
        out.append("machine " + " ".join(scenario.machine))
    if scenario.ksgxd:
        out.append("ksgxd")
    out += [f"enclave {name} {size}" for name, size in scenario.enclaves]
    out += [f"child {name} of {parent}" for name, parent in scenario.children]
    out += [f"vepc {name} {size}" for name, size in scenario.vepcs]
    out += [f"fail {what} {times}" for what, times in scenario.fail]
    if scenario.setup:
        out.append("setup " + "; ".join(map(str, scenario.setup)))
    for task in scenario.tasks:
        node = f" on {task.node}" if task.node else ""
        out.append(f"task {task.name}{node}: " + "; ".join(map(str, task.calls)))
    out += [f"promise {p}" for p in scenario.promises]
    return "\n".join(out) + "\n"


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where
        self.number = 0
        self.values: dict[str, Any] = {}
        self.enclaves: dict[str, int] = {}
        self.children: dict[str, str] = {}
        self.forked: set[str] = set()
        self.vepcs: dict[str, int] = {}
        self.fail: dict[str, int] = {}
        self.setup: list[CallSpec] = []
        self.tasks: list[TaskLine] = []
        self.promises: list[str] = []

    def error(self, message: str) -> NoReturn:
        raise ScenarioError(f"{self.where}:{self.number}: {message}")

    def statement(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        method: Callable[[str], None] | None = getattr(self, f"on_{word.replace('-', '_')}", None)
        if method is None:
            self.error(f"'{word}' begins no statement of a scenario")
        method(rest.strip())

    def once(self, key: str, value: Any) -> None:
        if key in self.values:
            self.error(f"'{key}' is given twice")
        self.values[key] = value

    def whole(self, text: str, least: int, most: int) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:9]) <= most):
            self.error(f"'{text}' should be a whole number from {least} to {most}")
        return int(text)

    def on_scenario(self, rest: str) -> None:
        if not rest or not all(c.isalnum() or c in "-_." for c in rest) or not rest.isascii():
            self.error("a scenario's name is letters, digits, '-', '_' and '.'")
        self.once("name", rest)

    def on_about(self, rest: str) -> None:
        self.once("about", rest)

    def on_epc(self, rest: str) -> None:
        self.once("epc", tuple(self.whole(n, 0, LIMIT) for n in rest.split()))
        if not any(self.values["epc"]) or len(self.values["epc"]) > 8:
            self.error("epc: pages of 1 to 8 nodes, at least one page in all")

    def on_scan(self, rest: str) -> None:
        self.once("scan", self.whole(rest, 1, LIMIT))

    def on_low(self, rest: str) -> None:
        self.once("low", self.whole(rest, 0, LIMIT))

    def on_high(self, rest: str) -> None:
        self.once("high", self.whole(rest, 0, LIMIT))

    def on_va_slots(self, rest: str) -> None:
        self.once("va_slots", self.whole(rest, 1, 512))

    def on_check_sched(self, rest: str) -> None:
        self.once("check_sched", self.whole(rest, 1, LIMIT))

    def on_pcmds(self, rest: str) -> None:
        self.once("pcmds", self.whole(rest, 1, 32))

    def on_schedules(self, rest: str) -> None:
        self.once("schedules", self.whole(rest, 1, 10_000_000))

    def on_small(self, rest: str) -> None:
        self.once("small", True)

    def on_probe(self, rest: str) -> None:
        self.once("probe", True)

    def on_sgx1(self, rest: str) -> None:
        self.once("sgx2", False)

    def on_boot(self, rest: str) -> None:
        kinds = tuple(rest.split())
        if not kinds or not set(kinds) <= set(BOOT_KINDS):
            self.error(f"boot: what dirty pages hold, each one of {', '.join(BOOT_KINDS)}")
        if "reg" in kinds and "secs" not in kinds:
            self.error("boot: a regular page is the child of a secs")
        self.once("boot", kinds)

    def on_machine(self, rest: str) -> None:
        words = tuple(rest.split())
        if not words or not set(words) <= set(MACHINE) or len(set(words)) < len(words):
            self.error(f"machine: each once of {', '.join(MACHINE)}")
        self.once("machine", words)

    def on_ksgxd(self, rest: str) -> None:
        self.once("ksgxd", True)

    def on_enclave(self, rest: str) -> None:
        parts = rest.split()
        if len(parts) != 2 or not parts[0].isidentifier() or parts[0] in self.enclaves:
            self.error("enclave NAME PAGES, each name once")
        size = self.whole(parts[1], 1, LIMIT)
        if size & (size - 1):
            self.error("an enclave's size is a power of two (ECREATE)")
        if parts[0] in self.children:
            self.error(f"'{parts[0]}' is a child already")
        self.enclaves[parts[0]] = size

    def on_child(self, rest: str) -> None:
        parts = rest.split()
        if len(parts) != 3 or parts[1] != "of" or not parts[0].isidentifier():
            self.error("child NAME of ENCLAVE")
        name, _, parent = parts
        if name in self.children or name in self.enclaves:
            self.error(f"there is a process '{name}' already")
        if parent not in self.enclaves:
            self.error(f"there is no enclave '{parent}' (say 'enclave {parent} PAGES' before)")
        self.children[name] = parent

    def on_vepc(self, rest: str) -> None:
        parts = rest.split()
        if len(parts) != 2 or not parts[0].isidentifier() or parts[0] in self.vepcs:
            self.error("vepc NAME PAGES, each name once")
        self.vepcs[parts[0]] = self.whole(parts[1], 1, LIMIT)

    def on_fail(self, rest: str) -> None:
        what, _, times = rest.partition(" ")
        if what not in FAILURES:
            self.error(f"'{what}' cannot be made to fail; these can: {', '.join(FAILURES)}")
        self.fail[what] = self.whole(times.strip() or "1", 1, LIMIT)

    def on_setup(self, rest: str) -> None:
        self.setup += self.calls(rest)

    def on_task(self, rest: str) -> None:
        head, colon, calls = rest.partition(":")
        name, _, node = head.strip().partition(" on ")
        if not colon or not name.isidentifier() or any(t.name == name for t in self.tasks):
            self.error("task NAME [on NODE]: CALL; CALL ..., each name once")
        if name in ("ksgxd", "setup", "end", "kworker", "rcu"):
            self.error(f"'{name}' is taken")
        if len(self.tasks) >= 16:
            self.error("at most 16 tasks")
        at = self.whole(node.strip(), 0, 7) if node else 0
        self.tasks.append(TaskLine(name, tuple(self.calls(calls)), at))

    def on_promise(self, rest: str) -> None:
        self.promises.append(rest)

    def calls(self, text: str) -> list[CallSpec]:
        out = []
        for part in text.split(";"):
            words = part.split()
            if not words:
                self.error("an empty call")
            out.append(self.call(words[0], words[1:]))
        if len(out) > LIMIT:
            self.error(f"at most {LIMIT} calls a task")
        return out

    def call(self, verb: str, args: list[str]) -> CallSpec:
        spec = VERBS.get(verb)
        if spec is None:
            self.error(f"there is no call '{verb}'; the calls are {', '.join(VERBS)}")
        kinds = [k for k in spec.args if k != "size"]
        if kinds[-1:] == ["type"] and verb == "add" and len(args) == len(kinds) - 1:
            args = [*args, "reg"]
        if verb == "mmap" and len(args) == len(kinds) - 1:
            args = [*args, "rw"]
        if len(args) != len(kinds):
            self.error(f"usage: {verb} {' '.join(k.upper() for k in kinds)}".rstrip())
        for i, (kind, arg) in enumerate(zip(kinds, args, strict=True)):
            if kind == "vpage":
                self.whole(arg, 0, self.vepcs[args[i - 1]] - 1)
            else:
                self.argument(kind, arg, args)
        return CallSpec(verb, tuple(args))

    def argument(self, kind: str, arg: str, args: list[str]) -> None:
        if kind == "enclave":
            if arg not in self.enclaves and arg not in self.children:
                self.error(f"there is no enclave '{arg}' (say 'enclave {arg} PAGES' before)")
        elif kind == "vepc":
            if arg not in self.vepcs:
                self.error(f"there is no virtual EPC '{arg}' (say 'vepc {arg} PAGES' before)")
        elif kind == "child":
            self.child(arg, args[0])
        elif kind == "rights":
            if arg not in RIGHTS:
                self.error(f"rights are one of {', '.join(RIGHTS)}")
        elif kind == "page":
            self.whole(arg, 0, self.size_of(args[0]) - 1)
        elif kind == "pages":
            first, dash, last = arg.partition("-")
            low = self.whole(first, 0, self.size_of(args[0]) - 1)
            if dash:
                self.whole(last, low, self.size_of(args[0]) - 1)
        elif kind == "permissions" and arg not in PERMISSIONS:
            self.error(f"permissions are one of {', '.join(PERMISSIONS)}")
        elif kind == "descriptor" and arg not in DESCRIPTORS:
            self.error(f"a descriptor is of one of {', '.join(DESCRIPTORS)}")
        elif kind == "argument" and arg not in ARGUMENTS:
            self.error(f"a wrong argument is one of {', '.join(ARGUMENTS)}")
        elif kind == "type" and arg not in TYPES:
            self.error(f"a page type is one of {', '.join(TYPES)}")
        elif kind == "epc":
            self.whole(arg, 0, sum(self.values.get("epc", Scenario("").epc)) - 1)

    def size_of(self, process: str) -> int:
        return self.enclaves[self.children.get(process, process)]

    def every_call(self) -> list[CallSpec]:
        return [*self.setup, *(c for t in self.tasks for c in t.calls)]

    def child(self, name: str, parent: str) -> None:
        """A fork: the child is of the same family as its parent, and is forked once."""
        if name not in self.children:
            self.error(f"there is no child '{name}' (say 'child {name} of {parent}' before)")
        if self.children[name] != self.children.get(parent, parent) or name == parent:
            self.error(f"'{name}' cannot be a child of '{parent}'")
        if name in self.forked:
            self.error(f"'{name}' is forked twice")
        self.forked.add(name)

    def at_boot(self) -> None:
        """Dirty pages are for ksgxd to clean; where it is stopped there is no driver."""
        boot = self.values.get("boot", ())
        if boot and not self.values.get("ksgxd"):
            self.error("boot: who sanitises the pages? (say 'ksgxd')")
        if len(boot) > sum(self.values.get("epc", Scenario("").epc)):
            self.error("boot: more dirty pages than the EPC has")
        opened = [call.args[0] for call in self.every_call() if call.verb == "vepc-open"]
        for name in self.vepcs:
            if opened.count(name) > 1:
                self.error(f"vepc-open: '{name}' is opened twice")
        verbs = {call.verb for call in self.every_call()}
        if "stop-ksgxd" in verbs and not verbs <= {"stop-ksgxd", "poison"}:
            self.error("stop-ksgxd: sgx_init() has failed, so nobody can open the device")

    def one_file_at_a_time(self) -> None:
        """A name stands for one file: nobody may have the old one when it is opened again."""
        opened = [call.args[0] for call in self.every_call() if call.verb == "open"]
        for name in {n for n in opened if opened.count(n) > 1}:
            users = sum(any(name in call.args[:1] for call in t.calls) for t in self.tasks)
            if users > 1 or name in self.children.values():
                self.error(
                    f"open: '{name}' is opened twice, so only one task may use it, "
                    "and it can have no child"
                )

    def finish(self) -> Scenario:
        if "name" not in self.values:
            self.error("no 'scenario NAME' line")
        if not self.tasks:
            self.error("no task")
        self.at_boot()
        self.one_file_at_a_time()
        known = {t.name for t in self.tasks}
        opened = [c.args[0] for c in self.every_call() if c.verb == "open"]
        for name in opened:
            if name in self.children:
                self.error(f"'{name}' is a child: it has its parent's file")
        for task in self.tasks:
            if task.node >= len(self.values.get("epc", (0,))):
                self.error(f"task {task.name}: there is no node {task.node}")
            for call in task.calls:
                if call.verb == "signal" and call.args[0] not in known:
                    self.error(f"signal: there is no task '{call.args[0]}'")
        return attrs.evolve(
            Scenario(self.values.pop("name")),
            **self.values,
            enclaves=tuple(self.enclaves.items()),
            children=tuple(self.children.items()),
            vepcs=tuple(self.vepcs.items()),
            fail=tuple(self.fail.items()),
            setup=tuple(self.setup),
            tasks=tuple(self.tasks),
            promises=tuple(self.promises),
        )
