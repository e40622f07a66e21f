// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heap, with shadow bytes.
 *
 * A bump allocator that reuses nothing within a run: what was freed stays
 * freed, so every use after free shows.  One shadow byte for eight bytes of
 * heap says how many of them may be used (as KASAN has it), or why not.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "engine.h"

enum { SHADOW_NONE = 0, SHADOW_FREED = 0xfd };
#define BLOCKS 2048
#define REDZONE 16

struct block {
	u32 start, size;
	int live, baseline;
	const char *what, *func, *freed_by;
};

u8 *heap_base;
u8 *stack_base;
u8 *shadow;
static struct block *blocks;
size_t heap_used;
static int nblocks;
int pages_touched = 1, queue_touched = 1;
size_t boot_heap = HEAP_BYTES;

/* What state.c takes a copy of: ranges that are live, shadow, the table of blocks. */
#define RANGES 512
static struct {
	u8 *heap, *shadow;
	struct block *blocks;
	struct { u32 start, len; } range[RANGES];
	int nrange;
	size_t used;
} *saved;

void mem_init(void)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;

	heap_base = mmap(NULL, HEAP_BYTES, prot, flags, -1, 0);
	stack_base = mmap(NULL, STACK_BYTES * ENG_TASKS, prot, flags, -1, 0);
	shadow = calloc(1, HEAP_BYTES / 8);
	blocks = calloc(BLOCKS, sizeof(*blocks));
	saved = calloc(1, sizeof(*saved));
	saved->heap = malloc(HEAP_BYTES);
	saved->shadow = malloc(HEAP_BYTES / 8);
	saved->blocks = malloc(BLOCKS * sizeof(*blocks));
}

void mem_pristine(void)
{
	memset(shadow, 0, HEAP_BYTES / 8);
	saved->used = 0;
}

void mem_save(void)
{
	saved->nrange = 0;
	for (int i = 0; i < nblocks; i++) {
		struct block *b = &blocks[i];
		u32 len = (b->size + 7) & ~7U;

		if (!b->live)
			continue;
		if (saved->nrange && b->start - (saved->range[saved->nrange - 1].start +
						  saved->range[saved->nrange - 1].len) < 64) {
			saved->range[saved->nrange - 1].len =
				b->start + len - saved->range[saved->nrange - 1].start;
			continue;
		}
		if (saved->nrange == RANGES)
			abort();
		saved->range[saved->nrange].start = b->start;
		saved->range[saved->nrange++].len = len;
	}
	for (int i = 0; i < saved->nrange; i++)
		memcpy(saved->heap + saved->range[i].start, heap_base + saved->range[i].start,
		       saved->range[i].len);
	memcpy(saved->shadow, shadow, heap_used / 8);
	memcpy(saved->blocks, blocks, nblocks * sizeof(*blocks));
	saved->used = heap_used;
}

/* Called before the segment is restored: heap_used and nblocks are still the run's. */
void mem_restore(int nblocks_saved)
{
	for (int i = 0; i < saved->nrange; i++)
		memcpy(heap_base + saved->range[i].start, saved->heap + saved->range[i].start,
		       saved->range[i].len);
	memcpy(shadow, saved->shadow, saved->used / 8);
	memset(shadow + saved->used / 8, 0, (heap_used - saved->used) / 8);
	memcpy(blocks, saved->blocks, nblocks_saved * sizeof(*blocks));
}

int mem_nblocks(void)
{
	return nblocks;
}

u64 mem_bytes(void)
{
	u64 sum = saved->used / 8 + nblocks * sizeof(*blocks);

	for (int i = 0; i < saved->nrange; i++)
		sum += saved->range[i].len;
	return sum;
}

static void *take(size_t size, const char *what, const char *func)
{
	struct block *b;
	size_t room = ((size + 7) & ~(size_t)7) + REDZONE;
	u32 start = (u32)heap_used;

	if (heap_used + room > HEAP_BYTES || nblocks == BLOCKS)
		fatal("14-progress", func, "one run allocates memory without end");
	heap_used += room;
	memset(shadow + start / 8, 8, size / 8);
	if (size % 8)
		shadow[(start + size) / 8] = size % 8;
	b = &blocks[nblocks++];
	*b = (struct block){ .start = start, .size = size, .live = 1, .what = what, .func = func };
	return heap_base + start;
}

