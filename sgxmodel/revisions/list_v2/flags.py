# SPDX-License-Identifier: GPL-2.0-only
"""sgx.h after the patch: the new flags, and which kind of page gets which."""

from __future__ import annotations

from sgxmodel.driver.seam import (
    PAGE_ADDED,
    PAGE_AUGMENTED,
    PAGE_LOADED,
    PAGE_RETYPED,
    SECS_CREATED,
    SECS_LOADED,
    VA_PAGE,
    VEPC_PAGE,
)
from sgxmodel.driver.structs import SGX_EPC_PAGE_RECLAIMER_TRACKED
from sgxmodel.machine.op import pure

SGX_EPC_PAGE_KVM_GUEST = 1 << 2
SGX_EPC_PAGE_RECLAIM_IN_PROGRESS = 1 << 3
SGX_EPC_PAGE_ENCLAVE = 1 << 4
SGX_EPC_PAGE_VERSION_ARRAY = 1 << 5

RECORDED_AS = {
    PAGE_ADDED: SGX_EPC_PAGE_ENCLAVE | SGX_EPC_PAGE_RECLAIMER_TRACKED,
    PAGE_LOADED: SGX_EPC_PAGE_ENCLAVE | SGX_EPC_PAGE_RECLAIMER_TRACKED,
    PAGE_AUGMENTED: SGX_EPC_PAGE_RECLAIMER_TRACKED,
    PAGE_RETYPED: SGX_EPC_PAGE_RECLAIMER_TRACKED,
    SECS_CREATED: SGX_EPC_PAGE_ENCLAVE,
    SECS_LOADED: SGX_EPC_PAGE_ENCLAVE,
    VA_PAGE: SGX_EPC_PAGE_VERSION_ARRAY,
    VEPC_PAGE: 0,
}


@pure
def flags_of(kind: str) -> int:
    """The argument that this call site gives to sgx_record_epc_page()."""
    return RECORDED_AS[kind]
