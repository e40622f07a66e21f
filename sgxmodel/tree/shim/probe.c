// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compiled together with the driver, after it: the way in to its file
 * operations, and the invariants that can be read from its own structures.
 *
 * The build says which names the tree has: HAVE_ACTIVE_LIST (mainline) or
 * HAVE_GLOBAL_LRU (the cgroup series).
 */
#include "../engine/api.h"

#define HARNESS __attribute__((no_sanitize("thread")))

int frame_at(const void *addr);
void violate(const char *id, const char *func, const char *fmt, ...) __printf(3, 4);
struct mm_struct *process_mm(int proc);
struct vm_area_struct *vma_at(const struct mm_struct *mm, unsigned long addr);
const char *mapped_by(const struct mm_struct *mm, int page);
int eng_size(int encl);
extern int section_pages[9] __attribute__((visibility("hidden")));
int eng_task(void);
extern int pages_touched, queue_touched;

/* What the EPCM knows of a page, as far as the checks need it. */
struct probe_frame {
	u8 valid, type;
	u64 linaddr;
};

void probe_epcm(int n, struct probe_frame *out);

/* All of an entry; ``used``: a VA page's slots. */
struct probe_entry {
	int valid, type, secs, page, pending, modified, blocked, children, initialized, used;
};

void probe_entry(int n, struct probe_entry *out);
unsigned long probe_epc_offset(const void *addr);

#if defined(HAVE_ACTIVE_LIST)
#define ACTIVE sgx_active_page_list
#define ACTIVE_LOCK sgx_reclaimer_lock
#elif defined(HAVE_GLOBAL_LRU)
#define ACTIVE sgx_global_lru.reclaimable
#define ACTIVE_LOCK sgx_global_lru.lock
#endif
#if defined(HAVE_ENCL_OWNER)
#define OWNER(page) ((page)->encl_owner)
#else
#define OWNER(page) ((page)->owner)
#endif

#define MANY 256

int eng_scan(void);
int eng_leaked(void);
int eng_stopping(void);
int epcm_is_guests(int frame);
const char *epcm_kind(int frame);

static const struct file_operations *encl_fops, *vepc_fops;

HARNESS static const struct file_operations **fops_of(const struct miscdevice *dev)
{
	if (!dev->fops || !dev->fops->mmap)
		return NULL;
	return dev->fops->get_unmapped_area ? &encl_fops : &vepc_fops;
}

HARNESS int shim_misc_register(struct miscdevice *dev)
{
	const struct file_operations **fops = fops_of(dev);
	int ret = eng_misc_register(dev->name);

	if (!ret && fops)
		*fops = dev->fops;
	return ret;
}

HARNESS void shim_misc_deregister(struct miscdevice *dev)
{
	eng_misc_deregister(dev->name);
	if (fops_of(dev))
		*fops_of(dev) = NULL;
}

/* -- the way in --------------------------------------------------------------------------- */

HARNESS int tree_open(struct file *file)
{
	if (!encl_fops)
		return -ENOENT;
	file->f_op = encl_fops;
	return encl_fops->open(&file->inode, file);
}

HARNESS int tree_release(struct file *file)
{
	return file->f_op->release(&file->inode, file);
}

HARNESS int tree_vepc_open(struct file *file)
{
	if (!vepc_fops)
		return -ENOENT;
	file->f_op = vepc_fops;
	return vepc_fops->open(&file->inode, file);
}

HARNESS long tree_vepc_remove_all(struct file *file)
{
	return vepc_fops->unlocked_ioctl(file, SGX_IOC_VEPC_REMOVE_ALL, 0);
}

/* What KVM makes of a leaf that it has trapped, for the guest: 0, a code, or the fault. */
HARNESS static int trapped(int ret, int trapnr)
{
	return ret == -EFAULT ? 1000 + trapnr : ret;
}

HARNESS int tree_virt_ecreate(u64 size, void *addr)
{
	struct sgx_secs secs = { .size = size };
	struct sgx_pageinfo info = { .contents = (u64)(unsigned long)&secs };
	int trapnr = 0, ret = sgx_virt_ecreate(&info, addr, &trapnr);

	return trapped(ret, trapnr);
}

enum { HOST_SIGNER = 1, GUEST_SIGNER };

