# SPDX-License-Identifier: GPL-2.0-only
"""A scenario in the engine's numbers: configuration, calls, names of tasks and results."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from sgxmodel.errors import ScenarioError
from sgxmodel.scenario.model import MACHINE, VERBS, CallSpec, Scenario, result_name
from sgxmodel.scenario.text import ARGUMENTS, DESCRIPTORS
from sgxmodel.tree import api
from sgxmodel.tree.api import Call, Config

VERB_NUMBERS = {
    verb: n
    for n, verb in enumerate(
        (
            "open", "create", "add", "init", "touch", "accept", "modify", "remove", "munmap",
            "close", "reclaim", "direct", "poison", "poison-at", "signal", "run", "exit", "mmap",
            "fork", "munmap-page", "mprotect", "restrict", "create-debug", "peek", "poke",
            "vepc-open", "vepc-close", "vepc-remove-all", "guest-touch", "guest-ecreate",
            "guest-eadd", "stop-ksgxd", "shrink", "guest-einit",
            "provision", "refused",
        )
    )
}  # fmt: skip
FAIL_NUMBERS = {
    what: n
    for n, what in enumerate(
        (
            "backing", "encl-page", "va-page", "file", "open", "ecreate", "eadd", "einit",
            "eremove", "epa", "eaug", "emodt", "eextend", "encl-mm", "vma", "page-table",
            "emodpr", "user-copy", "vepc", "xa-store", "pte", "argument",
        )
    )
}  # fmt: skip
SEEN = {
    0: "a backing page could not be allocated",
    1: "a struct sgx_encl_page could not be allocated",
    2: "a struct sgx_va_page could not be allocated",
    3: "the backing file could not be made",
    5: "ECREATE failed",
    6: "EADD failed",
    7: "EINIT refused the signature",
    8: "EREMOVE failed, the page is leaked",
    9: "EPA failed",
    10: "EAUG failed",
    11: "EMODT refused the page",
    12: "EEXTEND failed",
    13: "a struct sgx_encl_mm could not be allocated",
    14: "a VMA could not be allocated",
    15: "fork had no memory for page tables",
    16: "EMODPR refused the page",
    19: "a virtual EPC page found no place in its index",
    20: "an EPC page could not be mapped",
    21: "an ioctl's argument found no memory",
    **dict(
        enumerate(
            (
                "a page was written out",
                "the SECS was written out",
                "a page was loaded back",
                "the SECS was loaded back",
                "a page was added at run time",
                "a page was removed",
                "a page changed its type",
                "an enclave was released",
                "the reclaimer met a dying enclave",
                "a page was skipped as young",
                "an IPI found a CPU inside the enclave",
                "EWB needed an IPI",
                "a VA page became full",
                "an enclave grew by a VA page",
                "an empty PCMD page was truncated",
                "a page in use was poisoned",
                "a free page was poisoned",
                "a page was reported bad twice",
                "a memory error hit an address that was not mapped",
                "-EBUSY: another ioctl is under way",
                "-EBADF: the file is closed",
                "-ERESTARTSYS: a signal ended the wait for EPC",
                "-ENOMEM: nothing free, nothing to reclaim",
                "EACCEPT came before the change was tracked",
                "the reclaimer was the last user of an mm",
                "a page was added twice",
                "a process was forked",
                "a VMA was split",
                "a mapping replaced another one",
                "an access that no mapping allows",
                "-EINTR: a signal came while an mm was added",
                "a forked mm could not be added to the mm list",
                "the file was released before the mm ended",
                "an mm ended that sgx_release() had taken off the list",
                "the reclaimer met a dying mm",
                "-EACCES: a page allows less than the mapping asks for",
                "permissions were restricted",
                "an ioctl failed half way",
                "a debugger reached into an enclave",
                "EDBGRD failed",
                "an ioctl's arguments could not be read",
                "an ioctl's results could not be written",
                "a SECS became a zombie",
                "a zombie was freed",
                "a zombie stayed one",
                "a guest was given an EPC page",
                "a virtual EPC fault had to be retried",
                "a SECS with children was left by SGX_IOC_VEPC_REMOVE_ALL",
                "a guest's page resisted SGX_IOC_VEPC_REMOVE_ALL",
                "a page was sanitised",
                "a SECS had to wait for its children to be sanitised",
                "ksgxd was stopped while it sanitised",
                "a backing page went to swap",
                "a clean backing page was dropped",
                "memory pressure met a backing page in use",
                "a backing page was read back from swap",
                "a backing page could not be read back from swap",
                "an ioctl refused its argument",
            ),
            api.FAILS,
        )
    ),
}
"""The engine's numbers of paths (enum eng_seen), in the words of the model's companions."""
MACHINE_BITS = {word: 1 << number for number, word in enumerate(MACHINE)}
"""The bits of enum eng_machine."""
RIGHTS = {"r": 1, "w": 2, "x": 4}
TYPE_NUMBERS = {"tcs": 1, "reg": 2, "trim": 4}
HOLDS = {"secs": 0, "tcs": 1, "reg": 2, "va": 3, "none": -1}
RESULTS = {
    11: "NOT_TRACKED",
    1013: "#GP",
    1014: "#PF",
    1001: "SIGBUS",
    1002: "SIGSEGV",
    1003: "OOM",
}
AFTER = 100_000
"""RESULT_AFTER of engine/api.h."""
PAGES = 32
"""Enclave pages that the engine has room for."""


@attrs.frozen
class Plan:
    """What :meth:`Engine.boot` takes, and how to name what it gives."""

    scenario: Scenario
    config: Config
    calls: tuple[Call, ...]
    texts: tuple[str, ...]
    tasks: tuple[str, ...]

    def calls_of(self, task: int) -> range:
        """The indices of a task's calls."""
        first = self.config.setup + sum(self.config.calls[:task])
        return range(first, first + self.config.calls[task])


