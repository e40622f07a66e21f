// SPDX-License-Identifier: GPL-2.0-only
/* SRCU, wait queues, and the worker that runs deferred work. */
#include "engine.h"

/* -- SRCU ------------------------------------------------------------------------------- */

int eng_srcu_init(struct eng_srcu *srcu, const char *name)
{
	check_access(srcu, sizeof(long), 1, NULL);
	memset(srcu, 0, sizeof(*srcu));
	srcu->name = name;
	return 0;
}

void eng_srcu_cleanup(struct eng_srcu *srcu, const char *func)
{
	check_access(srcu, sizeof(long), 1, NULL);
	if (srcu->readers)
		violate("6-references", func, "cleanup_srcu_struct() with readers inside");
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
	eng_yield_point();
}

void eng_schedule(struct eng_waitq *queue)
{
	struct task *t = cur();

	HERE();
	eng_might_sleep(driver_function());
	eng_yield_point();
	if (!(queue->waiters >> t->id & 1))
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

void eng_wake_up(struct eng_waitq *queue)
{
	HERE();
	eng_yield_point();
	TRACE("wake_up(%s)", queue->name);
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

void queue_work(int kind, void *obj, u32 mask)
{
	struct work *w = &W.work[W.work_tail++ % 32];

	*w = (struct work){ kind, obj, mask };
	race_release(W.work);
	W.dirty = 1;
}

void worker_main(struct task *task)
{
	(void)task;
	for (;;) {
		struct work w;

		wait_on(WAIT_WORK, NULL, 0);
		race_acquire(W.work);
		w = W.work[W.work_head % 32];
		W.worker_busy = 1;
		W.work_head++;
		switch (w.kind) {
		case WORK_MMPUT:
			eng_mmput(w.obj);
			break;
		case WORK_NOTIFIER_FREE:
			notifier_free_work(w.obj);
			break;
		case WORK_FPUT:
			file_release(w.obj);
			break;
		}
		run_task_work(cur());
		W.worker_busy = 0;
		W.dirty = 1;
		eng_yield_point();
	}
}
