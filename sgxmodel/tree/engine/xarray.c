// SPDX-License-Identifier: GPL-2.0-only
/* The XArray: a table in the order of indices; changes under its lock, reads without. */
#include "engine.h"

static void check(struct eng_xarray *xa, int write)
{
	/* What was freed was freed as a whole: its head is enough to look at. */
	check_access(xa, sizeof(long), write, NULL);
}

#define XARRAYS 16

static struct eng_xarray *made[XARRAYS];	/* initialised, in memory that can be freed */

static void known_as(struct eng_xarray *old, struct eng_xarray *fresh)
{
	for (int i = 0; i < XARRAYS; i++)
		if (made[i] == old) {
			made[i] = fresh;
			return;
		}
}

/*
 * Memory is freed: an XArray in it has nodes of its own as long as it holds
 * something at an index other than 0, and nobody finds them any more.
 */
void xarray_freed(const void *ptr, size_t size)
{
	for (int i = 0; i < XARRAYS; i++)
		if (made[i] && (uintptr_t)made[i] - (uintptr_t)ptr < size) {
			if (made[i]->count && made[i]->slot[made[i]->count - 1].last)
				violate("20-end", driver_function(),
					"an XArray is freed while it still has nodes");
			made[i] = NULL;
		}
}

void eng_xa_init(struct eng_xarray *xa)
{
	HERE();
	check(xa, 1);
	known_as(xa, NULL);
	known_as(NULL, xa);
	memset(xa, 0, sizeof(*xa));
	xa->lock = (struct eng_lock){ .name = "xa_lock", .kind = ENG_SPIN };
}

/* The first slot whose range ends at or after the index. */
static int at_or_after(const struct eng_xarray *xa, unsigned long index)
{
	int i = 0;

	while (i < xa->count && xa->slot[i].last < index)
		i++;
	return i;
}

static int holds(const struct eng_xarray *xa, int i, unsigned long index)
{
	return i < xa->count && xa->slot[i].first <= index;
}

/* A page of an enclave by its number, as scenarios count; anything else as it is. */
static const char *index_text(unsigned long index)
{
	static char text[40];

	if (index >> 20 && (index >> 20) <= ENG_ENCLAVES)
		snprintf(text, sizeof(text), "page %lu", index & 0xfffff);
	else
		snprintf(text, sizeof(text), index >> 20 ? "0x%lx" : "%lu", index);
	return text;
}

static const char *entry_text(const void *entry)
{
	return !entry ? "NULL" : object_kind(entry, NULL) ? object_name(entry) :
	       object_field(entry);
}

void *eng_xa_load(struct eng_xarray *xa, unsigned long index)
{
	int i;

	HERE();
	check(xa, 0);
	eng_yield_point();
	check(xa, 0);
	race_acquire(xa);
	i = at_or_after(xa, index);
	DETAIL("xa_load(%s, %s) = %s", object_field(xa), index_text(index),
	       entry_text(holds(xa, i, index) ? xa->slot[i].entry : NULL));
	return holds(xa, i, index) ? xa->slot[i].entry : NULL;
}

void *eng_xa_find(struct eng_xarray *xa, unsigned long *index, unsigned long last)
{
	int i;

	HERE();
	check(xa, 0);
	eng_yield_point();
	check(xa, 0);
	race_acquire(xa);
	i = at_or_after(xa, *index);
	if (i >= xa->count || xa->slot[i].first > last) {
		DETAIL("xa_find(%s) = NULL", object_field(xa));
		return NULL;
	}
	if (xa->slot[i].first > *index)
		*index = xa->slot[i].first;
	DETAIL("xa_find(%s) = %s", object_field(xa), entry_text(xa->slot[i].entry));
	return xa->slot[i].entry;
}

static void insert_at(struct eng_xarray *xa, int i, unsigned long first, unsigned long last,
		      void *entry)
{
	if (xa->count == ENG_XA_SLOTS)
		fatal("14-progress", driver_function(), "an XArray grows without end");
	memmove(&xa->slot[i + 1], &xa->slot[i], (xa->count - i) * sizeof(xa->slot[0]));
	xa->slot[i].first = first;
	xa->slot[i].last = last;
	xa->slot[i].entry = entry;
	xa->count++;
}

static void *store(struct eng_xarray *xa, unsigned long first, unsigned long last, void *entry)
{
	int i = at_or_after(xa, first);
	void *old = NULL;

	race_release(xa);		/* rcu_assign_pointer() */
	if (holds(xa, i, first)) {
		old = xa->slot[i].entry;
		xa->slot[i].entry = entry;
	} else if (entry) {
		insert_at(xa, i, first, last, entry);
	}
	return old;
}

int eng_xa_insert(struct eng_xarray *xa, unsigned long index, void *entry, unsigned int gfp,
		  const char *func)
{
	int ret = 0;

	HERE();
	check(xa, 1);
	if (gfp & 1)
		eng_might_sleep(func);
	lock_take(&xa->lock, func);
	if (holds(xa, at_or_after(xa, index), index))
		ret = -16;		/* EBUSY */
	else
		store(xa, index, index, entry);
	TRACE("xa_insert(%s, %s, %s) = %s", object_field(xa), index_text(index),
	      entry_text(entry), ret ? "-EBUSY" : "0");
	lock_drop(&xa->lock, func);
	return ret;
}

void *eng_xa_store(struct eng_xarray *xa, unsigned long index, void *entry, unsigned int gfp,
		   const char *func)
{
	void *old;

	HERE();
	check(xa, 1);
	if (gfp & 1)
		eng_might_sleep(func);
	if (entry && fail_on_request(FAIL_XA_STORE))
		return (void *)(-12L);	/* xa_err() of it is -ENOMEM */
	lock_take(&xa->lock, func);
	old = store(xa, index, index, entry);
	DETAIL("xa_store(%s, %s, %s)", object_field(xa), index_text(index), entry_text(entry));
	lock_drop(&xa->lock, func);
	return old;
}

void *eng_xa_store_range(struct eng_xarray *xa, unsigned long first, unsigned long last,
			 void *entry)
{
	HERE();
	check(xa, 1);
	return store(xa, first, last, entry);
}

void *eng_xa_erase(struct eng_xarray *xa, unsigned long index, const char *func)
{
	void *old = NULL;
	int i;

	HERE();
	check(xa, 1);
	lock_take(&xa->lock, func);
	i = at_or_after(xa, index);
	if (holds(xa, i, index)) {
		old = xa->slot[i].entry;
		memmove(&xa->slot[i], &xa->slot[i + 1],
			(xa->count - i - 1) * sizeof(xa->slot[0]));
		xa->count--;
	}
	TRACE("xa_erase(%s, %s) = %s", object_field(xa), index_text(index), entry_text(old));
	lock_drop(&xa->lock, func);
	return old;
}

void eng_xa_destroy(struct eng_xarray *xa, const char *func)
{
	HERE();
	check(xa, 1);
	lock_take(&xa->lock, func);
	xa->count = 0;
	lock_drop(&xa->lock, func);
}
