# SPDX-License-Identifier: GPL-2.0-only
"""Memory control groups: one for each family of processes, one for all else."""

from __future__ import annotations

from collections.abc import Mapping

from sgxmodel.driver.structs import process
from sgxmodel.kernel.memcg import mem_cgroup
from sgxmodel.kernel.task import task_struct
from sgxmodel.machine.layout import Layout
from sgxmodel.scenario.model import Scenario

ROOT = "root memcg"


def lay_out(
    layout: Layout,
    scenario: Scenario,
    processes: Mapping[str, process],
    tasks: Mapping[str, task_struct],
) -> tuple[mem_cgroup, ...]:
    """A child is in its parent's group, a task in that of the first process that it names."""
    root = layout.new(mem_cgroup, ROOT)
    groups = {name: layout.new(mem_cgroup, f"memcg of {name}") for name, _ in scenario.enclaves}
    of = {name: groups[dict(scenario.children).get(name, name)] for name in processes}
    for name, owner in processes.items():
        vars(owner.mm_of)["memcg_of"] = of[name]
    for task in tasks.values():
        vars(task)["memcg_of"] = root
    for line in scenario.tasks:
        named = [arg for call in line.calls for arg in call.args if arg in of]
        if named:
            vars(tasks[line.name])["memcg_of"] = of[named[0]]
    return (root, *groups.values())
