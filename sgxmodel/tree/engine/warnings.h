/* SPDX-License-Identifier: GPL-2.0-only */
/* Which guarantee (invariants' ids) a WARN of the driver stands for, by its text. */
static const struct {
	const char *text, *id;
} warn_meanings[] = {
	{ "EREMOVE returned", "10-epcm" },
	{ "ELDU returned", "8-evicted" },
	{ "EWB returned", "19-tracking" },
	{ "ETRACK returned", "19-tracking" },
	{ "EBLOCK returned", "19-tracking" },
	{ "EPA returned", "10-epcm" },
	{ "EEXTEND returned", "10-epcm" },
	{ "EINIT returned", "10-epcm" },
	{ "secs_child_cnt", "9-child-count" },
	{ "secs.epc_page", "9-child-count" },
	{ "mm_list", "20-end" },
	{ "page_cnt", "12-va-slots" },
	{ "sgx_sanitize", "20-end" },
	{ "mutex_is_locked", "17-lock-order" },
	{ "mmap_lock", "17-lock-order" },
	{ "eng_is_held", "17-lock-order" },
	{ "preemptible", "17-lock-order" },
};
