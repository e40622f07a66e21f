# SPDX-License-Identifier: GPL-2.0-only
"""Linux 6.1 and 6.12: chunk array; isolated means TRACKED and on no list.

Flags of sgx_epc_page (sgx.h):

* RECLAIMER_TRACKED, bit 0: the page is on the active list or isolated.  Set by
  sgx_mark_page_reclaimable(); cleared by sgx_unmark_page_reclaimable() and, for
  a dying owner, by sgx_reclaim_pages(), under sgx_reclaimer_lock; and at the
  end of sgx_reclaim_pages() under no lock.
* IS_FREE, bit 1: the page is on a node's free (or poison) list.  Set and
  cleared as a whole word by sgx_free_epc_page() and
  __sgx_alloc_epc_page_from_node(), under node->lock.
"""

from sgxmodel.driver.structs import SGX_EPC_PAGE_IS_FREE, SGX_EPC_PAGE_RECLAIMER_TRACKED
from sgxmodel.revisions.base import Lists

FLAGS = {
    "TRACKED": SGX_EPC_PAGE_RECLAIMER_TRACKED,
    "IS_FREE": SGX_EPC_PAGE_IS_FREE,
}
LISTS = Lists(
    lock=("sgx_reclaimer_lock",),
    reclaimable=("sgx_active_page_list",),
    unreclaimable=None,
    in_progress=0,
    reclaimer="sgx_reclaim_pages",
)
