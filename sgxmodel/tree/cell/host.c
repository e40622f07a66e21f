// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads one library, the engine with a driver, after the cell is closed, and does
 * what is asked of it.
 *
 * A system call that the filter refuses comes back as SIGSYS.  While the library is
 * loaded the dynamic linker's own calls to open it are answered here, with the
 * descriptor that was opened before: no process in a cell ever opens a file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "cell.h"

#define NAME "/driver-under-test.so"	/* no file: what the linker is told to open */
#define HANDLER_STACK 65536
#define TICK_MS 400

static struct {
	int library, in, out, loading;
	uint32_t number;
	struct cell_shared *shared;
	char stack[HANDLER_STACK];
} cell;

/* What is used of the library. */
static struct {
	int (*init)(void);
	int (*boot)(const struct eng_config *, const struct eng_call *, int);
	int (*boot_result)(struct eng_result *);
	int (*run)(const struct eng_schedule *, struct eng_result *);
	int (*search)(struct eng_schedule *, int, struct eng_result *, struct eng_stats *);
	void (*allow)(int, int);
	void (*allow_none)(void);
	void (*trace)(int);
	const char *(*trace_text)(void);
	const char *(*error)(void);
	uint64_t (*seen)(int);
	int (*counted)(int, int, int *, uint64_t *);
	uint64_t (*state_bytes)(void);
	uint64_t (*base)(void);
	uint64_t (*benchmark)(uint64_t);
	int (*prove)(void);
	void (*crashed)(int);
	void (*ticked)(void);
	void (*denied)(long, int);
} eng;

static const struct {
	const char *name;
	void *at;
} symbols[] = {
	{ "eng_init", &eng.init }, { "eng_boot", &eng.boot },
	{ "eng_boot_result", &eng.boot_result }, { "eng_run", &eng.run },
	{ "eng_search", &eng.search }, { "eng_allow", &eng.allow },
	{ "eng_allow_none", &eng.allow_none }, { "eng_trace", &eng.trace },
	{ "eng_trace_text", &eng.trace_text }, { "eng_error", &eng.error },
	{ "eng_seen", &eng.seen }, { "eng_counted", &eng.counted },
	{ "eng_state_bytes", &eng.state_bytes }, { "eng_base", &eng.base },
	{ "eng_switch_benchmark", &eng.benchmark }, { "eng_prove", &eng.prove },
	{ "eng_crashed", &eng.crashed }, { "eng_ticked", &eng.ticked },
	{ "eng_denied", &eng.denied },
};

/* -- the pipes --------------------------------------------------------------------------- */

/* The one place that the filter lets read requests, write replies and end the process. */
extern const char gate_end[];

static long __attribute__((noinline, noclone)) gate(long call, long a, const void *b, long c)
{
	long ret;

#if defined(__x86_64__)
	register long rdx __asm__("rdx") = c;

	__asm__ volatile("syscall\ngate_end:"
			 : "=a"(ret) : "0"(call), "D"(a), "S"(b), "r"(rdx)
			 : "rcx", "r11", "memory");
#else
	register long x8 __asm__("x8") = call;
	register long x0 __asm__("x0") = a;
	register const void *x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc #0\ngate_end:"
			 : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	ret = x0;
#endif
	return ret;
}

static void __attribute__((noreturn)) leave(int status)
{
	gate(SYS_exit_group, status, NULL, 0);
	__builtin_trap();
}

static void reply(int status, int64_t a, int64_t b)
{
	struct cell_reply r = { cell.number, status, a, b };

	if (gate(SYS_write, cell.out, &r, sizeof(r)) != sizeof(r))
		leave(1);
}

/* -- signals ----------------------------------------------------------------------------- */

struct range {
	uintptr_t linker;		/* look for the dynamic linker, which is there */
	uintptr_t base, low, high;	/* low to high: its code */
};

