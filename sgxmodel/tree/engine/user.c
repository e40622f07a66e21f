// SPDX-License-Identifier: GPL-2.0-only
/* Processes and their calls: what the words of a scenario do. */
#include "engine.h"

struct process {
	struct file *file;		/* while the descriptor is open */
	int dying;
};

static struct process procs[ENG_ENCLAVES];

#define EBADF 9
#define VM_READ 1
#define VM_WRITE 2
#define ENOMEM 12

static int is_access(int verb)
{
	return verb == V_TOUCH || verb == V_ACCEPT || verb == V_RUN;
}

static unsigned long base_of(int encl)
{
	return (unsigned long)(encl + 1) << 32;
}

void *eng_err_ptr(long error, const char *func);

/* What an allocation that fails means for the call's result: see check_result(). */
void *eng_err_ptr(long error, const char *func)
{
	if (error == -ENOMEM && !strcmp(func, "sgx_alloc_epc_page")) {
		W.quiet++;
		if (probe_exhausted())
			cur()->exhausted = 1;
		else
			cur()->refused = 1;
		W.quiet--;
		sometimes(SEEN_NOMEM);
		TRACE("sgx_alloc_epc_page() gives -ENOMEM");
	}
	return (void *)error;
}

/* -- system calls --------------------------------------------------------------------------- */

/* PTEs and TLBs of a mapping go; mmap_lock is held.  The mapping, whose file is still held. */
static struct vm_area_struct *unmap_all(struct mm_struct *mm)
{
	struct vm_area_struct *vma = mm->vma;

	if (!vma)
		return NULL;
	for (int page = 0; page < 64; page++)
		mm->pte[page] = 0;
	for (int i = 0; i < W.ntask; i++)
		if (mm->cpus >> i & 1)
			interrupt(i);
	mm->vma = NULL;
	return vma;
}

/* mmap() of the whole enclave; what is there already makes room (MAP_FIXED). */
static int map(int encl, struct file *file, int rights)
{
	struct mm_struct *mm = process_mm(encl);
	struct vm_area_struct *vma, *old;
	int ret;

	eng_mmap_lock(mm, 1, "mmap");
	old = unmap_all(mm);
	vma = engine_alloc(sizeof(*vma), "sizeof(struct vm_area_struct)");
	*vma = (struct vm_area_struct){
		.vm_start = base_of(encl),
		.vm_end = base_of(encl) + keep->config.size[encl] * 4096UL,
		/* VM_SHARED, and VM_MAYREAD to VM_MAYEXEC */
		.vm_mm = mm, .vm_flags = rights | 0x8 | 0x70, .vm_file = file,
	};
	file->refs++;
	ret = tree_mmap(file, vma);
	if (ret) {
		eng_fput(file);
		engine_free(vma);
	} else {
		mm->vma = vma;
	}
	eng_mmap_unlock(mm, 1, "mmap");
	if (old) {
		eng_fput(old->vm_file);
		engine_free(old);
	}
	return ret;
}

static int do_open(int encl)
{
	struct file *file = file_new(encl);
	int ret = tree_open(file);

	if (ret) {
		engine_free(file);
		return ret;
	}
	procs[encl].file = file;
	return map(encl, file, VM_READ | VM_WRITE);
}

static int do_mmap(int encl, int rights)
{
	struct file *file = procs[encl].file;
	int ret;

	if (!file)
		return -EBADF;
	file->refs++;
	ret = map(encl, file, rights);
	eng_fput(file);
	return ret;
}

static int do_ioctl(const struct eng_call *call)
{
	struct file *file = procs[call->encl].file;
	int ret;

	if (!file)
		return -EBADF;
	file->refs++;			/* fdget() of a process with threads */
	ret = (int)tree_ioctl(file, call->verb, call->encl, call->arg, call->type);
	eng_fput(file);
	return ret;
}

static int do_munmap(int encl)
{
	struct mm_struct *mm = process_mm(encl);
	struct vm_area_struct *vma;

	eng_mmap_lock(mm, 1, "munmap");
	vma = unmap_all(mm);
	eng_mmap_unlock(mm, 1, "munmap");
	if (vma) {
		eng_fput(vma->vm_file);
		engine_free(vma);
	}
	return 0;
}

/* The process lives on: sgx_release() finds its mm on the list. */
static int do_close(int encl)
{
	struct file *file;

	do_munmap(encl);
	eng_yield_point();
	file = procs[encl].file;
	procs[encl].file = NULL;
	if (file)
		eng_fput(file);
	return 0;
}

/* do_exit(): the address space goes first, then the files. */
static int do_exit(int encl)
{
	struct process *proc = &procs[encl];
	struct mm_struct *mm = process_mm(encl);
	struct file *file;

	if (proc->dying || !mm)
		return 0;
	proc->dying = 1;
	eng_mmput(mm);
	eng_yield_point();
	file = proc->file;
	proc->file = NULL;
	if (file)
		eng_fput(file);
	return 0;
}

/* -- accesses of enclave threads --------------------------------------------------------------- */

static int fault(struct mm_struct *mm, int page)
{
	unsigned int ret;

	eng_mmap_lock(mm, 0, "page fault");
	/* access_error(): each access here is a write */
	if (!mm->vma || !(mm->vma->vm_flags & VM_WRITE)) {
		eng_mmap_unlock(mm, 0, "page fault");
		return RESULT_SIGSEGV;
	}
	ret = tree_fault(mm->vma, base_of(mm->encl) + page * 4096UL);
	eng_mmap_unlock(mm, 0, "page fault");
	TRACE("the fault of page %d gives %s", page, ret & 0x100 ? "NOPAGE" : ret & 1 ? "OOM" :
	      "SIGBUS");
	if (ret & 1)
		return RESULT_OOM;
	return ret & 0x100 ? 0 : RESULT_SIGBUS;
}

