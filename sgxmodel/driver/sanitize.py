# SPDX-License-Identifier: GPL-2.0-only
"""main.c: pages that an earlier kernel left behind are cleaned by ksgxd at boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgxmodel.driver.calls import Verb
from sgxmodel.driver.structs import (
    ksgxd_control,
    out_of_scope,
    sgx_epc_page,
    sgx_epc_page_node,
    sgx_get_epc_virt_addr,
)
from sgxmodel.hardware.encls import EREMOVE
from sgxmodel.kernel.list import (
    INIT_LIST_HEAD,
    list_del,
    list_empty,
    list_first,
    list_head,
    list_move,
    list_move_tail,
    list_splice,
)
from sgxmodel.kernel.lock import spin_lock, spin_unlock
from sgxmodel.kernel.task import cond_resched, wait_for_completion, wake_up
from sgxmodel.machine.layout import Struct, param, static
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import READ_ONCE, WRITE_ONCE, sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.main import sgx_free_epc_page

BOOT = param("BOOT", 0)
"""Whether the scenario begins with dirty pages; where not, ksgxd has nothing to clean."""


class boot_stack(Struct):
    """``LIST_HEAD(dirty)`` on ksgxd's stack."""

    dirty_on_stack: list_head


sanitize_stack = static("sanitize", boot_stack)


@kernel
def kthread_should_stop() -> bool:
    """kthread_should_stop()."""
    return bool(READ_ONCE(ksgxd_control.stop))


@kernel
def __sgx_sanitize_pages(dirty_page_list: list_head) -> int:
    """__sgx_sanitize_pages(): how many are left dirty.  Only ksgxd touches the list."""
    left_dirty = 0
    dirty = sanitize_stack.dirty_on_stack
    INIT_LIST_HEAD(dirty)
    while not list_empty(dirty_page_list):
        if kthread_should_stop():
            sometimes("ksgxd was stopped while it sanitised")
            return 0
        page = list_first(dirty_page_list)
        if sgx_dirty_page_is_bad(page):
            node = sgx_epc_page_node(page)
            spin_lock(node.lock)
            list_move(page.list, node.sgx_poison_page_list)
            spin_unlock(node.lock)
            continue
        ret = EREMOVE(sgx_get_epc_virt_addr(page))
        if not ret:
            list_del(page.list)
            sgx_free_epc_page(page)
            sometimes("a page was sanitised")
        else:
            sometimes("a SECS had to wait for its children to be sanitised")
            list_move_tail(page.list, dirty)
            left_dirty += 1
        cond_resched()
    list_splice(dirty, dirty_page_list)
    out_of_scope(dirty)
    return left_dirty


@part_of("__sgx_sanitize_pages")
def sgx_dirty_page_is_bad(page: sgx_epc_page) -> bool:
    """A plain read without node->lock.

    Losing the race means a useless EREMOVE, as sgx_free_epc_page() looks again.
    """
    if page.poison:
        sometimes("a poisoned page was left as it was at boot")
        return True
    return False


@part_of("kthread_stop")
def stop_ksgxd() -> int:
    """kthread_stop(ksgxd_tsk), when sgx_init() fails: nobody uses the EPC after it."""
    WRITE_ONCE(ksgxd_control.stop, 1)
    wake_up(ksgxd_control.ksgxd_waitq)
    wait_for_completion(ksgxd_control.exited)
    return 0


CALLS = (Verb("stop-ksgxd", stop_ksgxd, (), ("0",), "sgx_init() fails and stops ksgxd"),)
