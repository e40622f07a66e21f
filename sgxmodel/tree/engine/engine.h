/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine's own side.
 *
 * Two kinds of memory.  All that a run changes lives in this library's writable
 * segment, in the heap arena or on task stacks: state.c copies these after the
 * set-up and back before each run.  What outlives a run (the schedule, what was
 * found, the trace) hangs off `keep`, which is outside of the three.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "objects.h"

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

/* What is declared here is this library's own: no detour by its table of symbols. */
#pragma GCC visibility push(hidden)

#define STACK_BYTES 16384
#define HEAP_BYTES (1 << 20)
#define HELD_MAX 12
#define FRAMES 48

/* -- tasks (sched.c) --------------------------------------------------------------------- */

enum wait_kind {
	WAIT_NONE,	/* can run */
	WAIT_LOCK,	/* obj: struct eng_lock, to be free */
	WAIT_READ,	/* obj: rwsem, no writer holds or wants it */
	WAIT_WRITE,	/* obj: rwsem, nobody holds it */
	WAIT_SRCU,	/* obj: struct eng_srcu, readers of `mask` gone */
	WAIT_QUEUE,	/* obj: struct eng_waitq, until woken */
	WAIT_WORK,	/* obj: struct workqueue, until there is work */
	WAIT_IDLE,	/* the last task, until all others are done or asleep */
	WAIT_DONE,	/* finished */
	WAIT_PARKED,	/* not part of this scenario, or not yet */
};

struct held {
	struct eng_lock *lock;
	int shared;
	const char *func;		/* who took it */
};

struct task {
	struct task_struct pub;		/* what the driver sees; first */
	int edbgrd, edbgwr;		/* offset in a page of the latest one that worked, or -1 */
	const char *name;
	int id;
	const char *op;			/* the engine's function of its latest step */
	void *sp;
	u8 *stack;
	void (*main)(struct task *task);
	int woken;			/* by wake_up_process(), after prepare_to_wait() */
	enum wait_kind wait;
	void *wait_obj;
	u32 wait_mask;
	int preempt;			/* spinlocks held and preempt_disable() */
	int held_cnt;
	int of_all;			/* spinlocks held that are no enclave's own */
	struct held held[HELD_MAX];
	int node;
	int signal;
	int bus_error;			/* SIGBUS was sent to it */
	int polite;			/* has called cond_resched() */
	int yields;			/* waits for the others' next move: a retry */
	int retries;
	int mutexes;			/* taken by its present call */
	int remaps;			/* W.remaps when its present call began */
	int exhausted;			/* no EPC page could be had in its present call */
	int refused;			/* one was refused while a reclaimer held the others */
	int ready;			/* its access hits a running enclave; 2: an absent page of one */
	int call;			/* index of the present call */
	int in_call;
	int calls;
	int first_call;			/* into keep->calls */
	int srcu_depth;
	int pinned;			/* holds a lock that is no struct eng_lock: no yields */
	int race_ok;			/* inside of data_race() */
	struct mem_cgroup *active_memcg;	/* who pays for what it allocates */
	struct file *fput_later;	/* task work, the latest first: runs when the call returns */
	/* its CPU */
	struct mm_struct *mm;
	int inside;			/* enclave id whose thread runs here, or 0 */
	u32 entry_epoch;
	u64 signer[4];			/* IA32_SGXLEPUBKEYHASH */
	int guest;			/* what it does is a guest's */
	int tlb_page, tlb_frame, tlb_mm;
	int priority;
	int depth;			/* shadow call stack: pc inside each function */
	int floor;			/* the least depth since anything got on: what loops is there */
	const void *frame[FRAMES];
	const void *line[FRAMES];	/* where in it, as of its last access or call */
};

struct work {
	int kind;
	void *obj;
};

enum { WORK_MMPUT, WORK_NOTIFIER_FREE, WORK_FPUT };

struct workqueue {
	struct work work[32];
	int head, tail, busy;
};

enum run_kind { RUN_NONE, RUN_PLAIN, RUN_TRACED };

