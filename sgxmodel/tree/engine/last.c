// SPDX-License-Identifier: GPL-2.0-only
/* Linked last: where the engine's own variables end.  See fence.c. */
#include "engine.h"

u8 last_data[16] __attribute__((section(".data"))) = { 1 };
u8 last_bss[16] __attribute__((section(".bss")));
