// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data races by happens-before, as KCSAN counts them: two accesses of which
 * nothing says which comes first, one of them a write, one of them plain.
 *
 * Clocks as in FastTrack (Flanagan and Freund, PLDI 2009); for each eight bytes
 * the latest accesses are kept, as ThreadSanitizer does, so that a struct's
 * small fields are told apart.  Ordered are: locks, reference counts, bit
 * operations, SRCU, fences and RCU publication, wake-ups, deferred work,
 * interrupts to other CPUs.  Counters (atomic_long_t) order nothing.
 *
 * None of this is restored before a run: what another run left is told by its
 * number.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "engine.h"

#define CELLS 8
#define OBJECTS 512		/* a power of two */

enum { WRITE = 1, PLAIN = 2, GLOBAL = 4, LOCK = 8, FREE = 16 };

struct cell {
	u32 run, clock;
	u32 pc;				/* in the library */
	u8 task, mask, kind, unused;
};

struct object {
	const void *address;
	u32 run;
	u32 clock[ENG_TASKS];
};

struct races {
	u32 run;
	u32 clock[ENG_TASKS][ENG_TASKS];
	struct object object[OBJECTS];
	struct cell *heap, *statics;
	int nseen;
	struct { u32 a, b; } seen[256];	/* reported in this search already */
};

static struct races *R;
int race_on;

static struct cell *cells(size_t bytes)
{
	size_t size = bytes / 8 * CELLS * sizeof(struct cell);

	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

void race_init(void)
{
	R = calloc(1, sizeof(*R));
	R->heap = cells(HEAP_BYTES);
	R->statics = cells(state_high() - state_low() + 8);
}

/* A new scenario: what was reported for another one says nothing. */
void race_forget(void)
{
	R->nseen = 0;
}

void race_start(void)
{
	race_on = keep->schedule.races;
	R->run++;
	for (int t = 0; t < ENG_TASKS; t++) {
		memset(R->clock[t], 0, sizeof(R->clock[t]));
		R->clock[t][t] = 1;
	}
}

/* -- order ------------------------------------------------------------------------------- */

static struct object *object(const void *address)
{
	size_t at = ((uintptr_t)address * 0x9e3779b97f4a7c15ULL) >> 50;

