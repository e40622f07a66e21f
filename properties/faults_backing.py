# SPDX-License-Identifier: GPL-2.0-only
"""Known faults put back into list_fixed: backing store, its payer, debugger, permissions."""

from __future__ import annotations

from properties.faults import KnownFault
from properties.faults_mm import edit
from sgxmodel.driver import backing, main, ptrace, sgx2

EWB, ALLOC = "__sgx_encl_ewb", "sgx_encl_alloc_backing"
RESTRICT = "sgx_enclave_restrict_permissions"
PUT = "mem_cgroup_put(encl_memcg)"
ETRACKED = "ret = sgx_enclave_etrack(encl)"
UNLOCK = "if IS_ERR(entry):\n    mutex_unlock(encl.lock)\n"

BACKING_FAULTS = {
    fault.id: fault
    for fault in (
        KnownFault(
            "clean-contents",
            "EWB's contents stay clean: memory pressure drops them (6bd429643cc2)",
            ("8-evicted",),
            ("shrink-reclaim", "x-shrink"),
            edit(main, EWB, ("contents.dirty = 1", "pass")),
        ),
        KnownFault(
            "clean-pcmd",
            "a new PCMD page stays clean: memory pressure drops it (2154e1c11b70)",
            ("8-evicted",),
            ("shrink-reclaim", "x-shrink"),
            edit(main, EWB, ("pcmd.dirty = 1", "pass")),
        ),
        KnownFault(
            "unpinned",
            "the backing is put before the page is written to it, and memory pressure drops it",
            ("7-being-reclaimed", "6-references"),
            ("x-shrink",),
            edit(
                backing,
                ALLOC,
                ("return backing\n", "sgx_encl_put_backing(backing)\nreturn backing\n"),
            ),
        ),
        KnownFault(
            "memcg-none",
            "nobody pays for the backing that ksgxd allocates (before 0c9782e204d3)",
            ("20-end",),
            ("memcg-exit",),
            edit(
                backing,
                ALLOC,
                ("memcg = set_active_memcg(encl_memcg)", "memcg = None"),
                ("set_active_memcg(memcg)\n", "pass\n"),
            ),
        ),
        KnownFault(
            "memcg-kept",
            "the reference on the payer's memcg is kept (0c9782e204d3 without its put)",
            ("20-end",),
            ("memcg-exit", "x-shrink"),
            edit(backing, ALLOC, (PUT, "pass")),
        ),
        KnownFault(
            "memcg-early",
            "the payer's memcg is put before it is charged",
            ("6-references",),
            ("memcg-exit", "x-shrink"),
            edit(
                backing,
                ALLOC,
                ("backing = __", f"{PUT}\nbacking = __"),
                (f"\n{PUT}\nreturn", "\nreturn"),
            ),
        ),
        KnownFault(
            "memcg-left",
            "the payer stays active: what ksgxd allocates next is charged to who may be gone",
            ("6-references", "20-end"),
            ("memcg-exit", "x-shrink"),
            edit(backing, ALLOC, ("set_active_memcg(memcg)\n", "pass\n")),
        ),
        KnownFault(
            "memcg-dead-mm",
            "the payer is looked for in an address space that has no user left",
            ("6-references",),
            ("memcg-exit",),
            edit(
                backing,
                "sgx_encl_get_mem_cgroup",
                ("not mmget_not_zero(mm)", "mmget_not_zero(mm) is None"),
            ),
        ),
        KnownFault(
            "peek-unlocked",
            "the debugger reads after encl->lock was released: the page may be gone",
            ("6-references",),
            ("debug-reclaim",),
            edit(
                ptrace,
                "sgx_vma_access",
                ("ret = sgx_encl_debug_read", "mutex_unlock(encl.lock)\nret = sgx_encl_debug_read"),
                ("mutex_unlock(encl.lock)\nreturn ret", "return ret"),
            ),
        ),
        KnownFault(
            "peek-keeps-lock",
            "the debugger keeps encl->lock where the page cannot be had",
            ("17-lock-order",),
            ("debug-reclaim",),
            edit(ptrace, "sgx_encl_reserve_page", (UNLOCK, "")),
        ),
        KnownFault(
            "peek-waits-locked",
            "the debugger keeps encl->lock while it waits for the reclaimer, who wants it",
            ("14-progress",),
            ("debug-reclaim",),
            edit(
                ptrace,
                "sgx_encl_reserve_page",
                ("while True:\nmutex_lock(encl.lock)", "mutex_lock(encl.lock)\nwhile True:"),
                ("break\nmutex_unlock(encl.lock)", "break"),
            )
            | edit(ptrace, "sgx_reserve_again"),
        ),
        KnownFault(
            "restrict-untracked",
            "the ioctl returns while CPUs inside may use the old permissions",
            ("19-tracking",),
            ("restrict-run",),
            edit(sgx2, RESTRICT, (ETRACKED, "ret = 0")),
        ),
        KnownFault(
            "restrict-unlocked",
            "EMODPR's ETRACK is done after encl->lock was released",
            ("6-references", "17-lock-order", "19-tracking"),
            ("restrict-run",),
            edit(
                sgx2,
                RESTRICT,
                (ETRACKED, f"mutex_unlock(encl.lock)\n{ETRACKED}\nmutex_lock(encl.lock)"),
            ),
        ),
    )
}
