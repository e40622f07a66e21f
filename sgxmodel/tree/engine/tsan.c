// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks that -fsanitize=thread calls before each memory access of the
 * driver: a place to preempt, and the test against the shadow.  No libtsan is
 * linked.  Volatile accesses (READ_ONCE) have hooks of their own.
 */
#include "engine.h"

static inline void __attribute__((always_inline))
checked(const void *addr, size_t size, int write, int plain, const void *pc)
{
	struct task *t = cur();

	if (t->depth > 0 && t->depth <= FRAMES)
		t->line[t->depth - 1] = pc;
	if (++W.accesses > 20 * W.limit)
		fatal("14-progress", "", "a loop does not end");
	/* Nobody else reaches this task's own stack. */
	if ((size_t)((const u8 *)addr - t->stack) < STACK_BYTES)
		return;
	if (write) {
		W.progress_step = W.step;
		if ((size_t)((const u8 *)addr - heap_base) >= HEAP_BYTES)
			must_be_drivers(addr);
	}
	if (keep->schedule.memory)
		eng_yield_point();
	check_access(addr, size, write, pc);
	if (race_on && !t->race_ok)
		race_access(addr, size, write, plain, pc);
}

static void __attribute__((noinline, cold))
traced(const void *addr, size_t size, int write, int plain, const void *pc)
{
	trace_store_done();
	checked(addr, size, write, plain, pc);
	trace_access(addr, size, write);
}

static inline void __attribute__((always_inline))
access(const void *addr, size_t size, int write, int plain, const void *pc)
{
	if (__builtin_expect(W.running == RUN_PLAIN && !W.quiet, 1))
		checked(addr, size, write, plain, pc);
	else if (W.running && !W.quiet)
		traced(addr, size, write, plain, pc);
}

#define HOOKS(n)								\
	void __tsan_read##n(void *a);						\
	void __tsan_write##n(void *a);						\
	void __tsan_volatile_read##n(void *a);					\
	void __tsan_volatile_write##n(void *a);					\
	void __tsan_unaligned_read##n(void *a);					\
	void __tsan_unaligned_write##n(void *a);				\
	void __tsan_unaligned_volatile_read##n(void *a);			\
	void __tsan_unaligned_volatile_write##n(void *a);			\
	void __tsan_read_write##n(void *a);					\
	void __tsan_unaligned_read_write##n(void *a);				\
	void __tsan_read##n(void *a) { access(a, n, 0, 1, __builtin_return_address(0)); } \
	void __tsan_write##n(void *a) { access(a, n, 1, 1, __builtin_return_address(0)); } \
	void __tsan_volatile_read##n(void *a)					\
	{ access(a, n, 0, 0, __builtin_return_address(0)); }			\
	void __tsan_volatile_write##n(void *a)					\
	{ access(a, n, 1, 0, __builtin_return_address(0)); }			\
	void __tsan_unaligned_read##n(void *a)					\
	{ access(a, n, 0, 1, __builtin_return_address(0)); }			\
	void __tsan_unaligned_write##n(void *a)					\
	{ access(a, n, 1, 1, __builtin_return_address(0)); }			\
	void __tsan_unaligned_volatile_read##n(void *a)				\
	{ access(a, n, 0, 0, __builtin_return_address(0)); }			\
	void __tsan_unaligned_volatile_write##n(void *a)			\
	{ access(a, n, 1, 0, __builtin_return_address(0)); }			\
	void __tsan_read_write##n(void *a)					\
	{ access(a, n, 0, 1, __builtin_return_address(0));			\
	  access(a, n, 1, 1, __builtin_return_address(0)); }			\
	void __tsan_unaligned_read_write##n(void *a)				\
	{ access(a, n, 0, 1, __builtin_return_address(0));			\
	  access(a, n, 1, 1, __builtin_return_address(0)); }

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(void *addr, unsigned long size);
void __tsan_write_range(void *addr, unsigned long size);
void __tsan_vptr_update(void *a, void *b);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_init(void);

void __tsan_read_range(void *addr, unsigned long size)
{
	access(addr, size, 0, 1, __builtin_return_address(0));
}

void __tsan_write_range(void *addr, unsigned long size)
{
	access(addr, size, 1, 1, __builtin_return_address(0));
}

/* The shadow call stack, and the end of the real one. */
void __tsan_func_entry(void *caller)
{
	struct task *t;

	(void)caller;
	if (!W.running || W.quiet)
		return;
	t = cur();
	if (t->depth < FRAMES)
		t->frame[t->depth] = t->line[t->depth] = __builtin_return_address(0);
	t->depth++;
	if ((u8 *)__builtin_frame_address(0) < t->stack + 3072 || t->depth > 4 * FRAMES)
		fatal("6-references", "", "stack overflow");
}

void __tsan_func_exit(void)
{
	if (!W.running || W.quiet)
		return;
	cur()->depth--;
}

void __tsan_init(void)
{
}

/* clang turns struct copies into these; the compiler's own memcpy needs no hook in gcc. */
void *__tsan_memcpy(void *d, const void *s, unsigned long n);
void *__tsan_memset(void *p, int c, unsigned long n);
void *__tsan_memmove(void *d, const void *s, unsigned long n);

void *__tsan_memcpy(void *d, const void *s, unsigned long n)
{
	access(s, n, 0, 1, __builtin_return_address(0));
	access(d, n, 1, 1, __builtin_return_address(0));
	return memcpy(d, s, n);
}

void *__tsan_memmove(void *d, const void *s, unsigned long n)
{
	access(s, n, 0, 1, __builtin_return_address(0));
	access(d, n, 1, 1, __builtin_return_address(0));
	return memmove(d, s, n);
}

void *__tsan_memset(void *p, int c, unsigned long n)
{
	access(p, n, 1, 1, __builtin_return_address(0));
	return memset(p, c, n);
}