HARNESS int tree_virt_einit(void *addr)
{
	struct sgx_sigstruct sigstruct = { .modulus = { GUEST_SIGNER } };
	u8 token[304];
	u64 hash[4];
	int trapnr = 0, ret;

	eng_digest(sigstruct.modulus, sizeof(sigstruct.modulus), hash);
	ret = sgx_virt_einit(&sigstruct, token, addr, hash, &trapnr);
	return trapped(ret, trapnr);
}

HARNESS int tree_mmap(struct file *file, struct vm_area_struct *vma)
{
	return file->f_op->mmap(file, vma);
}

HARNESS int tree_fault(struct vm_area_struct *vma, unsigned long addr)
{
	struct vm_fault vmf = { .vma = vma, .address = addr, 
				.flags = FAULT_FLAG_WRITE | FAULT_FLAG_ALLOW_RETRY };

	return (int)vma->vm_ops->fault(&vmf);
}

HARNESS void tree_vma_open(struct vm_area_struct *vma)
{
	if (vma->vm_ops && vma->vm_ops->open)
		vma->vm_ops->open(vma);
}

HARNESS int tree_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			  unsigned long flags)
{
	return vma->vm_ops && vma->vm_ops->mprotect ?
	       vma->vm_ops->mprotect(vma, start, end, flags) : 0;
}

HARNESS int tree_access(struct vm_area_struct *vma, unsigned long addr, void *word, int write)
{
	unsigned long buf = 0;
	int ret;

	if (!vma->vm_ops || !vma->vm_ops->access)
		return -EIO;
	/* What is written is what is there: the oracle of contents goes by tokens. */
	ret = vma->vm_ops->access(vma, addr, &buf, sizeof(buf), 0);
	if (write && ret > 0)
		ret = vma->vm_ops->access(vma, addr, &buf, sizeof(buf), 1);
	*(unsigned long *)word = buf;
	return ret;
}

HARNESS int tree_memory_failure(unsigned long pfn, int consumed)
{
	return arch_memory_failure(pfn, consumed ? MF_ACTION_REQUIRED : 0);
}

#ifdef ACTIVE
/* How many pages are reclaimable, if nobody is changing that. */
HARNESS static int reclaimable(void)
{
	const struct list_head *pos;
	int count = 0;

	if (ACTIVE_LOCK.owner)
		return 0;
	for (pos = ACTIVE.next; pos != &ACTIVE && count < MANY; pos = pos->next)
		count++;
	return count;
}

void eng_stuck(void);

/* A page that a pass had room for leads the list after it: it was not moved, or was young. */
HARNESS void tree_reclaim(void)
{
	const struct list_head *had_room[8], *pos = ACTIVE.next;
	int n = 0;

	if (!ACTIVE_LOCK.owner)
		for (; pos != &ACTIVE && n < 8 && n < eng_scan(); pos = pos->next)
			had_room[n++] = pos;
	sgx_reclaim_pages();
	while (n--)
		if (had_room[n] == ACTIVE.next)
			eng_stuck();
}

/*
 * All is quiet, and a pass may not have got on.  Passes that follow find young
 * pages old, and write them all out.
 */
HARNESS void probe_passes(void)
{
	int left = reclaimable(), most = 2 * left / eng_scan() + 4;

	while (left && most--) {
		sgx_reclaim_pages();
		left = reclaimable();
	}
	if (left)
		violate("14-progress", "sgx_reclaim_pages", "reclaim makes no progress\n"
			"%d pages stay on the list, however many passes run", left);
}
#else
HARNESS void tree_reclaim(void)
{
	sgx_reclaim_pages();
}

HARNESS void probe_passes(void)
{
}
#endif

HARNESS void tree_direct(void)
{
	sgx_reclaim_direct();
}

/* -- EPC pages and their lists --------------------------------------------------------------- */

static u8 seen[64];

/* A frame's number, as the EPCM counts; -1: no page of the EPC. */
HARNESS static inline int __attribute__((always_inline)) number_of(const struct sgx_epc_page *page)
{
	int first = 0;

	for (int i = 0; i < sgx_nr_epc_sections; i++) {
		const struct sgx_epc_section *s = &sgx_epc_sections[i];
		int pages = section_pages[i];

		if (page >= s->pages && page < s->pages + pages)
			return first + (int)(page - s->pages);
		first += pages;
	}
	return -1;
}