static struct block *block_of(const void *addr)
{
	size_t at = (const u8 *)addr - heap_base;
	int lo = 0, hi = nblocks;

	if ((const u8 *)addr < heap_base || at >= heap_used)
		return NULL;
	while (hi - lo > 1) {
		int mid = (lo + hi) / 2;

		if (blocks[mid].start <= at)
			lo = mid;
		else
			hi = mid;
	}
	return &blocks[lo];
}

void *engine_alloc(size_t size, const char *what)
{
	void *p = take(size, what, "engine");

	memset(p, 0, size);
	return p;
}

void engine_free(void *ptr)
{
	struct block *b = block_of(ptr);

	b->live = 0;
	memset(shadow + b->start / 8, SHADOW_FREED, (b->size + 7) / 8);
}

/* Which failure a scenario means is told by the type that is allocated. */
static int failure_of(const char *what)
{
	if (strstr(what, "encl_page"))
		return FAIL_ENCL_PAGE;
	if (strstr(what, "encl_mm"))
		return FAIL_ENCL_MM;
	if (strstr(what, "sgx_vepc"))
		return FAIL_VEPC;
	if (strstr(what, "va_page"))
		return FAIL_VA_PAGE;
	if (strstr(what, "(*encl)") || strstr(what, "(struct sgx_encl)"))
		return FAIL_OPEN;
	if (!strcmp(what, "PAGE_SIZE"))
		return FAIL_ARGUMENT;	/* a SECS, a SIGSTRUCT and its token */
	return -1;
}

void *eng_alloc(size_t size, unsigned int gfp, const char *what, const char *func)
{
	int failure = failure_of(what);
	void *p;

	HERE();
	if (gfp & 1)
		eng_might_sleep(func);
	if ((failure >= 0 && fail_on_request(failure)) || machine_alloc_fails())
		return NULL;
	p = take(size, what, func);
	/* What kmalloc() leaves behind is no zeroes, but the same in each run. */
	memset(p, gfp & 2 ? 0 : 0x5a, size);
	TRACE("%s(%s) = %s", gfp & 2 ? "kzalloc" : "kmalloc", what, object_name(p));
	return p;
}

void eng_free(const void *ptr, const char *func)
{
	struct block *b;

	HERE();
	if (!ptr)
		return;
	b = block_of(ptr);
	if (!b || heap_base + b->start != ptr)
		fatal("6-references", func, "kfree() of a pointer that was never allocated");
	if (!b->live)
		fatal("6-references", func, "double free of %s\nfreed first in %s()",
		      object_name(ptr), b->freed_by);
	TRACE("kfree(%s)", object_name(ptr));
	race_free(ptr, b->size, __builtin_return_address(0));
	srcu_freed(ptr, b->size);
	xarray_freed(ptr, b->size);
	b->live = 0;
	b->freed_by = func;
	memset(shadow + b->start / 8, SHADOW_FREED, (b->size + 7) / 8);
}

/* -- checks ------------------------------------------------------------------------------ */

static void __attribute__((noinline)) bad_access(const void *addr, size_t size, int write)
{
	const char *verb = write ? "write" : "read";
	struct block *b = block_of(addr);

	if (!W.running)
		return;			/* a leaf called from Python, with buffers of its own */
	if (b)
		DETAIL("%s %s %s", write ? "write" : "read", object_field(addr),
		       b->live ? "out of bounds" : "freed memory");
	if (b && !b->live)
		fatal("6-references", driver_function(),
		      "use after free: %s of %zu bytes of %s\nfreed in %s()", verb, size,
		      object_name(addr), b->freed_by ? b->freed_by : "engine");
	if (b)
		fatal("6-references", driver_function(),
		      "out of bounds: %s of %zu bytes next to %s", verb, size, object_name(addr));
	if ((uintptr_t)addr < 4096)
		fatal("6-references", driver_function(), "NULL pointer: %s of %zu bytes at %p",
		      verb, size, addr);
	if ((uintptr_t)addr >> 48 == 0xdead)
		fatal("6-references", driver_function(), "wild pointer: %s through a list poison",
		      verb);
	fatal("6-references", driver_function(), "wild pointer: %s of %zu bytes", verb, size);
}