def plan(scenario: Scenario) -> Plan:
    """Raises :class:`ScenarioError` for what the engine has no room for.

    ``pcmds`` makes the model smaller; a driver has its 32 PCMDs a page.
    """
    _fits(scenario)
    config = Config()
    config.nodes = len(scenario.epc)
    config.epc[: len(scenario.epc)] = scenario.epc
    config.scan, config.low, config.high = scenario.scan, scenario.low, scenario.high
    config.va_slots = scenario.va_slots
    config.check_sched = scenario.check_sched
    config.sgx2, config.ksgxd = int(scenario.sgx2), int(scenario.ksgxd)
    config.machine = sum(MACHINE_BITS[word] for word in scenario.machine)
    config.enclaves = len(scenario.enclaves)
    for i, (_, size) in enumerate(scenario.enclaves):
        config.size[i] = size
    for what, times in scenario.fail:
        config.fail[FAIL_NUMBERS[what]] = times
    processes = _processes(scenario)
    config.processes = len(processes)
    for i, name in enumerate(processes):
        config.encl[i] = _enclave(scenario, name)
    config.vepcs = len(scenario.vepcs)
    for i, (_, size) in enumerate(scenario.vepcs):
        config.vepc_size[i] = size
    config.dirty = len(scenario.boot)
    for i, kind in enumerate(scenario.boot):
        config.holds[i] = HOLDS[kind]
    config.tasks = len(scenario.tasks)
    config.setup = len(scenario.setup)
    for i, task in enumerate(scenario.tasks):
        config.node[i] = task.node
        config.calls[i] = len(task.calls)
    specs = scenario.all_calls()
    names = (*(t.name for t in scenario.tasks), "ksgxd", "kworker", "rcu", "end", "setup")
    return Plan(
        scenario, config, tuple(_call(scenario, c) for c in specs), tuple(map(str, specs)), names
    )


def runnable(scenarios: Iterable[Scenario]) -> tuple[tuple[Scenario, ...], tuple[str, ...]]:
    """Those that the engine has room for, and of each of the others why not."""
    fit, left = [], []
    for scenario in scenarios:
        try:
            _fits(scenario)
            fit.append(scenario)
        except ScenarioError as error:
            left.append(str(error))
    return tuple(fit), tuple(left)


