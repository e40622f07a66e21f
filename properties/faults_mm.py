# SPDX-License-Identifier: GPL-2.0-only
"""Faults of the memory side, put back into list_fixed.

N1 to N5 are mainline's own (sgxmodel/tree/findings.md).  U-refs is what the mm
list was like before its entries held references (5.11).  The others are one
statement of encl.c or mmu_notifier.c each, left out or moved.
"""

from __future__ import annotations

from typing import Any

from properties.faults import KnownFault
from sgxmodel.driver import encl, main, mm, mmu_notifier, process
from sgxmodel.hardware.mmu import on_each_cpu_mask
from sgxmodel.machine.edit import edited
from sgxmodel.revisions.list_fixed import fixes

ZAP, AGE, MASK = "sgx_zap_enclave_ptes", "sgx_encl_is_young", "sgx_encl_cpumask"
RELEASE, ADD = "sgx_mmu_notifier_release", "sgx_encl_mm_add"
NEXT = "mmput_async(mm)"
INSERT = "vmret = vmf_insert_pfn(mm, vma, index, entry.epc_page)\n"


def edit(module: Any, name: str, *changes: tuple[str, str], **names: Any) -> dict[str, Any]:
    return {name: edited(getattr(module, name), *changes, **names)}


def mainlines(*names: str) -> dict[str, Any]:
    return {name: getattr(mm, name) for name in names}


MEMORY_FAULTS = {
    fault.id: fault
    for fault in (
        KnownFault(
            "N1",
            "a failed sgx_encl_mm_add() keeps the enclave's reference",
            ("20-end",),
            ("mmap-fails", "fork-signal"),
            mainlines("sgx_mm_add_failed"),
        ),
        KnownFault(
            "N2",
            "a child that is not on the mm list gets its parent's PTEs",
            ("13-mappings", "19-tracking"),
            ("fork-fails", "fork-fails-run"),
            mainlines("sgx_vma_open_failed"),
        ),
        KnownFault(
            "N3",
            "mprotect() in such a child follows NULL",
            ("6-references",),
            ("fork-signal",),
            mainlines("sgx_vma_mprotect"),
        ),
        KnownFault(
            "N4",
            "an enclave is released in an SRCU callback",
            ("17-lock-order",),
            ("exit-close", "exit-reclaim"),
            mainlines("sgx_mmu_notifier_put", "sgx_mmu_notifier_free"),
        ),
        KnownFault(
            "N5",
            "mm_list_version is read plainly under no lock",
            ("18-plain-read",),
            ("fork-reclaim",),
            mainlines("sgx_mm_list_version", "sgx_mm_list_changed"),
        ),
        KnownFault(
            "U-refs",
            "entries of the mm list hold no reference on the enclave",
            ("6-references",),
            ("exit-close", "fork-close"),
            {
                **edit(mm, ADD, ("kref_get(encl.refcount)", "pass")),
                **edit(fixes, "sgx_mmu_notifier_put", ("encl_put(encl)", "pass")),
                **edit(mm, "sgx_release", ("kfree(encl_mm)\nencl_put(encl)", "kfree(encl_mm)")),
            },
        ),
        KnownFault(
            "first-mm-zapped",
            "only the first mm of the list is zapped",
            ("13-mappings",),
            ("fork-reclaim", "x-fork-reclaim"),
            edit(mm, ZAP, (NEXT, NEXT + "\nbreak")),
        ),
        KnownFault(
            "zapped-once",
            "an mm that was added during the zap is not zapped",
            ("13-mappings",),
            ("fork-reclaim", "x-fork-reclaim"),
            edit(mm, ZAP, ("sgx_mm_list_version(encl) == version", "True")),
        ),
        KnownFault(
            "fork-without-open",
            "fork copies PTEs of a VMA that the driver was not told of",
            ("13-mappings",),
            ("fork-reclaim",),
            edit(process, "dup_mmap", ("sgx_vma_open(tmp, mm)", "pass")),
        ),
        KnownFault(
            "insert-unlocked",
            "the PTE is installed after encl->lock is released",
            ("13-mappings",),
            ("fault-reclaim", "munmap-reclaim"),
            edit(
                encl,
                "sgx_vma_fault",
                (INSERT, "mutex_unlock(encl.lock)\n" + INSERT),
                (
                    "sgx_encl_test_and_clear_young(mm, entry)\nmutex_unlock(encl.lock)\n",
                    "sgx_encl_test_and_clear_young(mm, entry)\n",
                ),
            ),
        ),
        KnownFault(
            "mmput-in-srcu",
            "the last user of an mm ends it in the SRCU read section",
            ("17-lock-order",),
            ("exit-reclaim", "x-exit-reclaim"),
            edit(mm, AGE, (NEXT, "mmput(mm)")),
        ),
        KnownFault(
            "release-without-gp",
            "the entry of an ending mm is freed without a grace period of the enclave's SRCU",
            ("6-references",),
            ("exit-reclaim",),
            edit(mm, RELEASE, ("synchronize_srcu(encl_mm.encl.srcu)", "pass")),
        ),
        KnownFault(
            "close-without-gp",
            "sgx_release() frees the entry while readers walk the list",
            ("6-references",),
            ("fork-close", "munmap-close", "young-close"),
            edit(mm, "sgx_release", ("synchronize_srcu(encl.srcu)", "pass")),
        ),
        KnownFault(
            "stays-on-list",
            "an ending mm stays on the list",
            ("6-references",),
            ("exit-reclaim",),
            edit(mm, RELEASE, ("list_del_rcu(encl_mm.list)", "pass")),
        ),
        KnownFault(
            "dead-mm-used",
            "the walk does not look whether an mm has users left",
            ("6-references",),
            ("exit-reclaim",),
            edit(mm, AGE, ("not mmget_not_zero(mm)", "mmget_not_zero(mm) is None")),
        ),
        KnownFault(
            "mm-kept",
            "mmu_notifier_unregister() keeps the mm",
            ("20-end",),
            ("exit-close", "munmap-close"),
            edit(mmu_notifier, "mmu_notifier_unregister", ("mmdrop(mm)", "pass")),
        ),
        KnownFault(
            "first-mm-interrupted",
            "only CPUs of the first mm are interrupted",
            ("19-tracking",),
            ("fork-ipi",),
            edit(mm, MASK, (NEXT, NEXT + "\nbreak")),
        ),
        KnownFault(
            "mask-before-etrack",
            "the CPUs to interrupt are looked up before ETRACK",
            ("19-tracking",),
            ("ipi", "fork-ipi"),
            edit(
                main,
                "sgx_encl_ewb",
                ("ret = ETRACK(", "mask = sgx_encl_cpumask(encl)\nret = ETRACK("),
                ("on_each_encl_cpu(encl)", "on_each_cpu_mask(mask)"),
                on_each_cpu_mask=on_each_cpu_mask,
                sgx_encl_cpumask=mm.sgx_encl_cpumask,
            ),
        ),
    )
}