void check_in_full(const void *addr, size_t size, int write)
{
	size_t at = (const u8 *)addr - heap_base;
	size_t first, last;

	if (at >= HEAP_BYTES) {
		if ((size_t)((const u8 *)addr - stack_base) < STACK_BYTES * ENG_TASKS)
			return;
		if (in_state(addr, size))
			return;
		bad_access(addr, size, write);
		return;
	}
	if (!size)
		return;
	first = at / 8;
	last = (at + size - 1) / 8;
	for (size_t i = first; i <= last; i++) {
		u8 s;

		/* Eight granules that may be used as a whole, at once. */
		while (i + 8 <= last && *(const u64 *)(shadow + i) == 0x0808080808080808ULL)
			i += 8;
		s = shadow[i];

		if (s == 8)
			continue;
		if (s == 0 || s > 8 || (i == last && (at + size - 1) % 8 >= s)) {
			bad_access(addr, size, write);
			return;
		}
	}
}

void eng_check_range(const void *ptr, size_t size, int write)
{
	check_access(ptr, size, write, NULL);
}

void *eng_memset(void *p, int c, size_t n)
{
	must_be_drivers(p);
	check_access(p, n, 1, NULL);
	race_access(p, n, 1, 1, __builtin_return_address(0));
	return memset(p, c, n);
}

void *eng_memcpy(void *d, const void *s, size_t n)
{
	must_be_drivers(d);
	check_access(s, n, 0, NULL);
	check_access(d, n, 1, NULL);
	race_access(s, n, 0, 1, __builtin_return_address(0));
	race_access(d, n, 1, 1, __builtin_return_address(0));
	return memcpy(d, s, n);
}

void *eng_memchr_inv(const void *p, int c, size_t n)
{
	const u8 *bytes = p;

	check_access(p, n, 0, NULL);
	for (size_t i = 0; i < n; i++) {
		while (i + 8 <= n && *(const u64 *)(bytes + i) == (u8)c * 0x0101010101010101ULL)
			i += 8;
		if (i < n && bytes[i] != (u8)c)
			return (void *)(bytes + i);
	}
	return NULL;
}

unsigned long eng_copy_user(void *dst, const void *src, unsigned long n, int from)
{
	HERE();
	eng_might_sleep(driver_function());
	check_access(from ? dst : src, n, from, NULL);
	if (fail_on_request(FAIL_USER_COPY)) {
		sometimes(from ? SEEN_COPY_IN : SEEN_COPY_OUT);
		return n;
	}
	memcpy(dst, src, n);
	return 0;
}

/* -- lists -------------------------------------------------------------------------------- */

struct list_head {
	struct list_head *next, *prev;
};

int readable(const void *addr)
{
	size_t at = (const u8 *)addr - heap_base;

	if ((uintptr_t)addr & 7)
		return 0;
	if (at < HEAP_BYTES)
		return shadow[at / 8] == 8 && shadow[at / 8 + 1] == 8;
	return (size_t)((const u8 *)addr - stack_base) < STACK_BYTES * ENG_TASKS - 16 ||
	       in_state(addr, sizeof(struct list_head));
}

/*
 * CONFIG_DEBUG_LIST looks at the neighbours of the place where an entry goes,
 * not at the entry.  If it is still linked, that list will be torn.
 */
void eng_list_linked(const char *func, const struct list_head *entry)
{
	const struct list_head *next = entry->next, *prev = entry->prev;

	if (next == entry || !readable(next) || !readable(prev))
		return;
	if (next->prev == entry && prev->next == entry)
		violate("1-one-list", func, "%s is put on a list while it is still on another one",
			object_name(entry));
}

/* -- leaks and names ------------------------------------------------------------------------ */

/* What lives from boot on is no leak. */
void mem_mark_baseline(void)
{
	for (int i = 0; i < nblocks; i++)
		blocks[i].baseline = blocks[i].live;
	boot_heap = heap_used;
}

