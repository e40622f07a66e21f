# SPDX-License-Identifier: GPL-2.0-only
"""Pages that an earlier kernel left in the EPC: dirty, and on no free list."""

from __future__ import annotations

from typing import Any

from sgxmodel.hardware.epcm import PT_REG, PT_SECS, PT_VA
from sgxmodel.kernel.list import list_head
from sgxmodel.machine.layout import Layout

KINDS = {"secs": PT_SECS, "reg": PT_REG, "va": PT_VA, "none": None}
"""What a dirty page may hold; ``reg`` is a child of the last SECS before it, or the first."""


def make_dirty(layout: Layout, pages: list[Any], kinds: tuple[str, ...]) -> None:
    """The first pages leave the free list for the dirty list, with what they held."""
    if not kinds:
        return
    values, space = layout.values, layout.namespace
    secs = next((p.frame for p, k in zip(pages, kinds, strict=False) if k == "secs"), None)
    for page, kind in zip(pages, kinds, strict=False):
        _unlink(values, page.list)
        _append(values, page.list, space["sgx_dirty_page_list"])
        values[page.flags] = 0
        frame = page.frame
        values[frame.valid] = int(kind != "none")
        values[frame.page_type] = KINDS[kind]
        if kind == "secs":
            secs = frame
            values[frame.eid] = values[space["cpu"].eid] = values[space["cpu"].eid] + 1
            values[frame.initialized] = 1
            values[frame.elrange] = len(kinds)
        elif kind == "reg" and secs is not None:
            values[frame.enclavesecs] = secs
            values[secs.children] += 1
    values[space["sgx_nr_free_pages"].counter] -= len(kinds)


def _unlink(values: list[Any], entry: list_head) -> None:
    before, after = values[entry.prev], values[entry.next]
    values[before.next], values[after.prev] = after, before


def _append(values: list[Any], entry: list_head, head: list_head) -> None:
    last = values[head.prev]
    values[last.next], values[entry.prev] = entry, last
    values[entry.next], values[head.prev] = head, entry
