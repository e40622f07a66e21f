# SPDX-License-Identifier: GPL-2.0-only
"""encl.c: backing storage, who pays for it, and memory pressure on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import Verb
from sgxmodel.driver.structs import (
    ENOMEM,
    PCMDS_PER_PAGE,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    backing_cache,
    sgx_encl,
    shmem_page_cache,
)
from sgxmodel.kernel.list import list_for_each_entry_rcu
from sgxmodel.kernel.lock import might_sleep
from sgxmodel.kernel.memcg import (
    get_mem_cgroup_from_mm,
    mem_cgroup_charge,
    mem_cgroup_put,
    set_active_memcg,
)
from sgxmodel.kernel.memory import IS_ERR, kfree, kzalloc, xa_load
from sgxmodel.kernel.mm import mmget_not_zero
from sgxmodel.kernel.shmem import (
    SWAPPED,
    isolate_lru_folios,
    put_page,
    shmem_add_to_page_cache,
    shmem_find_get_page,
    shmem_swapin_folio,
    shmem_truncate_page,
    shrink_folio,
)
from sgxmodel.kernel.srcu import srcu_read_lock, srcu_read_unlock
from sgxmodel.kernel.task import current_is_ksgxd
from sgxmodel.machine.notation import kernel
from sgxmodel.machine.op import sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.process import mmput_async


@kernel
def sgx_encl_get_backing_page(encl: sgx_encl, index: int) -> Any:
    """shmem_read_mapping_page_gfp(): the page with a reference, zeroed if there was a hole."""
    might_sleep("shmem_read_mapping_page_gfp()")
    backing = encl.backing
    page = shmem_find_get_page(backing, index)
    if page == SWAPPED:
        page = shmem_swapin_folio(shmem_page_cache, backing, index)
        if page is None:
            sometimes("a backing page could not be read back from swap")
            return -ENOMEM
        sometimes("a backing page was read back from swap")
    if page is not None:
        return page
    page = kzalloc(shmem_page_cache)
    if page is None:
        sometimes("a backing page could not be allocated")
        return -ENOMEM
    mem_cgroup_charge(page)
    if not shmem_add_to_page_cache(backing, index, page):
        kfree(page)
        return shmem_find_get_page(backing, index)
    return page


@kernel
def __sgx_encl_get_backing(encl: sgx_encl, page_index: int) -> Any:
    """__sgx_encl_get_backing(): (contents, pcmd, PCMD's place in its page), or -errno."""
    contents = sgx_encl_get_backing_page(encl, page_index)
    if IS_ERR(contents):
        return contents
    pcmd = sgx_encl_get_backing_page(encl, encl.size + 1 + page_index // PCMDS_PER_PAGE)
    if IS_ERR(pcmd):
        put_page(contents)
        return pcmd
    return (contents, pcmd, page_index % PCMDS_PER_PAGE)


@kernel
def sgx_encl_get_mem_cgroup(encl: sgx_encl) -> Any:
    """sgx_encl_get_mem_cgroup(): who pays for the backing, with a reference (0c9782e204d3).

    A task pays itself, whichever enclave's page it reclaims; for ksgxd one of
    the enclave's address spaces does.
    """
    if not current_is_ksgxd():
        return get_mem_cgroup_from_mm(None)
    memcg = None
    srcu_read_lock(encl.srcu)
    for encl_mm in list_for_each_entry_rcu(encl.mm_list):
        mm = encl_mm.mm
        if not mmget_not_zero(mm):
            continue
        memcg = get_mem_cgroup_from_mm(mm)
        mmput_async(mm)
        break
    srcu_read_unlock(encl.srcu)
    if memcg is None:
        sometimes("ksgxd paid for backing: no address space was left")
        return get_mem_cgroup_from_mm(None)
    sometimes("an enclave's memcg paid for backing that ksgxd allocated")
    return memcg


@kernel
def sgx_encl_alloc_backing(encl: sgx_encl, page_index: int) -> Any:
    """sgx_encl_alloc_backing(): for writing out; charged to the enclave's memcg."""
    encl_memcg = sgx_encl_get_mem_cgroup(encl)
    memcg = set_active_memcg(encl_memcg)
    backing = __sgx_encl_get_backing(encl, page_index)
    set_active_memcg(memcg)
    mem_cgroup_put(encl_memcg)
    return backing


@kernel
def sgx_encl_lookup_backing(encl: sgx_encl, page_index: int) -> Any:
    """sgx_encl_lookup_backing(): for loading back."""
    return __sgx_encl_get_backing(encl, page_index)


@kernel
def sgx_encl_put_backing(backing: Any) -> None:
    """sgx_encl_put_backing()."""
    contents, pcmd, _at = backing
    put_page(pcmd)
    put_page(contents)


@kernel
def sgx_encl_truncate_backing_page(encl: sgx_encl, page_index: int) -> None:
    """shmem_truncate_range() of one page."""
    might_sleep("shmem_truncate_range()")
    shmem_truncate_page(encl.backing, page_index)


@kernel
def reclaimer_writing_to_pcmd(encl: sgx_encl, first: int) -> bool:
    """reclaimer_writing_to_pcmd(): is a page that shares the PCMD page being reclaimed?

    af117837ceb9 (U1).  The SECS needs no mark: its reclaim starts and ends
    under encl->lock.
    """
    for i in range(PCMDS_PER_PAGE):
        index = first + i
        if index == encl.size:
            break
        entry = xa_load(encl.page_array, index)
        if entry is None:
            continue
        # The mark and the VA slot share bits: only a resident page has the mark.
        if entry.epc_page is not None and entry.desc & SGX_ENCL_PAGE_BEING_RECLAIMED:
            sometimes("an empty PCMD page was kept for the reclaimer")
            return True
    return False


# -- memory pressure ----------------------------------------------------------------------


@kernel
def shrink_folio_list() -> None:
    """shrink_folio_list(): the kernel's own reclaim goes through the backing pages.

    No lock of the driver protects them from it: references and dirty bits do.
    """
    folios = isolate_lru_folios(backing_cache)
    for i in range(len(folios)):
        what = shrink_folio(folios[i])
        if what == "swapped":
            sometimes("a backing page went to swap")
        elif what == "dropped":
            sometimes("a clean backing page was dropped")
        elif what == "kept":
            sometimes("memory pressure met a backing page in use")


CALLS = (
    Verb("shrink", shrink_folio_list, (), ("0",),
         "memory pressure: backing pages go to swap, clean ones are dropped"),
)  # fmt: skip
