# SPDX-License-Identifier: GPL-2.0-only
"""Address spaces: ``mm_struct``, its VMAs and reference counts (mm_types.h, mm/mmap.c).

Addresses are page indexes of the enclave that a process maps.  The tree of
VMAs is a tuple in address order, one slot, which mmap_lock protects; looking
into it without that lock is a fault, as mmap_assert_locked() says.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sgxmodel.kernel.lock import rw_semaphore, spinlock_t
from sgxmodel.machine.layout import CURRENT, FREED, Array, State, Struct
from sgxmodel.machine.op import Fault, primitive


class mm_struct(Struct):
    """An address space.

    ``pte``: the mapped page or NULL, by address; ``young`` its Accessed bit,
    ``prot`` what it allows.  ``subscriptions``: the mmu notifiers, newest first.
    ``expected`` is ghost state, shared by all who map the same enclave: what was
    last written there (the data oracle).  ``memcg_of``: the control group of its tasks.
    """

    mmap_lock: rw_semaphore
    mm_users: int = 0
    mm_count: int = 0
    mm_mt: Any = ()
    subscriptions: Any = ()
    subscriptions_lock: spinlock_t
    pte: Array
    pte_len: int
    young: Array
    young_len: int
    pte_prot: Array
    pte_prot_len: int
    expected: ClassVar[int]
    expected_len: ClassVar[int]
    memcg_of: ClassVar[Any]


class vm_area_struct(Struct):
    """A mapping of ``[vm_start, vm_end)`` with rights ``vm_prot`` ("r", "rw", ...).

    ``vm_wipeonfork``: VM_WIPEONFORK, a child gets no PTEs of it.
    """

    vm_start: int = 0
    vm_end: int = 0
    vm_prot: Any = ""
    vm_private_data: Any = None
    vm_file: Any = None
    vm_wipeonfork: int = 0


# -- references: mm_users who may use the address space, mm_count who may look at the struct ----


def _counted(S: State, slot: int) -> int:
    value = S[slot]
    if value is FREED:
        raise Fault("use-after-free", "reference count of a freed mm_struct", fatal=True)
    return int(value)


@primitive(access="none")
def mm_init(S: State, mm: mm_struct) -> None:
    """mm_init() of a new address space: one user, one reference to the struct."""
    S[mm.mm_users] = S[mm.mm_count] = 1


@primitive(access="marked")
def mmget_not_zero(S: State, mm: mm_struct) -> bool:
    """Become a user, unless the last one has gone."""
    users = _counted(S, mm.mm_users)
    if users == 0:
        return False
    S[mm.mm_users] = users + 1
    return True


@primitive(access="marked", acquires=True, releases=True)
def mm_users_dec_and_test(S: State, mm: mm_struct) -> bool:
    """atomic_dec_and_test(&mm->mm_users): whether that was the last user."""
    users = _counted(S, mm.mm_users)
    if users == 0:
        raise Fault("refcount", "mm_users: underflow", result=False)
    S[mm.mm_users] = users - 1
    return users == 1


def _alone(S: State, mm: mm_struct) -> bool:
    return S[mm.mm_users] is FREED or S[mm.mm_users] <= 1


@primitive(enabled=_alone, access="marked", acquires=True, releases=True)
def mm_last_user_goes(S: State, mm: mm_struct) -> None:
    """As mm_users_dec_and_test(), at a moment when it is true: where no worker could help."""
    _counted(S, mm.mm_users)
    S[mm.mm_users] = 0


@primitive(access="marked")
def mmgrab(S: State, mm: mm_struct) -> None:
    """Keep the struct, not the address space."""
    S[mm.mm_count] = _counted(S, mm.mm_count) + 1


@primitive(access="marked", acquires=True, releases=True)
def mmdrop(S: State, mm: mm_struct) -> None:
    """Give the struct back; the last reference frees it."""
    count = _counted(S, mm.mm_count)
    if count > 1:
        S[mm.mm_count] = count - 1
        return
    for slot in mm.slots:
        S[slot] = FREED


# -- VMAs ---------------------------------------------------------------------------------------


def locked(S: State, mm: mm_struct, write: bool = False) -> None:
    """mmap_assert_locked(), mmap_assert_write_locked()."""
    task, sem = S[CURRENT], mm.mmap_lock
    if S[sem.writer] is task or (not write and sem in S[task.held]):
        return
    raise Fault("17-lock-order", f"BUG: {mm} is used without its mmap_lock", fatal=True)


def area_at(S: State, mm: mm_struct, index: int) -> Any:
    """The VMA that covers an address, or None; for operations and invariants."""
    for vma in S[mm.mm_mt]:
        if S[vma.vm_start] <= index < S[vma.vm_end]:
            return vma
    return None


@primitive(silent=True, access="none")
def mmap_assert_write_locked(S: State, mm: mm_struct) -> None:
    """The caller holds mmap_lock for writing."""
    locked(S, mm, write=True)


@primitive(silent=True, access="none")
def vma_lookup(S: State, mm: mm_struct, index: int) -> Any:
    """The VMA at an address, or NULL; mmap_lock is held."""
    locked(S, mm)
    return area_at(S, mm, index)


@primitive(silent=True, access="none")
def vma_prot_bits(S: State, vma: vm_area_struct) -> str:
    """``vma->vm_flags``, as far as they are rights; mmap_lock is held."""
    prot: str = S[vma.vm_prot]
    return prot


@primitive(silent=True, access="none")
def vmas_between(S: State, mm: mm_struct, start: int, end: int) -> tuple[Any, ...]:
    """The VMAs that overlap a range; mmap_lock is held."""
    locked(S, mm)
    return tuple(v for v in S[mm.mm_mt] if S[v.vm_start] < end and S[v.vm_end] > start)


@primitive(access="none")
def vma_iter_store(S: State, mm: mm_struct, vma: vm_area_struct) -> None:
    """Link a VMA into the tree."""
    locked(S, mm, write=True)
    areas = [*S[mm.mm_mt], vma]
    S[mm.mm_mt] = tuple(sorted(areas, key=lambda v: int(S[v.vm_start])))


@primitive(access="none")
def vma_iter_clear(S: State, mm: mm_struct, vmas: tuple[Any, ...]) -> None:
    """Unlink VMAs from the tree."""
    locked(S, mm, write=True)
    S[mm.mm_mt] = tuple(v for v in S[mm.mm_mt] if v not in vmas)


@primitive(access="none")
def vm_area_init(S: State, vma: vm_area_struct, of: Any, start: int, end: int) -> None:
    """A new VMA: ``of`` is the one that it is a copy of (vm_area_dup), or the mapped file."""
    S[vma.vm_start], S[vma.vm_end] = start, end
    if isinstance(of, vm_area_struct):
        for name in ("vm_prot", "vm_private_data", "vm_file", "vm_wipeonfork"):
            S[getattr(vma, name)] = S[getattr(of, name)]
    else:
        S[vma.vm_file] = of


@primitive(access="none")
def vma_adjust(S: State, vma: vm_area_struct, start: int, end: int) -> None:
    """Give a VMA new bounds."""
    S[vma.vm_start], S[vma.vm_end] = start, end


# -- the hlist of notifiers ---------------------------------------------------------------------


@primitive(access="none", releases=True)
def hlist_add_head_rcu(S: State, mm: mm_struct, mn: Any) -> None:
    """Subscribe."""
    S[mm.subscriptions] = (mn, *S[mm.subscriptions])


@primitive(access="none", releases=True)
def hlist_del_init_rcu(S: State, mm: mm_struct, mn: Any) -> None:
    """Unsubscribe; nothing happens if that was done before."""
    S[mm.subscriptions] = tuple(m for m in S[mm.subscriptions] if m is not mn)


@primitive(access="none")
def mm_has_notifiers(S: State, mm: mm_struct) -> bool:
    """Whether anybody is subscribed."""
    return bool(S[mm.subscriptions])


@primitive(access="none", acquires=True)
def hlist_entries_rcu(S: State, mm: mm_struct) -> tuple[Any, ...]:
    """Who is subscribed, for a walk in a read section."""
    found: tuple[Any, ...] = S[mm.subscriptions]
    return found


@primitive(access="none")
def hlist_unhashed(S: State, mm: mm_struct, mn: Any) -> bool:
    """Whether a notifier is unsubscribed already."""
    return mn not in S[mm.subscriptions]
