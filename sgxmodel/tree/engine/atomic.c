// SPDX-License-Identifier: GPL-2.0-only
/* Counters, bits and references: one step each, no matter who else runs. */
#include "engine.h"

#define MARKED(p, write) race_access(p, sizeof(*(p)), write, 0, __builtin_return_address(0))
#define ORDERED(p) (race_acquire(p), race_release(p))

long eng_atomic_read(long *counter)
{
	HERE();
	check_access(counter, sizeof(*counter), 0, NULL);
	eng_yield_point();
	MARKED(counter, 0);
	DETAIL("atomic_long_read(%s) = %ld", object_field(counter), *counter);
	return *counter;
}

void eng_atomic_set(long *counter, long value)
{
	HERE();
	check_access(counter, sizeof(*counter), 1, NULL);
	eng_yield_point();
	MARKED(counter, 1);
	DETAIL("atomic_long_set(%s) :: %ld -> %ld", object_field(counter), *counter, value);
	*counter = value;
}

long eng_atomic_add(long *counter, long n)
{
	HERE();
	check_access(counter, sizeof(*counter), 1, NULL);
	eng_yield_point();
	MARKED(counter, 1);
	*counter += n;
	if (n == 1 || n == -1)
		TRACE("atomic_long_%s(%s) :: %ld -> %ld", n < 0 ? "dec" : "inc",
		      object_field(counter), *counter - n, *counter);
	else
		TRACE("atomic_long_add(%ld, %s) :: %ld -> %ld", n, object_field(counter),
		      *counter - n, *counter);
	return *counter;
}

int eng_bit_set(int bit, unsigned long *word)
{
	unsigned long mask = 1UL << (bit % 64), *at = word + bit / 64;
	int old;

	HERE();
	check_access(at, sizeof(*at), 1, NULL);
	eng_yield_point();
	check_access(at, sizeof(*at), 1, NULL);
	MARKED(at, 1);
	ORDERED(at);
	old = (*at & mask) != 0;
	DETAIL("set_bit(%d, %s) :: %d -> 1", bit, object_field(word), old);
	*at |= mask;
	return old;
}

int eng_bit_clear(int bit, unsigned long *word)
{
	unsigned long mask = 1UL << (bit % 64), *at = word + bit / 64;
	int old;

	HERE();
	check_access(at, sizeof(*at), 1, NULL);
	eng_yield_point();
	check_access(at, sizeof(*at), 1, NULL);
	MARKED(at, 1);
	ORDERED(at);
	old = (*at & mask) != 0;
	DETAIL("clear_bit(%d, %s) :: %d -> 0", bit, object_field(word), old);
	*at &= ~mask;
	return old;
}

int eng_bit_test(int bit, const unsigned long *word)
{
	const unsigned long *at = word + bit / 64;

	HERE();
	check_access(at, sizeof(*at), 0, NULL);
	eng_yield_point();
	check_access(at, sizeof(*at), 0, NULL);
	MARKED(at, 0);
	race_acquire(at);
	DETAIL("test_bit(%d, %s) = %s", bit, object_field(word),
	       (*at >> (bit % 64)) & 1 ? "true" : "false");
	return (*at >> (bit % 64)) & 1;
}

/* -- refcount_t, with its warnings ---------------------------------------------------------- */

void eng_ref_init(int *count)
{
	HERE();
	check_access(count, sizeof(*count), 1, NULL);
	DETAIL("kref_init(%s) :: refcount 0 -> 1", object_name(count));
	*count = 1;
}

void eng_ref_get(int *count, const char *func)
{
	HERE();
	check_access(count, sizeof(*count), 1, NULL);
	eng_yield_point();
	check_access(count, sizeof(*count), 1, NULL);
	if (*count <= 0)
		fatal("6-references", func, "refcount_t: addition on 0; use-after-free of %s",
		      object_name(count));
	MARKED(count, 1);
	ORDERED(count);
	++*count;
	TRACE("kref_get(%s) :: refcount %d -> %d", object_name(count), *count - 1, *count);
}

int eng_ref_get_unless_zero(int *count)
{
	HERE();
	check_access(count, sizeof(*count), 1, NULL);
	eng_yield_point();
	check_access(count, sizeof(*count), 1, NULL);
	if (!*count) {
		DETAIL("kref_get_unless_zero(%s) = false :: refcount 0", object_name(count));
		sometimes(SEEN_DYING);
		return 0;
	}
	MARKED(count, 1);
	ORDERED(count);
	++*count;
	TRACE("kref_get_unless_zero(%s) = true :: refcount %d -> %d", object_name(count),
	      *count - 1, *count);
	return 1;
}

int eng_ref_put(int *count, const char *func)
{
	HERE();
	check_access(count, sizeof(*count), 1, NULL);
	eng_yield_point();
	check_access(count, sizeof(*count), 1, NULL);
	if (*count <= 0)
		fatal("6-references", func, "refcount_t: underflow; use-after-free of %s",
		      object_name(count));
	MARKED(count, 1);
	ORDERED(count);
	--*count;
	TRACE("kref_put(%s) :: refcount %d -> %d", object_name(count), *count + 1, *count);
	return !*count;
}

int eng_ref_read(const int *count)
{
	HERE();
	check_access(count, sizeof(*count), 0, NULL);
	MARKED(count, 0);
	return *count;
}
