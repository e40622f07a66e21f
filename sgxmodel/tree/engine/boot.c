// SPDX-License-Identifier: GPL-2.0-only
/* The boot, one run, many runs. */
#include <stdlib.h>

#include "engine.h"

#define NOT_TRACKED 11			/* of EACCEPT: come back later */

struct eng_tunables eng_tunables;
extern int section_pages[9] __attribute__((visibility("hidden")));
int section_pages[9];		/* nodes without EPC have no section */

/* -- tasks of a scenario ------------------------------------------------------------------------- */

static void count_result(int index, int value)
{
	for (int i = 0; i < 8; i++) {
		if (!keep->count[index][i])
			keep->counted[index][i] = value;
		if (keep->counted[index][i] == value) {
			keep->count[index][i]++;
			return;
		}
	}
}

/* The driver's function that a bad result is blamed on. */
static const char *blamed(const struct task *t, const struct eng_call *call)
{
	if (t->refused)
		return "sgx_alloc_epc_page";
	if (call->verb != V_ACCEPT && call->verb != V_TOUCH && call->verb != V_RUN)
		return "sgx_ioctl";
	return t->ready == 2 ? "sgx_encl_eaug_page" : "sgx_vma_fault";
}

/* A fault on a running enclave may fail for want of memory, and for nothing else. */
static int justified(const struct task *t, const struct eng_call *call, int value)
{
	if (!t->ready || t->remaps != W.remaps || t->exhausted ||
	    (value != RESULT_SIGBUS && value != RESULT_OOM))
		return 1;
	violate("15-errno", blamed(t, call), "an access of task%d is killed with %d\n"
		"the enclave is initialized, EPC can be allocated, and no failure was injected",
		t->id, value);
	return 0;
}

/* Without what it says of the pages that were done. */
static int plain(int value)
{
	return value - (value + RESULT_AFTER / 2) / RESULT_AFTER * RESULT_AFTER;
}

/* What a result says of the path that led to it. */
static void note_result(const struct eng_call *call, int value)
{
	if (value == -16)
		sometimes(SEEN_EBUSY_IOCTL);
	if (value == -9)
		sometimes(SEEN_EBADF);
	if (value == -512)
		sometimes(SEEN_RESTART);
	if (value == -13)
		sometimes(SEEN_EACCES);
	if (call->verb == V_REFUSED && value == -22)
		sometimes(SEEN_REFUSED);
	if (call->verb == V_REMOVE && !value)
		sometimes(SEEN_REMOVED);
	if (call->verb == V_ACCEPT && value == NOT_TRACKED)
		sometimes(SEEN_EARLY);
	if (call->verb == V_ADD && value == -16)
		sometimes(SEEN_ADDED_TWICE);
}

/* A guest whose host closes its EPC loses it before its leaf, or within it. */
static int gives(int allowed, int value)
{
	return allowed == value || (allowed == -9 && value == RESULT_PF);
}

static void check_result(struct task *t, int value)
{
	int index = t->first_call + t->call;
	const struct eng_call *call = &keep->calls[index];
	int n = keep->allowed_cnt[index];

	keep->result.result[index] = value;
	count_result(index, value);
	note_result(call, plain(value));
	/* How far ksgxd has got with the dirty pages no order of calls says. */
	if (t->exhausted && keep->config.dirty)
		W.excused = 1;
	if (W.excused)
		return;
	for (int i = 0; i < n; i++)
		if (gives(keep->allowed[index][i], value))
			n = 0;
	if (n <= 0) {
		W.excused = !justified(t, call, value) || (t->refused && keep->config.dirty);
		return;
	}
	/* What follows from a result that overlap alone gives is no news. */
	W.excused = 1;
	value = plain(value);
	if (!value || value == -16 || value == -11 || value == -512 || value == NOT_TRACKED ||
	    t->exhausted)
		return;
	/* What another task does to the mapping, the file or the page's type, or a signal, shows so. */
	if (value == RESULT_SIGSEGV || value == -9 || value == -3 || value == -4)
		return;
	violate("16-benign-race", blamed(t, call), "a call of task%d %s with %d\n"
		"not serialisable: no order of the calls, one after another, gives that%s", t->id,
		value >= RESULT_SIGBUS ? "kills the process" : "fails", value,
		t->refused ? "; the reclaimable pages were isolated by a reclaimer" : "");
}

