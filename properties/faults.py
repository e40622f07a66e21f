# SPDX-License-Identifier: GPL-2.0-only
"""Known faults put back into list_fixed, each a small named edit of the model.

Ids as in the kernel's history; what happened is in each entry's words.  None
of this is known to the checkers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from sgxmodel.driver import encl, main
from sgxmodel.driver.structs import (
    VM_FAULT_SIGBUS,
    sgx_epc_page,
    sgx_epc_page_node,
    sgx_nr_free_pages,
)
from sgxmodel.kernel.list import list_add_tail
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.machine.edit import edited
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.notation import part_of
from sgxmodel.revisions import Revision, revision
from sgxmodel.revisions.list_fixed import fixes
from sgxmodel.revisions.list_v2 import lru

if TYPE_CHECKING:
    from sgxmodel.driver.backing import sgx_encl_alloc_backing
    from sgxmodel.driver.main import sgx_account_free, sgx_reclaimer_write


@attrs.frozen(eq=False)
class KnownFault:
    """A fault, the functions that bring it back, and where it is to be found."""

    id: str
    about: str
    invariants: tuple[str, ...]
    scenarios: tuple[str, ...]
    functions: dict[str, Any]

    def revision(self) -> Revision:
        """list_fixed with the fault put back."""
        return revision("list_fixed").with_functions(self.id, self.functions)


def _function(fn: Any) -> KernelFunction:
    assert isinstance(fn, KernelFunction)
    return fn


@part_of("__sgx_encl_eldu")
def truncate_always(encl: Any, first: int) -> bool:
    """U1: the PCMD page goes although a neighbour is about to be written to it."""
    return True


@part_of("__sgx_alloc_epc_page_from_node")
def account_alloc_plain(page: sgx_epc_page) -> None:
    """U6: a plain long, changed under different node locks."""
    sgx_nr_free_pages.counter -= 1


@part_of("sgx_free_epc_page")
def account_free_plain(page: sgx_epc_page) -> None:
    """U6: the other side."""
    sgx_nr_free_pages.counter += 1


@part_of("sgx_encl_eaug_page")
def grow_failed_is_sigbus(ret: int) -> str:
    """U16: -EBUSY of the VA page's allocation is SIGBUS."""
    return VM_FAULT_SIGBUS


@part_of("__sgx_reclaim_pages")
def free_by_hand(page: sgx_epc_page) -> None:
    """U17: the reclaimer puts its page on the free list without looking at ``poison``."""
    node = sgx_epc_page_node(page)
    spin_lock(node.lock)
    list_add_tail(page.list, node.free_page_list)
    spin_unlock(node.lock)
    sgx_account_free(page)


@part_of("__sgx_reclaim_pages")
def write_with_late_backing(epc_page: sgx_epc_page) -> bool:
    """P10: backing storage is allocated after EBLOCK; on failure the page stays blocked."""
    encl_page = epc_page.owner
    encl = encl_page.encl
    mutex_lock(encl.lock)
    pinned = sgx_encl_alloc_backing(encl, encl_page.desc >> 12)
    if IS_ERR(pinned):
        encl_page.desc &= ~8
        mutex_unlock(encl.lock)
        return False
    mutex_unlock(encl.lock)
    sgx_reclaimer_write(epc_page, pinned)
    return True


PASS = "__sgx_reclaim_pages"
SKIP = """
spin_lock(sgx_global_lru.lock)
unisolated(epc_page)
epc_page.flags &= ~SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
sgx_epc_move_reclaimable(sgx_global_lru, epc_page)
spin_unlock(sgx_global_lru.lock)
atomic_long_dec(sgx_nr_isolated)
encl_put(encl)
"""
_pass = getattr(fixes, PASS)

