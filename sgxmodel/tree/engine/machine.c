// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine that sgx_init() meets: CPUID, nodes, sections, devices, and what of
 * it is missing or fails; then, whether the result fits, and what a sgx_init() that
 * failed has left behind.
 */
#include "engine.h"

#define EBUSY 16
#define NR_DEVICES 3

enum { DEV_PROVISION, DEV_ENCLAVE, DEV_VEPC };

static const char *const devices[NR_DEVICES] = { "sgx_provision", "sgx_enclave", "sgx_vepc" };
static int registered[NR_DEVICES];
static int mapped[9], made;		/* sections: by number; memremap()s so far */
static int initialising, allocated, dead;

static int lacks(int what)
{
	return keep->config.machine >> what & 1;
}

static int nr_sections(void)
{
	int n = 0;

	for (int i = 0; i < keep->config.nodes; i++)
		n += keep->config.epc[i] > 0;
	return n;
}

/* Bits 31 and 51 of an address are the first and the last that CPUID gives in their register. */
static u64 epc_phys(void)
{
	return lacks(MACHINE_FAR_SECTION) ? 0x8000080001000ULL : EPC_PHYS;
}

unsigned long epc_pfn(int node, int frame)
{
	return (epc_phys() + node * EPC_STRIDE + frame * 4096UL) >> 12;
}

void *epc_of_pfn(unsigned long pfn)
{
	return (void *)(EPC_VIRT + (pfn << 12) - epc_phys());
}

/* -- what is asked -------------------------------------------------------------------------- */

int eng_cpu_feature(int feature)
{
	switch (feature) {
	case CPU_SGX:
		return !lacks(MACHINE_NO_SGX);
	case CPU_LAUNCH_CONTROL:
		return !lacks(MACHINE_NO_LAUNCH_CONTROL);
	case CPU_SGX2:
		return keep->config.sgx2;
	case CPU_VMX:
		return !lacks(MACHINE_NO_VMX);
	default:
		return 1;
	}
}

static void describe(int section, int node, unsigned int *regs)
{
	u64 pa = epc_phys() + node * EPC_STRIDE, size = (u64)keep->config.epc[node] << 12;
	int last = section == nr_sections() - 1;

	if (last && lacks(MACHINE_NO_SECTION))
		return;			/* type 0: no more sections */
	regs[0] = (last && lacks(MACHINE_STRANGE_SECTION) ? 2 : 1) | (u32)pa;
	regs[1] = pa >> 32;
	regs[2] = 1 | (u32)size;
	regs[3] = size >> 32;
}

void eng_cpuid(unsigned int leaf, unsigned int sub, unsigned int *regs);
void eng_cpuid(unsigned int leaf, unsigned int sub, unsigned int *regs)
{
	memset(regs, 0, 4 * sizeof(*regs));
	if (leaf != 0x12)
		return;
	if (sub == 0) {
		regs[0] = lacks(MACHINE_NO_SGX1) ? 0 : 3;	/* SGX1 and SGX2 */
		regs[1] = 1;
	} else if (sub == 1) {
		regs[0] = regs[2] = ~0U;
	} else {
		for (int i = 0, section = 0; i < keep->config.nodes; i++)
			if (keep->config.epc[i] && section++ == (int)sub - 2)
				describe(section - 1, i, regs);
	}
}

int eng_next_node(int node, unsigned long mask)
{
	for (int i = 1; i <= 64; i++)
		if (mask >> ((node + i) & 63) & 1)
			return (node + i) & 63;
	return 64;
}

int eng_nr_nodes(void)
{
	return keep->config.nodes;
}

int eng_node_of_current(void)
{
	return cur()->node;
}

int eng_node_of_phys(unsigned long long pa)
{
	if (lacks(MACHINE_NO_NODE))
		return -1;		/* NUMA_NO_NODE */
	return lacks(MACHINE_ONE_NODE) ? 0 : (int)((pa - epc_phys()) / EPC_STRIDE);
}

void *eng_memremap(unsigned long long pa, unsigned long size)
{
	u64 node = (pa - epc_phys()) / EPC_STRIDE;

	if (pa < epc_phys() || node >= (u64)keep->config.nodes ||
	    pa != epc_phys() + node * EPC_STRIDE || size >> 12 != (u64)keep->config.epc[node])
		fatal("10-epcm", driver_function(), "memremap of %lu bytes at 0x%llx\n"
		      "that is no section of the EPC", size, pa);
	if (++made == nr_sections() && lacks(MACHINE_NO_REMAP))
		return NULL;
	mapped[node] = 1;
	return (void *)(EPC_VIRT + node * EPC_STRIDE);
}

void eng_memunmap(const void *addr)
{
	u64 section = ((u64)(uintptr_t)addr - EPC_VIRT) / EPC_STRIDE;

	if (section >= 9 || !mapped[section])
		fatal("6-references", driver_function(), "memunmap of what is not mapped");
	mapped[section] = 0;
}

