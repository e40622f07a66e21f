/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The cell: the process that a driver is loaded in, and the one that a compiler
 * runs in.  Both deny themselves what they do not need before they look at
 * anything that came from outside.
 */
#ifndef CELL_H
#define CELL_H

#include <stdint.h>

#include "api.h"

/* What Python asks for.  sgxmodel/tree/cell.py has the same numbers. */
enum cell_op {
	OP_BOOT, OP_BOOT_RESULT, OP_RUN, OP_SEARCH, OP_ALLOW, OP_ALLOW_NONE, OP_TRACE,
	OP_TABLES, OP_BENCHMARK, OP_PROVE,
};

struct cell_request {
	uint32_t number;		/* of the request: a reply repeats it */
	int32_t op;
	int64_t a, b;
};

enum cell_status {
	CELL_DONE,			/* a: what the operation gives; b: bytes of the state */
	CELL_READY,			/* the driver is loaded.  a: where; b: bytes of cell_shared */
	CELL_DENIED,			/* a: system call, b: the driver's address that it came from */
	CELL_CRASHED,			/* a: signal */
	CELL_UNABLE,			/* a: enum cell_part */
};

/* What a machine may lack, and what may go wrong while the cell is built. */
enum cell_part { PART_NONE, PART_SECCOMP, PART_LANDLOCK, PART_LIBRARY, PART_ENGINE, PART_LIMITS };

struct cell_reply {
	uint32_t number;
	int32_t status;
	int64_t a, b;
};

#define CELL_TRACE_BYTES (20 << 20)

/* Memory that both processes have.  What the cell writes there is never trusted. */
struct cell_shared {
	struct eng_config config;
	struct eng_call calls[ENG_CALLS];
	struct eng_schedule schedule;
	struct eng_result result;
	struct eng_stats stats;
	int32_t counted[ENG_CALLS][8];
	uint64_t count[ENG_CALLS][8];
	uint64_t seen[SEEN_COUNT];
	char error[400];
	uint32_t trace_len;
	char trace[CELL_TRACE_BYTES];
};

/* confine.c: each gives enum cell_part, what is missing, or 0. */
int confine_host(int library, int in, int out, const void *gate);
int confine_compiler(char *const *reads, char *const *writes);
int confine_possible(void);

/* host.c */
int host(int library, int in, int out, int shared, int trusted);

#endif
