// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spinlocks, mutexes, mmap_lock: owners, sleeping in atomic context, and the
 * order of acquisition.  The order graph is lockdep's (classes by the
 * expression that initialised the lock), over set-up and one run.
 */
#include "engine.h"

#define CLASSES 32
/* Readers do not wait for each other: a second object to order by. */
#define READERS(lock) ((const void *)&(lock)->readers)

static const char *class_name[CLASSES];
static int nclasses;
static u32 before[CLASSES];		/* before[a] bit b: a was held when b was taken */

static int class_of(const struct eng_lock *lock)
{
	for (int i = 0; i < nclasses; i++)
		if (class_name[i] == lock->name || !strcmp(class_name[i], lock->name))
			return i;
	if (nclasses == CLASSES)
		return -1;
	class_name[nclasses] = lock->name;
	return nclasses++;
}

static void known(struct eng_lock *lock)
{
	if (lock->known)
		return;
	lock->known = 1;
	lock->class = (signed char)class_of(lock);
	/* The locks that EPC pages are protected by: statics, and those of nodes. */
	lock->of_all = in_state(lock, sizeof(*lock)) || strstr(lock->name, "node");
	lock->of_encl = strstr(lock->name, "encl->lock") != NULL;
}

static int reaches(int from, int to, u32 *seen)
{
	if (from == to)
		return 1;
	*seen |= 1U << from;
	for (int next = 0; next < nclasses; next++)
		if ((before[from] >> next & 1) && !(*seen >> next & 1) && reaches(next, to, seen))
			return 1;
	return 0;
}

static void order(struct task *t, const struct eng_lock *lock, const char *func)
{
	int class = lock->class;

	for (int i = 0; i < t->held_cnt && class >= 0; i++) {
		int outer = t->held[i].lock->class;
		u32 seen = 0;

		if (outer < 0 || (before[outer] >> class & 1))
			continue;
		if (outer == class) {
			violate("17-lock-order", func, "possible recursive locking of %s",
				lock->name);
			continue;
		}
		if (reaches(class, outer, &seen))
			violate("17-lock-order", func,
				"possible circular locking dependency\n%s is taken with %s held; "
				"elsewhere it is the other way round", lock->name,
				t->held[i].lock->name);
		before[outer] |= 1U << class;
	}
}

static void hold(struct task *t, struct eng_lock *lock, int shared, const char *func)
{
	race_acquire(lock);
	if (!shared)
		race_acquire(READERS(lock));
	if (shared)
		lock->readers |= 1U << t->id;
	else
		lock->owner = &t->pub;
	if (lock->kind == ENG_SPIN)
		t->preempt++, t->of_all += lock->of_all;
	if (t->held_cnt == HELD_MAX)
		fatal("17-lock-order", func, "too many locks are held");
	t->held[t->held_cnt++] = (struct held){ lock, shared, func };
	TRACE("%s(%s)", lock->kind == ENG_SPIN ? "spin_lock" : lock->kind == ENG_MUTEX ?
	      "mutex_lock" : shared ? "mmap_read_lock" : "mmap_write_lock", lock->name);
}

static void drop(struct task *t, struct eng_lock *lock, int shared)
{
	race_release(shared ? READERS(lock) : (const void *)lock);
	for (int i = t->held_cnt - 1; i >= 0; i--)
		if (t->held[i].lock == lock) {
			memmove(&t->held[i], &t->held[i + 1],
				(t->held_cnt - i - 1) * sizeof(t->held[0]));
			t->held_cnt--;
			break;
		}
	if (lock->kind == ENG_SPIN)
		t->preempt--, t->of_all -= lock->of_all;
	W.dirty = 1;
	TRACE("%s(%s)", lock->kind == ENG_SPIN ? "spin_unlock" : lock->kind == ENG_MUTEX ?
	      "mutex_unlock" : "mmap_unlock", lock->name);
}

static void take(struct task *t, struct eng_lock *lock, int shared, const char *func)
{
	known(lock);
	order(t, lock, func);
	hold(t, lock, shared, func);
}

void eng_lock_init(struct eng_lock *lock, const char *name, int kind)
{
	check_access(lock, sizeof(long), 1, NULL);
	*lock = (struct eng_lock){ .name = name, .kind = kind };
}

void eng_might_sleep(const char *func)
{
	struct task *t = cur();

	if (W.quiet || !t->preempt)
		return;
	violate("17-lock-order", func, "sleeping function called from atomic context\n%s holds %s",
		t->name, t->held_cnt ? t->held[t->held_cnt - 1].lock->name : "preempt_disable()");
}

/*
 * A loop that takes a mutex and gives it back until others have got on
 * (sgx_encl_reserve_page()): mutexes are handed to those who wait.
 */
#define MANY_MUTEXES 40

static void be_fair(struct task *t)
{
	if (t->preempt || ++t->mutexes < MANY_MUTEXES)
		return;
	if (t->mutexes == 4 * MANY_MUTEXES && keep->trace_on < TRACE_CALLS)	/* as in sched_retry() */
		unpark_ksgxd();
	eng_cond_resched("mutex_lock");
}