/* What a run changes, as far as the engine itself goes. */
struct world {
	struct task task[ENG_TASKS];
	int ntask, nuser;		/* scenario tasks come first, then those that follow */
	int ksgxd, worker, rcu, end, setup;
	int current;
	int running;			/* inside a run: yields count.  enum run_kind */
	int quiet;			/* engine code that touches driver data: no yields */
	int aborted;
	u32 step, next_at;
	u32 limit;
	u32 accesses;			/* of memory: an endless loop makes many */
	int dirty;			/* something became enabled: PCT looks again */
	int switch_pos, choice_pos;
	u32 preemptions;
	struct workqueue work;		/* mmput_async(), fput(): the worker's */
	struct workqueue callbacks;	/* call_srcu(): a daemon's, so they may be late */
	int prefer;			/* who runs next by default, or -1 */
	int remaps;			/* calls that change a mapping have begun */
	int stopping;			/* ksgxd is told to stop */
	int seq_pos;			/* sequential mode: next call in the order */
	int fail[ENG_FAILS];
	int leaked;			/* an EREMOVE failed on request: its page stays a child */
	int leaf_failed;		/* an ENCLS leaf did, on request */
	int requested;			/* a failure on request happened in this run */
	int excused;
	u64 rng;
	int stuck;			/* a pass over reclaimable pages moved none */
	int closing;			/* the scenario is over: what happens is no path of it */
	int ended;
	u32 progress_step;		/* when anything got on last */
};

extern struct world W;

/* What outlives runs. */
struct keep {
	/* schedule and result are large: only what is used of them is copied */
	struct eng_config config;
	struct eng_call calls[ENG_CALLS];
	int ncalls;
	struct eng_schedule schedule;
	struct eng_result result;
	int allowed_cnt[ENG_CALLS];
	int allowed[ENG_CALLS][8];
	int counted[ENG_CALLS][8];	/* results of each call, and how often */
	u64 count[ENG_CALLS][8];
	char error[400];
	int trace_on;			/* enum trace_kind */
	char *trace;
	size_t trace_len, trace_cap;
	void *main_sp;
	u32 pct_change[16];
	int pct_prio[ENG_TASKS];
	u64 total_steps, total_runs;
	u64 seen[SEEN_COUNT];
	u64 state_bytes;
	int proving;			/* see eng_prove() */
	u64 ticked;			/* how far things were at the latest tick */
};

extern struct keep *keep;

static inline struct task *cur(void)
{
	return &W.task[W.current];
}

/* Called first by what the driver calls: where in the driver that is, for the trace. */
#define HERE() do {							\
	struct task *_t = cur();					\
	if (_t->depth > 0 && _t->depth <= FRAMES)			\
		_t->line[_t->depth - 1] = __builtin_return_address(0);	\
	} while (0)

/* Which kind of point a task can be preempted at: the engine's function, for the trace. */
void yield_at(const char *what);
#define eng_yield_point() yield_at(__func__)

void sched_init(void);
void task_prepare(struct task *task, void (*main)(struct task *));
void sched_run(int first);
void sched_abort(void) __attribute__((noreturn));
void sched_retry(void);
void unpark_ksgxd(void);
void stop_ksgxd(void);
void wait_on(enum wait_kind kind, void *obj, u32 mask);
int sched_choice(int alternatives);
int fail_on_request(int what);
int sched_start(void);
void sched_finish(void) __attribute__((noreturn));
void lock_take(struct eng_lock *lock, const char *func);
void lock_drop(struct eng_lock *lock, const char *func);
u64 rng_next(u64 *state);

/* -- findings (report.c) ---------------------------------------------------------------- */

