/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUs, nodes, CPUID, boot, and what is left. */
#ifndef SHIM_MACHINE_H
#define SHIM_MACHINE_H

#define X86_TRAP_GP 13
#define X86_TRAP_PF 14
#define X86_FEATURE_SGX 1
#define X86_FEATURE_SGX_LC 2
#define X86_FEATURE_SGX2 3
#define X86_FEATURE_OSXSAVE 4
#define X86_FEATURE_VMX 5
#define cpu_feature_enabled(f) eng_cpu_feature(f)
#define boot_cpu_has(f) eng_cpu_feature(f)
void eng_cpuid(unsigned int leaf, unsigned int sub, unsigned int *regs);
#define cpuid_count(leaf, sub, a, b, c, d) ({			\
	unsigned int _r[4];					\
	eng_cpuid(leaf, sub, _r);				\
	*(a) = _r[0]; *(b) = _r[1]; *(c) = _r[2]; *(d) = _r[3]; })
#define MSR_IA32_SGXLEPUBKEYHASH0 0x8c
#define wrmsrl(msr, val) eng_wrmsr(msr, val)

/* Which CPUs: one task is one CPU, so a mask is a mask of tasks. */
typedef struct {
	unsigned long bits;
} cpumask_t;
#define cpumask_clear(m) ((m)->bits = 0)
#define cpumask_or(d, a, b) ((d)->bits = (a)->bits | (b)->bits)
#define mm_cpumask(mm) ((cpumask_t *)eng_mm_cpumask(mm))
#define on_each_cpu_mask(mask, fn, info, wait) eng_ipi((mask)->bits)

typedef struct {
	unsigned long bits;
} nodemask_t;
#define NUMA_NO_NODE (-1)
#define MAX_NUMNODES 8
#define N_MEMORY 0
#define N_CPU 1
#define node_isset(n, mask) (((mask).bits >> (n)) & 1)
#define node_set(n, mask) ((void)((mask).bits |= 1UL << (n)))
#define nodes_empty(mask) (!(mask).bits)
#define nodes_weight(mask) __builtin_popcountl((mask).bits)
#define next_node_in(n, mask) eng_next_node(n, (mask).bits)
#define first_node(mask) eng_next_node(-1, (mask).bits)
#define num_possible_nodes() eng_nr_nodes()
#define num_online_nodes() eng_nr_nodes()
#define nr_node_ids eng_nr_nodes()
#define for_each_online_node(n) for (n = 0; n < eng_nr_nodes(); n++)
#define for_each_node(n) for_each_online_node(n)
#define node_state(n, s) 1
#define numa_node_id() eng_node_of_current()
#define numa_map_to_online_node(n) (n)
#define phys_to_target_node(pa) eng_node_of_phys(pa)

#define MEMREMAP_WB 1
#define memremap(pa, size, flags) eng_memremap(pa, size)
#define memunmap(p) eng_memunmap(p)

struct crypto_shash;
#define CRYPTO_ALG_ASYNC 0x80
#define crypto_alloc_shash(name, type, mask) ((struct crypto_shash *)eng_current())
#define crypto_free_shash(tfm) ((void)(tfm))
struct shash_desc { struct crypto_shash *tfm; };
#define SHASH_DESC_ON_STACK(n, tfm) struct shash_desc n##_storage, *n = &n##_storage
#define crypto_shash_digest(desc, data, len, out) eng_digest(data, len, out)

typedef int (*initcall_t)(void);
#define device_initcall(fn) int eng_tree_initcall(void) { return fn(); }

#endif
