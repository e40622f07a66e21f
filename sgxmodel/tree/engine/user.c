// SPDX-License-Identifier: GPL-2.0-only
/* Calls: what the words of a scenario do. */
#include "engine.h"

#define ESRCH 3
#define EIO 5
#define EBADF 9
#define ENOMEM 12
#define VM_WRITE 2

static int is_access(int verb)
{
	return verb == V_TOUCH || verb == V_ACCEPT || verb == V_RUN;
}

unsigned long base_of(int encl)
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

/* An ioctl says how many bytes of its range were done. */
static int do_ioctl(int proc, const struct eng_call *call)
{
	struct file *file = process_fdget(proc);
	long done = -1;
	int ret;

	if (!file)
		return -EBADF;
	ret = (int)tree_ioctl(file, call, keep->config.encl[proc], &done);
	eng_fput(file);
	done /= 4096;
	if (done <= 0 || (!ret && done == call->count))
		return ret;
	sometimes(SEEN_HALF_WAY);
	return ret + (int)done * RESULT_AFTER;
}

#define WORD 40		/* a debugger's, in a page */

/* access_remote_vm(): the VMA under mmap_lock, then its access handler. */
static int do_ptrace(struct mm_struct *mm, const struct eng_call *call)
{
	unsigned long addr = base_of(mm->encl) + call->arg * 4096UL + WORD, word = 0;
	struct task *t = cur();
	struct vm_area_struct *vma;
	int ret = -EIO;

	t->edbgrd = t->edbgwr = -1;

	eng_mmap_lock(mm, 0, "access_remote_vm");
	vma = vma_at(mm, addr);
	if (vma)
		ret = tree_access(vma, addr, &word, call->verb == V_POKE);
	eng_mmap_unlock(mm, 0, "access_remote_vm");
	if (ret == (int)sizeof(word)) {
		if (t->edbgrd != WORD || (call->verb == V_POKE && t->edbgwr != WORD))
			violate("15-errno", "sgx_vma_access",
				"a debugger's access succeeds but transfers the wrong word");
		sometimes(SEEN_DEBUGGED);
		return 0;
	}
	return ret;
}

/* -- accesses of enclave threads --------------------------------------------------------------- */

static int fault(struct mm_struct *mm, int page)
{
	unsigned long addr = base_of(mm->encl) + page * 4096UL;
	struct vm_area_struct *vma;
	unsigned int ret;

	eng_mmap_lock(mm, 0, "page fault");
	vma = vma_at(mm, addr);
	/* access_error(): each access here is a write */
	if (!vma || !(vma->vm_flags & VM_WRITE)) {
		sometimes(SEEN_NO_MAPPING);
		eng_mmap_unlock(mm, 0, "page fault");
		return RESULT_SIGSEGV;
	}
	ret = tree_fault(vma, addr);
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
		if (process_dying(call->proc))
			return -ESRCH;	/* as if it had not begun: it is killed with its process */
		ret = fault(mm, call->arg);
		if (ret)
			return ret;
		if (!mm->pte[call->arg])
			sched_retry();
	}
}

#define RUN_ACCESSES 8

static int do_access(struct task *task, struct mm_struct *mm, const struct eng_call *call)
{
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
	return epc_pfn(node, frame);
}

static u8 bad[ENG_FRAMES];

/* ``consumed``: by this very task, which is to get SIGBUS. */
static int memory_error(int frame, int consumed)
{
	int ret;

	sometimes(bad[frame] ? SEEN_BAD_TWICE : epcm[frame].valid ? SEEN_USED_BAD : SEEN_FREE_BAD);
	bad[frame] = 1;
	cur()->bus_error = 0;
	ret = tree_memory_failure(pfn_of(frame), consumed);
	if (!ret && cur()->bus_error != consumed)
		violate("15-errno", "arch_memory_failure", consumed ?
			"a task that consumed bad data gets no SIGBUS" :
			"a task that did not touch the bad page gets SIGBUS");
	return ret;
}

static int do_poison_at(const struct eng_call *call)
{
	struct mm_struct *mm = process_mm(call->proc);

	eng_yield_point();
	if (!mm || !mm->pte[call->arg]) {
		sometimes(SEEN_BAD_NOWHERE);
		return 0;
	}
	return memory_error((int)(mm->pte[call->arg] >> 12) - 1, 1);
}