HARNESS static void check_free(const struct sgx_epc_page *page, int n)
{
	struct probe_frame f;

	probe_epcm(n, &f);
	if (page->flags != SGX_EPC_PAGE_IS_FREE)
		violate("2-free-flags", "sgx_free_epc_page",
			"EPC page %d is on the free list with flags 0x%x", n, page->flags);
	if (OWNER(page))
		violate("2-free-flags", "sgx_free_epc_page",
			"EPC page %d is on the free list but has an owner", n);
	if (f.valid)
		violate("10-epcm", "sgx_free_epc_page",
			"EPC page %d is on the free list but valid in the EPCM", n);
	if (page->poison)
		violate("10-epcm", "sgx_free_epc_page",
			"EPC page %d is poisoned and on the free list", n);
}

HARNESS static void check_active(const struct sgx_epc_page *page, int n)
{
	struct probe_frame f;

	probe_epcm(n, &f);
	if (!(page->flags & SGX_EPC_PAGE_RECLAIMER_TRACKED))
		violate("3-tracked", "sgx_mark_page_reclaimable",
			"EPC page %d is on the reclaimable list but not TRACKED", n);
	if (!OWNER(page))
		violate("3-tracked", "sgx_mark_page_reclaimable",
			"EPC page %d is on the reclaimable list but has no owner", n);
	if (f.valid && (f.type == SGX_PAGE_TYPE_VA || f.type == SGX_PAGE_TYPE_SECS))
		violate("4-unreclaimable", "sgx_mark_page_reclaimable",
			"EPC page %d, a %s page, is on the reclaimable list", n,
			f.type == SGX_PAGE_TYPE_VA ? "VA" : "SECS");
}

enum { FREE, POISONED, RECLAIMABLE };
static u8 where[64];			/* which of these, plus one */

HARNESS static int walk(const struct list_head *head, int kind)
{
	const struct list_head *pos;
	int count = 0;

	for (pos = head->next; pos != head && count < MANY; pos = pos->next, count++) {
		const struct sgx_epc_page *page = container_of(pos, struct sgx_epc_page, list);
		int n = number_of(page);

		if (n < 0 || pos->next->prev != pos) {
			violate("1-one-list", "__list_del_entry", "a list of EPC pages is broken");
			break;
		}
		if (seen[n]++)
			violate("1-one-list", "__list_add", "EPC page %d is on two lists", n);
		where[n] = kind + 1;
		if (kind == FREE)
			check_free(page, n);
		if (kind == RECLAIMABLE)
			check_active(page, n);
	}
	return count;
}

HARNESS static inline int __attribute__((always_inline)) unlocked(const struct eng_lock *lock)
{
	return !lock->owner || lock->owner == eng_current();
}

static int skipped;			/* lists that somebody else has locked */

/* Whenever a spinlock is about to be released. Returns the number of free pages. */
HARNESS static int walk_all(void)
{
	int free = 0;

	skipped = 0;
	__builtin_memset(seen, 0, sizeof(seen));
	__builtin_memset(where, 0, sizeof(where));
	for (int nid = 0; nid < eng_nr_nodes(); nid++) {
		if (!(sgx_numa_mask.bits >> nid & 1))
			continue;
		if (!unlocked(&sgx_numa_nodes[nid].lock)) {
			skipped++;
			continue;
		}
		free += walk(&sgx_numa_nodes[nid].free_page_list, FREE);
		walk(&sgx_numa_nodes[nid].sgx_poison_page_list, POISONED);
	}
#ifdef ACTIVE
	if (unlocked(&ACTIVE_LOCK))
		walk(&ACTIVE, RECLAIMABLE);
	else
		skipped++;
#endif
	return free;
}

static u8 was[64], isolator[64];

/*
 * A TRACKED page that leaves the reclaimable list is its isolator's, until it
 * is on a list again: then it was this one who put it there.
 */
