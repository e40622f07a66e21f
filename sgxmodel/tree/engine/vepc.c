// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual EPCs: files, their mappings, and the guests that use them.
 *
 * Each virtual EPC has an address space of its own.  A guest's leaf is one step,
 * as the host's EREMOVE is: a conflict of the two is what `fail eremove` stands for.
 */
#include "engine.h"

#define EBADF 9
#define FAULT_RETRY 0x400
#define FAULT_NOPAGE 0x100

static struct vepc {
	struct file *file;		/* while the descriptor is open */
	struct mm_struct *mm;
	struct vm_area_struct vma;
} vepcs[ENG_VEPCS] GIVEN;

static unsigned long address(int page)
{
	return (unsigned long)page * 4096;
}

static int open_and_map(int n)
{
	struct vepc *v = &vepcs[n];
	struct file *file = file_new(-1);
	int ret = tree_vepc_open(file);

	if (ret) {
		engine_free(file);
		return ret;
	}
	if (!v->mm)
		v->mm = mm_plain();
	v->vma = (struct vm_area_struct){
		.vm_end = address(keep->config.vepc_size[n]), .vm_mm = v->mm,
		.vm_flags = 0x7b, .vm_file = file,
	};
	ret = tree_mmap(file, &v->vma);
	race_release(v);		/* a guest runs when both have returned */
	v->file = file;
	return ret;
}

/* munmap() and close(). */
static int close_it(int n)
{
	struct vepc *v = &vepcs[n];
	struct file *file = v->file;

	v->file = NULL;
	if (!file)
		return 0;
	race_acquire(v);
	memset(v->mm->pte, 0, sizeof(v->mm->pte));
	eng_fput(file);
	return 0;
}

/* Faults are served until the page is there, or the guest is killed. */
static int populate(struct vepc *v, int page)
{
	for (;;) {
		unsigned int ret;

		if (v->mm->pte[page])
			return 0;
		eng_mmap_lock(v->mm, 0, "page fault");
		ret = tree_fault(&v->vma, address(page));
		if (!(ret & FAULT_RETRY))
			eng_mmap_unlock(v->mm, 0, "page fault");
		if (ret & FAULT_NOPAGE) {
			sometimes(SEEN_GUEST_PAGE);
			return 0;
		}
		if (!(ret & FAULT_RETRY))
			return RESULT_SIGBUS;
		sometimes(SEEN_GUEST_RETRY);
		sched_retry();
	}
}

static void *virt_of(const struct vepc *v, int page)
{
	return epc_address((int)(v->mm->pte[page] >> 12) - 1);
}

static int leaf(int ret)
{
	return ret & 0x40000000 ? 1000 + (ret & 0xff) : ret;
}

/* ECREATE and EINIT go through KVM, which traps them. */
static int guest_ecreate(struct vepc *v, int page)
{
	int ret = populate(v, page);

	if (ret)
		return ret;
	cur()->guest = 1;
	ret = tree_virt_ecreate(4 * 4096, virt_of(v, page));
	cur()->guest = 0;
	return ret;
}

static int guest_einit(struct vepc *v, int page)
{
	int ret = populate(v, page);

	if (ret)
		return ret;
	cur()->guest = 1;
	ret = tree_virt_einit(virt_of(v, page));
	cur()->guest = 0;
	return ret;
}

static int guest_eadd(struct vepc *v, int page, struct vepc *other, int at)
{
	static const u64 contents;
	int ret = populate(v, page);

	if (!ret)
		ret = populate(other, at);
	/* SECINFO says a regular page; all of a guest's pages are at one address. */
	if (ret)
		return ret;
	cur()->guest = 1;
	ret = leaf(hw_eadd(virt_of(other, at), 0, 0x203, &contents, virt_of(v, page)));
	cur()->guest = 0;
	return ret;
}

/* Calls on an open one: its file is held meanwhile, and another one's, too (*held). */
static int on_open(const struct eng_call *call, struct vepc *v, struct file **held)
{
	struct vepc *other = &vepcs[call->type];
	int ret;

	switch (call->verb) {
	case V_VEPC_REMOVE_ALL:
		ret = (int)tree_vepc_remove_all(v->file);
		for (int i = 0; i < ENG_FRAMES; i++)
			epcm[i].refusals = 0;
		if (ret > 0)
			sometimes(SEEN_LEFT_BY_ALL);
		if (ret == -16)
			sometimes(SEEN_RESISTED);
		return ret;
	case V_GUEST_TOUCH:
		return populate(v, call->arg);
	case V_GUEST_ECREATE:
		return guest_ecreate(v, call->arg);
	case V_GUEST_EINIT:
		return guest_einit(v, call->arg);
	}
	if (!other->file)
		return -EBADF;
	race_acquire(other);
	other->file->refs++;
	*held = other->file;
	return guest_eadd(v, call->arg, other, call->count);
}

int vepc_call(const struct eng_call *call)
{
	struct vepc *v = &vepcs[call->proc];
	struct file *file = v->file, *held = NULL;
	int ret;

	if (call->verb == V_VEPC_OPEN)
		return open_and_map(call->proc);
	if (call->verb == V_VEPC_CLOSE)
		return close_it(call->proc);
	if (!file)
		return -EBADF;
	race_acquire(v);
	file->refs++;
	ret = on_open(call, v, &held);
	eng_fput(file);
	if (held)
		eng_fput(held);		/* so it is released first, as in the model */
	return ret;
}

void vepc_close_all(void)
{
	for (int i = 0; i < keep->config.vepcs; i++) {
		close_it(i);
		run_task_work(cur());
	}
}

/* The address spaces, which end after all files. */
void vepc_end(void)
{
	for (int i = 0; i < keep->config.vepcs; i++)
		if (vepcs[i].mm)
			engine_free(vepcs[i].mm);
}
