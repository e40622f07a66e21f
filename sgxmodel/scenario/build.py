# SPDX-License-Identifier: GPL-2.0-only
"""From a revision and a scenario to a system that is ready to run."""

from __future__ import annotations

from typing import Any

import attrs

from sgxmodel.driver import sanitize, structs, user
from sgxmodel.driver.structs import (
    SGX_EPC_PAGE_IS_FREE,
    process,
    sgx_encl,
    sgx_encl_mm,
    sgx_encl_page,
    sgx_epc_page,
    sgx_numa_node,
    sgx_va_page,
)
from sgxmodel.errors import ScenarioError
from sgxmodel.hardware.epcm import frame
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.memcg import mem_cgroup
from sgxmodel.kernel.memory import fill_cache
from sgxmodel.kernel.mm import mm_struct, vm_area_struct
from sgxmodel.kernel.shmem import file, page
from sgxmodel.kernel.task import fault_budget, task_struct
from sgxmodel.machine.layout import Layout, State
from sgxmodel.machine.program import Image
from sgxmodel.machine.system import Call, Observer, Silent, System, TaskSpec
from sgxmodel.revisions import Revision
from sgxmodel.scenario import memcgs
from sgxmodel.scenario.boot import make_dirty
from sgxmodel.scenario.model import FAILURES, VERBS, CallSpec, Scenario, result_name
from sgxmodel.scenario.processes import Processes
from sgxmodel.scenario.text import TYPES
from sgxmodel.scenario.vepc import VirtualEpcs

LEAVES = ("ecreate", "eadd", "eextend", "einit", "eremove", "epa", "eaug", "emodt", "emodpr")
SETUP_STEPS = 100_000
WORKERS = {"kworker": "kworker", "rcu": "rcu_worker"}
"""Daemons of scenarios in which processes end, and their functions."""


@attrs.define(eq=False)
class World:
    """One configuration of one revision: handles by name, the program, the first state."""

    revision: Revision
    scenario: Scenario
    layout: Layout
    image: Image
    tasks: tuple[TaskSpec, ...]
    pages: tuple[sgx_epc_page, ...]
    nodes: tuple[sgx_numa_node, ...]
    processes: dict[str, process]
    mms: tuple[mm_struct, ...]
    encl_mms: tuple[sgx_encl_mm, ...]
    vmas: tuple[vm_area_struct, ...]
    encls: tuple[sgx_encl, ...]
    encl_pages: tuple[sgx_encl_page, ...]
    va_pages: tuple[sgx_va_page, ...]
    vepcs: VirtualEpcs
    isos: dict[Any, list_head]
    task_structs: tuple[task_struct, ...]
    memcgs: tuple[mem_cgroup, ...]
    first: State = attrs.field(factory=list)
    """Shared state after the set-up."""

    def system(self, observer: Observer) -> System:
        """A fresh run from the state after the set-up; its ``start()`` is to follow."""
        return System(self.image, self.tasks, self.first.copy(), observer)


def build(revision: Revision, scenario: Scenario) -> World:
    """Lay everything out, run the set-up.  Raises :class:`ScenarioError` if that fails."""
    if scenario.machine:
        raise ScenarioError(
            f"{scenario.name}: 'machine' is what sgx_init() meets, which the model does not "
            "have; check a kernel tree with it"
        )
    layout = Layout()
    plan = _Plan(layout, scenario)
    plan.statics(revision)
    plan.hardware()
    plan.objects()
    vars(layout.namespace["ksgxd"])["reclaimable"] = revision.lists.find(
        layout.namespace, revision.lists.reclaimable
    )
    image = revision.program.load(layout)
    world = plan.world(revision, image)
    world.first = _run_setup(world, plan)
    return world


def _run_setup(world: World, plan: _Plan) -> State:
    scenario = world.scenario
    calls = tuple(plan.call(c) for c in scenario.setup)
    failed: list[str] = []

    class Watch(Silent):
        def returned(self, t: int, call: Call, value: Any) -> None:
            if result_name(value) != "0":
                failed.append(f"{call.text} gave {result_name(value)}")

    state = world.layout.values.copy()
    spec = TaskSpec("setup", plan.setup_task, calls)
    system = System(world.image, [spec], state, Watch())
    system.start()
    while not system.done(0):
        if not system.enabled(0) or system.steps > SETUP_STEPS:
            raise ScenarioError(f"{scenario.name}: the set-up does not end")
        system.step(0)
    if failed:
        raise ScenarioError(f"{scenario.name}: in the set-up, {failed[0]}")
    for what, times in scenario.fail:
        state[plan.failure(what)] = times
    return system.state


