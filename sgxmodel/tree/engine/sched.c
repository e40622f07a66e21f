// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tasks as coroutines, and who runs next.
 *
 * A yield point is a step.  By default the current task keeps running; when it
 * waits, ends or retries, the next one that can run follows, in the order of
 * the scenario.  A schedule is the list of deviations from that, (step, task);
 * whoever draws it (here or in Python), the record of a run is such a list.
 */
#include <stdlib.h>

#include "engine.h"
#undef eng_yield_point

struct world W;

void coro_switch(void **save, void *load);
void coro_entry(void);

/* Callee-saved registers and the stack pointer are all that a switch has to keep. */
#if defined(__x86_64__)
__asm__(".text\n.globl coro_switch\n.hidden coro_switch\n.type coro_switch,@function\n"
	"coro_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
	".size coro_switch,.-coro_switch\n");
#define SAVED 6
#elif defined(__aarch64__)
__asm__(".text\n.globl coro_switch\n.hidden coro_switch\n.type coro_switch,@function\n"
	"coro_switch:\n"
	"sub sp,sp,#160\n"
	"stp x19,x20,[sp]\nstp x21,x22,[sp,#16]\nstp x23,x24,[sp,#32]\n"
	"stp x25,x26,[sp,#48]\nstp x27,x28,[sp,#64]\nstp x29,x30,[sp,#80]\n"
	"stp d8,d9,[sp,#96]\nstp d10,d11,[sp,#112]\nstp d12,d13,[sp,#128]\n"
	"stp d14,d15,[sp,#144]\n"
	"mov x9,sp\nstr x9,[x0]\nmov sp,x1\n"
	"ldp x19,x20,[sp]\nldp x21,x22,[sp,#16]\nldp x23,x24,[sp,#32]\n"
	"ldp x25,x26,[sp,#48]\nldp x27,x28,[sp,#64]\nldp x29,x30,[sp,#80]\n"
	"ldp d8,d9,[sp,#96]\nldp d10,d11,[sp,#112]\nldp d12,d13,[sp,#128]\n"
	"ldp d14,d15,[sp,#144]\n"
	"add sp,sp,#160\nret\n"
	".size coro_switch,.-coro_switch\n");
#else
#error "a coroutine switch for this machine is missing: see coro_switch in sched.c"
#endif

