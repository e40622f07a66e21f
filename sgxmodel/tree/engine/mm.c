// SPDX-License-Identifier: GPL-2.0-only
/*
 * Address spaces: users, page table entries, mmu notifiers.
 *
 * A process of a scenario has one mm, which maps its enclave once or, after
 * munmap() or mprotect() of a page, in pieces.
 * Its threads are the scenario's tasks, while they make a call for it.
 */
#include "engine.h"

static struct mm_struct *mms[ENG_PROCESSES];
static struct eng_srcu notifier_srcu = { .name = "mmu_notifier" };
static struct vm_area_struct source_vma GIVEN;

struct mm_struct *process_mm(int proc)
{
	return mms[proc];
}

struct mm_struct *mm_new(int proc)
{
	struct mm_struct *mm = engine_alloc(sizeof(*mm), "sizeof(struct mm_struct)");

	mm->mmap_lock = (struct eng_lock){ .name = "mmap_lock", .kind = ENG_RWSEM };
	mm->users = mm->count = 1;
	mm->proc = proc;
	mm->encl = keep->config.encl[proc];
	mms[proc] = mm;
	return mm;
}

/* An address space that no process of the scenario has. */
struct mm_struct *mm_plain(void)
{
	struct mm_struct *mm = engine_alloc(sizeof(*mm), "sizeof(struct mm_struct)");

	mm->mmap_lock = (struct eng_lock){ .name = "mmap_lock", .kind = ENG_RWSEM };
	mm->users = mm->count = 1;
	mm->proc = mm->encl = -1;
	return mm;
}

/* -- users ------------------------------------------------------------------------------ */

static void mmdrop(struct mm_struct *mm)
{
	race_release(&mm->count);
	race_acquire(&mm->count);
	if (--mm->count < 0)
		fatal("6-references", driver_function(), "mm_count underflow");
	if (!mm->count) {
		mms[mm->proc] = NULL;
		engine_free(mm);
	}
}

int eng_mmget_not_zero(struct mm_struct *mm)
{
	HERE();
	check_access(mm, sizeof(long), 0, NULL);
	eng_yield_point();
	check_access(mm, sizeof(long), 0, NULL);
	race_acquire(&mm->users);
	if (!mm->users) {
		sometimes(SEEN_DYING_MM);
		DETAIL("mmget_not_zero() = false");
		return 0;
	}
	mm->users++;
	DETAIL("mmget_not_zero() = true :: mm_users %d -> %d", mm->users - 1, mm->users);
	return 1;
}

/* The lock of an mm's list of notifiers is taken and released in here. */
static void notifiers_lock(struct mm_struct *mm)
{
	race_acquire(&mm->notifiers);
	race_release(&mm->notifiers);
}

/* mn_hlist_release(): each notifier once, under the notifiers' SRCU. */
static void notifiers_release(struct mm_struct *mm)
{
	int idx = eng_srcu_read_lock(&notifier_srcu);

	notifiers_lock(mm);
	for (struct eng_notifier *mn = mm->notifiers; mn; mn = mn->next) {
		check_access(mn, sizeof(long), 0, NULL);
		if (mn->ops->release)
			mn->ops->release(mn, mm);
		if (mn->users)
			sometimes(SEEN_ENDED_LATE);
	}
	eng_yield_point();
	while (mm->notifiers) {
		struct eng_notifier *mn = mm->notifiers;

		check_access(mn, sizeof(long), 1, NULL);
		mm->notifiers = mn->next;
		mn->hashed = 0;
	}
	eng_srcu_read_unlock(&notifier_srcu, idx);
	eng_srcu_synchronize(&notifier_srcu, "mmu_notifier_release");
	srcu_barrier();
}