FAULTS = {
    fault.id: fault
    for fault in (
        KnownFault(
            "U1",
            "ELDU truncates the PCMD page that the reclaimer is about to write (af117837ceb9)",
            ("7-being-reclaimed", "8-evicted"),
            ("fault-reclaim",),
            {"sgx_may_truncate_pcmd": truncate_always},
        ),
        KnownFault(
            "U6",
            "sgx_nr_free_pages is a plain long under different node locks (ac5d272a0ad0)",
            ("11-free-count",),
            ("numa",),
            {"sgx_account_alloc": account_alloc_plain},
        ),
        KnownFault(
            "U16",
            "EAUG makes -EBUSY of the VA page's allocation SIGBUS (81fa6fd13b5c)",
            ("15-errno", "16-benign-race"),
            ("eaug-va",),
            {"sgx_eaug_grow_failed": grow_failed_is_sigbus},
        ),
        KnownFault(
            "U17",
            "the reclaimer frees its page by hand: poisoned and without IS_FREE (e5733d8c89c3)",
            ("10-epcm",),
            ("poison-reclaim",),
            {
                PASS: edited(
                    _pass, ("sgx_free_epc_page(epc_page)", "free_by_hand(epc_page)"),
                    free_by_hand=free_by_hand,
                ),
                "free_by_hand": free_by_hand,
            },
        ),
        KnownFault(
            "U25",
            "a page whose EREMOVE failed reaches the free list (b0c7459be067)",
            ("10-epcm",),
            ("eremove-fails",),
            {
                "sgx_encl_free_epc_page": edited(
                    encl.sgx_encl_free_epc_page, ("return", "pass")
                )
            },
        ),
        KnownFault(
            "P1",
            "the reclaimer puts its reference before the page is back on the list",
            ("6-references",),
            ("fault-reclaim-close", "two-reclaimers", "young-close"),
            {PASS: edited(_pass, (SKIP, "encl_put(encl)\n" + SKIP.replace("encl_put(encl)", "")))},
        ),
        KnownFault(
            "P9",
            "the SECS is evicted before EINIT",
            ("6-references", "9-child-count"),
            ("init-reclaim",),
            {
                "sgx_reclaimer_write": edited(
                    main.sgx_reclaimer_write,
                    ("and test_bit(SGX_ENCL_INITIALIZED, encl.flags)", "and True"),
                )
            },
        ),
        KnownFault(
            "P10",
            "backing storage is allocated after EBLOCK; on failure the page stays blocked",
            ("13-mappings", "16-benign-race"),
            ("backing-fails",),
            {
                PASS: edited(
                    _pass,
                    ("pinned = sgx_encl_alloc_backing(encl, page_index)", "pinned = (None,)"),
                    (
                        "sgx_reclaimer_write(epc_page, backing[i])\ni += 1\n",
                        "if not write_with_late_backing(epc_page):\n"
                        "    spin_lock(sgx_global_lru.lock)\n"
                        "    unisolated(epc_page)\n"
                        "    epc_page.flags &= ~SGX_EPC_PAGE_RECLAIM_IN_PROGRESS\n"
                        "    sgx_epc_move_reclaimable(sgx_global_lru, epc_page)\n"
                        "    spin_unlock(sgx_global_lru.lock)\n"
                        "    atomic_long_dec(sgx_nr_isolated)\n"
                        "    encl_put(encl)\n"
                        "    continue",
                    ),
                    write_with_late_backing=write_with_late_backing,
                ),
                "write_with_late_backing": write_with_late_backing,
            },
        ),
        KnownFault(
            "contents-kept",
            "the contents of a page that was loaded back stay in the backing file (08999b2489b4)",
            ("8-evicted",),
            ("fault-reclaim",),
            {
                "__sgx_encl_eldu": edited(
                    encl.__sgx_encl_eldu,
                    ("    sgx_encl_truncate_backing_page(encl, page_index)\n    if", "    if"),
                ),
            },
        ),
        KnownFault(
            "unrecorded",
            "a SECS or VA page is marked as recorded, but is on no list",
            ("1-one-list",),
            ("fault-reclaim",),
            {
                "sgx_record_epc_page": edited(
                    lru.sgx_record_epc_page,
                    ("    sgx_epc_push_unreclaimable(sgx_global_lru, page)", "    pass"),
                ),
            },
        ),
        KnownFault(
            "va-page-behind",
            "a VA page that has a free slot again stays behind a full one",
            ("12-va-slots", "8-evicted"),
            ("va-all-out",),
            {
                "sgx_encl_eldu": edited(
                    encl.sgx_encl_eldu,
                    ("    list_move(encl_page.va_page.list, encl.va_pages)\n", ""),
                ),
            },
        ),
    )
}  # fmt: skip