HARNESS static void check_isolated(int active)
{
#ifdef ACTIVE
	int me = eng_task() + 1, n = 0;

	for (int i = 0; i < sgx_nr_epc_sections; i++)
		for (int k = 0; k < section_pages[i]; k++, n++) {
			const struct sgx_epc_page *page = &sgx_epc_sections[i].pages[k];

			if (active && was[n] && !where[n] &&
			    (page->flags & SGX_EPC_PAGE_RECLAIMER_TRACKED))
				isolator[n] = me;
			if (active)
				was[n] = where[n] == RECLAIMABLE + 1;
			if (!isolator[n] || !where[n])
				continue;
			if (isolator[n] != me)
				violate("5-in-progress", where[n] == RECLAIMABLE + 1 ?
					"sgx_mark_page_reclaimable" : "sgx_free_epc_page",
					"EPC page %d is put on a list while a reclaimer has isolated it", n);
			isolator[n] = 0;
		}
#else
	(void)active;
#endif
}

/* Pages ahead of each waiting page when it came to the list, pages taken since. */
static short ahead[64], passed[64];

/*
 * Repeated passes visit every page: in a queue nobody is passed over by more
 * pages than were ahead; one pass is leeway, as in the model.
 */
HARNESS static void check_waiting(void)
{
#ifdef ACTIVE
	const struct list_head *pos;
	int taken = 0, place = 0, at = 0;

	for (int i = 0; i < sgx_nr_epc_sections; i++)
		for (int k = 0; k < section_pages[i]; k++, at++) {
			const struct sgx_epc_page *page = &sgx_epc_sections[i].pages[k];

			if (was[at] && !where[at])
				taken += !!(page->flags & SGX_EPC_PAGE_RECLAIMER_TRACKED);
		}
	for (pos = ACTIVE.next; pos != &ACTIVE && place < MANY; pos = pos->next, place++) {
		int n = number_of(container_of(pos, struct sgx_epc_page, list));

		if (n < 0)
			return;
		if (!was[n]) {
			ahead[n] = place;
			passed[n] = 0;
			continue;
		}
		passed[n] += taken;
		if (taken && passed[n] > ahead[n] + eng_scan())
			violate("14-progress", "sgx_reclaim_pages",
				"EPC page %d starves: the reclaimer takes other pages again and again\n"
				"%d pages were ahead of it; %d have been taken since",
				n, ahead[n], passed[n]);
	}
#endif
}

HARNESS static int is_active_lock(const struct eng_lock *lock)
{
#ifdef ACTIVE
	return lock == &ACTIVE_LOCK;
#else
	(void)lock;
	return 0;
#endif
}

/* Nothing to see where no page, list or EPCM entry was written to since the last time. */
HARNESS void probe_pages(const struct eng_lock *released)
{
	int active = is_active_lock(released);

	if (!sgx_numa_nodes || !sgx_nr_epc_sections || eng_no_driver() ||
	    !(active ? queue_touched : pages_touched))
		return;
	walk_all();
	pages_touched = skipped;
	if (active) {
		check_waiting();
		queue_touched = 0;
	}
	check_isolated(active);
}

/*
 * An allocation is told that there is nothing to be had.  Rightly so if no page
 * is free, reclaimable or in a reclaimer's hands.
 */
HARNESS int probe_exhausted(void)
{
	for (int i = 0; i < sgx_nr_epc_sections; i++)
		for (int n = 0; n < section_pages[i]; n++) {
			const struct sgx_epc_page *page = &sgx_epc_sections[i].pages[n];

			if (page->poison && (page->flags & SGX_EPC_PAGE_IS_FREE))
				continue;
			if (page->flags & (SGX_EPC_PAGE_IS_FREE | SGX_EPC_PAGE_RECLAIMER_TRACKED))
				return 0;
		}
	return 1;
}

/*
 * A fault on this page of this enclave, through a mapping with these rights, can be
 * served, given memory: 1, or 2 by EAUG.
 */
HARNESS int probe_encl_ready(void *private_data, int page, int sgx2, unsigned long rights)
{
	struct sgx_encl *encl = private_data;

	if (!(encl->flags & (1UL << SGX_ENCL_INITIALIZED)))
		return 0;
	for (int i = 0; i < encl->page_array.count; i++)
		if (encl->page_array.slot[i].first == PFN_DOWN(encl->base) + page) {
			const struct sgx_encl_page *entry = encl->page_array.slot[i].entry;

			rights &= VM_ACCESS_FLAGS;
			return (entry->vm_max_prot_bits & rights) == rights;
		}
	return sgx2 ? 2 : 0;
}