void lock_take(struct eng_lock *lock, const char *func)
{
	struct task *t = cur();

	check_access(lock, sizeof(long), 1, NULL);
	if (lock->kind != ENG_SPIN) {
		eng_might_sleep(func);
		be_fair(t);
	}
	eng_yield_point();
	if (lock->owner == &t->pub)
		fatal("17-lock-order", func, "recursive locking of %s", lock->name);
	if (lock->owner)
		TRACE("waits for %s", lock->name);
	wait_on(WAIT_LOCK, lock, 0);
	check_access(lock, sizeof(long), 1, NULL);
	take(t, lock, 0, func);
}

int eng_trylock(struct eng_lock *lock, const char *func)
{
	check_access(lock, sizeof(long), 1, NULL);
	eng_yield_point();
	if (lock->owner)
		return 0;
	take(cur(), lock, 0, func);
	return 1;
}

void lock_drop(struct eng_lock *lock, const char *func)
{
	struct task *t = cur();

	check_access(lock, sizeof(long), 1, NULL);
	if (lock->owner != &t->pub)
		fatal("17-lock-order", func, "%s is released by %s, which does not hold it",
		      lock->name, t->name);
	/* Whoever takes it next sees a consistent state, or one that is broken. */
	W.quiet++;
	if (lock->kind == ENG_SPIN)
		probe_pages(lock);
	else if (lock->of_encl)
		probe_encl_unlock(lock);
	W.quiet--;
	lock->owner = NULL;
	drop(t, lock, 0);
	eng_yield_point();
}

void eng_lock(struct eng_lock *lock, const char *func)
{
	HERE();
	lock_take(lock, func);
}

void eng_unlock(struct eng_lock *lock, const char *func)
{
	HERE();
	lock_drop(lock, func);
}

int eng_is_locked(struct eng_lock *lock)
{
	check_access(lock, sizeof(long), 0, NULL);
	return lock->owner != NULL;
}

int eng_is_held(struct eng_lock *lock)
{
	check_access(lock, sizeof(long), 0, NULL);
	return lock->owner == &cur()->pub;
}

void eng_preempt(int change)
{
	cur()->preempt += change;
}

int eng_preemptible(void)
{
	return !cur()->preempt;
}

/* -- mmap_lock: readers do not overtake a writer that waits ---------------------------------- */

void eng_mmap_lock(struct mm_struct *mm, int write, const char *func)
{
	struct eng_lock *lock = &mm->mmap_lock;
	struct task *t = cur();
	u32 me = 1U << t->id;

	HERE();
	check_access(mm, sizeof(long), 1, NULL);
	eng_might_sleep(func);
	eng_yield_point();
	if (lock->owner == &t->pub || (lock->readers & me))
		fatal("17-lock-order", func, "recursive locking of mmap_lock");
	if (write) {
		lock->writers_waiting |= me;
		if (lock->owner || lock->readers)
			TRACE("waits to write mmap_lock");
		wait_on(WAIT_WRITE, lock, 0);
		lock->writers_waiting &= ~me;
	} else {
		if (lock->owner || lock->writers_waiting)
			TRACE("waits to read mmap_lock");
		wait_on(WAIT_READ, lock, 0);
	}
	check_access(mm, sizeof(long), 1, NULL);
	take(t, lock, !write, func);
}

/* Of a child that is being made: lockdep is told that its parent's is held. */
void eng_mmap_lock_nested(struct mm_struct *mm, const char *func)
{
	eng_yield_point();
	wait_on(WAIT_WRITE, &mm->mmap_lock, 0);
	known(&mm->mmap_lock);
	hold(cur(), &mm->mmap_lock, 0, func);
}

void eng_mmap_downgrade(struct mm_struct *mm)
{
	struct eng_lock *lock = &mm->mmap_lock;
	struct task *t = cur();

	race_release(lock);
	lock->owner = NULL;
	lock->readers |= 1U << t->id;
	for (int i = 0; i < t->held_cnt; i++)
		if (t->held[i].lock == lock)
			t->held[i].shared = 1;
	W.dirty = 1;
	TRACE("mmap_write_downgrade(%s)", lock->name);
	eng_yield_point();
}

void eng_mmap_unlock(struct mm_struct *mm, int write, const char *func)
{
	struct eng_lock *lock = &mm->mmap_lock;
	struct task *t = cur();
	u32 me = 1U << t->id;

	HERE();
	check_access(mm, sizeof(long), 1, NULL);
	if (write ? lock->owner != &t->pub : !(lock->readers & me))
		fatal("17-lock-order", func, "mmap_lock is released by %s, which does not hold it",
		      t->name);
	if (write)
		lock->owner = NULL;
	else
		lock->readers &= ~me;
	drop(t, lock, !write);
	eng_yield_point();
}
