// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state that users and reviewers would compare with another implementation,
 * as lines of the trace: "state KEY: VALUE".  sgxmodel/twoway/ says the same of
 * the model.  Compiled with the driver, after probe.c.
 */
void trace_event(const void *pc, const char *fmt, ...) __printf(2, 3);
int eng_enclaves(void);
void *eng_encl(int i);
int eng_backing_has(struct file *file, unsigned long index);

HARNESS static void say_list(const char *what, int nid, const struct list_head *head)
{
	char text[200];
	int n = 0, count = 0;

	text[0] = 0;
	for (const struct list_head *pos = head->next; pos != head && count++ < 64;
	     pos = pos->next)
		n += __builtin_snprintf(text + n, sizeof(text) - n, " %d", number_of(
			container_of(pos, struct sgx_epc_page, list)));
	trace_event(NULL, "state %s%d:%s", what, nid, text);
}

/* In the order of the hardware's numbers. */
static const char *const type_names[] = { "SECS", "TCS", "REG", "VA", "TRIM" };

HARNESS static void say_page(const struct sgx_epc_page *page)
{
	int n = number_of(page);
	struct probe_entry e;

	probe_entry(n, &e);
	trace_event(NULL, "state flags%d:%s%s%s", n,
		    page->flags & SGX_EPC_PAGE_RECLAIMER_TRACKED ? " TRACKED" : "",
		    page->flags & SGX_EPC_PAGE_IS_FREE ? " FREE" : "",
		    page->poison ? " POISON" : "");
	if (!e.valid)
		trace_event(NULL, "state epcm%d:", n);
	else if (e.type == SGX_PAGE_TYPE_SECS)
		trace_event(NULL, "state epcm%d: SECS children %d init %d", n, e.children,
			    e.initialized);
	else if (e.type == SGX_PAGE_TYPE_VA)
		trace_event(NULL, "state epcm%d: VA used %d", n, e.used);
	else
		trace_event(NULL, "state epcm%d: %s of %d page %d%s%s%s", n, type_names[e.type],
			    e.secs, e.page, e.pending ? " PENDING" : "",
			    e.modified ? " MODIFIED" : "", e.blocked ? " BLOCKED" : "");
}

HARNESS static void say_encl(int i, struct sgx_encl *encl)
{
	char text[300];
	int n = 0;

	trace_event(NULL, "state encl%d:%s%s children %u pages %u secs %d references %d", i,
		    encl->flags & (1UL << SGX_ENCL_CREATED) ? " CREATED" : "",
		    encl->flags & (1UL << SGX_ENCL_INITIALIZED) ? " INITIALIZED" : "",
		    encl->secs_child_cnt, encl->page_cnt,
		    encl->secs.epc_page ? number_of(encl->secs.epc_page) : -1,
		    encl->refcount.refcount);
	text[0] = 0;
	for (int k = 0; k < encl->page_array.count; k++) {
		const struct sgx_encl_page *entry = encl->page_array.slot[k].entry;

		n += __builtin_snprintf(text + n, sizeof(text) - n, " %d=%d",
			(int)(encl->page_array.slot[k].first - PFN_DOWN(encl->base)),
			entry->epc_page ? number_of(entry->epc_page) : -1);
	}
	trace_event(NULL, "state entries%d:%s", i, text);
	n = 0;
	text[0] = 0;
	for (struct list_head *pos = encl->va_pages.next; pos != &encl->va_pages; pos = pos->next) {
		const struct sgx_va_page *va = container_of(pos, struct sgx_va_page, list);

		n += __builtin_snprintf(text + n, sizeof(text) - n, " %d:%lx",
					number_of(va->epc_page), va->slots[0]);
	}
	trace_event(NULL, "state va%d:%s", i, text);
	n = 0;
	text[0] = 0;
	/* The pages' contents, the SECS's, and the PCMDs of both. */
	for (int k = 0; encl->backing && k < 2 * eng_size(i) + 4; k++) {
		int has = eng_backing_has(encl->backing, k);

		if (has)
			n += __builtin_snprintf(text + n, sizeof(text) - n, " %d%s", k,
						has == 2 ? "s" : "");
	}
	trace_event(NULL, "state backing%d:%s", i, text);
}

HARNESS void probe_observe(void)
{
	for (int nid = 0; nid < eng_nr_nodes(); nid++) {
		if (!(sgx_numa_mask.bits >> nid & 1))
			continue;
		say_list("free", nid, &sgx_numa_nodes[nid].free_page_list);
		say_list("poison", nid, &sgx_numa_nodes[nid].sgx_poison_page_list);
	}
#ifdef ACTIVE
	say_list("reclaimable", 0, &ACTIVE);
#endif
	trace_event(NULL, "state count: %ld", sgx_nr_free_pages.counter);
	for (int i = 0; i < sgx_nr_epc_sections; i++)
		for (int k = 0; k < section_pages[i]; k++)
			say_page(&sgx_epc_sections[i].pages[k]);
	for (int i = 0; i < eng_enclaves(); i++)
		if (eng_encl(i))
			say_encl(i, eng_encl(i));
}
