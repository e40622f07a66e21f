# SPDX-License-Identifier: GPL-2.0-only
"""Virtual EPCs, laid out where a scenario declares some."""

from __future__ import annotations

from typing import Any

from sgxmodel.driver import virt
from sgxmodel.kernel.list import list_head
from sgxmodel.kernel.memory import fill_cache
from sgxmodel.machine.layout import Layout


class VirtualEpcs:
    """Files by name, objects, and the heads on which a release may leave pages."""

    def __init__(
        self, layout: Layout, vepcs: tuple[tuple[str, int], ...], tasks: list[Any], opens: int
    ) -> None:
        space = layout.namespace
        largest = max((size for _, size in vepcs), default=1)
        names = [f"vepc{i}" for i in range(opens)]
        self.objects = tuple(layout.new(virt.sgx_vepc, name, entries=largest) for name in names)
        fill_cache(layout, space["sgx_vepc_cache"], list(self.objects))
        self.files = {name: layout.new(virt.vepc_file, name) for name, _ in vepcs}
        self.stacks: dict[Any, list_head] = {}
        if vepcs:
            self.stacks = {t: layout.new(list_head, f"secs_pages of {t}") for t in tasks}
        vars(space["vepc_stack"])["secs_of"] = self.stacks
