/* SPDX-License-Identifier: GPL-2.0-only */
/* Locks, atomics, references, SRCU, waiting, kernel threads. */
#ifndef SHIM_SYNC_H
#define SHIM_SYNC_H

#include "../engine/objects.h"

typedef struct eng_lock spinlock_t;
#define mutex eng_lock

#define ENG_UNLOCKED(n, k) { .name = n, .kind = k }
#define __SPIN_LOCK_UNLOCKED(n) (spinlock_t)ENG_UNLOCKED(#n, ENG_SPIN)
#define DEFINE_SPINLOCK(n) spinlock_t n = ENG_UNLOCKED(#n, ENG_SPIN)
#define DEFINE_MUTEX(n) struct mutex n = ENG_UNLOCKED(#n, ENG_MUTEX)
#define spin_lock_init(l) eng_lock_init(l, #l, ENG_SPIN)
#define spin_lock(l) eng_lock(l, __func__)
#define spin_unlock(l) eng_unlock(l, __func__)
#define spin_trylock(l) eng_trylock(l, __func__)
#define spin_lock_irqsave(l, f) ((f) = 0, eng_lock(l, __func__))
#define spin_unlock_irqrestore(l, f) ((void)(f), eng_unlock(l, __func__))
#define spin_lock_irq spin_lock
#define spin_unlock_irq spin_unlock
#define spin_lock_bh spin_lock
#define spin_unlock_bh spin_unlock
#define spin_is_locked(l) eng_is_locked(l)
#define mutex_init(l) eng_lock_init(l, #l, ENG_MUTEX)
#define mutex_lock(l) eng_lock(l, __func__)
#define mutex_unlock(l) eng_unlock(l, __func__)
#define mutex_trylock(l) eng_trylock(l, __func__)
#define mutex_is_locked(l) eng_is_locked(l)
#define mutex_destroy(l) ((void)(l))
#define lockdep_assert_held(l) WARN_ON(!eng_is_held(l))
#define lockdep_assert_not_held(l) WARN_ON(eng_is_held(l))
#define might_sleep() eng_might_sleep(__func__)
#define cond_resched() eng_cond_resched(__func__)
#define need_resched() 0
#define preempt_disable() eng_preempt(1)
#define preempt_enable() eng_preempt(-1)
#define preemptible() eng_preemptible()

/* -- atomics: one step each, as the hardware has it -------------------------------------- */

typedef struct { long counter; } atomic_long_t;
typedef struct { int counter; } atomic_t;
#define ATOMIC_LONG_INIT(v) { (v) }
#define ATOMIC_INIT(v) { (v) }
#define atomic_long_read(v) eng_atomic_read(&(v)->counter)
#define atomic_long_set(v, n) eng_atomic_set(&(v)->counter, n)
#define atomic_long_inc(v) ((void)eng_atomic_add(&(v)->counter, 1))
#define atomic_long_dec(v) ((void)eng_atomic_add(&(v)->counter, -1))
#define atomic_long_add(n, v) ((void)eng_atomic_add(&(v)->counter, n))
#define atomic_long_sub(n, v) ((void)eng_atomic_add(&(v)->counter, -(long)(n)))
#define atomic_long_inc_return(v) eng_atomic_add(&(v)->counter, 1)
#define atomic_long_dec_return(v) eng_atomic_add(&(v)->counter, -1)

#define set_bit(n, a) ((void)eng_bit_set(n, a))
#define clear_bit(n, a) ((void)eng_bit_clear(n, a))
#define test_bit(n, a) eng_bit_test(n, a)
#define test_and_set_bit(n, a) eng_bit_set(n, a)
#define test_and_clear_bit(n, a) eng_bit_clear(n, a)

__shim unsigned long find_first_zero_bit(const unsigned long *map, unsigned long size)
{
	unsigned long word, i;

	for (word = 0; word * 64 < size; word++) {
		unsigned long bits = READ_ONCE(map[word]);

		for (i = word * 64; i < size && i < word * 64 + 64; i++)
			if (!(bits >> (i % 64) & 1))
				return i;
	}
	return size;
}

struct kref {
	int refcount;
};

#define KREF_INIT(n) { .refcount = (n) }
#define kref_init(k) eng_ref_init(&(k)->refcount)
#define kref_get(k) eng_ref_get(&(k)->refcount, __func__)
#define kref_get_unless_zero(k) eng_ref_get_unless_zero(&(k)->refcount)
#define kref_read(k) eng_ref_read(&(k)->refcount)
#define kref_put(k, release) ({						\
	struct kref *_k = (k);						\
	int _last = eng_ref_put(&_k->refcount, __func__);		\
	if (_last)							\
		(release)(_k);						\
	_last; })

/* -- SRCU ------------------------------------------------------------------------------- */

#define srcu_struct eng_srcu
#define init_srcu_struct(s) eng_srcu_init(s, #s)
#define cleanup_srcu_struct(s) eng_srcu_cleanup(s, __func__)
#define srcu_read_lock(s) eng_srcu_read_lock(s)
#define srcu_read_unlock(s, idx) eng_srcu_read_unlock(s, idx)
#define synchronize_srcu(s) eng_srcu_synchronize(s, __func__)
#define srcu_read_lock_held(s) 1

/* -- waiting ----------------------------------------------------------------------------- */

typedef struct eng_waitq wait_queue_head_t;
#define DECLARE_WAIT_QUEUE_HEAD(n) wait_queue_head_t n = { .name = #n }
#define init_waitqueue_head(q) ((q)->name = #q, (q)->waiters = 0)
#define waitqueue_active(q) (READ_ONCE((q)->waiters) != 0)
#define wake_up(q) eng_wake_up(q)
#define wake_up_all(q) eng_wake_up(q)
#define wake_up_interruptible(q) eng_wake_up(q)

/* prepare, test, sleep: a wake-up between the test and the sleep is not lost. */
#define shim_wait_event(q, cond) ({					\
	for (;;) {							\
		eng_prepare_to_wait(&(q));					\
		if (cond)						\
			break;						\
		eng_schedule(&(q));					\
	}								\
	eng_finish_wait(&(q));						\
	0; })
#define wait_event(q, cond) ((void)({ if (!(cond)) shim_wait_event(q, cond); 0; }))
#define wait_event_interruptible(q, cond) ({ int _r = 0; if (!(cond)) \
	_r = shim_wait_event(q, cond); _r; })
#define wait_event_freezable(q, cond) wait_event_interruptible(q, cond)
#define msleep_interruptible(ms) (eng_might_sleep(__func__), eng_yield_point(), 0UL)
#define msleep(ms) ((void)msleep_interruptible(ms))

/* -- tasks --------------------------------------------------------------------------------- */

struct task_struct;
#define SIGBUS 7
#define SIGKILL 9
#define READ_IMPLIES_EXEC 0x0400000
#define current eng_current()
#define signal_pending(t) eng_signal_pending()
#define fatal_signal_pending(t) 0
#define force_sig(sig) eng_force_sig(sig)
#define set_freezable() ((void)0)
#define try_to_freeze() 0
#define kthread_should_stop() eng_kthread_should_stop()
#define kthread_stop(t) eng_kthread_stop(t)
#define kthread_run(fn, data, name) eng_kthread_run(fn, data)

#endif