/* What sgx_page_cache_init() has made of the sections: each on its node, which knows its size. */
HARNESS void probe_nodes(void)
{
	for (int nid = 0; nid < eng_nr_nodes(); nid++) {
		unsigned long size = 0;

		for (int i = 0; i < sgx_nr_epc_sections; i++) {
			const struct sgx_epc_section *s = &sgx_epc_sections[i];
			int home = eng_node_of_phys(s->phys_addr);

			if (s->node == &sgx_numa_nodes[nid])
				size += section_pages[i] * PAGE_SIZE;
			if ((home < 0 ? 0 : home) == nid && s->node != &sgx_numa_nodes[nid])
				violate("11-free-count", "sgx_page_cache_init",
					"EPC section %d belongs to node %d but is not in its pool", i, nid);
		}
#ifdef HAVE_NODE_SIZE
		if (size && sgx_numa_nodes[nid].size != size)
			violate("11-free-count", "sgx_page_cache_init",
				"node %d says that it has %lu bytes of EPC\nits sections have %lu",
				nid, (unsigned long)sgx_numa_nodes[nid].size, size);
#endif
	}
}

/* Nothing is under way: the counter is what can be allocated. */
HARNESS void probe_quiet(void)
{
	int free;

	if (eng_no_driver())
		return;
	free = walk_all();
	if (sgx_nr_free_pages.counter != free)
		violate("11-free-count", "sgx_free_epc_page",
			"sgx_nr_free_pages is %ld, but %d pages can be allocated",
			sgx_nr_free_pages.counter, free);
}

HARNESS static int is_on(const struct list_head *head, const struct sgx_epc_page *page)
{
	const struct list_head *pos = head->next;

	for (int i = 0; pos && pos != head && i < MANY; i++, pos = pos->next)
		if (pos == &page->list)
			return 1;
	return 0;
}

/* A page that is neither free nor bad when all is closed. */
HARNESS static void lost(const struct sgx_epc_page *page, int n)
{
	if (is_on(&zombie_secs_pages, page))
		violate("20-end", "sgx_vepc_release",
			"EPC page %d is a zombie SECS when all is closed\n"
			"its last child is gone; EREMOVE is not retried", n);
	else if (is_on(&sgx_dirty_page_list, page))
		violate("20-end", "__sgx_sanitize_pages",
			"EPC page %d stays dirty: no task will sanitise it", n);
	else
		violate("20-end", epcm_is_guests(n) ? "sgx_vepc_release" : "sgx_encl_release",
			"EPC page %d, %s, is on no list when all is closed", n, epcm_kind(n));
}

int eng_machine(void);

HARNESS static void check_address(u64 paddr, int inside)
{
	int has = arch_is_platform_page(paddr);

	if (has != inside)
		violate("15-errno", "arch_is_platform_page",
			"physical address 0x%llx is %s of the EPC, and %streated as such", paddr,
			inside ? "part" : "no part", has ? "" : "not ");
}

/* Which addresses are the driver's: each section from its first byte to its last. */
HARNESS static void check_sections(void)
{
	for (int i = 0; i < sgx_nr_epc_sections; i++) {
		u64 first = sgx_epc_sections[i].phys_addr;
		u64 end = first + ((u64)section_pages[i] << 12);

		check_address(first - 1, 0);
		check_address(first, 1);
		check_address(end - 1, 1);
		check_address(end, 0);
		if (arch_memory_failure(end >> 12, 0) != -ENXIO)
			violate("15-errno", "arch_memory_failure",
				"a memory error outside the EPC does not give -ENXIO");
	}
}

/* ``leaks``: memory is, and the EPC pages with it. */
HARNESS void probe_end(int leaks)
{
	probe_quiet();
	if (leaks || eng_stopping() || eng_no_driver())
		return;
	if (eng_machine())
		check_sections();
	for (int i = 0; i < sgx_nr_epc_sections; i++)
		for (int n = 0; n < section_pages[i]; n++) {
			int frame = number_of(&sgx_epc_sections[i].pages[n]);

			if (!seen[frame])
				lost(&sgx_epc_sections[i].pages[n], frame);
		}
}

/* -- enclaves --------------------------------------------------------------------------------- */