static int range_of(struct dl_phdr_info *info, size_t size, void *data)
{
	struct range *r = data;

	(void)size;
	if (r->linker ? info->dlpi_addr != r->linker : !!strcmp(info->dlpi_name, NAME))
		return 0;
	r->base = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			r->low = r->base + p->p_vaddr;
			r->high = r->low + p->p_memsz;
		}
	}
	return 1;
}

/* The innermost return address into the library: who called, before there are tasks. */
static uintptr_t caller(const uintptr_t *sp, uintptr_t ip)
{
	struct range r = { 0 };

	dl_iterate_phdr(range_of, &r);
	if (ip > r.low && ip < r.high)
		return ip - r.base;
	for (int i = 0; i < 256; i++)
		if (sp[i] > r.low && sp[i] < r.high)
			return sp[i] - r.base;
	return 0;
}

#if defined(__x86_64__)
#define ARGUMENT(c, n) ((c)->uc_mcontext.gregs[(n) == 0 ? REG_RDI : (n) == 1 ? REG_RSI :	\
					       (n) == 2 ? REG_RDX : REG_R10])
#define RESULT(c) ((c)->uc_mcontext.gregs[REG_RAX])
#define SP(c) ((c)->uc_mcontext.gregs[REG_RSP])
#define NATIVE(arch) ((arch) == 0xc000003eU)
#else
#define ARGUMENT(c, n) ((c)->uc_mcontext.regs[n])
#define RESULT(c) ((c)->uc_mcontext.regs[0])
#define SP(c) ((c)->uc_mcontext.sp)
#define NATIVE(arch) 1
#endif

/* dlopen() opens and looks at the library: it gets what was opened before the cell was closed. */
static int linker(ucontext_t *context, long call, uintptr_t ip)
{
	const char *path = (const char *)ARGUMENT(context, 1);
	struct range r = { .linker = getauxval(AT_BASE) };

	if (!cell.loading)
		return 0;
	if (call == SYS_openat && !strcmp(path, NAME)) {
		RESULT(context) = cell.library;
		return 1;
	}
	if (call == SYS_newfstatat && (int)ARGUMENT(context, 0) == cell.library && !*path) {
		RESULT(context) = syscall(SYS_fstat, cell.library, ARGUMENT(context, 2));
		return 1;
	}
	/* What newer ones try beside, mseal() say, they do without. */
	dl_iterate_phdr(range_of, &r);
	if (ip > r.low && ip < r.high) {
		RESULT(context) = -ENOSYS;
		return 1;
	}
	return 0;
}

static void denied(int sig, siginfo_t *info, void *context)
{
	ucontext_t *at = context;
	int native = NATIVE(info->si_arch) && !(info->si_syscall & 0x40000000);

	(void)sig;
	if (native && linker(at, info->si_syscall, (uintptr_t)info->si_call_addr))
		return;
	if (eng.denied)
		eng.denied(info->si_syscall, native);	/* during a run it does not come back */
	reply(CELL_DENIED, native ? info->si_syscall : -1 - info->si_syscall,
	      caller((const uintptr_t *)SP(at), (uintptr_t)info->si_call_addr));
	leave(1);
}

static void crashed(int sig)
{
	if (eng.crashed)
		eng.crashed(sig);
	reply(CELL_CRASHED, sig, 0);
	leave(1);
}

static void ticked(int sig)
{
	(void)sig;
	if (eng.ticked)
		eng.ticked();
}

/*
 * A loop that touches no memory calls no hook.  The clock runs in the process's own
 * time, so that a loaded machine changes nothing.
 */
static void handle_signals(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction action = { .sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART };
	struct itimerval tick = { { 0, TICK_MS * 1000 }, { 0, TICK_MS * 1000 } };
	stack_t stack = { .ss_sp = cell.stack, .ss_size = HANDLER_STACK };

	sigaltstack(&stack, NULL);
	action.sa_handler = crashed;
	for (unsigned int i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &action, NULL);
	action.sa_handler = ticked;
	sigaction(SIGVTALRM, &action, NULL);
	action.sa_flags |= SA_SIGINFO;
	action.sa_sigaction = denied;
	sigaction(SIGSYS, &action, NULL);
	setitimer(ITIMER_VIRTUAL, &tick, NULL);
}