/* __mmput(): notifiers first, then the PTEs, then the mappings. */
void exit_mmap(struct mm_struct *mm)
{
	struct vm_area_struct *vmas;

	TRACE("exit_mmap()");
	if (mm->notifiers)
		notifiers_release(mm);
	vmas = mm->vma;
	for (int page = 0; page < 64; page++)
		mm->pte[page] = 0;
	for (int i = 0; i < W.ntask; i++)
		if (W.task[i].tlb_mm == mm->proc + 1)
			tlb_flush(&W.task[i]);
	mm->vma = NULL;
	remove_vmas(vmas);
	mmdrop(mm);
}

/* The last user leaves. */
void eng_mmput(struct mm_struct *mm)
{
	check_access(mm, sizeof(long), 1, NULL);
	eng_might_sleep(driver_function());
	eng_yield_point();
	check_access(mm, sizeof(long), 1, NULL);
	race_release(&mm->users);
	if (--mm->users)
		return;
	race_acquire(&mm->users);
	if (cur()->srcu_depth)
		violate("17-lock-order", driver_function(),
			"mmput() in an SRCU read section: synchronize_srcu() waits for itself");
	exit_mmap(mm);
}

/* Likewise, but a worker does it. */
void eng_mmput_async(struct mm_struct *mm)
{
	HERE();
	check_access(mm, sizeof(long), 1, NULL);
	race_release(&mm->users);
	DETAIL("mmput_async() :: mm_users %d -> %d", mm->users, mm->users - 1);
	if (!--mm->users) {
		race_acquire(&mm->users);
		sometimes(SEEN_LAST_USER);
		queue_work(WORK_MMPUT, mm);
	}
	eng_yield_point();
}

/* -- mappings --------------------------------------------------------------------------- */

struct vm_area_struct *vma_at(const struct mm_struct *mm, unsigned long addr)
{
	for (struct vm_area_struct *vma = mm->vma; vma; vma = vma->next)
		if (addr >= vma->vm_start && addr < vma->vm_end)
			return vma;
	return NULL;
}

void vma_link(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct vm_area_struct **at = &mm->vma;

	while (*at && (*at)->vm_start < vma->vm_start)
		at = &(*at)->next;
	vma->next = *at;
	*at = vma;
}

/* Take those that lie in a range out; they are linked to each other. */
struct vm_area_struct *vma_unlink(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct **at = &mm->vma, *first, *last = NULL;

	while (*at && (*at)->vm_start < start)
		at = &(*at)->next;
	first = *at;
	for (struct vm_area_struct *vma = first; vma && vma->vm_end <= end; vma = vma->next)
		last = vma;
	if (!last)
		return NULL;
	*at = last->next;
	last->next = NULL;
	return first;
}

struct vm_area_struct *eng_vma_lookup(struct mm_struct *mm, unsigned long addr)
{
	HERE();
	check_access(mm, sizeof(long), 0, NULL);
	if (!mm->mmap_lock.owner && !mm->mmap_lock.readers)
		violate("17-lock-order", driver_function(), "vma_lookup() without mmap_lock");
	return vma_at(mm, addr);
}

/* The source page of an EADD is ordinary memory that may be executed. */
struct vm_area_struct *eng_find_vma(struct mm_struct *mm, unsigned long addr)
{
	check_access(mm, sizeof(long), 0, NULL);
	source_vma = (struct vm_area_struct){
		.vm_start = addr, .vm_end = addr + 4096, .vm_mm = mm,
		.vm_flags = 0x77,
	};
	return &source_vma;
}

/* The lock of a page table is taken and released in here. */
static void page_table(const struct mm_struct *mm)
{
	race_acquire(mm->pte);
	race_release(mm->pte);
}

static const char *pte_text(unsigned long pte)
{
	static char text[24];

	snprintf(text, sizeof(text), pte ? "EPC page %d" : "none", (int)(pte >> 12) - 1);
	return text;
}

static int page_of(const struct mm_struct *mm, unsigned long addr)
{
	unsigned long base = (unsigned long)(mm->encl + 1) << 32;

	return (int)((addr - base) >> 12);
}

/*
 * The lock of the page table is held over the callback of apply_to_page_range(),
 * and by all others only inside of one step: nobody can come in between.
 */
