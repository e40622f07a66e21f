# SPDX-License-Identifier: GPL-2.0-only
"""20-end: what must be true when every file is closed and every task done."""

from __future__ import annotations

from collections.abc import Iterator

from sgxmodel.invariants.view import View
from sgxmodel.kernel.list import list_head
from sgxmodel.machine.layout import FREED

ZOMBIE = "stays a zombie when every virtual EPC is released"
ACTIVE = "still charges allocations to"
KEPT = "is a memory cgroup whose reference is never dropped"


def released_by(title: str) -> str:
    """The function whose work was left undone."""
    if title.endswith(ZOMBIE):
        return "sgx_vepc_release"
    return "sgx_encl_alloc_backing" if ACTIVE in title or KEPT in title else "sgx_encl_release"


def check_end(view: View) -> Iterator[tuple[str, str]]:
    """(title, message) of everything that is left."""
    S, world = view.S, view.world
    listed = set()
    # sgx_init() failed and gives up the whole EPC: sgx_page_cache_teardown().
    stopped = bool(S[world.layout.namespace["ksgxd"].stop])
    # A page that was made to resist EREMOVE waits for a later release, or, if that
    # was while ksgxd sanitised, stays dirty for good with a WARN in ksgxd().
    resisted = "eremove" in dict(world.scenario.fail)
    ends = {"free", "poison", "zombie"} | ({"dirty"} if resisted else set())
    for head, role in view.static_lists:
        if role not in ends:
            continue
        pos = S[head.next]
        while isinstance(pos, list_head) and pos is not head and pos not in listed:
            listed.add(pos)
            if role == "zombie" and not resisted:
                yield (
                    f"{pos.container} {ZOMBIE}",
                    "its last child is gone; EREMOVE is not retried",
                )
            pos = S[pos.next]
    for page in view.pages:
        if page.list not in listed and not S[page.leaked] and not stopped:
            yield (f"{page} is lost", f"flags {view.flags(S[page.flags])}, on no free list")
    for handle in (*world.encls, *world.encl_pages, *world.va_pages, *world.vepcs.objects):
        if S[handle.slots[0]] is not FREED:
            yield (f"{handle} is never freed", "no reference to it is left")
    for handle in (*world.encl_mms, *world.vmas):
        if S[handle.slots[0]] is not FREED:
            yield (f"{handle} is never freed", "its address space or file is gone")
    for mm in world.mms:
        if S[mm.mm_users] is not FREED and S[mm.mm_count]:
            yield (
                f"{mm} is never freed",
                f"{S[mm.mm_users]} users, {S[mm.mm_count]} references are left",
            )
    for task in world.task_structs:
        if S[task.active_memcg] is not None:
            yield (f"{task} {ACTIVE} {S[task.active_memcg]}", "set_active_memcg() was not undone")
    for memcg in world.memcgs:
        if S[memcg.refs]:
            yield (f"{memcg} {KEPT}", f"{S[memcg.refs]} references are left")
    for name in ("shmem_file_cache", "shmem_page_cache"):
        for handle in world.layout.namespace[name].objects:
            if S[handle.slots[0]] is not FREED:
                yield (f"{handle} of the backing store is never freed", "")
