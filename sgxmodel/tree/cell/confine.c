// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process denies itself: files by Landlock
 * (Documentation/userspace-api/landlock.rst), system calls by a filter
 * (Documentation/userspace-api/seccomp_filter.rst), the rest by limits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cell.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define X32 0x40000000			/* numbers from here on are the x32 ABI's */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define X32 0xffffffff
#else
#error "the name of this machine's system calls is missing: see ARCH"
#endif

/* -- system calls ------------------------------------------------------------------------ */

#define RULES 400
static struct sock_filter rule[RULES];
static unsigned int rules;

#define FIELD(name) ((unsigned int)offsetof(struct seccomp_data, name))
#define LOW(name) FIELD(name)		/* the low half of a field of 64 bits */
#define HIGH(name) (FIELD(name) + 4)

static void emit(unsigned short code, unsigned char yes, unsigned char no, unsigned int k)
{
	if (rules < RULES)
		rule[rules++] = (struct sock_filter){ code, yes, no, k };
}

static void load(unsigned int field)
{
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, field);
}

static void answer(unsigned int what)
{
	emit(BPF_RET | BPF_K, 0, 0, what);
}

/* Unless equal, leave out the next `skip` instructions. */
static void unless(unsigned int value, unsigned char skip)
{
	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, skip, value);
}

/* Numbers of another ABI would mean other calls: int $0x80, x32. */
static void begin(void)
{
	rules = 0;
	load(FIELD(arch));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
	answer(SECCOMP_RET_TRAP);
	load(FIELD(nr));
	emit(BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32);
	answer(SECCOMP_RET_TRAP);
}

static void always(int call)
{
	unless(call, 1);
	answer(SECCOMP_RET_ALLOW);
}

static void refused(int call)
{
	unless(call, 1);
	answer(SECCOMP_RET_ERRNO | EPERM);
}

/* With one descriptor, as argument `at` and half of the eight bytes of an argument. */
static void with(int call, int at, int descriptor)
{
	unless(call, 4);
	load(LOW(args) + 8 * at);
	unless(descriptor, 1);
	answer(SECCOMP_RET_ALLOW);
	load(FIELD(nr));
}

/*
 * Only by the instruction that ends at `ip`, the host's own: seccomp sees where the
 * process would go on.  Past the first line each way ends in an answer.
 */
static void by(int call, uintptr_t ip, int descriptor)
{
	unless(call, 8);
	load(LOW(args));
	if (descriptor >= 0)
		unless(descriptor, 5);
	else
		emit(BPF_JMP | BPF_JA, 0, 0, 0);
	load(HIGH(instruction_pointer));
	unless((unsigned int)(ip >> 32), 3);
	load(LOW(instruction_pointer));
	unless((unsigned int)ip, 1);
	answer(SECCOMP_RET_ALLOW);
	answer(SECCOMP_RET_TRAP);
}