static void task_main(struct task *t)
{
	for (t->call = 0; t->call < t->calls; t->call++) {
		int value;

		t->in_call = 1;
		TRACE("call");
		value = user_call(t, &keep->calls[t->first_call + t->call]);
		TRACE("returns %d", value);
		if (keep->trace_on == TRACE_CALLS) {
			/* What the call put off is part of it here. */
			while (work_left(&W.work) || work_left(&W.callbacks))
				eng_cond_resched("observe");
			W.quiet++;
			probe_observe();
			W.quiet--;
		}
		t->in_call = 0;
		W.seq_pos++;
		W.progress_step = W.step;
		check_result(t, value);
		eng_yield_point();
	}
}

static void end_main(struct task *t)
{
	wait_on(WAIT_IDLE, NULL, 0);
	race_join_all();
	W.closing = 1;
	(void)t;
	W.quiet++;
	if (keep->trace_on == TRACE_REST)
		probe_observe();
	probe_quiet();
	if (!W.stuck)
		user_quiet();
	W.quiet--;
	if (W.stuck && !W.requested)
		probe_passes();
	user_close_all();
	wait_on(WAIT_IDLE, NULL, 0);
	vepc_close_all();
	wait_on(WAIT_IDLE, NULL, 0);
	vepc_end();
	memcg_end();
	descriptors_end();
	machine_end();
	race_join_all();
	W.quiet++;
	probe_end(W.leaked ? 1 : mem_check_leaks());
	W.quiet--;
	sched_finish();
}

static void settle(void)
{
	struct task *k = &W.task[W.ksgxd];

	for (int i = 0; i < 1000 && k->wait != WAIT_QUEUE; i++)
		eng_cond_resched("boot");
	if (k->wait != WAIT_QUEUE)
		snprintf(keep->error, sizeof(keep->error), "ksgxd does not come to rest at boot");
}

static void setup_main(struct task *t)
{
	int ret;

	dirty_epc();
	machine_begin();
	ret = eng_tree_initcall();
	if (machine_made(ret)) {
		probe_nodes();
		if (!keep->config.dirty)
			settle();
		W.task[W.ksgxd].wait = WAIT_PARKED;
		mem_mark_baseline();
	} else if (!keep->config.machine) {
		snprintf(keep->error, sizeof(keep->error), "sgx_init() gives %d", ret);
		sched_finish();
	}
	for (t->call = 0; t->call < t->calls && !*keep->error; t->call++) {
		t->in_call = 1;
		ret = user_call(t, &keep->calls[t->call]);
		t->in_call = 0;
		if (ret)
			snprintf(keep->error, sizeof(keep->error),
				 "call %d of the set-up gives %d", t->call, ret);
	}
	sched_finish();
}

static void name_task(int id, const char *name, int first, int calls, int node)
{
	struct task *t = &W.task[id];

	t->name = name;
	t->first_call = first;
	t->calls = calls;
	t->node = node;
}

static void make_tasks(const struct eng_config *c)
{
	static const char *const names[ENG_USER_TASKS] = {
		"task0", "task1", "task2", "task3", "task4", "task5", "task6", "task7", "task8",
		"task9", "task10", "task11", "task12", "task13", "task14", "task15",
	};
	int call = c->setup;

	W.nuser = c->tasks;
	W.ksgxd = c->tasks;
	W.worker = c->tasks + 1;
	W.rcu = c->tasks + 2;
	W.end = c->tasks + 3;
	W.setup = c->tasks + 4;
	W.ntask = c->tasks + 5;
	for (int i = 0; i < c->tasks; i++) {
		name_task(i, names[i], call, c->calls[i], c->node[i]);
		call += c->calls[i];
	}
	name_task(W.ksgxd, "ksgxd", 0, 0, 0);
	name_task(W.worker, "kworker", 0, 0, 0);
	name_task(W.rcu, "rcu", 0, 0, 0);
	name_task(W.end, "end", 0, 0, 0);
	name_task(W.setup, "setup", 0, c->setup, 0);
	task_prepare(&W.task[W.worker], worker_main);
	task_prepare(&W.task[W.rcu], rcu_main);
	task_prepare(&W.task[W.setup], setup_main);
}