	for (;; at++) {
		struct object *o = &R->object[at & (OBJECTS - 1)];

		if (o->run != R->run) {
			memset(o, 0, sizeof(*o));
			o->run = R->run;
			o->address = address;
			return o;
		}
		if (o->address == address)
			return o;
	}
}

static void join(u32 *into, const u32 *from)
{
	for (int i = 0; i < W.ntask; i++)
		if (from[i] > into[i])
			into[i] = from[i];
}

void race_acquire(const void *address)
{
	if (race_on)
		join(R->clock[W.current], object(address)->clock);
}

void race_release(const void *address)
{
	u32 *mine = R->clock[W.current];

	if (!race_on)
		return;
	join(object(address)->clock, mine);
	mine[W.current]++;
}

/* An interrupt that is waited for: what the other one did is before, what it will do after. */
void race_meet(int task)
{
	u32 *mine = R->clock[W.current], *its = R->clock[task];

	if (!race_on)
		return;
	join(mine, its);
	join(its, mine);
	mine[W.current]++;
	its[task]++;
}

/* All others are done or asleep, and this task knows. */
void race_join_all(void)
{
	for (int i = 0; i < W.ntask && race_on; i++)
		if (i != W.current)
			join(R->clock[W.current], R->clock[i]);
}

/* -- accesses ---------------------------------------------------------------------------- */

static int seen(u32 a, u32 b)
{
	for (int i = 0; i < R->nseen; i++)
		if (R->seen[i].a == a && R->seen[i].b == b)
			return 1;
	if (R->nseen < 256) {
		R->seen[R->nseen].a = a;
		R->seen[R->nseen++].b = b;
	}
	return 0;
}

static const char *verb(const struct cell *c)
{
	return c->kind & FREE ? "free" : c->kind & WRITE ? "write" : "read";
}

/* Pages of the EPC belong to no enclave: its locks say nothing of them. */
static int locked(const struct cell *c, const void *address)
{
	return c->kind & (probe_epc_page(address) < 0 ? LOCK : GLOBAL);
}

static const char *how(const struct cell *c)
{
	return c->kind & FREE ? "" : c->kind & PLAIN ? "plain " : "marked ";
}

static const char *under(const struct cell *c, const void *address)
{
	if (probe_epc_page(address) < 0)
		return locked(c, address) ? "with a lock held" : "without a lock";
	return locked(c, address) ? "with a list lock held" : "without a list lock";
}

/* Named by its offender: who holds none of the locks. */
static void report(const struct cell *old, const struct cell *new, const void *address)
{
	const struct cell *writer = old->kind & WRITE ? old : new;
	const struct cell *other = writer == old ? new : old;
	int plain_read = locked(writer, address) && !(other->kind & WRITE);
	const struct cell *offender =
		plain_read || ((other->kind & WRITE) && !locked(other, address)) ? other : writer;

	if (keep->schedule.mode != MODE_REPLAY && seen(old->pc, new->pc))
		return;
	race_found(plain_read ? "18-plain-read" : "18-data-race", offender->pc, writer->pc,
		   other->pc, "data race on %s\n"
		   "%s%s by %s in $A, %s,\nunordered with %s%s by %s in $B, %s",
		   object_field(address), how(writer), verb(writer),
		   W.task[writer->task].name, under(writer, address), how(other), verb(other),
		   W.task[other->task].name, under(other, address));
}

static void word(struct cell *c, const struct cell *new, const void *address)
{
	const u32 *mine = R->clock[W.current];
	struct cell *into = NULL;
	int i;

	for (i = 0; i < CELLS && c[i].run == R->run; i++) {
		if (!(c[i].mask & new->mask))
			continue;
		if (mine[c[i].task] >= c[i].clock) {
			/* Ordered: what this one covers need not be kept. */
			if (!(c[i].mask & ~new->mask) &&
			    ((new->kind & WRITE) || c[i].task == new->task) &&
			    !((c[i].kind & WRITE) && !(new->kind & WRITE)))
				into = &c[i];
			continue;
		}
		if (((c[i].kind | new->kind) & WRITE) && ((c[i].kind | new->kind) & PLAIN))
			report(&c[i], new, address);
	}
	if (!into)
		into = i < CELLS ? &c[i] : &c[new->clock % CELLS];
	*into = *new;
}

static void touch(const void *address, size_t size, int kind, const void *pc)
{
	const u8 *at = address;
	u8 *low = state_low();
	struct cell new = {
		.run = R->run, .clock = R->clock[W.current][W.current],
		.pc = (u32)((const u8 *)pc - (const u8 *)eng_base()), .task = W.current,
	};
	struct cell *base;
	size_t offset;

	if ((size_t)(at - heap_base) < HEAP_BYTES) {
		base = R->heap;
		offset = at - heap_base;
	} else if (at >= low && at + size <= (u8 *)state_high()) {
		base = R->statics;
		offset = at - low;
	} else {
		return;
	}
	new.kind = kind | (cur()->of_all ? GLOBAL : 0) | (cur()->held_cnt ? LOCK : 0);
	while (size) {
		size_t in = offset % 8, n = 8 - in < size ? 8 - in : size;

		new.mask = (u8)(((1U << n) - 1) << in);
		word(base + offset / 8 * CELLS, &new, at);
		at += n;
		offset += n;
		size -= n;
	}
}

void race_access(const void *address, size_t size, int write, int plain, const void *pc)
{
	if (race_on)
		touch(address, size, (write ? WRITE : 0) | (plain ? PLAIN : 0), pc);
}

void race_free(const void *address, size_t size, const void *pc)
{
	if (race_on)
		touch(address, size, WRITE | PLAIN | FREE, pc);
}

/* -- for the shim ------------------------------------------------------------------------ */

void eng_publish(const void *object)
{
	race_release(object);
}

void eng_consume(const void *object)
{
	race_acquire(object);
}

void eng_data_race(int change)
{
	cur()->race_ok += change;
}