static int installed(unsigned int otherwise)
{
	struct sock_fprog program = { (unsigned short)rules + 1, rule };

	answer(otherwise);
	if (rules >= RULES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return PART_SECCOMP;
	program.len = (unsigned short)rules;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? PART_SECCOMP : 0;
}

static int limit(int what, rlim_t most)
{
	return setrlimit(what, &(struct rlimit){ most, most });
}

#define HOST_BYTES (1UL << 30)
#define HOST_SECONDS (12UL * 3600)	/* a backstop: Python watches each request */

/*
 * Memory, the two pipes and the end: all that an engine needs.  The pipes are for
 * the host's own instruction alone, so that a driver's write() to them is caught.
 * Reading, mapping and closing the library is for the dynamic linker; it is closed
 * before a driver's function is called, and nothing else can ever be opened.
 */
int confine_host(int library, int in, int out, const void *gate)
{
	uintptr_t ip = (uintptr_t)gate;

	if (limit(RLIMIT_AS, HOST_BYTES) || limit(RLIMIT_FSIZE, 0) || limit(RLIMIT_CORE, 0) ||
	    limit(RLIMIT_NPROC, 0) || limit(RLIMIT_CPU, HOST_SECONDS))
		return PART_LIMITS;
	begin();
	load(FIELD(nr));
	with(SYS_read, 0, library);
	by(SYS_read, ip, in);
	by(SYS_write, ip, out);
	by(SYS_exit_group, ip, -1);
	with(SYS_mmap, 4, -1);
	with(SYS_mmap, 4, library);
	with(SYS_pread64, 0, library);
	with(SYS_fstat, 0, library);
	with(SYS_close, 0, library);
	always(SYS_munmap);
	always(SYS_mremap);
	always(SYS_mprotect);
	always(SYS_madvise);
	always(SYS_brk);
	always(SYS_rt_sigreturn);
	return installed(SECCOMP_RET_TRAP);
}

/*
 * Landlock's own words, linux/landlock.h: older headers lack them.  These are the rights
 * of its first version, Linux 5.13.
 */
#define LANDLOCK_EXECUTE (1ULL << 0)
#define LANDLOCK_WRITE_FILE (1ULL << 1)
#define LANDLOCK_READ_FILE (1ULL << 2)
#define LANDLOCK_READ_DIR (1ULL << 3)
#define LANDLOCK_ALL ((1ULL << 13) - 1)
enum { LANDLOCK_CREATE_RULESET = 444, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF };

/* -- files ------------------------------------------------------------------------------- */

#define READS (LANDLOCK_EXECUTE | LANDLOCK_READ_FILE | LANDLOCK_READ_DIR)
#define OF_FILES (LANDLOCK_EXECUTE | LANDLOCK_READ_FILE | LANDLOCK_WRITE_FILE)

static long version(void)
{
	return syscall(LANDLOCK_CREATE_RULESET, NULL, 0, 1);
}

/* What is not there needs no rule: a machine has no /lib64, say. */
static int allow(int ruleset, const char *path, uint64_t access)
{
	struct __attribute__((packed)) {
		uint64_t access;
		int32_t parent;
	} below = { access, open(path, O_PATH | O_CLOEXEC) };
	struct stat kind;
	long status;

	if (below.parent < 0)
		return errno == ENOENT ? 0 : -1;
	if (!fstat(below.parent, &kind) && !S_ISDIR(kind.st_mode))
		below.access &= OF_FILES;
	status = syscall(LANDLOCK_ADD_RULE, ruleset, 1, &below, 0);
	close(below.parent);
	return (int)status;
}

/*
 * A compiler is no enemy, its input may be: it reads and runs what is below `reads`,
 * writes below `writes` alone, and has no network.
 */
int confine_compiler(char *const *reads, char *const *writes)
{
	uint64_t all = LANDLOCK_ALL;
	static const int network[] = { SYS_socket, SYS_socketpair, SYS_ptrace, SYS_process_vm_readv,
				       SYS_process_vm_writev, SYS_bpf, SYS_perf_event_open };
	int ruleset, failed = 0;

	if (version() < 1)
		return PART_LANDLOCK;
	ruleset = (int)syscall(LANDLOCK_CREATE_RULESET, &all, sizeof(all), 0);
	for (; *reads; reads++)
		failed |= allow(ruleset, *reads, READS);
	for (; *writes; writes++)
		failed |= allow(ruleset, *writes, LANDLOCK_ALL);
	failed |= allow(ruleset, "/dev/null", OF_FILES);
	if (failed || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0))
		return PART_LANDLOCK;
	if (limit(RLIMIT_CPU, 600) || limit(RLIMIT_FSIZE, 1UL << 29) || limit(RLIMIT_CORE, 0))
		return PART_LIMITS;
	begin();
	load(FIELD(nr));
	for (unsigned int i = 0; i < sizeof(network) / sizeof(network[0]); i++)
		refused(network[i]);
	return installed(SECCOMP_RET_ALLOW);
}

int confine_possible(void)
{
	unsigned int trap = SECCOMP_RET_TRAP;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap))
		return PART_SECCOMP;
	return version() < 1 ? PART_LANDLOCK : 0;
}