/* After the set-up: the scenario's tasks are ready to start, ksgxd if it has one. */
static void open_stage(const struct eng_config *c)
{
	for (int i = 0; i < c->tasks; i++)
		task_prepare(&W.task[i], task_main);
	task_prepare(&W.task[W.end], end_main);
	W.task[W.end].wait = WAIT_NONE;
	W.task[W.setup].wait = WAIT_PARKED;
	/* Awake, as in the model: something before the set-up may have woken it. */
	if (c->ksgxd && !eng_no_driver())
		W.task[W.ksgxd].wait = WAIT_NONE;
	memcpy(W.fail, c->fail, sizeof(W.fail));
	W.step = W.accesses = 0;
	W.limit = 40000;
	W.ended = W.requested = W.excused = W.stuck = W.leaked = 0;
	W.leaf_failed = 0;
	W.seq_pos = 0;
	keep->result.nfound = 0;
}

/* -- for Python --------------------------------------------------------------------------------- */

int eng_init(void)
{
	if (keep)
		return 0;		/* loaded before in this process */
	keep = calloc(1, sizeof(*keep));
	mem_init();
	return state_init();
}

static void begin_result(void)
{
	struct eng_result *r = &keep->result;

	r->nfound = r->nswitch = r->nchoice = r->ended = 0;
	r->steps = r->preemptions = 0;
	r->hash = 0xcbf29ce484222325ULL;
	for (int i = 0; i < keep->ncalls; i++)
		r->result[i] = RESULT_NONE;
}

int eng_boot(const struct eng_config *config, const struct eng_call *calls, int ncalls)
{
	state_pristine();
	keep->config = *config;
	keep->ncalls = ncalls;
	memcpy(keep->calls, calls, ncalls * sizeof(*calls));
	memset(keep->allowed_cnt, 0, sizeof(keep->allowed_cnt));
	memset(keep->count, 0, sizeof(keep->count));
	memset(keep->seen, 0, sizeof(keep->seen));
	memset(&keep->schedule, 0, offsetof(struct eng_schedule, switches));
	keep->error[0] = 0;
	begin_result();
	race_forget();
	race_start();
	eng_tunables = (struct eng_tunables){
		config->scan, config->low, config->high, config->va_slots,
	};
	for (int i = 0, section = 0; i < config->nodes; i++)
		if (config->epc[i])
			section_pages[section++] = config->epc[i];
	sched_init();
	W.prefer = -1;
	process_boot();
	make_tasks(config);
	W.limit = 1000000;
	W.next_at = ~0U;
	sched_run(W.setup);
	if (keep->result.nfound)
		return 1;
	if (*keep->error)
		return -1;
	open_stage(config);
	state_save();
	return 0;
}

uint64_t eng_seen(int what)
{
	return keep->seen[what];
}

int eng_counted(int call, int i, int *value, uint64_t *count)
{
	if (i >= 8 || !keep->count[call][i])
		return 0;
	*value = keep->counted[call][i];
	*count = keep->count[call][i];
	return 1;
}

void eng_allow(int call, int value)
{
	int n = keep->allowed_cnt[call];

	for (int i = 0; i < n; i++)
		if (keep->allowed[call][i] == value)
			return;
	if (n >= 0 && n < 8)
		keep->allowed[call][keep->allowed_cnt[call]++] = value;
}

