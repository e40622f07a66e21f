/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel objects that the driver embeds or points to, and the calls on them.
 * Seen by the driver under test (through the shim) and by the engine.
 */
#ifndef ENGINE_OBJECTS_H
#define ENGINE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

struct file;
struct inode;
struct page;
struct address_space;
struct mm_struct;
struct vm_area_struct;
struct task_struct;
struct mem_cgroup;

/* -- locks.c --------------------------------------------------------------------------- */

enum eng_lock_kind { ENG_SPIN, ENG_MUTEX, ENG_RWSEM };

struct eng_lock {
	const char *name;		/* the expression of its initialiser: its lockdep class */
	struct task_struct *owner;	/* who holds it, for writing */
	int kind;
	unsigned int readers;		/* mask of tasks that hold it for reading */
	unsigned int writers_waiting;
	/* What its name says of it, once somebody has asked: see known() in locks.c. */
	signed char known, class, of_all, of_encl;
};

void eng_lock_init(struct eng_lock *lock, const char *name, int kind);
void eng_lock(struct eng_lock *lock, const char *func);
int eng_trylock(struct eng_lock *lock, const char *func);
void eng_unlock(struct eng_lock *lock, const char *func);
int eng_is_locked(struct eng_lock *lock);
int eng_is_held(struct eng_lock *lock);
void eng_might_sleep(const char *func);
void eng_cond_resched(const char *func);
void eng_preempt(int change);
int eng_preemptible(void);

/* -- atomic.c -------------------------------------------------------------------------- */

long eng_atomic_read(long *counter);
void eng_atomic_set(long *counter, long value);
long eng_atomic_add(long *counter, long n);
int eng_bit_set(int bit, unsigned long *word);
int eng_bit_clear(int bit, unsigned long *word);
int eng_bit_test(int bit, const unsigned long *word);
void eng_ref_init(int *count);
void eng_ref_get(int *count, const char *func);
int eng_ref_get_unless_zero(int *count);
int eng_ref_put(int *count, const char *func);
int eng_ref_read(const int *count);

/* -- srcu.c, wait.c -------------------------------------------------------------------- */

struct eng_srcu {
	const char *name;
	unsigned int readers;		/* mask of tasks inside a read section */
	unsigned char nest[24];		/* how deep each one is */
};

int eng_srcu_init(struct eng_srcu *srcu, const char *name);
void eng_srcu_cleanup(struct eng_srcu *srcu, const char *func);
int eng_srcu_read_lock(struct eng_srcu *srcu);
void eng_srcu_read_unlock(struct eng_srcu *srcu, int idx);
void eng_srcu_synchronize(struct eng_srcu *srcu, const char *func);

struct eng_waitq {
	const char *name;
	unsigned int waiters;		/* mask of tasks on the queue */
};

void eng_prepare_to_wait(struct eng_waitq *queue);
void eng_schedule(struct eng_waitq *queue);
void eng_finish_wait(struct eng_waitq *queue);
void eng_wake_up(struct eng_waitq *queue);

/* -- sched.c --------------------------------------------------------------------------- */

void eng_yield_point(void);

struct task_struct {
	struct mm_struct *mm;
	unsigned int personality;
};

struct task_struct *eng_current(void);
int eng_signal_pending(void);
void eng_force_sig(int sig);
int eng_kthread_should_stop(void);
struct task_struct *eng_kthread_run(int (*fn)(void *), void *data);
void eng_kthread_stop(struct task_struct *task);

/* -- mm.c ------------------------------------------------------------------------------ */

struct mm_struct {
	struct eng_lock mmap_lock;
	int users;			/* mm_users: threads and mmget() */
	int count;			/* mm_count: notifiers, and one for all users */
	int proc;			/* which process of the scenario this is */
	int encl;			/* the enclave that it maps */
	unsigned long cpus;		/* mask of tasks that have it loaded */
	struct eng_notifier *notifiers;
	struct vm_area_struct *vma;	/* by address */
	unsigned long (*get_unmapped_area)(struct file *, unsigned long, unsigned long,
					   unsigned long, unsigned long);
	unsigned long pte[64];		/* EPC frame number + 1 << 12 | PTE_... */
};

#define PTE_PRESENT 1UL
#define PTE_YOUNG 2UL
#define PTE_WRITE 4UL

struct vm_area_struct {
	unsigned long vm_start, vm_end;
	struct mm_struct *vm_mm;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
	void *vm_private_data;
	struct vm_area_struct *next;
};

struct eng_notifier;
struct eng_notifier_ops {
	void (*release)(struct eng_notifier *mn, struct mm_struct *mm);
	void (*free_notifier)(struct eng_notifier *mn);
};

struct eng_notifier {
	const struct eng_notifier_ops *ops;
	struct mm_struct *mm;
	struct eng_notifier *next;
	unsigned int users;
	int hashed;
};

void eng_mmap_lock(struct mm_struct *mm, int write, const char *func);
void eng_mmap_unlock(struct mm_struct *mm, int write, const char *func);
int eng_mmget_not_zero(struct mm_struct *mm);
void eng_mmput(struct mm_struct *mm);
void eng_mmput_async(struct mm_struct *mm);
struct vm_area_struct *eng_vma_lookup(struct mm_struct *mm, unsigned long addr);
struct vm_area_struct *eng_find_vma(struct mm_struct *mm, unsigned long addr);
unsigned long *eng_pte_lock(struct mm_struct *mm, unsigned long addr);
void eng_pte_unlock(struct mm_struct *mm);
unsigned int eng_insert_pfn(struct vm_area_struct *vma, unsigned long addr, unsigned long pfn,
			    const char *func);
