// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver under test may crash in a way that no hook foresees: that is a
 * finding and ends the run, not the tool.  The handler runs on a stack of its
 * own and leaves through the scheduler, as any fatal finding does.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>

#include "engine.h"

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))
#define HANDLER_STACK 65536

/* Outside of the state that is restored. */
static struct guard {
	struct sigaction old[SIGNALS];
	stack_t old_stack;
	char stack[HANDLER_STACK];
} *guard;

static void crashed(int sig)
{
	if (!W.running) {
		signal(sig, SIG_DFL);
		return;
	}
	fatal("6-references", "", "the driver crashes: %s",
	      sig == SIGFPE ? "division by zero" : sig == SIGILL ? "illegal instruction" :
	      "wild pointer");
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
}

void crash_unguard(void)
{
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &guard->old[i], NULL);
	sigaltstack(&guard->old_stack, NULL);
}
