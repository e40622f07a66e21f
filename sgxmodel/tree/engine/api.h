/* SPDX-License-Identifier: GPL-2.0-only */
/* What Python sees: sgxmodel/tree/binding.py has the same structures. */
#ifndef ENGINE_API_H
#define ENGINE_API_H

#include <stdint.h>

#define ENG_USER_TASKS 16
#define ENG_TASKS (ENG_USER_TASKS + 5)
#define ENG_ENCLAVES 8
#define ENG_PROCESSES 12
#define ENG_VEPCS 4
#define ENG_DIRTY 16
#define ENG_FRAMES 64
#define ENG_VA_SLOTS 16
#define ENG_CALLS 256
#define ENG_FAILS 24
#define ENG_SWITCHES 4096
#define ENG_FOUND 64

enum eng_verb {
	V_OPEN, V_CREATE, V_ADD, V_INIT, V_TOUCH, V_ACCEPT, V_MODIFY, V_REMOVE, V_MUNMAP,
	V_CLOSE, V_RECLAIM, V_DIRECT, V_POISON, V_POISON_AT, V_SIGNAL, V_RUN,
	V_EXIT, V_MMAP, V_FORK, V_MUNMAP_PAGE, V_MPROTECT, V_RESTRICT, V_CREATE_DEBUG,
	V_PEEK, V_POKE, V_VEPC_OPEN, V_VEPC_CLOSE, V_VEPC_REMOVE_ALL, V_GUEST_TOUCH,
	V_GUEST_ECREATE, V_GUEST_EADD, V_STOP_KSGXD, V_SHRINK, V_GUEST_EINIT, V_PROVISION,
	V_REFUSED,
};

enum eng_fail {
	FAIL_BACKING, FAIL_ENCL_PAGE, FAIL_VA_PAGE, FAIL_FILE, FAIL_OPEN, FAIL_ECREATE,
	FAIL_EADD, FAIL_EINIT, FAIL_EREMOVE, FAIL_EPA, FAIL_EAUG, FAIL_EMODT,
	FAIL_EEXTEND, FAIL_ENCL_MM, FAIL_VMA, FAIL_PAGE_TABLE, FAIL_EMODPR, FAIL_USER_COPY,
	FAIL_VEPC, FAIL_XA_STORE, FAIL_PTE, FAIL_ARGUMENT,
};

/* Paths that were walked: failures on request first, by their number, then these. */
enum eng_seen {
	SEEN_WRITTEN = ENG_FAILS, SEEN_SECS_WRITTEN, SEEN_LOADED, SEEN_SECS_LOADED, SEEN_ADDED,
	SEEN_REMOVED, SEEN_RETYPED, SEEN_RELEASED, SEEN_DYING, SEEN_YOUNG, SEEN_INSIDE, SEEN_IPI,
	SEEN_VA_FULL, SEEN_VA_PAGE, SEEN_TRUNCATED, SEEN_USED_BAD, SEEN_FREE_BAD, SEEN_BAD_TWICE,
	SEEN_BAD_NOWHERE, SEEN_EBUSY_IOCTL, SEEN_EBADF, SEEN_RESTART, SEEN_NOMEM, SEEN_EARLY,
	SEEN_LAST_USER, SEEN_ADDED_TWICE, SEEN_FORKED, SEEN_SPLIT, SEEN_REPLACED, SEEN_NO_MAPPING,
	SEEN_EINTR, SEEN_CHILD_NOT_ADDED, SEEN_RELEASED_EARLY, SEEN_ENDED_LATE, SEEN_DYING_MM,
	SEEN_EACCES, SEEN_RESTRICTED, SEEN_HALF_WAY, SEEN_DEBUGGED, SEEN_EDBGRD_FAILED,
	SEEN_COPY_IN, SEEN_COPY_OUT, SEEN_ZOMBIE, SEEN_ZOMBIE_FREED, SEEN_ZOMBIE_STAYED,
	SEEN_GUEST_PAGE, SEEN_GUEST_RETRY, SEEN_LEFT_BY_ALL, SEEN_RESISTED, SEEN_SANITISED,
	SEEN_WAITED_FOR_CHILDREN, SEEN_STOPPED, SEEN_SWAPPED, SEEN_DROPPED, SEEN_PRESSURE_IN_USE,
	SEEN_SWAPPED_IN, SEEN_SWAP_FAILED, SEEN_REFUSED, SEEN_COUNT,
};

/* What is wrong with an argument, in the order of the scenario language. */
enum eng_argument {
	BAD_RESTRICT_COUNT, BAD_RESTRICT_RESULT, BAD_RESTRICT_UNALIGNED, BAD_RESTRICT_EMPTY,
	BAD_RESTRICT_BEYOND, BAD_RESTRICT_WRAPS, BAD_RESTRICT_UNKNOWN, BAD_RESTRICT_WRITE_ONLY,
	BAD_MODIFY_COUNT, BAD_MODIFY_RESULT, BAD_MODIFY_UNALIGNED, BAD_MODIFY_EMPTY,
	BAD_MODIFY_BEYOND, BAD_MODIFY_WRAPS, BAD_MODIFY_UNKNOWN,
	BAD_REMOVE_COUNT, BAD_REMOVE_UNALIGNED, BAD_REMOVE_EMPTY, BAD_REMOVE_BEYOND,
	BAD_REMOVE_WRAPS,
	BAD_ADD_SOURCE, BAD_ADD_UNALIGNED, BAD_ADD_EMPTY, BAD_ADD_BEYOND, BAD_ADD_WRAPS,
	BAD_ADD_UNKNOWN, BAD_ADD_WRITE_ONLY, BAD_ADD_TCS_RIGHTS, BAD_ADD_RESERVED, BAD_ADD_TYPE,
};