void eng_zap_ptes(struct vm_area_struct *vma, unsigned long addr, unsigned long size);
unsigned long *eng_mm_cpumask(struct mm_struct *mm);
int eng_notifier_register(struct eng_notifier *mn, struct mm_struct *mm);
void eng_notifier_unregister(struct eng_notifier *mn, struct mm_struct *mm);
void eng_notifier_put(struct eng_notifier *mn);
int eng_get_user_pages(unsigned long addr, struct page **pages);

/* -- files.c, shmem.c ------------------------------------------------------------------ */

struct address_space {
	struct file *file;
};

struct inode {
	struct address_space *i_mapping;
};

struct file {
	const struct file_operations *f_op;
	void *private_data;
	struct address_space *f_mapping;
	struct inode *f_inode;
	int refs;
	struct file *later;		/* of the task work that releases it */
	int shmem;			/* index of the backing store, or -1 */
	int encl;			/* which process opened it */
	unsigned long size;
	struct address_space mapping;
	struct inode inode;
};

void eng_fput(struct file *file);
struct file *eng_fget(unsigned int fd);
struct file *eng_descriptor(int fd);
void eng_fd_cleanup(struct file **file);
struct file *eng_shmem_file_setup(unsigned long size, const char *func);
struct page *eng_shmem_read_page(struct address_space *mapping, unsigned long index,
				 const char *func);
void eng_shmem_truncate(struct inode *inode, unsigned long start, unsigned long end);
void eng_get_page(struct page *page);
void eng_put_page(struct page *page, const char *func);
void eng_set_page_dirty(struct page *page);
void *eng_page_address(struct page *page);
struct mem_cgroup *eng_memcg_get(struct mm_struct *mm);
struct mem_cgroup *eng_memcg_set_active(struct mem_cgroup *memcg);
void eng_memcg_put(struct mem_cgroup *memcg);

/* -- xarray.c -------------------------------------------------------------------------- */

#define ENG_XA_SLOTS 40

struct eng_xarray {
	struct eng_lock lock;
	int count;
	struct {
		unsigned long first, last;
		void *entry;
	} slot[ENG_XA_SLOTS];
};

void eng_xa_init(struct eng_xarray *xa);
void *eng_xa_load(struct eng_xarray *xa, unsigned long index);
void *eng_xa_find(struct eng_xarray *xa, unsigned long *index, unsigned long last);
int eng_xa_insert(struct eng_xarray *xa, unsigned long index, void *entry, unsigned int gfp,
		  const char *func);
void *eng_xa_store(struct eng_xarray *xa, unsigned long index, void *entry, unsigned int gfp,
		   const char *func);
void *eng_xa_store_range(struct eng_xarray *xa, unsigned long first, unsigned long last,
			 void *entry);
void *eng_xa_erase(struct eng_xarray *xa, unsigned long index, const char *func);
void eng_xa_destroy(struct eng_xarray *xa, const char *func);

/* -- epcm.c: the ENCLS leaves ---------------------------------------------------------- */

/* The EPC is not memory here: nobody may dereference these addresses. */
#define EPC_VIRT 0x7e0000000000UL
#define EPC_PHYS 0x8100000000UL	/* bits of both words of CPUID */
#define EPC_STRIDE (1UL << 24)		/* distance of two nodes' sections */

struct eng_secs {
	uint64_t size, base, attributes;
};

int hw_ecreate(const struct eng_secs *template, void *addr);
int hw_eadd(void *secs, uint64_t linaddr, uint64_t flags, const void *contents, void *addr);
int hw_eextend(void *secs, void *addr);
int hw_einit(void *secs, const void *modulus, size_t len);
int hw_eremove(void *addr);
int hw_epa(void *addr);
int hw_eblock(void *addr);
int hw_etrack(void *secs);
int hw_ewb(void *addr, void *contents, void *pcmd, void *va_slot);
int hw_eldu(void *addr, void *secs, uint64_t linaddr, const void *contents, const void *pcmd,
	    void *va_slot);
int hw_eaug(void *secs, uint64_t linaddr, void *addr);
int hw_emodpr(uint64_t flags, void *addr);
int hw_emodt(uint64_t flags, void *addr);
int hw_edbgrd(void *addr, unsigned long *data);
int hw_edbgwr(void *addr, unsigned long data);

/* -- boot.c, machine.c ---------------------------------------------------------------------------- */

/* What a scenario sets and the kernel has as constants (see unity). */
struct eng_tunables {
	int scan, low, high, va_slots;
};
extern struct eng_tunables eng_tunables;

int eng_cpu_feature(int feature);
int eng_next_node(int node, unsigned long mask);
int eng_nr_nodes(void);
int eng_node_of_current(void);
int eng_node_of_phys(unsigned long long pa);
void *eng_memremap(unsigned long long pa, unsigned long size);
void eng_memunmap(const void *addr);
int eng_misc_register(const char *name);
void eng_misc_deregister(const char *name);
int eng_no_driver(void);
void eng_ipi(unsigned long mask);
void eng_wrmsr(unsigned int msr, unsigned long long value);
int eng_digest(const void *data, size_t len, void *out);

#endif