/* -- requests ---------------------------------------------------------------------------- */

static void fill_tables(void)
{
	struct cell_shared *s = cell.shared;

	memset(s->count, 0, sizeof(s->count));
	for (int call = 0; call < ENG_CALLS; call++)
		for (int i = 0; i < 8; i++)
			eng.counted(call, i, &s->counted[call][i], &s->count[call][i]);
	for (int i = 0; i < SEEN_COUNT; i++)
		s->seen[i] = eng.seen(i);
}

static void give_trace(void)
{
	const char *text = eng.trace_text();
	size_t len = strlen(text);

	if (len >= CELL_TRACE_BYTES)
		len = CELL_TRACE_BYTES - 1;
	memcpy(cell.shared->trace, text, len);
	cell.shared->trace[len] = 0;
	cell.shared->trace_len = (uint32_t)len;
}

static int64_t boot(int ncalls)
{
	struct cell_shared *s = cell.shared;
	int status = eng.boot(&s->config, s->calls, ncalls);

	if (status < 0)
		strncpy(s->error, eng.error(), sizeof(s->error) - 1);
	return status;
}

static int64_t done(const struct cell_request *r)
{
	struct cell_shared *s = cell.shared;

	switch (r->op) {
	case OP_BOOT:
		return boot((int)r->a);
	case OP_BOOT_RESULT:
		return eng.boot_result(&s->result);
	case OP_RUN:
		return eng.run(&s->schedule, &s->result);
	case OP_SEARCH:
		return eng.search(&s->schedule, (int)r->a, &s->result, &s->stats);
	case OP_ALLOW:
		eng.allow((int)r->a, (int)r->b);
		return 0;
	case OP_ALLOW_NONE:
		eng.allow_none();
		return 0;
	case OP_TRACE:
		eng.trace((int)r->a);
		if (!r->a)
			give_trace();
		return 0;
	case OP_TABLES:
		fill_tables();
		return 0;
	case OP_BENCHMARK:
		return (int64_t)eng.benchmark((uint64_t)r->a);
	case OP_PROVE:
		return eng.prove();
	}
	return -1;
}

/* glibc's first malloc() asks for random bytes: before the cell is closed. */
static void *__attribute__((noinline)) warm(void)
{
	return malloc(1);
}

static int load_library(int trusted)
{
	char path[64] = NAME;
	void *library;

	if (trusted)
		snprintf(path, sizeof(path), "/proc/self/fd/%d", cell.library);
	cell.loading = 1;
	library = dlopen(path, RTLD_NOW);
	cell.loading = 0;
	close(cell.library);
	if (!library)
		return PART_LIBRARY;
	for (unsigned int i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol)
			return PART_LIBRARY;
		memcpy(symbols[i].at, &symbol, sizeof(symbol));
	}
	return eng.init() ? PART_ENGINE : 0;
}

int host(int library, int in, int out, int shared, int trusted)
{
	struct cell_request request;
	int part = 0;

	cell.library = library;
	cell.in = in;
	cell.out = out;
	cell.shared = mmap(NULL, sizeof(struct cell_shared), PROT_READ | PROT_WRITE, MAP_SHARED,
			   shared, 0);
	if (cell.shared == MAP_FAILED)
		return 1;
	close(shared);
	handle_signals();
	free(warm());
	if (!trusted)
		part = confine_host(library, in, out, gate_end);
	if (!part)
		part = load_library(trusted);
	if (part) {
		reply(CELL_UNABLE, part, 0);
		leave(1);
	}
	reply(CELL_READY, (int64_t)eng.base(), sizeof(*cell.shared));
	while (gate(SYS_read, in, &request, sizeof(request)) == sizeof(request)) {
		cell.number = request.number;
		reply(CELL_DONE, done(&request), (int64_t)eng.state_bytes());
	}
	leave(0);
}
