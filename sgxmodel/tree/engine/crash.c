// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver under test may crash, loop or call the system in a way that no hook
 * foresees: that is a finding and ends the run, not the tool.  The cell's handlers
 * come here, on a stack of their own; a finding leaves through the scheduler, as any
 * fatal one does.  Where no run is under way these return.
 */
#include <signal.h>

#include "engine.h"

void eng_crashed(int sig);
void eng_ticked(void);
void eng_denied(long call, int native);

void eng_crashed(int sig)
{
	if (!keep || !W.running)
		return;
	fatal("6-references", "", "the driver crashes: %s",
	      sig == SIGFPE ? "division by zero" : sig == SIGILL ? "illegal instruction" :
	      "wild pointer");
}

/* Two ticks without a step, an access or a run that ended are an eternity. */
void eng_ticked(void)
{
	u64 before;

	if (!keep)
		return;
	before = keep->ticked;
	keep->ticked = (u64)W.step * 31 + W.accesses + keep->total_runs * 1000003;
	if (W.running && keep->ticked == before)
		fatal("14-progress", "", "a loop does not end");
}

/* Python has the names of the calls. */
void eng_denied(long call, int native)
{
	if (!keep || !W.running)
		return;
	/* Numbers of another ABI are told apart by their sign, as in cell_reply. */
	fatal("21-system-call", "", "the driver makes system call %ld\n"
	      "it runs in the kernel, where there are none; the call was refused",
	      native ? call : -1 - call);
}