/* The first allocation is that of the nodes, one after a memremap() that of its pages. */
int machine_alloc_fails(void)
{
	int first = initialising && !allocated;

	allocated |= initialising;
	return initialising && ((first && lacks(MACHINE_NO_NODE_MEMORY)) ||
				(made == nr_sections() && lacks(MACHINE_NO_PAGE_MEMORY)));
}

int machine_thread_fails(void)
{
	return lacks(MACHINE_NO_THREAD);
}

static int device(const char *name)
{
	for (int i = 0; i < NR_DEVICES; i++)
		if (!strcmp(name, devices[i]))
			return i;
	return -1;
}

int eng_misc_register(const char *name)
{
	int n = device(name);

	if (n < 0)
		return 0;
	if (registered[n])
		violate("20-end", "sgx_init", "/dev/%s is registered twice", name);
	if (lacks(MACHINE_NO_PROVISION_DEVICE + n))
		return -EBUSY;
	registered[n] = 1;
	return 0;
}

void eng_misc_deregister(const char *name)
{
	int n = device(name);

	if (n < 0)
		return;
	if (!registered[n])
		fatal("6-references", driver_function(),
		      "/dev/%s is deregistered but was not registered", name);
	registered[n] = 0;
}

/* IA32_SGXLEPUBKEYHASH0 to 3, of this CPU. */
void eng_wrmsr(unsigned int msr, unsigned long long value)
{
	if (msr - 0x8c < 4)
		cur()->signer[msr - 0x8c] = value;
}

/* Stands for SHA-256: who signed is told by the first byte of the key. */
int eng_digest(const void *data, size_t len, void *out)
{
	(void)len;
	for (int i = 0; i < 32; i++)
		((u8 *)out)[i] = *(const u8 *)data * 8 + i;
	return 0;
}

/* -- what comes of it ----------------------------------------------------------------------- */

/* Which devices there have to be: none if sgx_init() has to fail. */
static int wanted(int n)
{
	int last = lacks(MACHINE_NO_SECTION) || lacks(MACHINE_STRANGE_SECTION) ||
		   lacks(MACHINE_NO_REMAP) || lacks(MACHINE_NO_PAGE_MEMORY);
	int enclave = !lacks(MACHINE_NO_LAUNCH_CONTROL) && !lacks(MACHINE_NO_SGX1) &&
		      !lacks(MACHINE_NO_ENCLAVE_DEVICE);
	int vepc = !lacks(MACHINE_NO_VMX) && !lacks(MACHINE_NO_VEPC_DEVICE);

	if (lacks(MACHINE_NO_SGX) || lacks(MACHINE_NO_NODE_MEMORY) || nr_sections() - last < 1 ||
	    lacks(MACHINE_NO_THREAD) || lacks(MACHINE_NO_PROVISION_DEVICE) || !(enclave || vepc))
		return 0;
	return n == DEV_PROVISION || (n == DEV_ENCLAVE ? enclave : vepc);
}

/* Called around sgx_init().  Whether there is a driver now. */
void machine_begin(void)
{
	initialising = 1;
}

int machine_made(int ret)
{
	initialising = 0;
	dead = ret != 0;
	TRACE("sgx_init() = %d", ret);
	if (!ret != wanted(DEV_PROVISION))
		violate("15-errno", "sgx_init", "sgx_init() gives %d\n%s", ret, ret ?
			"the machine has everything that one of the two drivers needs" :
			"the machine lacks what both drivers need");
	for (int n = 0; n < NR_DEVICES && !ret; n++)
		if (registered[n] != wanted(n))
			violate("15-errno", "sgx_init", "/dev/%s is %s\n"
				"sgx_init() gives 0, and the machine %s what it needs", devices[n],
				registered[n] ? "there" : "not there", wanted(n) ? "has" : "lacks");
	return !dead;
}

/* Whether the scenario says what sgx_init() meets. */
int eng_machine(void);
int eng_machine(void)
{
	return keep->config.machine != 0;
}

int eng_no_driver(void)
{
	return dead;
}

/* After all else: what nobody will ever undo. */
void machine_end(void)
{
	if (!dead)
		return;
	for (int n = 0; n < NR_DEVICES; n++)
		if (registered[n])
			violate("20-end", "sgx_init", "/dev/%s stays registered\n"
				"sgx_init() has failed", devices[n]);
	for (int n = 0; n < 9; n++)
		if (mapped[n])
			violate("20-end", "sgx_init", "an EPC section is left mapped\n"
				"sgx_init() has failed");
	if (W.task[W.ksgxd].sp && W.task[W.ksgxd].wait != WAIT_DONE)
		violate("20-end", "sgx_init", "ksgxd is left running\nsgx_init() has failed");
}
