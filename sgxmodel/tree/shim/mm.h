/* SPDX-License-Identifier: GPL-2.0-only */
/* Address spaces, page faults, notifiers, struct page. */
#ifndef SHIM_MM_H
#define SHIM_MM_H

#define VM_READ 0x1UL
#define VM_WRITE 0x2UL
#define VM_EXEC 0x4UL
#define VM_SHARED 0x8UL
#define VM_MAYREAD 0x10UL
#define VM_MAYWRITE 0x20UL
#define VM_MAYEXEC 0x40UL
#define VM_PFNMAP 0x400UL
#define VM_IO 0x4000UL
#define VM_DONTCOPY 0x20000UL
#define VM_WIPEONFORK 0x2000000UL
#define VM_DONTEXPAND 0x40000UL
#define VM_NORESERVE 0x200000UL
#define VM_DONTDUMP 0x4000000UL
#define VM_ACCESS_FLAGS (VM_READ | VM_WRITE | VM_EXEC)
#define PROT_READ 1UL
#define PROT_WRITE 2UL
#define PROT_EXEC 4UL
#define MAP_PRIVATE 2UL
#define MAP_TYPE 15UL
#define MAP_FIXED 16UL

#define VM_FAULT_OOM 0x1U
#define VM_FAULT_SIGBUS 0x2U
#define VM_FAULT_NOPAGE 0x100U
#define VM_FAULT_RETRY 0x400U
#define FAULT_FLAG_WRITE 1U
#define FAULT_FLAG_ALLOW_RETRY 4U

struct vm_area_struct;

typedef struct {
	unsigned long pte;
} pte_t;

struct vm_fault {
	struct vm_area_struct *vma;
	unsigned long address;
	unsigned int flags;
};

struct vm_operations_struct {
	void (*open)(struct vm_area_struct *vma);
	void (*close)(struct vm_area_struct *vma);
	int (*mprotect)(struct vm_area_struct *vma, unsigned long start, unsigned long end,
			unsigned long newflags);
	vm_fault_t (*fault)(struct vm_fault *vmf);
	int (*access)(struct vm_area_struct *vma, unsigned long addr, void *buf, int len,
		      int write);
};

#define mmap_read_lock(mm) eng_mmap_lock(mm, 0, __func__)
#define mmap_read_unlock(mm) eng_mmap_unlock(mm, 0, __func__)
#define mmap_write_lock(mm) eng_mmap_lock(mm, 1, __func__)
#define mmap_write_unlock(mm) eng_mmap_unlock(mm, 1, __func__)
#define mmap_assert_write_locked(mm) WARN_ON((mm)->mmap_lock.owner == NULL)
#define mmap_assert_locked(mm) \
	WARN_ON(!(mm)->mmap_lock.owner && !(mm)->mmap_lock.readers)

#define mmget_not_zero(mm) eng_mmget_not_zero(mm)
#define mmput_async(mm) eng_mmput_async(mm)
#define mmput(mm) eng_mmput(mm)
#define vma_lookup(mm, addr) eng_vma_lookup(mm, addr)
#define find_vma(mm, addr) eng_find_vma(mm, addr)
#define vm_flags_set(vma, flags) ((void)((vma)->vm_flags |= (flags)))
#define vm_flags_clear(vma, flags) ((void)((vma)->vm_flags &= ~(flags)))
#define calc_vm_prot_bits(prot, pkey) ((unsigned long)(prot) & 7UL)
#define _calc_vm_trans(x, from, to) (((x) & (from)) ? (to) : 0)
#define vmf_insert_pfn(vma, addr, pfn) eng_insert_pfn(vma, addr, pfn, __func__)
#define zap_vma_ptes(vma, addr, size) eng_zap_ptes(vma, addr, size)
#define mm_get_unmapped_area(mm, file, addr, len, pgoff, flags) (addr)

void eng_saw_young(int young);

__shim int pte_young(pte_t pte)
{
	eng_saw_young((pte.pte & PTE_YOUNG) != 0);
	return (pte.pte & PTE_YOUNG) != 0;
}

__shim pte_t pte_mkold(pte_t pte)
{
	pte.pte &= ~PTE_YOUNG;
	return pte;
}

#define set_pte_at(mm, addr, ptep, val) ((void)(mm), (void)(addr), *(ptep) = (val))

typedef int (*pte_fn_t)(pte_t *pte, unsigned long addr, void *data);
#define apply_to_page_range(mm, addr, size, fn, data) ({		\
	struct mm_struct *_mm = (mm);					\
	unsigned long _addr = (addr);					\
	pte_t *_ptep = (pte_t *)eng_pte_lock(_mm, _addr);		\
	int _ret = _ptep ? (fn)(_ptep, _addr, data) : 0;		\
	eng_pte_unlock(_mm);						\
	_ret; })

#define mmu_notifier eng_notifier
#define mmu_notifier_ops eng_notifier_ops
#define __mmu_notifier_register(mn, mm) eng_notifier_register(mn, mm)
#define mmu_notifier_register(mn, mm) eng_notifier_register(mn, mm)
#define mmu_notifier_unregister(mn, mm) eng_notifier_unregister(mn, mm)
#define mmu_notifier_put(mn) eng_notifier_put(mn)

#define get_page(p) eng_get_page(p)
#define put_page(p) eng_put_page(p, __func__)
#define set_page_dirty(p) eng_set_page_dirty(p)
#define page_address(p) eng_page_address(p)
#define kmap_local_page(p) eng_page_address(p)
#define kmap_atomic(p) eng_page_address(p)
#define kunmap_local(p) ((void)(p))
#define kunmap_atomic(p) ((void)(p))
/* The fifth argument left with 6.5. */
#define get_user_pages(start, nr, flags, pages, ...) eng_get_user_pages(start, pages)

#define MF_ACTION_REQUIRED 2

#endif