unsigned long *eng_pte_lock(struct mm_struct *mm, unsigned long addr)
{
	int page;

	HERE();
	check_access(mm, sizeof(long), 1, NULL);
	eng_yield_point();
	race_acquire(mm->pte);
	cur()->preempt++;
	cur()->pinned++;
	page = page_of(mm, addr);
	if (page >= 0 && page < 64)
		DETAIL("apply_to_page_range(page %d) :: PTE of page %d: %s%s", page, page,
		       pte_text(mm->pte[page]), mm->pte[page] & PTE_YOUNG ? ", young" :
		       mm->pte[page] ? ", old" : "");
	return page >= 0 && page < 64 && mm->pte[page] ? &mm->pte[page] : NULL;
}

void eng_pte_unlock(struct mm_struct *mm)
{
	race_release(mm->pte);
	cur()->pinned--;
	cur()->preempt--;
}

unsigned int eng_insert_pfn(struct vm_area_struct *vma, unsigned long addr, unsigned long pfn,
			    const char *func)
{
	struct mm_struct *mm = vma->vm_mm;
	int page = page_of(mm, addr);
	const char *was;
	int frame;

	HERE();
	eng_yield_point();
	page_table(mm);
	if (!mm->mmap_lock.owner && !mm->mmap_lock.readers)
		violate("17-lock-order", func, "vmf_insert_pfn() without mmap_lock");
	if (fail_on_request(FAIL_PTE))
		return 1;		/* OOM: no page table */
	frame = frame_at(epc_of_pfn(pfn));
	if (page < 0 || page >= 64 || frame < 0)
		return 2;		/* SIGBUS */
	if (mm->pte[page] && (int)(mm->pte[page] >> 12) != frame + 1) {
		/* The kernel leaves an entry for another frame alone, and warns. */
		violate("13-mappings", func, "vmf_insert_pfn() finds another page mapped\n"
			"page %d maps EPC page %d, not %d", page, (int)(mm->pte[page] >> 12) - 1,
			frame);
		return 0x100;
	}
	was = pte_text(mm->pte[page]);
	if (!mm->pte[page])
		mm->pte[page] = (unsigned long)(frame + 1) << 12 | PTE_PRESENT | PTE_YOUNG |
				(vma->vm_flags & 2 ? PTE_WRITE : 0);
	TRACE("vmf_insert_pfn(page %d, EPC page %d) = NOPAGE :: PTE of page %d: %s -> EPC page %d",
	      page, frame, page, was, frame);
	return 0x100;			/* NOPAGE */
}

/* A flush interrupts the CPUs that have the mm loaded. */
void flush_mm(struct mm_struct *mm)
{
	for (int i = 0; i < W.ntask; i++)
		if (mm->cpus >> i & 1)
			interrupt(i);
}

/* unmap_page_range(). */
void unmap_pages(struct mm_struct *mm, int first, int pages)
{
	int any = 0;

	eng_yield_point();
	page_table(mm);
	for (int page = first; page < first + pages && page < 64; page++) {
		any |= mm->pte[page] != 0;
		if (mm->pte[page])
			DETAIL("unmap_page_range() :: PTE of page %d: %s -> none", page,
			       pte_text(mm->pte[page]));
		mm->pte[page] = 0;
	}
	if (any)
		flush_mm(mm);
}

/* change_protection(). */
void protect_page(struct mm_struct *mm, int page, unsigned long flags)
{
	unsigned long pte = mm->pte[page];

	page_table(mm);
	if (!pte || !(pte & PTE_WRITE) == !(flags & 2))
		return;
	mm->pte[page] = pte ^ PTE_WRITE;
	flush_mm(mm);
}