/* A call that cannot be judged: some order does not end without help. */
void eng_allow_none(void)
{
	memset(keep->allowed_cnt, 0, sizeof(keep->allowed_cnt));
}

static void run(void)
{
	int first;

	state_restore();
	begin_result();
	race_start();
	first = sched_start();
	if (keep->proving)
		violate("proof", "proof", "a violation that the engine itself makes");
	sched_run(first);
	keep->result.ended = W.ended;
	keep->result.steps = W.step;
	keep->total_runs++;
	keep->total_steps += W.step;
	for (int i = 0; i < keep->ncalls; i++)
		keep->result.hash = (keep->result.hash ^ (u32)keep->result.result[i]) *
				    0x100000001b3ULL;
}

static void take_schedule(const struct eng_schedule *s)
{
	memcpy(&keep->schedule, s, offsetof(struct eng_schedule, switches));
	memcpy(keep->schedule.switches, s->switches, s->nswitch * sizeof(s->switches[0]));
	memcpy(keep->schedule.choices, s->choices, s->nchoice * sizeof(s->choices[0]));
	memcpy(keep->schedule.order, s->order, s->norder * sizeof(s->order[0]));
}

static void give_result(struct eng_result *to)
{
	const struct eng_result *r = &keep->result;

	memcpy(to, r, offsetof(struct eng_result, found));
	memcpy(to->found, r->found, r->nfound * sizeof(r->found[0]));
	memcpy(to->switches, r->switches, r->nswitch * sizeof(r->switches[0]));
	memcpy(to->choices, r->choices, r->nchoice * sizeof(r->choices[0]));
	memcpy(to->result, r->result, keep->ncalls * sizeof(r->result[0]));
}

/* What was found while booting or in the set-up. */
int eng_boot_result(struct eng_result *result)
{
	give_result(result);
	return keep->result.nfound;
}

int eng_run(const struct eng_schedule *schedule, struct eng_result *result)
{
	take_schedule(schedule);
	run();
	give_result(result);
	return keep->result.nfound;
}

/*
 * Runs with seeds that follow each other, up to the first that finds something:
 * its result is given, its number (from 1) returned; 0 if none did.
 */
int eng_search(struct eng_schedule *schedule, int runs, struct eng_result *result,
	       struct eng_stats *stats)
{
	u64 steps = keep->total_steps;
	int found = 0;

	take_schedule(schedule);
	for (int i = 0; i < runs && !found; i++) {
		run();
		keep->schedule.seed += 0x632be59bd9b4e019ULL;
		stats->runs++;
		if (keep->result.nfound)
			found = i + 1;
	}
	stats->steps += keep->total_steps - steps;
	schedule->seed = keep->schedule.seed;
	if (found)
		give_result(result);
	return found;
}

/*
 * A run that is told to have found something must say so at its end: whether what the
 * checks find still arrives.
 */
int eng_prove(void)
{
	int kept;

	keep->proving = 1;
	run();
	keep->proving = 0;
	kept = keep->result.nfound && !strcmp(keep->result.found[0].id, "proof");
	begin_result();
	return kept;
}

/* -- for the code that is compiled with the driver -------------------------------------------------- */

int eng_scan(void);
int eng_low(void);
int eng_high(void);
int eng_va_slots(void);
unsigned long eng_check_sched(void);
int eng_size(int encl);
int eng_leaked(void);
int eng_stopping(void);
void eng_stuck(void);

int eng_scan(void)
{
	return eng_tunables.scan;
}

int eng_low(void)
{
	return eng_tunables.low;
}

int eng_high(void)
{
	return eng_tunables.high;
}

unsigned long eng_check_sched(void)
{
	return keep->config.check_sched ? keep->config.check_sched : 4096;
}

int eng_va_slots(void)
{
	return eng_tunables.va_slots;
}

int eng_size(int encl)
{
	return keep->config.size[encl];
}

void eng_stuck(void)
{
	W.stuck = 1;
}

int eng_stopping(void)
{
	return W.stopping;
}

int eng_leaked(void)
{
	return W.leaked;
}
