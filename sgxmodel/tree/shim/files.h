/* SPDX-License-Identifier: GPL-2.0-only */
/* Files, the misc devices, shmem, memory control groups. */
#ifndef SHIM_FILES_H
#define SHIM_FILES_H

struct poll_table_struct;
struct file_operations {
	struct module *owner;
	int (*open)(struct inode *inode, struct file *file);
	int (*release)(struct inode *inode, struct file *file);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd, unsigned long arg);
	long (*compat_ioctl)(struct file *file, unsigned int cmd, unsigned long arg);
	int (*mmap)(struct file *file, struct vm_area_struct *vma);
	unsigned long (*get_unmapped_area)(struct file *file, unsigned long addr,
					   unsigned long len, unsigned long pgoff,
					   unsigned long flags);
};

#define MISC_DYNAMIC_MINOR 255
struct miscdevice {
	int minor;
	const char *name;
	const char *nodename;
	const struct file_operations *fops;
	umode_t mode;
};

int shim_misc_register(struct miscdevice *dev);
#define misc_register(dev) shim_misc_register(dev)
void shim_misc_deregister(struct miscdevice *dev);
#define misc_deregister(dev) shim_misc_deregister(dev)

#define fput(f) eng_fput(f)
#define fget(fd) eng_fget(fd)
/* The class of file descriptors that clean up after themselves (6.11). */
#define CLASS(type, name) struct file *name __attribute__((cleanup(eng_fd_cleanup))) = eng_fget
#define fd_empty(f) (!(f))
#define fd_file(f) (f)
#define file_inode(f) ((f)->f_inode)
#define mapping_gfp_mask(m) GFP_KERNEL
#define shmem_file_setup(name, size, flags) eng_shmem_file_setup(size, __func__)
#define shmem_read_mapping_page_gfp(m, index, gfp) eng_shmem_read_page(m, index, __func__)
#define shmem_truncate_range(inode, start, end) eng_shmem_truncate(inode, start, end)

struct mem_cgroup;
#define get_mem_cgroup_from_mm(mm) eng_memcg_get(mm)
#define set_active_memcg(cg) eng_memcg_set_active(cg)
#define mem_cgroup_put(cg) eng_memcg_put(cg)

#endif
