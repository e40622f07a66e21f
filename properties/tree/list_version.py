# SPDX-License-Identifier: GPL-2.0-only
"""The list version of the reclaimer (v2 07/18 of 2022) as edits of a copy, in own words.

What the patch and the six before it come to: pages are recorded with flags that
say what they are and dropped again, on a reclaimable or an unreclaimable list; a
pass keeps what it isolated on a list of its own.  The faults are in the places
where the patch has them, each can be left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from properties.tree.trees import edited
from sgxmodel.tree.source import DRIVER

FLAGS = """
#define SGX_EPC_PAGE_RECLAIM_IN_PROGRESS BIT(3)
#define SGX_EPC_PAGE_ENCLAVE BIT(4)
#define SGX_EPC_PAGE_VERSION_ARRAY BIT(5)
#define OF_ENCLAVE (SGX_EPC_PAGE_ENCLAVE | SGX_EPC_PAGE_RECLAIMER_TRACKED)
void sgx_record_epc_page(struct sgx_epc_page *page, unsigned long flags);
int sgx_drop_epc_page(struct sgx_epc_page *page);
"""

RECORD = """
static LIST_HEAD(unreclaimable);

void sgx_record_epc_page(struct sgx_epc_page *page, unsigned long flags)
{
	bool tracked = flags & SGX_EPC_PAGE_RECLAIMER_TRACKED;

	spin_lock(&sgx_reclaimer_lock);
	page->flags |= flags;
	list_add_tail(&page->list, tracked ? &sgx_active_page_list : &unreclaimable);
	spin_unlock(&sgx_reclaimer_lock);
}

int sgx_drop_epc_page(struct sgx_epc_page *page)
{
	u16 all = OF_ENCLAVE | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS | SGX_EPC_PAGE_VERSION_ARRAY;
	u16 taken = SGX_EPC_PAGE_RECLAIMER_TRACKED | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS;

	spin_lock(&sgx_reclaimer_lock);
	if ((page->flags & taken) == taken) {
		spin_unlock(&sgx_reclaimer_lock);
		return -EBUSY;
	}
	list_del(&page->list);
	%(clear)s
	return 0;
}
"""
CLEAR_LATE = "spin_unlock(&sgx_reclaimer_lock);\n\tpage->flags &= ~all;"
CLEAR_LOCKED = "page->flags &= ~all;\n\tspin_unlock(&sgx_reclaimer_lock);"

PASS = """
static void sgx_reclaim_pages(void)
{
	u16 all = OF_ENCLAVE | SGX_EPC_PAGE_RECLAIM_IN_PROGRESS | SGX_EPC_PAGE_VERSION_ARRAY;
	struct sgx_backing backing[SGX_NR_TO_SCAN];
	struct sgx_epc_page *page, *after;
	struct sgx_encl_page *owner;
	struct sgx_encl *encl;
	int left, n = 0;
	LIST_HEAD(iso);

	spin_lock(&sgx_reclaimer_lock);
	for (left = SGX_NR_TO_SCAN; left && !list_empty(&sgx_active_page_list); left--) {
		page = list_first_entry(&sgx_active_page_list, struct sgx_epc_page, list);
		owner = page->owner;
		%(skip)s
		if (kref_get_unless_zero(&owner->encl->refcount)) {
			page->flags |= SGX_EPC_PAGE_RECLAIM_IN_PROGRESS;
			list_move_tail(&page->list, &iso);
		} else {
			page->flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED;
			list_del_init(&page->list);
		}
	}
	spin_unlock(&sgx_reclaimer_lock);

	list_for_each_entry_safe(page, after, &iso, list) {
		int ret = -EAGAIN;

		owner = page->owner;
		encl = owner->encl;
		if (sgx_reclaimer_age(page)) {
			mutex_lock(&encl->lock);
			ret = sgx_encl_alloc_backing(encl, PFN_DOWN(owner->desc - encl->base),
						     &backing[n]);
			if (!ret) {
				owner->desc |= SGX_ENCL_PAGE_BEING_RECLAIMED;
				n++;
			}
			mutex_unlock(&encl->lock);
		}
		if (ret) {
			spin_lock(&sgx_reclaimer_lock);
			page->flags &= ~SGX_EPC_PAGE_RECLAIM_IN_PROGRESS;
			list_move_tail(&page->list, &sgx_active_page_list);
			spin_unlock(&sgx_reclaimer_lock);
			kref_put(&encl->refcount, sgx_encl_release);
		}
	}

	list_for_each_entry(page, &iso, list)
		sgx_reclaimer_block(page);

	n = 0;
	list_for_each_entry_safe(page, after, &iso, list) {
		encl = ((struct sgx_encl_page *)page->owner)->encl;
		sgx_reclaimer_write(page, &backing[n++]);
		kref_put(&encl->refcount, sgx_encl_release);
		%(unlink)s
		page->flags &= ~all;
		sgx_free_epc_page(page);
	}
}
"""
HEAD_STAYS = "if (WARN_ON_ONCE(!(page->flags & SGX_EPC_PAGE_ENCLAVE)))\n\t\t\tcontinue;"


def function(text: str, name: str) -> re.Match[str]:
    """A function's definition: from its type at the start of a line to the brace at one."""
    found = re.search(rf"^[a-z][^\n;]*\b{name}\([^;{{]*\)\n{{.*?^}}\n", text, re.M | re.S)
    assert found, name
    return found


