// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver under test may crash in a way that no hook foresees: that is a
 * finding and ends the run, not the tool.  The handler runs on a stack of its
 * own and leaves through the scheduler, as any fatal finding does.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#include "engine.h"

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))
#define HANDLER_STACK 65536
#define TICK_MS 400

/* Outside of the state that is restored. */
static struct guard {
	struct sigaction old[SIGNALS];
	stack_t old_stack;
	char stack[HANDLER_STACK];
	struct sigaction old_tick;
	u64 seen;
	pthread_t thread;		/* that runs the driver */
} *guard;

/* Another thread of the process: its crash is its own, and its stack no place to leave from. */
static int elsewhere(void)
{
	return !pthread_equal(guard->thread, pthread_self());
}

static void crashed(int sig)
{
	if (elsewhere() || !W.running) {
		signal(sig, SIG_DFL);
		return;
	}
	fatal("6-references", "", "the driver crashes: %s",
	      sig == SIGFPE ? "division by zero" : sig == SIGILL ? "illegal instruction" :
	      "wild pointer");
}

/*
 * A loop that touches no memory calls no hook.  The clock runs in the process's
 * own time: two ticks without a step, an access or a run that ended are an
 * eternity, on a loaded machine too.
 */
static void ticked(int sig)
{
	u64 now;
	int same;

	if (elsewhere()) {
		pthread_kill(guard->thread, sig);
		return;
	}
	now = (u64)W.step * 31 + W.accesses + keep->total_runs * 1000003;
	same = W.running && guard->seen == now;
	guard->seen = now;
	if (same)
		fatal("14-progress", "", "a loop does not end");
}

static void clock_runs(int on)
{
	struct itimerval timer = {
		{ 0, on ? TICK_MS * 1000 : 0 }, { 0, on ? TICK_MS * 1000 : 0 },
	};

	setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

void crash_init(void)
{
	guard = calloc(1, sizeof(*guard));
}

void crash_guard(void)
{
	struct sigaction action = { .sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER };
	stack_t stack = { .ss_sp = guard->stack, .ss_size = HANDLER_STACK };

	sigaltstack(&stack, &guard->old_stack);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &action, &guard->old[i]);
	action.sa_handler = ticked;
	sigaction(SIGVTALRM, &action, &guard->old_tick);
	guard->seen = 0;
	guard->thread = pthread_self();
	clock_runs(1);
}

void crash_unguard(void)
{
	clock_runs(0);
	/* A tick that is pending would be the end of the process: to ignore it discards it. */
	signal(SIGVTALRM, SIG_IGN);
	sigaction(SIGVTALRM, &guard->old_tick, NULL);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &guard->old[i], NULL);
	sigaltstack(&guard->old_stack, NULL);
}