static int do_signal(int target)
{
	eng_yield_point();
	W.task[target].signal = 1;
	return 0;
}

/* Whether a fault can be served, as far as the mapping goes. */
static int ready_for(const struct mm_struct *mm, const struct eng_call *call)
{
	const struct vm_area_struct *vma;
	int ready;

	if (!is_access(call->verb))
		return 0;
	vma = vma_at(mm, base_of(mm->encl) + call->arg * 4096UL);
	if (!vma || !(vma->vm_flags & VM_WRITE) || !vma->vm_private_data)
		return 0;
	W.quiet++;
	ready = probe_encl_ready(vma->vm_private_data, call->arg, keep->config.sgx2,
				 vma->vm_flags);
	W.quiet--;
	return ready;
}

static int dispatch(struct task *task, struct mm_struct *mm, const struct eng_call *call)
{
	switch (call->verb) {
	case V_OPEN:
		return do_open(mm);
	case V_MUNMAP:
		return do_munmap(mm, 0, keep->config.size[mm->encl]);
	case V_MUNMAP_PAGE:
		return do_munmap(mm, call->arg, 1);
	case V_MPROTECT:
		return do_mprotect(mm, call->arg, call->type);
	case V_MMAP:
		return do_mmap(mm, call->arg);
	case V_FORK:
		return do_fork(mm, call->arg);
	case V_CLOSE:
		return do_close(mm);
	case V_PEEK:
	case V_POKE:
		return do_ptrace(mm, call);
	case V_TOUCH:
	case V_ACCEPT:
	case V_RUN:
		return do_access(task, mm, call);
	default:
		return do_ioctl(call->proc, call);
	}
}

/* A call of a thread of a process: the thread counts as a user of the mm. */
static int in_process(struct task *task, const struct eng_call *call)
{
	int ret;

	if (!thread_begin(task, call->proc))
		return -ESRCH;
	task->remaps = W.remaps;
	task->ready = ready_for(task->pub.mm, call);
	ret = dispatch(task, task->pub.mm, call);
	thread_end(task, call->proc);
	return ret;
}

static int call_of(struct task *task, const struct eng_call *call)
{
	switch (call->verb) {
	case V_RECLAIM:
		tree_reclaim();
		return 0;
	case V_DIRECT:
		tree_direct();
		return 0;
	case V_POISON:
		return memory_error(call->arg, 0);
	case V_POISON_AT:
		return do_poison_at(call);
	case V_SIGNAL:
		return do_signal(call->arg);
	case V_EXIT:
		return do_exit(call->proc);
	case V_STOP_KSGXD:
		stop_ksgxd();
		return 0;
	case V_SHRINK:
		shmem_shrink();
		return 0;
	case V_VEPC_OPEN:
	case V_VEPC_CLOSE:
	case V_VEPC_REMOVE_ALL:
	case V_GUEST_TOUCH:
	case V_GUEST_ECREATE:
	case V_GUEST_EADD:
	case V_GUEST_EINIT:
		return vepc_call(call);
	default:
		return in_process(task, call);
	}
}

int user_call(struct task *task, const struct eng_call *call)
{
	int ret;

	task->retries = task->mutexes = 0;
	task->exhausted = task->refused = task->ready = 0;
	eng_yield_point();
	ret = call_of(task, call);
	run_task_work(task);
	if (task->held_cnt)
		fatal("17-lock-order", task->held[task->held_cnt - 1].func,
		      "a call returns to user space with %s held",
		      task->held[task->held_cnt - 1].lock->name);
	if (task->srcu_depth)
		violate("17-lock-order", "", "a call returns inside an SRCU read section");
	W.quiet++;
	for (int i = 0; i < keep->config.enclaves; i++)
		if (encl_file(i) && encl_file(i)->private_data)
			probe_encl(encl_file(i)->private_data);
	W.quiet--;
	return ret;
}

void user_quiet(void)
{
	for (int i = 0; i < keep->config.enclaves; i++)
		if (encl_file(i) && encl_file(i)->private_data)
			probe_encl_quiet(encl_file(i)->private_data);
}