/* copy_page_range() of a VM_PFNMAP mapping: the child's PTEs are old. */
void copy_pages(struct mm_struct *mm, struct mm_struct *oldmm, const struct vm_area_struct *vma)
{
	page_table(oldmm);
	for (int page = page_of(mm, vma->vm_start); page < page_of(mm, vma->vm_end); page++)
		mm->pte[page] = oldmm->pte[page] & ~PTE_YOUNG;
}

void eng_zap_ptes(struct vm_area_struct *vma, unsigned long addr, unsigned long size)
{
	struct mm_struct *mm = vma->vm_mm;
	int page = page_of(mm, addr);

	HERE();
	(void)size;
	eng_yield_point();
	page_table(mm);
	if (page < 0 || page >= 64)
		return;
	if (!mm->pte[page]) {
		DETAIL("zap_vma_ptes(page %d) :: PTE of page %d: none", page, page);
		return;
	}
	TRACE("zap_vma_ptes(page %d) :: PTE of page %d: %s -> none", page, page,
	      pte_text(mm->pte[page]));
	mm->pte[page] = 0;
	flush_mm(mm);
	eng_yield_point();
}

unsigned long *eng_mm_cpumask(struct mm_struct *mm)
{
	check_access(mm, sizeof(long), 0, NULL);
	return &mm->cpus;
}

/* -- mmu notifiers -------------------------------------------------------------------------- */

int eng_notifier_register(struct eng_notifier *mn, struct mm_struct *mm)
{
	check_access(mn, sizeof(long), 1, NULL);
	eng_might_sleep("__mmu_notifier_register");
	/* mm_take_all_locks() gives up when a signal is pending. */
	if (eng_signal_pending()) {
		sometimes(SEEN_EINTR);
		TRACE("__mmu_notifier_register() gives -EINTR");
		return -4;
	}
	mm->count++;
	mn->mm = mm;
	mn->users = 1;
	mn->hashed = 1;
	mn->next = mm->notifiers;
	mm->notifiers = mn;
	notifiers_lock(mm);
	eng_yield_point();
	return 0;
}

static void unhash(struct eng_notifier *mn, struct mm_struct *mm)
{
	struct eng_notifier **at = &mm->notifiers;

	notifiers_lock(mm);

	while (*at && *at != mn)
		at = &(*at)->next;
	if (*at)
		*at = mn->next;
	mn->hashed = 0;
}

void eng_notifier_unregister(struct eng_notifier *mn, struct mm_struct *mm)
{
	check_access(mn, sizeof(long), 1, NULL);
	check_access(mm, sizeof(long), 1, NULL);
	eng_yield_point();
	sometimes(SEEN_RELEASED_EARLY);
	if (mn->hashed) {
		int idx = eng_srcu_read_lock(&notifier_srcu);

		if (mn->ops->release)
			mn->ops->release(mn, mm);
		eng_srcu_read_unlock(&notifier_srcu, idx);
		check_access(mn, sizeof(long), 1, NULL);
		unhash(mn, mm);
	}
	eng_srcu_synchronize(&notifier_srcu, "mmu_notifier_unregister");
	mmdrop(mm);
}

/* Freed after a grace period, by the worker. */
void eng_notifier_put(struct eng_notifier *mn)
{
	check_access(mn, sizeof(long), 1, NULL);
	eng_yield_point();
	race_release(mn);
	if (--mn->users)
		return;
	race_acquire(mn);
	unhash(mn, mn->mm);
	queue_work(WORK_NOTIFIER_FREE, mn);
}

void notifier_free_work(struct eng_notifier *mn)
{
	struct mm_struct *mm = mn->mm;

	srcu_wait_mask(&notifier_srcu, notifier_srcu.readers);
	race_acquire(&notifier_srcu.readers);
	check_access(mn, sizeof(long), 1, NULL);
	eng_preempt(1);			/* srcu_invoke_callbacks(): bottom halves are off */
	mn->ops->free_notifier(mn);
	eng_preempt(-1);
	mmdrop(mm);
}

void eng_saw_young(int young);
void eng_saw_young(int young)
{
	if (young)
		sometimes(SEEN_YOUNG);
}
