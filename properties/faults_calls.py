# SPDX-License-Identifier: GPL-2.0-only
"""Known faults put back into list_fixed: boot, ioctls, vEPC (the others: faults.py)."""

from __future__ import annotations

from properties.faults import KnownFault
from sgxmodel.driver import main, sanitize, virt
from sgxmodel.driver.structs import sgx_nr_free_pages
from sgxmodel.kernel.ref import atomic_long_inc
from sgxmodel.machine.edit import edited
from sgxmodel.revisions.list_fixed import fixes

FAULTS = {
    fault.id: fault
    for fault in (
        KnownFault(
            "U21",
            "the free counter is raised at set-up and again by sanitising (ae40aaf6bdbf)",
            ("11-free-count",),
            ("boot-sanitize",),
            {
                "__sgx_sanitize_pages": edited(
                    sanitize.__sgx_sanitize_pages,
                    (
                        "sgx_free_epc_page(page)",
                        "sgx_free_epc_page(page)\natomic_long_inc(sgx_nr_free_pages)",
                    ),
                    atomic_long_inc=atomic_long_inc,
                    sgx_nr_free_pages=sgx_nr_free_pages,
                )
            },
        ),
        KnownFault(
            "S33",
            "record ORs the new state to the old one, which allocation leaves in place",
            ("2-free-flags", "3-tracked", "5-in-progress"),
            ("fault-reclaim",),
            {
                "__sgx_alloc_epc_page_from_node": edited(
                    main.__sgx_alloc_epc_page_from_node, ("page.flags = 0", "pass")
                ),
            },
        ),
        KnownFault(
            "no-retry",
            "zombie SECS pages are not tried again by later releases",
            ("20-end",),
            ("vepc-zombie",),
            {
                "sgx_vepc_retry_zombies": edited(
                    fixes.sgx_vepc_retry_zombies, ("sgx_vepc_try_zombies(secs_pages)\n", "")
                )
            },
        ),
        KnownFault(
            "vepc-frees",
            "a guest's page whose EREMOVE failed reaches the free list",
            ("10-epcm",),
            ("vepc-zombie",),
            {
                "sgx_vepc_free_page": edited(
                    virt.sgx_vepc_free_page, ("return ret\n", "ret = 0\n")
                )
            },
        ),
        KnownFault(
            "one-pass",
            "a single pass over the dirty pages: a SECS whose children come later stays",
            ("10-epcm",),
            ("boot-sanitize",),
            {
                "ksgxd": edited(
                    main.ksgxd, ("__sgx_sanitize_pages(sgx_dirty_page_list)\nleft", "left")
                )
            },
        ),
    )
}  # fmt: skip
