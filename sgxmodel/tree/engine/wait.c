// SPDX-License-Identifier: GPL-2.0-only
/* SRCU, wait queues, and the worker that runs deferred work. */
#include "engine.h"

/* -- SRCU ------------------------------------------------------------------------------- */

#define SRCUS (ENG_ENCLAVES * 4)

static struct eng_srcu *set_up[SRCUS];	/* by init_srcu_struct(), and not cleaned up */

static void srcu_replace(struct eng_srcu *old, struct eng_srcu *fresh)
{
	for (int i = 0; i < SRCUS; i++)
		if (set_up[i] == old) {
			set_up[i] = fresh;
			return;
		}
}

int eng_srcu_init(struct eng_srcu *srcu, const char *name)
{
	check_access(srcu, sizeof(long), 1, NULL);
	memset(srcu, 0, sizeof(*srcu));
	srcu->name = name;
	srcu_replace(NULL, srcu);
	return 0;
}

/* Memory is freed: an srcu_struct in it has counters of each CPU that would be lost. */
void srcu_freed(const void *ptr, size_t size)
{
	for (int i = 0; i < SRCUS; i++)
		if (set_up[i] && (uintptr_t)set_up[i] - (uintptr_t)ptr < size) {
			set_up[i] = NULL;
			violate("20-end", driver_function(),
				"an srcu_struct is freed without cleanup_srcu_struct()");
		}
}

void eng_srcu_cleanup(struct eng_srcu *srcu, const char *func)
{
	check_access(srcu, sizeof(long), 1, NULL);
	sometimes(SEEN_RELEASED);	/* only an enclave has one, and cleans it up at its end */
	eng_might_sleep(func);		/* it flushes work */
	if (srcu->readers)
		violate("6-references", func, "cleanup_srcu_struct() with readers inside");
	srcu_replace(srcu, NULL);
}

int eng_srcu_read_lock(struct eng_srcu *srcu)
{
	struct task *t = cur();

	HERE();
	check_access(srcu, sizeof(long), 1, NULL);
	eng_yield_point();
	check_access(srcu, sizeof(long), 1, NULL);
	race_acquire(srcu);
	srcu->nest[t->id]++;
	srcu->readers |= 1U << t->id;
	t->srcu_depth++;
	TRACE("srcu_read_lock(%s)", srcu->name);
	return 0;
}

void eng_srcu_read_unlock(struct eng_srcu *srcu, int idx)
{
	struct task *t = cur();

	HERE();
	(void)idx;
	check_access(srcu, sizeof(long), 1, NULL);
	if (!srcu->nest[t->id])
		fatal("17-lock-order", driver_function(), "srcu_read_unlock() without a lock");
	if (!--srcu->nest[t->id])
		srcu->readers &= ~(1U << t->id);
	t->srcu_depth--;
	race_release(&srcu->readers);
	W.dirty = 1;
	TRACE("srcu_read_unlock(%s)", srcu->name);
	eng_yield_point();
}

/* Waits for those who are inside now; who comes later is not waited for. */
void srcu_wait_mask(struct eng_srcu *srcu, u32 mask)
{
	while (mask & srcu->readers) {
		u32 one = mask & -mask;

		wait_on(WAIT_SRCU, srcu, one);
		mask &= ~one;
	}
}

void eng_srcu_synchronize(struct eng_srcu *srcu, const char *func)
{
	struct task *t = cur();

	HERE();
	check_access(srcu, sizeof(long), 1, NULL);
	eng_might_sleep(func);
	eng_yield_point();
	if (srcu->nest[t->id])
		fatal("17-lock-order", func, "synchronize_srcu() inside a read section of its own");
	TRACE("synchronize_srcu(%s)", srcu->name);
	race_release(srcu);		/* who enters from now on sees all of this */
	srcu_wait_mask(srcu, srcu->readers);
	race_acquire(&srcu->readers);
}