/* One access, with the faults that it takes until it is served or refused. */
static int access_page(struct task *task, struct mm_struct *mm, const struct eng_call *call)
{
	for (;;) {
		int ret;

		eng_yield_point();
		ret = call->verb == V_ACCEPT ? hw_accept(task, mm, call->arg)
					     : hw_touch(task, mm, call->arg);
		if (ret != -1)
			return ret;
		if (procs[call->encl].dying)
			return RESULT_SIGSEGV;
		ret = fault(mm, call->arg);
		if (ret)
			return ret;
		if (!mm->pte[call->arg])
			sched_retry();
	}
}

#define RUN_ACCESSES 8

static int do_access(struct task *task, const struct eng_call *call)
{
	struct mm_struct *mm = process_mm(call->encl);
	int times = call->verb == V_RUN ? RUN_ACCESSES : 1;
	int ret = 0;

	mm->cpus |= 1UL << task->id;
	while (times-- && !ret)
		ret = access_page(task, mm, call);
	eng_yield_point();
	tlb_flush(task);
	mm->cpus &= ~(1UL << task->id);
	return ret;
}

/* -- machine checks, signals ------------------------------------------------------------------- */

static unsigned long pfn_of(int frame)
{
	int node = 0;

	while (frame >= keep->config.epc[node])
		frame -= keep->config.epc[node++];
	return (EPC_PHYS + node * EPC_STRIDE + frame * 4096UL) >> 12;
}

static u8 bad[ENG_FRAMES];

static int memory_error(int frame)
{
	sometimes(bad[frame] ? SEEN_BAD_TWICE : epcm[frame].valid ? SEEN_USED_BAD : SEEN_FREE_BAD);
	bad[frame] = 1;
	return tree_memory_failure(pfn_of(frame));
}

static int do_poison_at(const struct eng_call *call)
{
	struct mm_struct *mm = process_mm(call->encl);

	eng_yield_point();
	if (!mm || !mm->pte[call->arg]) {
		sometimes(SEEN_BAD_NOWHERE);
		return 0;
	}
	return memory_error((int)(mm->pte[call->arg] >> 12) - 1);
}

static int do_signal(int target)
{
	eng_yield_point();
	W.task[target].signal = 1;
	return 0;
}

static int ready_for(const struct eng_call *call)
{
	struct file *file = procs[call->encl].file;
	int ready;

	if (!is_access(call->verb) || !file || !process_mm(call->encl)->vma)
		return 0;
	W.quiet++;
	ready = probe_encl_ready(file->private_data, call->arg, keep->config.sgx2);
	W.quiet--;
	return ready;
}

static int dispatch(struct task *task, const struct eng_call *call)
{
	switch (call->verb) {
	case V_OPEN:
		return do_open(call->encl);
	case V_MUNMAP:
		return do_munmap(call->encl);
	case V_MMAP:
		return do_mmap(call->encl, call->arg);
	case V_CLOSE:
		return do_close(call->encl);
	case V_TOUCH:
	case V_ACCEPT:
	case V_RUN:
		return do_access(task, call);
	default:
		return do_ioctl(call);
	}
}

/* A call of a thread of a process: the thread counts as a user of the mm. */
static int in_process(struct task *task, const struct eng_call *call)
{
	struct mm_struct *mm = process_mm(call->encl);
	int ret;

	if (procs[call->encl].dying || !mm || !mm->users)
		return is_access(call->verb) ? RESULT_SIGSEGV : call->verb == V_MUNMAP || call->verb == V_CLOSE ? 0 : -EBADF;
	mm->users++;
	task->pub.mm = mm;
	task->ready = ready_for(call);
	ret = dispatch(task, call);
	task->pub.mm = NULL;
	eng_mmput(mm);
	return ret;
}

int user_call(struct task *task, const struct eng_call *call)
{
	int ret = 0;

	task->signal = 0;		/* what came while in user space is handled there */
	task->retries = 0;
	task->exhausted = task->refused = task->ready = 0;
	eng_yield_point();
	switch (call->verb) {
	case V_RECLAIM:
		tree_reclaim();
		break;
	case V_DIRECT:
		tree_direct();
		break;
	case V_POISON:
		ret = memory_error(call->arg);
		break;
	case V_POISON_AT:
		ret = do_poison_at(call);
		break;
	case V_SIGNAL:
		ret = do_signal(call->arg);
		break;
	case V_EXIT:
		ret = do_exit(call->encl);
		break;
	default:
		ret = in_process(task, call);
		break;
	}
	run_task_work(task);
	task->signal = 0;
	if (task->held_cnt)
		fatal("17-lock-order", "", "a call returns to user space with %s held",
		      task->held[task->held_cnt - 1].lock->name);
	if (task->srcu_depth)
		violate("17-lock-order", "", "a call returns inside an SRCU read section");
	W.quiet++;
	for (int i = 0; i < keep->config.enclaves; i++)
		if (procs[i].file && procs[i].file->private_data)
			probe_encl(procs[i].file->private_data);
	W.quiet--;
	return ret;
}

void user_quiet(void)
{
	for (int i = 0; i < keep->config.enclaves; i++)
		if (procs[i].file && procs[i].file->private_data)
			probe_encl_quiet(procs[i].file->private_data);
}

int eng_enclaves(void);
int eng_enclaves(void)
{
	return keep->config.enclaves;
}

void *eng_encl(int i);
void *eng_encl(int i)
{
	return procs[i].file ? procs[i].file->private_data : NULL;
}

void user_close_all(void)
{
	for (int i = 0; i < keep->config.enclaves; i++)
		do_exit(i);
	run_task_work(cur());
}