def put(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for pattern, new in changes:
        text, times = re.subn(pattern, new, text, flags=re.M)
        assert times, pattern
    file.write_text(text)


def list_version(tree: Path, to: Path, without: frozenset[str] = frozenset()) -> Path:
    """A copy with the list version, ``without`` some of its faults F1, F3 and F5."""
    copy = edited(tree, to, [])
    driver = copy / DRIVER
    put(driver / "sgx.h", (r"^void sgx_mark_page_reclaimable.*$", FLAGS),
        (r"^int sgx_unmark_page_reclaimable.*$", ""))  # fmt: skip
    at_run_time = "OF_ENCLAVE" if "F1" in without else "SGX_EPC_PAGE_RECLAIMER_TRACKED"
    put(
        driver / "encl.c",
        (r"sgx_mark_page_reclaimable\((encl_page->epc_page)\)",
         rf"sgx_record_epc_page(\1, {at_run_time})"),
        (r"sgx_mark_page_reclaimable\((entry->epc_page)\)", r"sgx_record_epc_page(\1, OF_ENCLAVE)"),
        (r"sgx_unmark_page_reclaimable\(", "sgx_drop_epc_page("),
        (r"(epc_page = sgx_encl_eldu\(&encl->secs, NULL\);)",
         r"{ \1\n\t\tif (!IS_ERR(epc_page))\n"
         r"\t\t\tsgx_record_epc_page(epc_page, SGX_EPC_PAGE_ENCLAVE);\n\t}"),
        (r"^(\t+)(sgx_encl_free_epc_page\(((?:encl->secs\.|va_page->)epc_page)\);)",
         r"\1sgx_drop_epc_page(\3);\n\1\2"),
    )  # fmt: skip
    text = (driver / "encl.c").read_text()
    va = function(text, "sgx_alloc_va_page")
    recorded = re.sub(
        r"\treturn epc_page;\n}",
        "\tsgx_record_epc_page(epc_page, SGX_EPC_PAGE_VERSION_ARRAY);\n\treturn epc_page;\n}",
        va[0],
    )
    (driver / "encl.c").write_text(text.replace(va[0], recorded))
    put(
        driver / "ioctl.c",
        (r"sgx_mark_page_reclaimable\((encl_page->epc_page)\)",
         r"sgx_record_epc_page(\1, OF_ENCLAVE)"),
        (r"sgx_mark_page_reclaimable\((entry->epc_page)\)",
         rf"sgx_record_epc_page(\1, {at_run_time})"),
        (r"sgx_unmark_page_reclaimable\(", "sgx_drop_epc_page("),
        (r"^(\t+)(sgx_encl_free_epc_page\((va_page->epc_page)\);)",
         r"\1sgx_drop_epc_page(\3);\n\1\2"),
        (r"^(\tencl->attributes = secs->attributes;)",
         r"\tsgx_record_epc_page(encl->secs.epc_page, SGX_EPC_PAGE_ENCLAVE);\n\1"),
    )  # fmt: skip
    text = (driver / "main.c").read_text()
    faults = {
        "skip": HEAD_STAYS,
        "unlink": "list_del(&page->list);" if "F5" in without else "",
        "clear": CLEAR_LOCKED if "F3" in without else CLEAR_LATE,
    }
    for name, new in (
        ("sgx_reclaim_pages", PASS % faults),
        ("sgx_mark_page_reclaimable", RECORD % faults),
        ("sgx_unmark_page_reclaimable", ""),
    ):
        text = text.replace(function(text, name)[0], new)
    (driver / "main.c").write_text(text)
    put(
        driver / "main.c",
        (r"^(\t+)(sgx_encl_free_epc_page\(encl->secs.epc_page\);)",
         r"\1sgx_drop_epc_page(encl->secs.epc_page);\n\1\2"),
        # A memory error leaves a page that is in use where it is.
        (r"\tsgx_unmark_page_reclaimable\(page\);\n", ""),
    )  # fmt: skip
    return copy
