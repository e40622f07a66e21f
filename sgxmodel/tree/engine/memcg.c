// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory control groups, as far as a page of backing has somebody who pays.
 *
 * Each process has a group, kernel threads have the root's.  There are no limits:
 * what is checked is who pays, and the references (mm/memcontrol.c).
 */
#include "engine.h"

struct mem_cgroup {
	int refs;			/* beyond those of its tasks and charges */
};

#define ROOT ENG_PROCESSES

static struct mem_cgroup groups[ENG_PROCESSES + 1];

static struct mem_cgroup *group_of(const struct mm_struct *mm)
{
	return &groups[mm && mm->proc >= 0 ? mm->proc : ROOT];
}

static int number_of(const struct mem_cgroup *memcg, const char *func)
{
	if (memcg < groups || memcg > &groups[ROOT])
		fatal("6-references", func, "no memory cgroup is at %p", (const void *)memcg);
	return (int)(memcg - groups);
}

/* Without an address space: the active group, or else that of the task. */
struct mem_cgroup *eng_memcg_get(struct mm_struct *mm)
{
	struct task *t = cur();
	struct mem_cgroup *memcg;

	HERE();
	if (mm)
		check_access(mm, sizeof(long), 0, NULL);
	memcg = !mm && t->active_memcg ? t->active_memcg : group_of(mm ? mm : t->mm);
	memcg->refs++;
	TRACE("get_mem_cgroup_from_mm() = memcg %d :: references %d -> %d",
	      number_of(memcg, ""), memcg->refs - 1, memcg->refs);
	return memcg;
}

struct mem_cgroup *eng_memcg_set_active(struct mem_cgroup *memcg)
{
	struct mem_cgroup *old = cur()->active_memcg;

	if (memcg)
		number_of(memcg, "set_active_memcg");
	cur()->active_memcg = memcg;
	return old;
}

void eng_memcg_put(struct mem_cgroup *memcg)
{
	int number;

	HERE();
	if (!memcg)
		return;
	number = number_of(memcg, "mem_cgroup_put");
	if (memcg->refs <= 0)
		fatal("6-references", driver_function(),
		      "memcg %d: a reference is dropped that was never taken", number);
	DETAIL("mem_cgroup_put(memcg %d) :: references %d -> %d", number, memcg->refs,
	       memcg->refs - 1);
	memcg->refs--;
}

/* A new page of a backing file; what ksgxd allocates is the enclave's owners' to pay. */
void memcg_charge(unsigned long index)
{
	const struct mem_cgroup *memcg = cur()->active_memcg;

	if (memcg && memcg->refs <= 0)
		violate("6-references", driver_function(),
			"memcg %d is charged after its reference was dropped",
			number_of(memcg, ""));
	if (!memcg && W.current == W.ksgxd)
		violate("20-end", driver_function(),
			"backing pages that ksgxd allocates are charged to no memory cgroup\n"
			"backing page %lu: set_active_memcg() was not called before", index);
}

/* All is closed. */
void memcg_end(void)
{
	for (int i = 0; i < W.ntask; i++)
		if (W.task[i].active_memcg)
			violate("20-end", "sgx_encl_alloc_backing",
				"a task still charges allocations to memcg %d\n"
				"set_active_memcg() was not undone",
				number_of(W.task[i].active_memcg, ""));
	for (int i = 0; i <= ROOT; i++)
		if (groups[i].refs)
			violate("20-end", "sgx_encl_alloc_backing",
				"the reference to a memory cgroup is never dropped\n"
				"memcg %d has %d references", i, groups[i].refs);
}