static void check_slots(struct sgx_encl *encl, int resident, int evicted) HARNESS;
static void check_slots(struct sgx_encl *encl, int resident, int evicted)
{
	struct list_head *pos;
	int used = 0, pages = 0;

	for (pos = encl->va_pages.next; pos != &encl->va_pages && pages < MANY; pos = pos->next) {
		struct sgx_va_page *va = container_of(pos, struct sgx_va_page, list);

		used += __builtin_popcountl(va->slots[0]);
		pages++;
	}
	if (used != evicted)
		violate("12-va-slots", "sgx_encl_ewb",
			"%d VA slots are in use for %d evicted pages", used, evicted);
	if (pages * SGX_VA_SLOT_COUNT - used < resident)
		violate("12-va-slots", "sgx_encl_grow",
			"%d free VA slots for %d resident pages", pages * SGX_VA_SLOT_COUNT - used,
			resident);
}

HARNESS static void check_ptes(struct sgx_encl *encl, struct mm_struct *mm, int pages)
{
	for (int i = 0; i < pages; i++) {
		int frame = (int)(mm->pte[i] >> 12) - 1, current_frame = -1;

		if (!mm->pte[i] || !vma_at(mm, encl->base + i * PAGE_SIZE))
			continue;
		for (int k = 0; k < encl->page_array.count; k++) {
			struct sgx_encl_page *entry = encl->page_array.slot[k].entry;

			if (encl->page_array.slot[k].first == PFN_DOWN(encl->base) + i &&
			    entry->epc_page)
				current_frame = number_of(entry->epc_page);
		}
		if (frame != current_frame)
			violate("13-mappings", mapped_by(mm, i),
				"the PTE of page %d maps EPC page %d, which is not this page",
				i, frame);
	}
}

int eng_backing_refs(struct file *file, unsigned long index);
int eng_backing_holds(struct file *file, unsigned long index);

/* What ELDU has loaded back is of no use any more: memory that nobody gives back. */
HARNESS static void check_stale(struct sgx_encl *encl, unsigned long index, const char *what)
{
	if (eng_backing_holds(encl->backing, index))
		violate("8-evicted", "__sgx_encl_eldu",
			"%s %lu is resident, but its old contents are still in the backing file",
			what, index);
}

/* encl->lock is about to be released: the mark and the pinned backing come and go together. */
HARNESS void probe_encl_unlock(const struct eng_lock *lock)
{
	struct sgx_encl *encl = container_of(lock, struct sgx_encl, lock);

	if (!encl->backing || encl->page_array.lock.owner)
		return;
	for (int i = 0; i < encl->page_array.count; i++) {
		struct sgx_encl_page *entry = encl->page_array.slot[i].entry;
		/* Of an evicted page the bit is part of its VA slot. */
		int marked = entry->epc_page && (entry->desc & SGX_ENCL_PAGE_BEING_RECLAIMED);
		unsigned long index = PFN_DOWN((entry->desc & PAGE_MASK) - encl->base);

		if (marked != (eng_backing_refs(encl->backing, index) > 0))
			violate("7-being-reclaimed", "", "page %lu is %smarked BEING_RECLAIMED, "
				"but its backing is %spinned", index, marked ? "" : "not ",
				marked ? "not " : "");
		if (entry->epc_page && !marked)
			check_stale(encl, index, "page");
	}
	if (encl->secs.epc_page && encl->base)
		check_stale(encl, PFN_DOWN(encl->size), "the SECS, page");
}

/* Whether a page of the EPC belongs to an enclave that somebody still refers to. */
HARNESS int probe_keeps(const void *epc_addr)
{
	for (int i = 0; i < sgx_nr_epc_sections; i++) {
		const struct sgx_epc_section *s = &sgx_epc_sections[i];
		int n = (int)(((const char *)epc_addr - (const char *)s->virt_addr) >> PAGE_SHIFT);
		const struct sgx_encl_page *owner;

		if (epc_addr < s->virt_addr || n >= section_pages[i])
			continue;
		owner = (const struct sgx_encl_page *)OWNER(&s->pages[n]);
		return owner && owner->encl && owner->encl->refcount.refcount > 0;
	}
	return 0;
}

