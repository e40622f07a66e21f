// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes: their files, fork and exit, and what they do to their mappings.
 *
 * The orders are the kernel's: fork links a VMA, opens it, then copies the PTEs
 * (dup_mmap()); munmap() unlinks VMAs under the write lock and clears PTEs as a
 * reader; exit is notifiers, PTEs, VMAs, then files.
 */
#include "engine.h"

enum { UNBORN, ALIVE, DYING };

struct process {
	struct file *file;		/* while the descriptor is open */
	int state;
	int threads;			/* that have these files open; itself, too */
};

static struct process procs[ENG_PROCESSES];

#define ESRCH 3
#define EBADF 9
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define VM_ACCESS_FLAGS 7UL
#define VM_DONTCOPY 0x20000UL
#define VM_WIPEONFORK 0x2000000UL

void process_boot(void)
{
	for (int i = 0; i < keep->config.enclaves; i++) {
		procs[i].state = ALIVE;
		procs[i].threads = 1;
		mm_new(i);
	}
}

/* fdget() of a process with threads: the file with a reference, or NULL. */
struct file *process_fdget(int proc)
{
	struct file *file = procs[proc].file;

	if (file) {
		race_acquire(file);
		file->refs++;
	}
	return file;
}

/* The open file of an enclave, whoever has it. */
struct file *encl_file(int encl)
{
	for (int i = 0; i < keep->config.processes; i++)
		if (procs[i].file && keep->config.encl[i] == encl)
			return procs[i].file;
	return NULL;
}

int process_dying(int proc)
{
	return procs[proc].state == DYING;
}

/* -- threads ---------------------------------------------------------------------------- */

/* A thread of a living process makes a call: it is a user of its mm. */
int thread_begin(struct task *task, int proc)
{
	struct mm_struct *mm = process_mm(proc);

	if (procs[proc].state != ALIVE || !mm || !mm->users)
		return 0;
	mm->users++;
	procs[proc].threads++;
	task->pub.mm = mm;
	return 1;
}

static void close_fd(int proc)
{
	struct file *file = procs[proc].file;

	procs[proc].file = NULL;
	if (file)
		eng_fput(file);
}

/* exit_files(): the last thread closes what is open. */
static void exit_files(int proc)
{
	if (!--procs[proc].threads)
		close_fd(proc);
}

void thread_end(struct task *task, int proc)
{
	struct mm_struct *mm = task->pub.mm;

	task->pub.mm = NULL;
	eng_mmput(mm);
	exit_files(proc);
}

/* do_exit(): the address space goes first, then the files. */
int do_exit(int proc)
{
	if (procs[proc].state != ALIVE)
		return -ESRCH;
	procs[proc].state = DYING;
	W.remaps++;
	eng_mmput(process_mm(proc));
	eng_yield_point();
	exit_files(proc);
	return 0;
}

/* -- mappings --------------------------------------------------------------------------- */

static unsigned long address(const struct mm_struct *mm, int page)
{
	return base_of(mm->encl) + page * 4096UL;
}

static int pages_of(const struct mm_struct *mm)
{
	return keep->config.size[mm->encl];
}

static struct vm_area_struct *new_vma(void)
{
	if (fail_on_request(FAIL_VMA))
		return NULL;
	return engine_alloc(sizeof(struct vm_area_struct), "sizeof(struct vm_area_struct)");
}

/* mmap_region(): a VMA of the file, linked when the driver agrees. */
static int map_region(struct mm_struct *mm, struct file *file, int rights)
{
	struct vm_area_struct *vma = new_vma();
	int ret;

	if (!vma)
		return -ENOMEM;
	*vma = (struct vm_area_struct){
		.vm_start = address(mm, 0), .vm_end = address(mm, pages_of(mm)),
		/* VM_SHARED, and VM_MAYREAD to VM_MAYEXEC */
		.vm_mm = mm, .vm_flags = rights | 0x8 | 0x70, .vm_file = file,
	};
	file->refs++;
	ret = tree_mmap(file, vma);
	if (ret) {
		eng_fput(file);
		engine_free(vma);
		return ret;
	}
	vma_link(mm, vma);
	return 0;
}

/* remove_vma() of each. */
void remove_vmas(struct vm_area_struct *vma)
{
	while (vma) {
		struct vm_area_struct *next = vma->next;

		eng_fput(vma->vm_file);
		engine_free(vma);
		vma = next;
	}
}

/* mmap() of the whole enclave; what is there already makes room (MAP_FIXED). */
static int map(struct mm_struct *mm, struct file *file, int rights)
{
	struct vm_area_struct *old;
	int ret;

	W.remaps++;
	eng_mmap_lock(mm, 1, "mmap");
	old = vma_unlink(mm, address(mm, 0), address(mm, pages_of(mm)));
	if (old) {
		sometimes(SEEN_REPLACED);
		unmap_pages(mm, 0, pages_of(mm));
	}
	remove_vmas(old);
	ret = map_region(mm, file, rights);
	eng_mmap_unlock(mm, 1, "mmap");
	return ret;
}

int do_open(struct mm_struct *mm)
{
	struct file *file = file_new(mm->encl);
	int ret = tree_open(file);

	if (ret) {
		engine_free(file);
		return ret;
	}
	race_release(file);		/* fd_install() */
	procs[mm->proc].file = file;
	file->refs++;			/* mmap() of it; a close() in between is as one after it */
	ret = map(mm, file, 3);
	eng_fput(file);
	return ret;
}

int do_mmap(struct mm_struct *mm, int rights)
{
	struct file *file = process_fdget(mm->proc);
	int ret;

	if (!file)
		return -EBADF;
	ret = map(mm, file, rights);
	eng_fput(file);
	return ret;
}