void violate(const char *id, const char *func, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void fatal(const char *id, const char *func, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));
void trace_event(const void *pc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Where an event happens: the task, its step, the driver's function and line. */
struct trace_place {
	u32 step;
	int task, call;
	const void *entry, *line;
};

struct trace_place trace_here(void);
void trace_event_at(const struct trace_place *at, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Events; with the state after each call, too; or when all calls have returned. */
enum trace_kind { TRACE_NONE, TRACE_EVENTS, TRACE_CALLS, TRACE_REST };
#define TRACE(...) do { if (keep->trace_on) trace_event(NULL, __VA_ARGS__); } while (0)
/* What only a reader wants: comparisons with the model do without. */
#define DETAIL(...)								\
	do {									\
		if (eng_tracing)						\
			trace_event(NULL, __VA_ARGS__);				\
	} while (0)
/* trace.c: whether details are told; the driver's own code asks, too */
extern int eng_tracing;
void trace_access(const void *addr, size_t size, int write);
void trace_store_done(void);
void sometimes(int what);
const char *driver_function(void);

void race_found(const char *id, u32 offender, u32 a, u32 b, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* -- data races (race.c) ------------------------------------------------------------------ */

extern int race_on;
void eng_publish(const void *object);
void eng_consume(const void *object);
void eng_data_race(int change);
void race_init(void);
void race_forget(void);
void race_start(void);
void race_acquire(const void *address);
void race_release(const void *address);
void race_meet(int task);
void race_join_all(void);
void race_access(const void *address, size_t size, int write, int plain, const void *pc);
void race_free(const void *address, size_t size, const void *pc);

/* -- memory (mem.c, state.c) ------------------------------------------------------------ */

extern u8 *heap_base;
extern u8 *stack_base;
void mem_init(void);
void check_in_full(const void *addr, size_t size, int write);
void mem_mark_baseline(void);
int mem_check_leaks(void);
const char *object_name(const void *addr);
const char *object_field(const void *addr);
const char *object_kind(const void *addr, size_t *offset);
int readable(const void *addr);
void *engine_alloc(size_t size, const char *what);
void engine_free(void *ptr);
int state_init(void);
void state_pristine(void);
void state_save(void);
void state_restore(void);
int in_state(const void *addr, size_t size);

void *state_low(void);
void *state_high(void);
extern size_t heap_used;
extern size_t boot_heap;		/* where the arrays of EPC pages and the nodes end */

/* Something that the lists of EPC pages are made of was written to: see probe_pages(). */
extern int pages_touched, queue_touched;

extern u8 *heap_base, *shadow;

/* Nearly all are of a field, in a granule of the heap that may be used as a whole. */
static inline void check_access(const void *addr, size_t size, int write, const void *pc)
{
	size_t at = (const u8 *)addr - heap_base;

	(void)pc;
	if (write && (at < boot_heap || at >= HEAP_BYTES))
		pages_touched = queue_touched = 1;
	if (at >= HEAP_BYTES || shadow[at / 8] != 8 || at % 8 + size > 8)
		check_in_full(addr, size, write);
}

/* fence.c: what a driver writes to with its own hands, beside the heap and its stack */
extern u8 fence_data[], fence_bss[], last_data[], last_bss[];
void writes_to_checks(const void *addr);

/* An engine's variable that a driver is given and may store to, as vma->vm_ops = ... */
#define GIVEN __attribute__((section(".given")))

static inline void must_be_drivers(const void *addr)
{
	if ((size_t)((const u8 *)addr - fence_data) < (size_t)(last_bss - fence_data))
		writes_to_checks(addr);
}

enum { CPU_SGX = 1, CPU_LAUNCH_CONTROL, CPU_SGX2, CPU_OSXSAVE, CPU_VMX };

/* -- the machine (machine.c) ------------------------------------------------------------- */

void machine_begin(void);
int machine_made(int ret);
void machine_end(void);
int machine_alloc_fails(void);
int machine_thread_fails(void);
unsigned long epc_pfn(int node, int frame);
void *epc_of_pfn(unsigned long pfn);

/* -- around the driver ------------------------------------------------------------------- */

/* mm.c */
struct mm_struct *mm_new(int proc);
struct mm_struct *mm_plain(void);
struct mm_struct *process_mm(int proc);
struct vm_area_struct *vma_at(const struct mm_struct *mm, unsigned long addr);
void vma_link(struct mm_struct *mm, struct vm_area_struct *vma);
struct vm_area_struct *vma_unlink(struct mm_struct *mm, unsigned long start, unsigned long end);
void unmap_pages(struct mm_struct *mm, int first, int pages);
void protect_page(struct mm_struct *mm, int page, unsigned long flags);
void copy_pages(struct mm_struct *mm, struct mm_struct *oldmm, const struct vm_area_struct *vma);
void flush_mm(struct mm_struct *mm);
void exit_mmap(struct mm_struct *mm);
void eng_mmap_lock_nested(struct mm_struct *mm, const char *func);
void eng_mmap_downgrade(struct mm_struct *mm);

/* process.c */
void process_boot(void);
struct file *process_fdget(int proc);
struct file *encl_file(int encl);
int process_dying(int proc);
int thread_begin(struct task *task, int proc);
void thread_end(struct task *task, int proc);
int do_open(struct mm_struct *mm);
int do_mmap(struct mm_struct *mm, int rights);
int do_munmap(struct mm_struct *mm, int first, int pages);
int do_mprotect(struct mm_struct *mm, int page, int rights);
int do_close(struct mm_struct *mm);
int do_fork(struct mm_struct *oldmm, int child);
int do_exit(int proc);
void remove_vmas(struct vm_area_struct *vma);

unsigned long base_of(int encl);

/* vepc.c */
int vepc_call(const struct eng_call *call);
void vepc_close_all(void);
void vepc_end(void);
int user_call(struct task *task, const struct eng_call *call);
void user_close_all(void);
void user_quiet(void);
void queue_work(int kind, void *obj);
void worker_main(struct task *task);
void rcu_main(struct task *task);
int work_left(const struct workqueue *queue);
void srcu_barrier(void);
void srcu_freed(const void *ptr, size_t size);
void xarray_freed(const void *ptr, size_t size);
void run_task_work(struct task *task);
void file_release(struct file *file);
struct list_head;
void eng_list_linked(const char *func, const struct list_head *entry);
struct file *file_new(int encl);
void descriptors_end(void);
void shmem_release(struct file *file);
void shmem_shrink(void);
void memcg_charge(unsigned long index);
void memcg_end(void);
void notifier_free_work(struct eng_notifier *mn);
void tlb_flush(struct task *task);
void interrupt(int task);
void srcu_wait_mask(struct eng_srcu *srcu, u32 mask);

struct frame {
	u8 valid, type, pending, modified, pr, perms, blocked, changed, initialized;
	u8 guest;			/* a SECS that a guest has made */
	u16 secs;			/* frame number of its SECS */
	u16 children;
	u16 refusals;			/* EREMOVEs of a SECS that had children */
	u32 eid, epoch, blocked_epoch, changed_epoch;
	u64 linaddr, base, size, attributes, data;
	u32 version[ENG_VA_SLOTS];
};

extern struct frame epcm[ENG_FRAMES];
enum { PT_SECS, PT_TCS, PT_REG, PT_VA, PT_TRIM };
int frame_at(const void *addr);
const char *epcm_kind(int frame);
int epcm_is_guests(int frame);
void *epc_address(int frame);
void dirty_epc(void);
const char *mapped_by(const struct mm_struct *mm, int page);
int hw_translate(struct task *task, struct mm_struct *mm, int page);
int hw_accept(struct task *task, struct mm_struct *mm, int page);
int hw_touch(struct task *task, struct mm_struct *mm, int page);
extern u64 expected_data[ENG_ENCLAVES][64];

/* -- the driver under test (unity) -------------------------------------------------------- */

int eng_tree_initcall(void);
int tree_open(struct file *file);
int tree_release(struct file *file);
int tree_vepc_open(struct file *file);
long tree_vepc_remove_all(struct file *file);
int tree_virt_ecreate(uint64_t size, void *secs);
int tree_virt_einit(void *secs);
int tree_mmap(struct file *file, struct vm_area_struct *vma);
int tree_fault(struct vm_area_struct *vma, unsigned long addr);
long tree_ioctl(struct file *file, const struct eng_call *call, int encl, long *done);
void tree_vma_open(struct vm_area_struct *vma);
int tree_mprotect(struct vm_area_struct *vma, unsigned long start, unsigned long end,
		  unsigned long flags);
int tree_access(struct vm_area_struct *vma, unsigned long addr, void *word, int write);
int tree_memory_failure(unsigned long pfn, int consumed);
void tree_reclaim(void);
void tree_direct(void);
void probe_pages(const struct eng_lock *released);
void probe_encl_unlock(const struct eng_lock *lock);
void probe_passes(void);
void probe_encl(void *private_data);
void probe_encl_quiet(void *private_data);
void probe_nodes(void);
void probe_quiet(void);
void probe_observe(void);
void probe_end(int leaks);
int probe_encl_ready(void *private_data, int page, int sgx2, unsigned long rights);
int probe_exhausted(void);
int probe_keeps(const void *epc_addr);
int probe_epc_page(const void *addr);
size_t probe_epc_offset(const void *addr);
const char *probe_name(const void *addr, const char *what, size_t offset);

#pragma GCC visibility pop

#endif
