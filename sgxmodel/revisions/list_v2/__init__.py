# SPDX-License-Identifier: GPL-2.0-only
"""The seed mail's patch (v2 07/18) and the six before it: an isolate list.

<https://lore.kernel.org/linux-sgx/20221202183655.3767674-8-kristen@linux.intel.com>

Flags of sgx_epc_page (sgx.h after the patch):

* RECLAIMER_TRACKED, bit 0: reclaimable, or isolated.  Set by
  sgx_record_epc_page(); cleared for a dying owner in __sgx_reclaim_pages()
  under lru->lock, by sgx_drop_epc_page() and at the end of
  __sgx_reclaim_pages() under no lock.
* IS_FREE, bit 1: as in mainline, under node->lock.
* KVM_GUEST, bit 2: declared, set by nobody.
* RECLAIM_IN_PROGRESS, bit 3: isolated.  Set in __sgx_reclaim_pages() and
  cleared on its skip path under lru->lock; cleared by sgx_drop_epc_page() and
  at the end of the pass under no lock.
* ENCLAVE, bit 4: a page of an enclave that the reclaimer may take.  Set by
  sgx_record_epc_page() from add_page, load_page and for a SECS, but not for
  pages added at run time or retyped (faults F1); cleared as bit 0.
* VERSION_ARRAY, bit 5: a VA page.  Set and cleared like bit 4.

The array version of the pass keeps backing[i] beside chunk[i]; the list
version pairs the kept pages with backing[] by counting, which is equivalent.
"""

from sgxmodel.driver.structs import SGX_EPC_PAGE_IS_FREE, SGX_EPC_PAGE_RECLAIMER_TRACKED
from sgxmodel.revisions.base import Lists
from sgxmodel.revisions.list_v2 import flags

BEFORE = "mainline"
RENAMED = {"__sgx_reclaim_pages": "sgx_reclaim_pages"}
FLAGS = {
    "TRACKED": SGX_EPC_PAGE_RECLAIMER_TRACKED,
    "IS_FREE": SGX_EPC_PAGE_IS_FREE,
    "KVM_GUEST": flags.SGX_EPC_PAGE_KVM_GUEST,
    "IN_PROGRESS": flags.SGX_EPC_PAGE_RECLAIM_IN_PROGRESS,
    "ENCLAVE": flags.SGX_EPC_PAGE_ENCLAVE,
    "VERSION_ARRAY": flags.SGX_EPC_PAGE_VERSION_ARRAY,
}
LISTS = Lists(
    lock=("sgx_global_lru", "lock"),
    reclaimable=("sgx_global_lru", "reclaimable"),
    unreclaimable=("sgx_global_lru", "unreclaimable"),
    in_progress=flags.SGX_EPC_PAGE_RECLAIM_IN_PROGRESS,
    reclaimer="__sgx_reclaim_pages",
)
