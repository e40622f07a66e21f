// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked after the driver and before the rest of the engine: where the engine's own
 * variables begin.  A driver that stores there would tell the checks what to find.
 * What it is given to hold (struct page, struct file) it changes by calls alone.
 */
#include "engine.h"

u8 fence_data[16] __attribute__((section(".data"))) = { 1 };
u8 fence_bss[16] __attribute__((section(".bss")));


/* The driver's own zeroed variables lie between the engine's two parts. */
void writes_to_checks(const void *addr)
{
	const u8 *at = addr;

	if (at >= last_data && at < fence_bss)
		return;
	fatal("21-system-call", "", "the driver writes to the checker's memory\n"
	      "nothing that this run reports can be trusted");
}
