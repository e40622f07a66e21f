/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel API that the SGX driver uses, in own words.
 *
 * Every <linux/...>, <asm/...> and <crypto/...> header that the driver names is
 * forwarded to this one file.  Nothing here is taken from kernel headers: names
 * and meanings are the kernel's, the code behind them is the engine's.
 *
 * Helpers are always inlined, so that a program counter inside one belongs to
 * the driver function that uses it.
 */
#ifndef SHIM_H
#define SHIM_H

#include "types.h"
#include "report.h"
#include "list.h"
#include "sync.h"
#include "memory.h"
#include "mm.h"
#include "files.h"
#include "xarray.h"
#include "machine.h"

#endif
