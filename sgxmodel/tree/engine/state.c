// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole-state copies.
 *
 * The library's writable segment is the driver's statics and the engine's own
 * (linked with -z norelro -z now, so that nothing else is in it); the heap and
 * the live parts of the stacks come with it.  The copy after boot and set-up is
 * made once and put back before each run.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stdlib.h>

#include "engine.h"

void mem_pristine(void);
void mem_save(void);
void mem_restore(int nblocks_saved);
int mem_nblocks(void);
u64 mem_bytes(void);

struct keep *keep;

static struct segment {
	u8 *lib_low, *lib_high;		/* all of the library */
	u8 *low, *high;			/* what can be written */
	u8 *pristine, *copy;
	u8 *stacks;
	int nblocks;
} *seg;

static int find_segment(struct dl_phdr_info *info, size_t size, void *data)
{
	struct segment *s = data;
	uintptr_t here = (uintptr_t)&W, code = (uintptr_t)find_segment;
	int ours = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t low = info->dlpi_addr + p->p_vaddr, high = low + p->p_memsz;

		if (p->p_type == PT_LOAD && here >= low && here < high) {
			s->low = (u8 *)low;
			s->high = (u8 *)high;
			ours = 1;
		}
	}
	if (!ours)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t low = info->dlpi_addr + p->p_vaddr, high = low + p->p_memsz;

		if (p->p_type != PT_LOAD)
			continue;
		if (!s->lib_low || (u8 *)low < s->lib_low)
			s->lib_low = (u8 *)low;
		if ((u8 *)high > s->lib_high)
			s->lib_high = (u8 *)high;
	}
	(void)code;
	return 1;
}

int state_init(void)
{
	struct segment found = { 0 };
	size_t len;

	if (!dl_iterate_phdr(find_segment, &found))
		return -1;
	len = found.high - found.low;
	found.pristine = malloc(len);
	found.copy = malloc(len);
	found.stacks = malloc(STACK_BYTES * ENG_TASKS);
	seg = malloc(sizeof(*seg));
	*seg = found;
	race_init();			/* its pointer is part of the state */
	memcpy(seg->pristine, seg->low, len);
	return 0;
}

int in_state(const void *addr, size_t size)
{
	return (const u8 *)addr >= seg->lib_low && (const u8 *)addr + size <= seg->lib_high;
}

void *state_low(void)
{
	return seg->low;
}

void *state_high(void)
{
	return seg->high;
}

void state_pristine(void)
{
	memcpy(seg->low, seg->pristine, seg->high - seg->low);
	mem_pristine();
}

static int stack_live(const struct task *t)
{
	return t->sp && t->wait != WAIT_DONE;
}

/* The segment, without the tasks that this scenario has not. */
static void copy_back(void)
{
	u8 *unused = (u8 *)&W.task[W.ntask], *rest = (u8 *)&W.task[ENG_TASKS];

	memcpy(seg->low, seg->copy, unused - seg->low);
	memcpy(rest, seg->copy + (rest - seg->low), seg->high - rest);
}

void state_save(void)
{
	seg->nblocks = mem_nblocks();
	mem_save();
	for (int i = 0; i < ENG_TASKS; i++) {
		struct task *t = &W.task[i];

		if (stack_live(t))
			memcpy(seg->stacks + ((u8 *)t->sp - stack_base), t->sp,
			       t->stack + STACK_BYTES - (u8 *)t->sp);
	}
	memcpy(seg->copy, seg->low, seg->high - seg->low);
}

void state_restore(void)
{
	mem_restore(seg->nblocks);
	copy_back();
	for (int i = 0; i < ENG_TASKS; i++) {
		struct task *t = &W.task[i];

		if (stack_live(t))
			memcpy(t->sp, seg->stacks + ((u8 *)t->sp - stack_base),
			       t->stack + STACK_BYTES - (u8 *)t->sp);
	}
}

uint64_t eng_state_bytes(void)
{
	u64 sum = seg->high - seg->low + mem_bytes();

	for (int i = 0; i < ENG_TASKS; i++)
		if (stack_live(&W.task[i]))
			sum += W.task[i].stack + STACK_BYTES - (u8 *)W.task[i].sp;
	return sum;
}

uint64_t eng_base(void)
{
	return (uint64_t)(uintptr_t)seg->lib_low;
}