/* __split_vma(): a new VMA from ``addr`` on. */
static int split(struct vm_area_struct *vma, unsigned long addr)
{
	struct vm_area_struct *new = new_vma();

	if (!new)
		return -ENOMEM;
	*new = *vma;
	new->vm_start = addr;
	new->vm_pgoff += (addr - vma->vm_start) >> 12;
	new->vm_file->refs++;
	tree_vma_open(new);
	vma->vm_end = addr;
	vma_link(new->vm_mm, new);
	sometimes(SEEN_SPLIT);
	return 0;
}

/* Split at both ends of a range, where a VMA goes on beyond it. */
static int isolate(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma = vma_at(mm, start);
	int ret;

	if (vma && vma->vm_start < start) {
		ret = split(vma, start);
		if (ret)
			return ret;
	}
	vma = vma_at(mm, end - 1);
	return vma && vma->vm_end > end ? split(vma, end) : 0;
}

/* VMAs go under the write lock, their PTEs when it is a read lock. */
int do_munmap(struct mm_struct *mm, int first, int pages)
{
	struct vm_area_struct *old = NULL;
	int ret;

	W.remaps++;
	eng_mmap_lock(mm, 1, "munmap");
	ret = isolate(mm, address(mm, first), address(mm, first + pages));
	if (!ret)
		old = vma_unlink(mm, address(mm, first), address(mm, first + pages));
	if (!old) {
		eng_mmap_unlock(mm, 1, "munmap");
		return ret;
	}
	eng_mmap_downgrade(mm);
	unmap_pages(mm, first, pages);
	remove_vmas(old);
	eng_mmap_unlock(mm, 0, "munmap");
	return 0;
}

static int change_rights(struct mm_struct *mm, int page, unsigned long rights)
{
	struct vm_area_struct *vma = vma_at(mm, address(mm, page));
	unsigned long flags;
	int ret;

	if (!vma)
		return -ENOMEM;
	flags = (vma->vm_flags & ~VM_ACCESS_FLAGS) | rights;
	if (rights & ~(vma->vm_flags >> 4))
		return -EACCES;
	ret = tree_mprotect(vma, address(mm, page), address(mm, page + 1), flags);
	if (ret || flags == vma->vm_flags)
		return ret;
	ret = isolate(mm, address(mm, page), address(mm, page + 1));
	if (ret)
		return ret;
	vma_at(mm, address(mm, page))->vm_flags = flags;
	protect_page(mm, page, flags);
	return 0;
}

/* mprotect() of one page: the driver is asked, the VMA split, its PTE follows. */
int do_mprotect(struct mm_struct *mm, int page, int rights)
{
	int ret;

	W.remaps++;
	eng_mmap_lock(mm, 1, "mprotect");
	ret = change_rights(mm, page, rights);
	eng_mmap_unlock(mm, 1, "mprotect");
	return ret;
}

/* munmap() and close(): the process lives on, sgx_release() finds its mm on the list. */
int do_close(struct mm_struct *mm)
{
	do_munmap(mm, 0, pages_of(mm));
	eng_yield_point();
	close_fd(mm->proc);
	return 0;
}

/* -- fork ------------------------------------------------------------------------------- */

static int copy_vma(struct mm_struct *mm, struct mm_struct *oldmm, struct vm_area_struct *mpnt)
{
	struct vm_area_struct *tmp;
	int had = mpnt->vm_private_data != NULL;

	if (mpnt->vm_flags & VM_DONTCOPY)
		return 0;
	tmp = new_vma();
	if (!tmp)
		return -ENOMEM;
	*tmp = *mpnt;
	tmp->vm_mm = mm;
	vma_link(mm, tmp);
	tree_vma_open(tmp);
	if (had && !tmp->vm_private_data)
		sometimes(SEEN_CHILD_NOT_ADDED);
	tmp->vm_file->refs++;
	if (tmp->vm_flags & VM_WIPEONFORK)
		return 0;
	if (fail_on_request(FAIL_PAGE_TABLE))
		return -ENOMEM;
	copy_pages(mm, oldmm, tmp);
	return 0;
}

static int dup_mmap(struct mm_struct *mm, struct mm_struct *oldmm)
{
	int ret = 0;

	eng_mmap_lock(oldmm, 1, "dup_mmap");
	eng_mmap_lock_nested(mm, "dup_mmap");
	for (struct vm_area_struct *mpnt = oldmm->vma; mpnt && !ret; mpnt = mpnt->next)
		ret = copy_vma(mm, oldmm, mpnt);
	eng_mmap_unlock(mm, 1, "dup_mmap");
	flush_mm(oldmm);
	eng_mmap_unlock(oldmm, 1, "dup_mmap");
	return ret;
}

/* Files, then the address space; a child is born only once. */
int do_fork(struct mm_struct *oldmm, int child)
{
	struct file *file = procs[oldmm->proc].file;
	struct mm_struct *mm;
	int ret;

	if (procs[child].state != UNBORN || process_mm(child))
		return -EAGAIN;
	W.remaps++;
	if (file)
		file->refs++;
	procs[child].file = file;
	mm = mm_new(child);
	ret = dup_mmap(mm, oldmm);
	if (ret) {
		eng_mmput(mm);
		close_fd(child);
		return ret;
	}
	procs[child].state = ALIVE;
	procs[child].threads = 1;
	sometimes(SEEN_FORKED);
	eng_yield_point();
	return 0;
}

void user_close_all(void)
{
	for (int i = 0; i < keep->config.processes; i++)
		do_exit(i);
	run_task_work(cur());
}

int eng_enclaves(void);
int eng_enclaves(void)
{
	return keep->config.enclaves;
}

void *eng_encl(int i);
void *eng_encl(int i)
{
	struct file *file = encl_file(i);

	return file ? file->private_data : NULL;
}