class _Plan:
    """The layout under construction."""

    def __init__(self, layout: Layout, scenario: Scenario) -> None:
        self.layout = layout
        self.scenario = scenario
        self.space = layout.namespace
        self.largest = max((size for _, size in scenario.enclaves), default=1)

    def statics(self, revision: Revision) -> None:
        layout, scenario = self.layout, self.scenario
        for var in revision.statics:
            layout.static(var)
        layout.set(sanitize.BOOT, int(bool(scenario.boot)))
        layout.set(structs.SGX_NR_TO_SCAN, scenario.scan)
        layout.set(structs.SGX_NR_LOW_PAGES, scenario.low)
        layout.set(structs.SGX_NR_HIGH_PAGES, scenario.high)
        layout.set(structs.SGX_VA_SLOT_COUNT, scenario.va_slots)
        layout.set(structs.XA_CHECK_SCHED, scenario.check_sched)
        layout.set(structs.PCMDS_PER_PAGE, scenario.pcmds)
        layout.set(structs.SGX2, int(scenario.sgx2))
        layout.set(structs.THREADS, int(scenario.processes_come_and_go))
        layout.set(structs.PTES_FAIL, int("pte" in dict(scenario.fail)))
        layout.set(structs.ARGUMENTS_FAIL, int("argument" in dict(scenario.fail)))
        layout.set(user.USER_COPIES_FAIL, int("user-copy" in dict(scenario.fail)))

    def hardware(self) -> None:
        layout = self.layout
        names = [t.name for t in self.scenario.tasks]
        if self.scenario.processes_come_and_go:
            names += WORKERS
        nodes = {t.name: t.node for t in self.scenario.tasks}
        self.task_structs = {
            name: layout.new(task_struct, name) for name in (*names, "ksgxd", "setup", "end")
        }
        for name, node in nodes.items():
            layout.values[self.task_structs[name].node] = node
        self.setup_task = self.task_structs["setup"]
        cpu = self.space["cpu"]
        vars(cpu)["cpus"] = tuple(self.task_structs.values())
        self.nodes: list[sgx_numa_node] = []
        self.pages: list[sgx_epc_page] = []
        for nid, count in enumerate(self.scenario.epc):
            home = layout.new(sgx_numa_node, f"node{nid}")
            vars(home)["nid"] = nid
            self.nodes.append(home)
            for _ in range(count):
                self.epc_page(home)
        vars(self.space["sgx_numa_nodes"]).update(
            nodes=tuple(self.nodes),
            mask=tuple(n for n, count in enumerate(self.scenario.epc) if count),
        )
        layout.values[self.space["sgx_nr_free_pages"].counter] = len(self.pages)
        make_dirty(layout, self.pages, self.scenario.boot)

    def epc_page(self, node: sgx_numa_node) -> None:
        """One page, free, at the tail of its node's free list."""
        layout, values = self.layout, self.layout.values
        number = len(self.pages)
        epc_page = layout.new(sgx_epc_page, f"epc{number}")
        memory = layout.new(frame, f"epcm{number}", versions=self.scenario.va_slots)
        vars(memory).update(cpu=self.space["cpu"], page=epc_page)
        vars(epc_page).update(number=number, home=node, frame=memory)
        for i in range(memory.versions_len):
            values[memory.versions + i] = 0
        values[epc_page.flags] = SGX_EPC_PAGE_IS_FREE
        head, entry = node.free_page_list, epc_page.list
        last = values[head.prev]
        values[last.next] = entry
        values[entry.prev], values[entry.next] = last, head
        values[head.prev] = entry
        self.pages.append(epc_page)

    def objects(self) -> None:
        scenario, layout = self.scenario, self.layout
        calls = scenario.all_calls()
        opens = max(1, sum(c.verb == "open" for c in calls))
        busy = len(scenario.tasks) + 1
        sizes = sum(size for _, size in scenario.enclaves)
        backing_len = self.largest + 1 + -(-(self.largest + 1) // scenario.pcmds)
        added = sum(c.verb in ("add", "accept", "touch", "run") for c in calls)
        va = opens + added // scenario.va_slots + busy + 1
        self.encls = [
            layout.new(sgx_encl, f"encl{i or ''}", entries=self.largest) for i in range(opens)
        ]
        self.encl_pages = [layout.new(sgx_encl_page, f"encl_page{i}") for i in range(sizes + busy)]
        self.va_pages = [layout.new(sgx_va_page, f"va_page{i}") for i in range(va)]
        files = [layout.new(file, f"backing{i}", cached=backing_len) for i in range(opens)]
        cached = [layout.new(page, f"shmem{i}") for i in range(opens * backing_len + 2 * busy)]
        for name, handles in (
            ("sgx_encl_cache", self.encls),
            ("sgx_encl_page_cache", self.encl_pages),
            ("sgx_va_page_cache", self.va_pages),
            ("shmem_file_cache", files),
            ("shmem_page_cache", cached),
        ):
            fill_cache(layout, self.space[name], list(handles))
        made = Processes(layout, scenario)
        fill_cache(layout, self.space["sgx_encl_mm_cache"], list(made.encl_mms))
        fill_cache(layout, self.space["vm_area_cache"], list(made.vmas))
        self.made = made
        self.processes = made.by_name
        self.memcgs = memcgs.lay_out(layout, scenario, made.by_name, self.task_structs)
        vars(self.space["ksgxd"]).update(
            pages=tuple(self.pages),
            counter=self.space["sgx_nr_free_pages"].counter,
            reclaimable=None,
        )
        self.isos = {
            task: layout.new(list_head, f"iso of {task}") for task in self.task_structs.values()
        }
        opened = sum(c.verb == "vepc-open" for c in calls)
        self.vepcs = VirtualEpcs(layout, scenario.vepcs, list(self.isos), opened)
        if "stack" in self.space:
            vars(self.space["stack"])["of"] = self.isos

    def failure(self, what: str) -> int:
        """The slot that counts how often a failure may still happen."""
        if what in LEAVES:
            slot: int = getattr(self.space["cpu"], f"fail_{what}")
            return slot
        where = self.space[FAILURES[what]]
        return int(where.left if isinstance(where, fault_budget) else where.failures)

    def call(self, spec: CallSpec) -> Call:
        verb = VERBS[spec.verb]
        words = list(spec.args)
        args: list[Any] = []
        for kind in verb.args:
            if kind == "size":
                args.append(self.scenario.size(spec.args[0]))
                continue
            word = words.pop(0)
            if kind in ("enclave", "child"):
                args.append(self.processes[word])
            elif kind == "pages":
                low, _, high = word.partition("-")
                args += (int(low), int(high or low) - int(low) + 1)
            elif kind == "vepc":
                args.append(self.vepcs.files[word])
            elif kind in ("permissions", "rights"):
                args.append("" if word == "none" else word)
            elif kind == "descriptor":
                args.append(word)
            elif kind == "argument":
                args.append(word.startswith("add-"))
            elif kind == "type":
                args.append(TYPES[word])
            elif kind == "epc":
                args.append(self.pages[int(word)])
            elif kind == "task":
                args.append(self.task_structs[word])
            else:
                args.append(int(word))
        return Call(str(spec), verb.function, tuple(args))

    def world(self, revision: Revision, image: Image) -> World:
        specs = [
            TaskSpec(t.name, self.task_structs[t.name], tuple(map(self.call, t.calls)))
            for t in self.scenario.tasks
        ]
        if self.scenario.ksgxd:
            handle = self.task_structs["ksgxd"]
            self.layout.values[handle.daemon] = 1
            self.layout.values[self.space["ksgxd"].ksgxd] = handle
            specs.append(TaskSpec("ksgxd", handle, (Call("ksgxd", "ksgxd", ()),), daemon=True))
        if self.scenario.processes_come_and_go:
            for name, function in WORKERS.items():
                run = (Call(name, function, ()),)
                specs.append(TaskSpec(name, self.task_structs[name], run, daemon=True))
        closing = [self.call(CallSpec("exit", (name,))) for name in self.processes]
        closing += [self.call(CallSpec("vepc-close", (n,))) for n, _ in self.scenario.vepcs]
        specs.append(TaskSpec("end", self.task_structs["end"], tuple(closing), last=True))
        return World(
            revision=revision,
            scenario=self.scenario,
            layout=self.layout,
            image=image,
            tasks=tuple(specs),
            pages=tuple(self.pages),
            nodes=tuple(self.nodes),
            processes=self.processes,
            mms=self.made.mms,
            encl_mms=self.made.encl_mms,
            vmas=self.made.vmas,
            encls=tuple(self.encls),
            encl_pages=tuple(self.encl_pages),
            va_pages=tuple(self.va_pages),
            vepcs=self.vepcs,
            isos=self.isos,
            task_structs=tuple(self.task_structs.values()),
            memcgs=self.memcgs,
        )