u64 rng_next(u64 *s)
{
	u64 z = *s += 0x9e3779b97f4a7c15ULL;	/* splitmix64, Steele et al. 2014 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void hash(u64 value)
{
	keep->result.hash = (keep->result.hash ^ value) * 0x100000001b3ULL;
}

/* -- coroutines ------------------------------------------------------------------------ */

void coro_entry(void)
{
	struct task *task = cur();

	task->main(task);
	task->wait = WAIT_DONE;
	TRACE("ends");
	W.progress_step = W.step;
	W.dirty = 1;
	wait_on(WAIT_DONE, NULL, 0);
	abort();
}

void task_prepare(struct task *task, void (*main)(struct task *))
{
	void **sp = (void **)(task->stack + STACK_BYTES - 64);

	task->main = main;
	task->wait = WAIT_NONE;
#if defined(__x86_64__)
	*--sp = NULL;			/* keeps the ABI's alignment at function entry */
	*--sp = (void *)coro_entry;
	for (int i = 0; i < SAVED; i++)
		*--sp = NULL;
#else
	sp -= 20;
	memset(sp, 0, 160);
	sp[11] = (void *)coro_entry;
#endif
	task->sp = sp;
}

void sched_init(void)
{
	for (int i = 0; i < ENG_TASKS; i++) {
		W.task[i].id = i;
		W.task[i].stack = stack_base + (size_t)i * STACK_BYTES;
		W.task[i].wait = WAIT_PARKED;
		W.task[i].tlb_page = -1;
	}
}

static void switch_to(int next)
{
	struct task *old = cur();

	if (next == W.current)
		return;
	W.current = next;
	hash(((u64)W.step << 8) | next);
	coro_switch(&old->sp, W.task[next].sp);
}

/* The run is over: back to whoever called sched_run(). */
static void leave(void)
{
	void *ignored;

	W.running = 0;
	coro_switch(&ignored, keep->main_sp);
	abort();
}

void sched_abort(void)
{
	W.aborted = 1;
	leave();
	abort();
}

/* The last task is through. */
void sched_finish(void)
{
	W.ended = 1;
	leave();
	abort();
}

void sched_run(int first)
{
	W.current = first;
	eng_tracing = keep->trace_on == TRACE_EVENTS;
	W.running = eng_tracing ? RUN_TRACED : RUN_PLAIN;
	coro_switch(&keep->main_sp, W.task[first].sp);
}

/* -- who can run ------------------------------------------------------------------------- */

static int idle(const struct task *end)
{
	for (int i = 0; i < W.ntask; i++) {
		const struct task *t = &W.task[i];

		if (t == end || t->wait == WAIT_DONE || t->wait == WAIT_PARKED ||
		    t->wait == WAIT_WORK)
			continue;
		if (i == W.ksgxd && t->wait == WAIT_QUEUE)
			continue;
		return 0;
	}
	return !work_left(&W.work) && !work_left(&W.callbacks);
}

static int ready(const struct task *t)
{
	const struct eng_lock *lock = t->wait_obj;

	switch (t->wait) {
	case WAIT_NONE:
		return 1;
	case WAIT_LOCK:
		return !lock->owner;
	case WAIT_READ:
		return !lock->owner && !(lock->writers_waiting & ~(1U << t->id));
	case WAIT_WRITE:
		return !lock->owner && !lock->readers;
	case WAIT_SRCU:
		return !(((const struct eng_srcu *)t->wait_obj)->readers & t->wait_mask);
	case WAIT_WORK:
		return ((const struct workqueue *)t->wait_obj)->head !=
		       ((const struct workqueue *)t->wait_obj)->tail;
	case WAIT_IDLE:
		return idle(t);
	default:
		return 0;
	}
}

/* Tasks that retry come after those that can do something: a fair scheduler. */
static u32 enabled(void)
{
	u32 able = 0, eager = 0;

	for (int i = 0; i < W.ntask; i++) {
		struct task *t = &W.task[i];

		if (!ready(t))
			continue;
		able |= 1U << i;
		if (!t->yields)
			eager |= 1U << i;
	}
	/* In a given order only helpers come in between: see pick_order(). */
	if (keep->schedule.mode == MODE_ORDER)
		return able;
	if (eager)
		return eager;
	for (int i = 0; i < W.ntask; i++)
		W.task[i].yields = 0;
	return able;
}

static int round_robin(u32 mask, int from)
{
	for (int i = 0; i < W.ntask; i++) {
		int t = (from + i) % W.ntask;

		if (mask >> t & 1)
			return t;
	}
	return -1;
}

static const char *wait_text(const struct task *t, char *buf, size_t size)
{
	static const char *const verbs[] = {
		"runs", "waits for", "waits to read", "waits to write", "waits for readers of",
		"sleeps on", "waits for work", "waits for the end", "is done", "is parked",
	};
	const char *name = "";

	if (t->wait == WAIT_LOCK || t->wait == WAIT_READ || t->wait == WAIT_WRITE)
		name = ((struct eng_lock *)t->wait_obj)->name;
	else if (t->wait == WAIT_QUEUE)
		name = ((struct eng_waitq *)t->wait_obj)->name;
	else if (t->wait == WAIT_SRCU)
		name = "SRCU";
	snprintf(buf, size, "%s %s%s%s", t->name, verbs[t->wait], *name ? " " : "", name);
	return buf;
}

/* What each task is at, of those that are to end. */
static const char *whereabouts(char *text, size_t size)
{
	char one[100];

	*text = 0;
	for (int i = 0; i < W.ntask; i++) {
		const struct task *t = &W.task[i];

		if (t->wait == WAIT_DONE || t->wait == WAIT_PARKED || t->wait == WAIT_IDLE ||
		    t->wait == WAIT_WORK ||
		    (i == W.ksgxd && t->wait == WAIT_QUEUE && !W.stopping))
			continue;
		wait_text(t, one, sizeof(one));
		if (strlen(text) + strlen(one) + 3 < size) {
			strcat(text, *text ? "; " : "");
			strcat(text, one);
		}
	}
	return text;
}

static void deadlock(void)
{
	char text[300];

	for (int i = 0; i < W.ntask; i++) {
		const struct task *t = &W.task[i];

		if (t->wait != WAIT_DONE && t->wait != WAIT_PARKED && t->wait != WAIT_IDLE &&
		    t->wait != WAIT_WORK && i != W.ksgxd)
			W.current = i;
	}
	fatal("17-lock-order", driver_function(), "deadlock\n%s",
	      whereabouts(text, sizeof(text)));
}

/* -- decisions ------------------------------------------------------------------------- */

static void record_switch(int task)
{
	struct eng_result *r = &keep->result;

	if (r->nswitch < ENG_SWITCHES)
		r->switches[r->nswitch++] = (struct eng_pair){ W.step, task };
}

static u32 walk_gap(void)
{
	u32 p = keep->schedule.probability;
	u32 gap = 1;

	if (!p)
		return 1U << 30;
	while (gap < 100000 && (rng_next(&W.rng) & 0xffff) >= p)
		gap++;
	return gap;
}

static int by_priority(u32 mask)
{
	int best = -1;

	for (int i = 0; i < W.ntask; i++)
		if ((mask >> i & 1) && (best < 0 || W.task[i].priority > W.task[best].priority))
			best = i;
	return best;
}

static int nth(u32 mask, u32 n)
{
	for (int i = 0; i < W.ntask; i++)
		if ((mask >> i & 1) && n-- == 0)
			return i;
	return -1;
}

static int pick_order(u32 mask, int dflt)
{
	const struct eng_schedule *s = &keep->schedule;
	int want = W.seq_pos < s->norder ? s->order[W.seq_pos] : -1;

	if (W.prefer >= 0 && dflt == W.prefer)
		return dflt;

	/* Helpers first where they are eager; else only when the caller waits or retries. */
	if ((s->eager && !cur()->in_call) || (cur()->yields && W.current < W.nuser)) {
		if (mask >> W.ksgxd & 1)
			return W.ksgxd;
		if (mask >> W.worker & 1)
			return W.worker;
		if (mask >> W.rcu & 1)
			return W.rcu;
	}
	if (want >= 0 && (mask >> want & 1))
		return want;
	if (mask >> W.ksgxd & 1)
		return W.ksgxd;
	if (mask >> W.worker & 1)
		return W.worker;
	if (mask >> W.rcu & 1)
		return W.rcu;
	return dflt;
}

/* Sets W.next_at, the next step at which a deviation may be wanted. */
static int pick(u32 mask, int dflt)
{
	const struct eng_schedule *s = &keep->schedule;
	int chosen = dflt;

	switch (s->mode) {
	case MODE_REPLAY:
		while (W.switch_pos < s->nswitch && s->switches[W.switch_pos].step <= W.step) {
			const struct eng_pair *p = &s->switches[W.switch_pos++];

			if (p->step == W.step && p->what < W.ntask && p->what >= 0 &&
			    (mask >> p->what & 1))
				chosen = p->what;
		}
		W.next_at = W.switch_pos < s->nswitch ? s->switches[W.switch_pos].step : ~0U;
		break;
	case MODE_WALK:
		if (W.step >= W.next_at) {
			chosen = nth(mask, rng_next(&W.rng) % __builtin_popcount(mask));
			W.next_at = W.step + walk_gap();
		} else if (!(mask >> W.current & 1)) {
			chosen = nth(mask, rng_next(&W.rng) % __builtin_popcount(mask));
		}
		break;
	case MODE_PCT:
		while (W.switch_pos < s->depth && keep->pct_change[W.switch_pos] <= W.step)
			cur()->priority = -(++W.switch_pos);
		W.next_at = W.switch_pos < s->depth ? keep->pct_change[W.switch_pos] : ~0U;
		chosen = by_priority(mask);
		break;
	case MODE_BOUNDED:
		while (W.switch_pos < s->depth && keep->pct_change[W.switch_pos] <= W.step) {
			W.switch_pos++;
			chosen = nth(mask, rng_next(&W.rng) % __builtin_popcount(mask));
		}
		W.next_at = W.switch_pos < s->depth ? keep->pct_change[W.switch_pos] : ~0U;
		break;
	case MODE_ORDER:
		chosen = pick_order(mask, dflt);
		W.next_at = ~0U;
		break;
	}
	W.dirty = 0;
	return chosen;
}

static int by_step(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/* At the start of a run: priorities, change points, and who runs first. */
int sched_start(void)
{
	const struct eng_schedule *s = &keep->schedule;
	u32 length = s->length ? s->length : 1;
	int first;

	W.rng = s->seed;
	for (int i = 0; i < W.ntask; i++)
		W.task[i].priority = 1 + (int)(rng_next(&W.rng) >> 40);
	for (int i = 0; i < s->depth && i < 16; i++)
		keep->pct_change[i] = rng_next(&W.rng) % length;
	if (s->depth)
		qsort(keep->pct_change, s->depth, sizeof(u32), by_step);
	W.next_at = 0;
	W.current = 0;
	first = pick(enabled(), 0);
	if (first)
		record_switch(first);
	return first;
}

/*
 * A task may spin for another one that the schedule keeps back.  So if nothing gets on
 * the run goes on with turns of so many steps, whatever the schedule; if nothing does
 * even then, nothing ever will.  To get on: to write to what is no stack, to return.
 */
#define TURN 17
#define FAIR_AFTER 500
#define ENDLESS_AFTER 2500

static int fair(void)
{
	return keep->schedule.mode != MODE_ORDER &&
	       (W.step > W.limit / 2 || W.step > W.progress_step + FAIR_AFTER);
}

static int endless(void)
{
	return W.step > W.limit || (fair() && W.step > W.progress_step + ENDLESS_AFTER);
}

static void decide(void)
{
	u32 mask = enabled();
	int dflt, next;

	if (!mask) {
		if (W.ended)
			leave();
		deadlock();
	}
	dflt = (mask >> W.current & 1) ? W.current : round_robin(mask, W.current + 1);
	if (W.prefer >= 0 && (mask >> W.prefer & 1))
		dflt = W.prefer;
	next = fair() ? round_robin(mask, W.current + 1) : pick(mask, dflt);
	W.prefer = -1;
	if (next != dflt && !fair()) {
		record_switch(next);
		if (mask >> W.current & 1)
			keep->result.preemptions++;
	}
	W.task[next].yields = 0;
	if (next == W.current)
		return;
	if (keep->trace_on)
		trace_event(NULL, "switch %d", next);
	if (cur()->polite)		/* cond_resched(): somebody else runs, and that is all */
		cur()->yields = cur()->polite = 0;
	switch_to(next);
}

/* The function that holds the loop is the one that is never left. */
static void watch_loop(struct task *t)
{
	char text[300];

	if (!fair())
		t->floor = FRAMES;
	else if (t->depth < t->floor)
		t->floor = t->depth;
	if (!endless())
		return;
	if (t->floor > 0 && t->floor < t->depth)
		t->depth = t->floor;
	/* Who spins outside of the driver is in kthread_stop(). */
	fatal("14-progress", t->depth ? driver_function() : "ksgxd", "the run does not end\n%s",
	      whereabouts(text, sizeof(text)));
}

static void count_step(void)
{
	W.step++;
	if (keep->trace_on)
		trace_event(NULL, "step %s", cur()->op ? cur()->op : "start");
	watch_loop(cur());
}

void yield_at(const char *what)
{
	if (!W.running || W.quiet || cur()->pinned)
		return;
	cur()->op = what;
	count_step();
	if (fair() && W.step % TURN)
		return;
	if (!fair() && W.step < W.next_at && W.prefer < 0 &&
	    !(W.dirty && keep->schedule.mode == MODE_PCT) &&
	    !(keep->schedule.mode == MODE_ORDER && !cur()->in_call))
		return;
	decide();
}

/* Wait for something; WAIT_DONE does not come back. */
void wait_on(enum wait_kind kind, void *obj, u32 mask)
{
	struct task *t = cur();

	t->wait = kind;
	t->wait_obj = obj;
	t->wait_mask = mask;
	if (kind == WAIT_DONE || !ready(t)) {
		if (!W.running)
			fatal("17-lock-order", driver_function(), "the boot waits for ever");
		count_step();
		decide();
	}
	t->wait = WAIT_NONE;
}

/* The shim's macros call it by this name. */
void eng_yield_point(void)
{
	yield_at("access");
}

/*
 * User space comes back with the same fault: it only waits for others.  The
 * scheduler is fair to it, so if it is still not served after this many rounds
 * in which nobody else got anywhere, it never will be.
 */
#define RETRIES 100
#define PATIENCE 20

/* It sleeps, or runs if it was woken meanwhile. */
void unpark_ksgxd(void)
{
	struct task *k = &W.task[W.ksgxd];
	const struct eng_waitq *queue = k->wait_obj;

	if (k->wait == WAIT_PARKED)
		k->wait = queue && queue->waiters >> W.ksgxd & 1 ? WAIT_QUEUE : WAIT_NONE;
}

void sched_retry(void)
{
	struct task *t = cur();

	if (++t->retries > RETRIES)
		fatal("14-progress", "sgx_vma_fault",
		      "a fault is retried for ever\n%s has retried %d times and no page "
		      "is freed", t->name, RETRIES);
	/* A scenario may leave ksgxd out for being slow; it comes when nothing else helps
	 * (not where every step is compared with the model, which waits for ever).
	 */
	if (t->retries == PATIENCE && keep->trace_on < TRACE_CALLS)
		unpark_ksgxd();
	t->yields = 1;
	W.progress_step = W.step;	/* its retries are counted: it is told so, or gives up */
	count_step();
	decide();
}

/* A task that offers the CPU runs again after the others had their turn. */
void eng_cond_resched(const char *func)
{
	eng_might_sleep(func);
	if (!W.running || W.quiet)
		return;
	cur()->yields = cur()->polite = 1;
	count_step();
	decide();
}

/* -- failures on request ------------------------------------------------------------------ */

int sched_choice(int alternatives)
{
	const struct eng_schedule *s = &keep->schedule;
	struct eng_result *r = &keep->result;
	int outcome = 0;

	if (s->mode == MODE_REPLAY || s->mode == MODE_ORDER) {
		for (int i = 0; i < s->nchoice; i++)
			if (s->choices[i].step == W.step)
				outcome = s->choices[i].what;
	} else {
		u64 draw = rng_next(&W.rng) >> 20;

		outcome = draw % 3 ? 0 : (int)(1 + draw / 3 % (alternatives - 1));
	}
	if (outcome >= alternatives)
		outcome = 0;
	if (outcome && r->nchoice < 256)
		r->choices[r->nchoice++] = (struct eng_pair){ W.step, outcome };
	return outcome;
}

int fail_on_request(int what)
{
	if (!W.running || W.fail[what] <= 0)
		return 0;
	count_step();			/* a step of its own, so that each choice has a name */
	if (!sched_choice(2))
		return 0;
	W.fail[what]--;
	sometimes(what);
	W.requested = W.excused = 1;
	W.leaked |= what == FAIL_EREMOVE;
	W.leaf_failed |= (what >= FAIL_ECREATE && what <= FAIL_EEXTEND) || what == FAIL_EMODPR;
	TRACE("fails on request");
	return 1;
}

/* -- tasks as the driver sees them ------------------------------------------------------- */

struct task_struct *eng_current(void)
{
	return &cur()->pub;
}

int eng_task(void);
int eng_task(void)
{
	return W.current;
}

/*
 * Who is told so gives up and handles it on the way back to user mode, so it is
 * asked once.  One that nobody has asked for yet counts as sent later: the model
 * sees it the same way (kernel/task.py).
 */
int eng_signal_pending(void)
{
	int pending;

	yield_at(__func__);
	pending = cur()->signal;
	cur()->signal = 0;
	return pending;
}

void eng_force_sig(int sig)
{
	cur()->bus_error = sig == 7;
}

int eng_kthread_should_stop(void)
{
	if (W.stopping)
		sometimes(SEEN_STOPPED);
	return W.stopping;
}

/* kthread_stop(): it is woken, and waited for. */
void stop_ksgxd(void)
{
	struct task *k = &W.task[W.ksgxd];

	eng_yield_point();
	W.stopping = 1;
	k->woken = 1;
	if (k->wait == WAIT_QUEUE)
		k->wait = WAIT_NONE;
	W.dirty = 1;
	while (k->wait != WAIT_DONE)
		eng_cond_resched("kthread_stop");
}

void eng_kthread_stop(struct task_struct *task)
{
	HERE();
	eng_might_sleep(driver_function());
	if (task != &W.task[W.ksgxd].pub)
		fatal("6-references", driver_function(), "kthread_stop of what is no thread");
	stop_ksgxd();
}

static int (*kthread_fn)(void *);
static void *kthread_data;

static void kthread_main(struct task *task)
{
	(void)task;
	kthread_fn(kthread_data);
}

struct task_struct *eng_kthread_run(int (*fn)(void *), void *data)
{
	struct task *t = &W.task[W.ksgxd];

	if (kthread_fn || machine_thread_fails())
		return (struct task_struct *)-12L;	/* one thread is all that there is room for */
	kthread_fn = fn;
	kthread_data = data;
	task_prepare(t, kthread_main);
	return &t->pub;
}

/* -- a bare loop of switches, to measure against --------------------------------------------- */

static u64 bench_left;

static void bench_main(struct task *task)
{
	int other = 1 - task->id;

	while (bench_left) {
		bench_left--;
		W.current = other;
		coro_switch(&task->sp, W.task[other].sp);
	}
	leave();
}

uint64_t eng_switch_benchmark(uint64_t switches)
{
	state_pristine();
	sched_init();
	bench_left = switches;
	task_prepare(&W.task[0], bench_main);
	task_prepare(&W.task[1], bench_main);
	sched_run(0);
	return switches;
}