/* -- wait queues ------------------------------------------------------------------------ */

void eng_prepare_to_wait(struct eng_waitq *queue)
{
	HERE();
	eng_yield_point();
	queue->waiters |= 1U << cur()->id;
	cur()->woken = 0;
	eng_yield_point();
}

void eng_schedule(struct eng_waitq *queue)
{
	struct task *t = cur();

	HERE();
	eng_might_sleep(driver_function());
	eng_yield_point();
	if (!(queue->waiters >> t->id & 1) || t->woken)
		return;			/* woken between the test and here */
	TRACE("sleeps on %s", queue->name);
	t->wait = WAIT_QUEUE;
	wait_on(WAIT_QUEUE, queue, 0);
}

void eng_finish_wait(struct eng_waitq *queue)
{
	race_acquire(queue);
	queue->waiters &= ~(1U << cur()->id);
}

/* Who sleeps there, or is about to. */
static const char *sleepers(const struct eng_waitq *queue)
{
	static char text[120];
	size_t n = 0;

	text[0] = 0;
	for (int i = 0; i < W.ntask && n < sizeof(text); i++)
		if (queue->waiters >> i & 1)
			n += snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "",
				      W.task[i].name);
	return n ? text : "nobody";
}

void eng_wake_up(struct eng_waitq *queue)
{
	HERE();
	eng_yield_point();
	TRACE("wake_up(%s) :: wakes %s", queue->name, sleepers(queue));
	race_release(queue);
	for (int i = 0; i < W.ntask; i++) {
		struct task *t = &W.task[i];

		if (!(queue->waiters >> i & 1))
			continue;
		queue->waiters &= ~(1U << i);
		if (t->wait == WAIT_QUEUE && t->wait_obj == queue)
			t->wait = WAIT_NONE;
	}
	W.dirty = 1;
}

/* -- deferred work ----------------------------------------------------------------------- */

#define QUEUED 32

void queue_work(int kind, void *obj)
{
	struct workqueue *q = kind == WORK_NOTIFIER_FREE ? &W.callbacks : &W.work;

	if (q->tail - q->head == QUEUED)
		fatal("14-progress", driver_function(), "deferred work is queued without end");
	q->work[q->tail++ % QUEUED] = (struct work){ kind, obj };
	race_release(q);
	W.dirty = 1;
}

int work_left(const struct workqueue *q)
{
	return q->head != q->tail || q->busy;
}

static void do_work(const struct work *w)
{
	switch (w->kind) {
	case WORK_MMPUT:
		exit_mmap(w->obj);
		break;
	case WORK_NOTIFIER_FREE:
		notifier_free_work(w->obj);
		break;
	case WORK_FPUT:
		file_release(w->obj);
		break;
	}
	run_task_work(cur());
}

static void serve(struct workqueue *q)
{
	for (;;) {
		struct work w;

		wait_on(WAIT_WORK, q, 0);
		race_acquire(q);
		w = q->work[q->head % QUEUED];
		q->busy = 1;
		q->head++;
		do_work(&w);
		q->busy = 0;
		W.dirty = 1;
		eng_yield_point();
	}
}

void worker_main(struct task *task)
{
	(void)task;
	serve(&W.work);
}

/* srcu_invoke_callbacks(). */
void rcu_main(struct task *task)
{
	(void)task;
	serve(&W.callbacks);
}

/*
 * A callback was queued before the grace period for which mmu_notifier_release()
 * waits, most often on the same CPU: so it has run by now, unless the task was
 * moved to another CPU meanwhile.  A schedule that deviates here says that.
 */
void srcu_barrier(void)
{
	if (!work_left(&W.callbacks) || W.current == W.rcu)
		return;
	if (W.closing)
		while (work_left(&W.callbacks))
			eng_cond_resched("srcu_barrier");
	W.prefer = W.rcu;
	yield_at(__func__);
}
