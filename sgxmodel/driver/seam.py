# SPDX-License-Identifier: GPL-2.0-only
"""The seam: what the driver asks of a revision, as signatures.

A call site names the kind of page; the revision says which flags and lists
that means.  Model code is linked by name, so importing these is for the type
checker only.
"""

from __future__ import annotations

from sgxmodel.driver.structs import sgx_epc_page

# Kinds of page, one per place of the driver that starts to track one.
PAGE_ADDED = "enclave page added before EINIT (sgx_encl_add_page)"
PAGE_LOADED = "enclave page loaded back (__sgx_encl_load_page)"
PAGE_AUGMENTED = "enclave page added at run time (sgx_encl_eaug_page)"
PAGE_RETYPED = "enclave page whose type changes (sgx_enclave_modify_types)"
SECS_CREATED = "SECS (sgx_encl_create)"
SECS_LOADED = "SECS loaded back (sgx_encl_load_secs)"
VEPC_PAGE = "page of a virtual EPC (__sgx_vepc_fault)"
VA_PAGE = "version array page (sgx_alloc_va_page)"


def track_page(page: sgx_epc_page, kind: str) -> None:
    """A page has its owner and contents: put it where this kind of page is kept."""
    raise NotImplementedError


def untrack_page(page: sgx_epc_page, kind: str) -> int:
    """A page is about to be freed or changed.  -EBUSY: the reclaimer has it."""
    raise NotImplementedError


def sgx_can_reclaim() -> bool:
    """Whether some page could be reclaimed (read without the lock)."""
    raise NotImplementedError


def sgx_reclaim_pages() -> None:
    """One pass of the reclaimer."""
    raise NotImplementedError


def sgx_poison_tracked(page: sgx_epc_page) -> None:
    """A page that is in use turned out bad; called with the node's lock held."""
    raise NotImplementedError