def _fits(scenario: Scenario) -> None:
    def need(holds: bool, what: str) -> None:
        if not holds:
            raise ScenarioError(f"{scenario.name}: a kernel tree is checked with {what}")

    for call in scenario.all_calls():
        need(call.verb in VERB_NUMBERS, f"no '{call.verb}'")
    for what, _ in scenario.fail:
        need(what in FAIL_NUMBERS, f"no failure of '{what}'")
    need(sum(scenario.epc) <= api.FRAMES, f"up to {api.FRAMES} EPC pages")
    need(scenario.va_slots <= api.VA_SLOTS, f"up to {api.VA_SLOTS} VA slots")
    need(len(scenario.tasks) <= api.USER_TASKS, f"up to {api.USER_TASKS} tasks")
    need(len(scenario.enclaves) <= api.ENCLAVES, f"up to {api.ENCLAVES} enclaves")
    need(len(_processes(scenario)) <= api.PROCESSES, f"up to {api.PROCESSES} processes")
    need(all(size <= PAGES for _, size in scenario.enclaves), f"enclaves of up to {PAGES} pages")
    need(len(scenario.all_calls()) <= api.CALLS, f"up to {api.CALLS} calls")
    need(len(scenario.boot) <= api.DIRTY, f"up to {api.DIRTY} dirty pages")
    # All of the EPC is dirty until ksgxd has run; the model's other pages are free.
    need(not (scenario.boot and scenario.setup), "no set-up calls before ksgxd, with 'boot'")
    need(len(scenario.vepcs) <= api.VEPCS, f"up to {api.VEPCS} virtual EPCs")


def _processes(scenario: Scenario) -> list[str]:
    """One for each enclave, in their order, then the children."""
    return [name for name, _ in (*scenario.enclaves, *scenario.children)]


def _enclave(scenario: Scenario, process: str) -> int:
    enclaves = [name for name, _ in scenario.enclaves]
    return enclaves.index(dict(scenario.children).get(process, process))


def _call(scenario: Scenario, spec: CallSpec) -> Call:
    call = Call(VERB_NUMBERS[spec.verb], 0, 0, 0, 1)
    if "vepc" in VERBS[spec.verb].args:
        return _guest_call(scenario, spec, call)
    for kind, word in zip(VERBS[spec.verb].args, spec.args, strict=False):
        match kind:
            case "enclave":
                call.proc = _processes(scenario).index(word)
            case "child":
                call.arg = _processes(scenario).index(word)
            case "task":
                call.arg = [t.name for t in scenario.tasks].index(word)
            case "page" | "epc":
                call.arg = int(word)
            case "pages":
                first, _, last = word.partition("-")
                call.arg = int(first)
                call.count = int(last or first) - int(first) + 1
            case "descriptor":
                call.type = DESCRIPTORS.index(word)
            case "argument":
                call.arg = ARGUMENTS.index(word)
            case "type":
                call.type = TYPE_NUMBERS[word]
            case "rights" | "permissions":
                rights = sum(RIGHTS.get(letter, 0) for letter in word.replace("none", ""))
                if spec.verb == "mmap":
                    call.arg = rights
                else:
                    call.type = rights
    return call


def _guest_call(scenario: Scenario, spec: CallSpec, call: Call) -> Call:
    """On a virtual EPC and a page of it, perhaps with a SECS in another one."""
    names = [name for name, _ in scenario.vepcs]
    numbers = [names.index(word) if word in names else int(word) for word in spec.args]
    call.proc, call.arg, call.type, call.count = (*numbers, 0, 0, 0)[:4]
    return call


def result_text(value: int) -> str:
    """A result of the engine in kernel words."""
    done, rest = divmod(value + AFTER // 2, AFTER)
    if done:
        return f"{result_text(rest - AFTER // 2)} after {done}"
    return RESULTS.get(value) or result_name(value)