/* What a file descriptor stands for. */
enum eng_descriptor { FD_NOTHING, FD_ENCLAVE, FD_PROVISION, FD_COUNT };

/*
 * What the machine is or lacks when sgx_init() runs: bits of eng_config.machine.  Where a
 * section is meant, it is the last one.
 */
enum eng_machine {
	MACHINE_NO_SGX, MACHINE_NO_SGX1, MACHINE_NO_LAUNCH_CONTROL, MACHINE_NO_VMX,
	MACHINE_NO_SECTION, MACHINE_STRANGE_SECTION, MACHINE_FAR_SECTION, MACHINE_NO_NODE,
	MACHINE_ONE_NODE, MACHINE_NO_NODE_MEMORY, MACHINE_NO_PAGE_MEMORY, MACHINE_NO_REMAP,
	MACHINE_NO_THREAD, MACHINE_NO_PROVISION_DEVICE, MACHINE_NO_ENCLAVE_DEVICE,
	MACHINE_NO_VEPC_DEVICE,
};

/*
 * Results of calls beside 0 and -errno.  Of a range of which n pages were done before the
 * result: the result plus n times RESULT_AFTER.
 */
#define RESULT_AFTER 100000
#define RESULT_SIGBUS 1001
#define RESULT_SIGSEGV 1002
#define RESULT_OOM 1003
#define RESULT_PF 1014		/* of a guest's leaf: #PF, #GP */
#define RESULT_GP 1013

struct eng_call {
	int32_t verb, proc, arg, type;
	int32_t count;			/* pages of a range that begins with `arg` */
};

struct eng_config {
	int32_t nodes;
	int32_t epc[8];			/* pages per node */
	int32_t scan, low, high, va_slots, check_sched;
	int32_t sgx2, ksgxd;
	int32_t machine;
	int32_t enclaves;
	int32_t size[ENG_ENCLAVES];	/* pages */
	int32_t processes;		/* one for each enclave, then children, not born yet */
	int32_t encl[ENG_PROCESSES];	/* which enclave each maps */
	int32_t fail[ENG_FAILS];
	int32_t vepcs;
	int32_t vepc_size[ENG_VEPCS];	/* pages */
	int32_t dirty;			/* pages that an earlier kernel left, the first ones */
	int32_t holds[ENG_DIRTY];	/* what: page types of the hardware, -1: nothing */
	int32_t tasks;
	int32_t node[ENG_USER_TASKS];
	int32_t calls[ENG_USER_TASKS];	/* calls of each task, one after the other in `calls` */
	int32_t setup;			/* calls of the set-up, which come first */
};

enum eng_mode { MODE_REPLAY, MODE_WALK, MODE_PCT, MODE_BOUNDED, MODE_ORDER };

struct eng_pair {
	uint32_t step;
	int32_t what;			/* the task that runs from here, or the outcome */
};

struct eng_schedule {
	int32_t mode;
	int32_t memory;			/* preemption at every memory access */
	int32_t races;			/* look for data races */
	int32_t eager;			/* MODE_ORDER: ksgxd between the calls, too */
	int32_t nswitch, nchoice, norder;
	uint32_t length;		/* expected steps, for PCT and bounded */
	int32_t depth;			/* change points of PCT, switches of bounded */
	int32_t probability;		/* of a switch per step, in 1/65536 (random walk) */
	uint64_t seed;
	struct eng_pair switches[ENG_SWITCHES];
	struct eng_pair choices[256];
	int32_t order[ENG_CALLS];	/* MODE_ORDER: whose call is next */
};

struct eng_finding {
	char id[24];
	char func[64];
	char title[160];
	char message[320];
	const void *pc;			/* in the driver's function */
	const void *line;		/* where in it */
	const void *a, *b;		/* of a data race: the two accesses */
	uint32_t step;
	int32_t task;
	int32_t call;			/* its call, or -1 */
	int32_t unused;
};

struct eng_result {
	int32_t nfound, ended;
	uint32_t steps, preemptions;
	int32_t nswitch, nchoice;
	uint64_t hash;			/* of all scheduling and results: equal runs, equal hash */
	struct eng_finding found[ENG_FOUND];
	struct eng_pair switches[ENG_SWITCHES];	/* deviations from the default */
	struct eng_pair choices[256];
	int32_t result[ENG_CALLS];	/* by call; RESULT_NONE if it did not return */
};

#define RESULT_NONE 9999

/* Counters of a search over many runs. */
struct eng_stats {
	uint64_t runs, steps, found_runs;
	uint64_t unused;
};

int eng_init(void);
const char *eng_error(void);
int eng_boot_result(struct eng_result *result);
int eng_boot(const struct eng_config *config, const struct eng_call *calls, int ncalls);
void eng_allow(int call, int value);
void eng_allow_none(void);
int eng_run(const struct eng_schedule *schedule, struct eng_result *result);
int eng_search(struct eng_schedule *schedule, int runs, struct eng_result *result,
	       struct eng_stats *stats);
uint64_t eng_seen(int what);
int eng_counted(int call, int i, int *value, uint64_t *count);
void eng_trace(int on);
const char *eng_trace_text(void);
uint64_t eng_state_bytes(void);
uint64_t eng_base(void);
int eng_prove(void);
uint64_t eng_switch_benchmark(uint64_t switches);

#endif
