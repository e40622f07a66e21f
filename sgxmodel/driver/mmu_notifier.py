# SPDX-License-Identifier: GPL-2.0-only
"""mm/mmu_notifier.c: subscriptions to the end of an address space.

The operations of a subscription are the driver's: ``->release`` is
sgx_mmu_notifier_release(), ``->free_notifier`` sgx_mmu_notifier_free().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgxmodel.driver.structs import EINTR, THREADS, mmu_notifier_domain, sgx_encl_mm
from sgxmodel.kernel.lock import spin_lock, spin_unlock
from sgxmodel.kernel.mm import (
    hlist_add_head_rcu,
    hlist_del_init_rcu,
    hlist_entries_rcu,
    hlist_unhashed,
    mm_has_notifiers,
    mm_struct,
    mmap_assert_write_locked,
    mmdrop,
    mmgrab,
)
from sgxmodel.kernel.srcu import (
    call_srcu,
    srcu_callbacks_left,
    srcu_next_callback,
    srcu_read_lock,
    srcu_read_unlock,
)
from sgxmodel.kernel.task import local_bh_disable, local_bh_enable, signal_pending
from sgxmodel.machine.notation import kernel, part_of
from sgxmodel.machine.op import sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.mm import (
        sgx_mmu_notifier_free,
        sgx_mmu_notifier_release,
        synchronize_srcu,
    )


@kernel
def __mmu_notifier_register(mn: sgx_encl_mm, mm: mm_struct) -> int:
    """__mmu_notifier_register(): mm_take_all_locks() gives up on a signal."""
    mmap_assert_write_locked(mm)
    if signal_pending():
        sometimes("-EINTR: a signal came while an mm was added")
        return -EINTR
    mmgrab(mm)
    mn.users = 1
    hlist_add_head_rcu(mm, mn)
    return 0


@kernel
def mmu_notifier_release(mm: mm_struct) -> None:
    """mn_hlist_release(): exit_mmap() tells every subscriber, and waits for unregister."""
    if not mm_has_notifiers(mm):
        return
    srcu_read_lock(mmu_notifier_domain.srcu)
    subscribed = hlist_entries_rcu(mm)
    for i in range(len(subscribed)):
        sgx_mmu_notifier_release(subscribed[i], mm)
    spin_lock(mm.subscriptions_lock)
    left = hlist_entries_rcu(mm)
    for i in range(len(left)):
        hlist_del_init_rcu(mm, left[i])
    spin_unlock(mm.subscriptions_lock)
    srcu_read_unlock(mmu_notifier_domain.srcu)
    synchronize_srcu(mmu_notifier_domain.srcu)
    if not THREADS:
        srcu_barrier()


@kernel
def mmu_notifier_unregister(mn: sgx_encl_mm, mm: mm_struct) -> None:
    """mmu_notifier_unregister(): also waits for a ->release under way elsewhere."""
    if not hlist_unhashed(mm, mn):
        srcu_read_lock(mmu_notifier_domain.srcu)
        sgx_mmu_notifier_release(mn, mm)
        srcu_read_unlock(mmu_notifier_domain.srcu)
        spin_lock(mm.subscriptions_lock)
        hlist_del_init_rcu(mm, mn)
        spin_unlock(mm.subscriptions_lock)
    synchronize_srcu(mmu_notifier_domain.srcu)
    mmdrop(mm)


@kernel
def mmu_notifier_put(mn: sgx_encl_mm) -> None:
    """mmu_notifier_put(): the last user unsubscribes and frees after a grace period."""
    mm = mn.mm
    spin_lock(mm.subscriptions_lock)
    mn.users -= 1
    if mn.users:
        spin_unlock(mm.subscriptions_lock)
        return
    hlist_del_init_rcu(mm, mn)
    spin_unlock(mm.subscriptions_lock)
    call_srcu(mmu_notifier_domain.srcu, mn)


@kernel
def mmu_notifier_free_rcu(mn: sgx_encl_mm) -> None:
    """mmu_notifier_free_rcu(): the callback, with bottom halves off (srcu_invoke_callbacks())."""
    mm = mn.mm
    local_bh_disable()
    sgx_mmu_notifier_free(mn)
    mmdrop(mm)
    local_bh_enable()


@part_of("srcu_invoke_callbacks")
def rcu_worker() -> int:
    """The worker that invokes callbacks, for ever."""
    while True:
        mmu_notifier_free_rcu(srcu_next_callback(mmu_notifier_domain.srcu))


@part_of("srcu_invoke_callbacks")
def srcu_barrier() -> int:
    """Every callback that is queued now has been invoked (where no worker does it).

    That is the usual order: the callback was queued before the grace period for
    which mmu_notifier_release() waits, most often on the same CPU.
    """
    while srcu_callbacks_left(mmu_notifier_domain.srcu):
        mmu_notifier_free_rcu(srcu_next_callback(mmu_notifier_domain.srcu))
    return 0