/* At the end of a call, if nobody is inside of encl->lock or of an ioctl. */
HARNESS void probe_encl(void *private_data)
{
	struct sgx_encl *encl = private_data;
	int resident = 0, evicted = 0, id = (int)(encl->base >> 32) - 1;
	unsigned long busy = 1UL << SGX_ENCL_IOCTL;

	/* The SECS of a page that was leaked cannot be evicted any more. */
	if (encl->lock.owner || (encl->flags & busy) || eng_leaked() ||
	    !(encl->flags & (1UL << SGX_ENCL_CREATED)) || encl->page_array.lock.owner)
		return;
	for (int i = 0; i < encl->page_array.count; i++) {
		struct sgx_encl_page *entry = encl->page_array.slot[i].entry;

		if (entry->epc_page)
			resident++;
		else
			evicted++;
	}
	if (resident != (int)encl->secs_child_cnt)
		violate("9-child-count", "sgx_encl_ewb", "secs_child_cnt is %u, but %d pages are resident",
			encl->secs_child_cnt, resident);
	if (resident && !encl->secs.epc_page)
		violate("9-child-count", "sgx_encl_ewb",
			"the SECS is evicted while %d pages are resident", resident);
	check_slots(encl, resident + !!encl->secs.epc_page, evicted + !encl->secs.epc_page);
	/* A process that has no thread left uses none of its PTEs. */
	for (int i = 0; i < ENG_PROCESSES; i++)
		if (process_mm(i) && process_mm(i)->users && process_mm(i)->encl == id)
			check_ptes(encl, process_mm(i), eng_size(id));
}

/*
 * All calls have returned and no pass is under way, after probe_quiet(): a
 * resident page is where the reclaimer finds it, and what sgx_encl_grow() counted
 * is what there is.
 */
HARNESS void probe_encl_quiet(void *private_data)
{
	struct sgx_encl *encl = private_data;
	int pages = 0;

	if (eng_leaked() || !(encl->flags & (1UL << SGX_ENCL_CREATED)))
		return;
	for (int i = 0; i < encl->page_array.count; i++, pages++) {
		struct sgx_encl_page *entry = encl->page_array.slot[i].entry;
		int frame = entry->epc_page ? number_of(entry->epc_page) : -1;

#ifdef ACTIVE
		/* arch_memory_failure() takes a bad page off the list. */
		if (frame >= 0 && !seen[frame] && !entry->epc_page->poison)
			violate("1-one-list", "sgx_mark_page_reclaimable",
				"EPC page %d of a running enclave is on no list, and no task holds it\n"
				"it can never be reclaimed", frame);
#endif
	}
	if ((int)encl->page_cnt != pages + 1)
		violate("12-va-slots", "sgx_encl_shrink",
			"page_cnt is %u, but the enclave has %d pages and a SECS", encl->page_cnt, pages);
}

/* Whose array of EPC pages an address is in; -1: none's. */
HARNESS int probe_epc_page(const void *addr)
{
	for (int i = 0; i < sgx_nr_epc_sections; i++) {
		const char *pages = (const char *)sgx_epc_sections[i].pages;
		unsigned long size = section_pages[i] * sizeof(struct sgx_epc_page);

		if ((unsigned long)((const char *)addr - pages) < size)
			return number_of((const struct sgx_epc_page *)
					 ((const char *)addr - probe_epc_offset(addr)));
	}
	return -1;
}

HARNESS unsigned long probe_epc_offset(const void *addr)
{
	for (int i = 0; i < sgx_nr_epc_sections; i++) {
		unsigned long at = (const char *)addr - (const char *)sgx_epc_sections[i].pages;

		if (at < section_pages[i] * sizeof(struct sgx_epc_page))
			return at % sizeof(struct sgx_epc_page);
	}
	return 0;
}

/* -- names for the trace ------------------------------------------------------------------------ */

HARNESS const char *probe_name(const void *addr, const char *what, size_t offset)
{
	static char names[4][64];
	static int turn;
	char *buf = names[turn++ & 3];

	if (!__builtin_strstr(what, "epc_page"))
		return NULL;
	if (!sgx_nr_epc_sections)
		return NULL;
	__builtin_snprintf(buf, 64, "EPC page %d", number_of(
		(const struct sgx_epc_page *)((const char *)addr + offset -
		offset % sizeof(struct sgx_epc_page))));
	return buf;
}