static int leaked(const struct block *b)
{
	return b->live && !b->baseline;
}

static void tell_pointers(const struct block *to, const u8 *from, size_t size)
{
	uintptr_t start = (uintptr_t)heap_base + to->start, value;

	for (size_t at = 0; at + sizeof(value) <= size; at += sizeof(value)) {
		memcpy(&value, from + at, sizeof(value));
		if (value - start < to->size)
			trace_event(NULL, "holds %s", object_field(from + at));
	}
}

/* Pointers to a block that is left, as kmemleak looks for them. */
static void tell_holders(const struct block *to)
{
	for (int i = 0; i < nblocks; i++)
		if (blocks[i].live && &blocks[i] != to && strcmp(blocks[i].func, "engine"))
			tell_pointers(to, heap_base + blocks[i].start, blocks[i].size);
}

/* One finding: what holds the rest is most often the driver's first.  How many there are. */
int mem_check_leaks(void)
{
	const struct block *first = NULL;
	int count = 0;

	for (int i = 0; i < nblocks; i++) {
		if (!leaked(&blocks[i]))
			continue;
		if (!first || (!strcmp(first->func, "engine") && strcmp(blocks[i].func, "engine")))
			first = &blocks[i];
		count++;
	}
	if (first && eng_tracing)
		tell_holders(first);
	if (first)
		violate("20-end", first->func, "%s was never freed\nallocated in %s(); "
			"%d other objects and what they hold are left, too",
			object_name(heap_base + first->start), first->func, count - 1);
	return count;
}

/* "sizeof(*encl_page)" names an encl_page. */
static void type_name(const char *what, char *out, size_t size)
{
	const char *start = strstr(what, "sizeof(");
	size_t n = 0;

	start = start ? start + 7 : what;
	while (*start == '*' || *start == ' ')
		start++;
	if (!strncmp(start, "struct ", 7))
		start += 7;
	while (start[n] && start[n] != ')' && n + 1 < size) {
		out[n] = start[n];
		n++;
	}
	out[n] = 0;
}

const char *object_name(const void *addr)
{
	static char names[4][96];
	static int turn;
	char *buf = names[turn++ & 3];
	struct block *b = block_of(addr);
	const char *known;
	char type[48];
	int same = 0;

	if (!b) {
		snprintf(buf, 96, "memory outside of the heap");
		return buf;
	}
	known = probe_name(heap_base + b->start, b->what, (const u8 *)addr - heap_base - b->start);
	if (known)
		return known;
	type_name(b->what, type, sizeof(type));
	for (struct block *o = blocks; o < b; o++)
		same += o->what == b->what;
	snprintf(buf, 96, "%s#%d", type, same + 1);
	return buf;
}

/* The text that allocated the object at an address, and where in it that is; or NULL. */
const char *object_kind(const void *addr, size_t *offset)
{
	const struct block *b = block_of(addr);
	size_t in = b ? (size_t)((const u8 *)addr - heap_base - b->start) : 0;

	if (!b || in >= b->size)
		return NULL;
	if (offset)
		*offset = probe_epc_page(addr) < 0 ? in : probe_epc_offset(addr);
	return b->what;
}

/*
 * An object, and a token from which Python makes the name of its field: the
 * function and the text that allocated it, and the offset; or "@" and where it
 * is in the library.
 */
const char *object_field(const void *addr)
{
	static char texts[4][240];
	static int turn;
	char *buf = texts[turn++ & 3];
	const size_t size = sizeof(texts[0]);
	const struct block *b = block_of(addr);
	int n = probe_epc_page(addr);

	if (n >= 0)
		snprintf(buf, size, "EPC page %d<|struct sgx_epc_page|%zu>", n,
			 probe_epc_offset(addr));
	else if (b)
		snprintf(buf, size, "%s<%s|%s|%zu>", object_name(addr), b->func, b->what,
			 (size_t)((const u8 *)addr - heap_base - b->start));
	else
		snprintf(buf, size, "<@||%zu>", (size_t)((const u8 *)addr -
							       (const u8 *)eng_base()));
	return buf;
}
