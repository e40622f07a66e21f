/* SPDX-License-Identifier: GPL-2.0-only */
/* Plain types, bit macros, error pointers. */
#ifndef SHIM_TYPES_H
#define SHIM_TYPES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8, __u8;
typedef uint16_t u16, __u16;
typedef uint32_t u32, __u32;
typedef unsigned long long u64, __u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32, __s32;
typedef long long s64, __s64;
typedef _Bool bool;
typedef long ssize_t;
typedef unsigned long pgoff_t;
typedef u64 phys_addr_t;
typedef unsigned int vm_fault_t;
typedef unsigned int gfp_t;
typedef unsigned short umode_t;

#define true 1
#define false 0

#define __user
#define __iomem
#define __rcu
#define __init
#define __exit
#define __initdata
#define __read_mostly
#define __ro_after_init
#define __force
#define __must_check
#define __maybe_unused __attribute__((unused))
#define __always_unused __attribute__((unused))
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define __printf(a, b) __attribute__((format(printf, a, b)))
#define __shim static __always_inline __attribute__((unused))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define fallthrough __attribute__((fallthrough))
#define EXPORT_SYMBOL_GPL(name) extern int shim_export_##name __attribute__((unused))
#define EXPORT_SYMBOL(name) EXPORT_SYMBOL_GPL(name)
#define THIS_MODULE ((struct module *)0)
struct module;

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PFN_DOWN(x) ((unsigned long)(x) >> PAGE_SHIFT)
#define PFN_UP(x) (((unsigned long)(x) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define PFN_PHYS(x) ((phys_addr_t)(x) << PAGE_SHIFT)

#define BITS_PER_LONG 64
#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define GENMASK(h, l) ((~0UL << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l) ((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define BITS_TO_LONGS(n) (((n) + 63) / 64)
#define DECLARE_BITMAP(name, n) unsigned long name[BITS_TO_LONGS(n)]

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
#define ALIGN(x, a) (((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define IS_ALIGNED(x, a) (((x) & ((typeof(x))(a) - 1)) == 0)
#define min(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) ({ typeof(a) _a = (a); typeof(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(t, a, b) ({ t _a = (a); t _b = (b); _a < _b ? _a : _b; })
#define max_t(t, a, b) ({ t _a = (a); t _b = (b); _a > _b ? _a : _b; })
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define sizeof_field(t, m) sizeof(((t *)0)->m)
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))

/* Watermarks and slot counts are run-time variables here: see unity. */
#define BUILD_BUG_ON(cond) ((void)sizeof(cond))
#define static_assert(expr, ...) _Static_assert(expr, #expr)

__shim bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

#define MAX_ERRNO 4095
#define EPERM 1
#define EINTR 4
#define ENOENT 2
#define EIO 5
#define ENXIO 6
#define EBADF 9
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define ENOTTY 25
#define ERANGE 34
#define EOPNOTSUPP 95
#define ERESTARTSYS 512
#define ENOIOCTLCMD 515

/* A call, so that the engine sees who tells whom no, and what there was just then. */
void *eng_err_ptr(long error, const char *func);
#define ERR_PTR(error) eng_err_ptr(error, __func__)

__shim long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

__shim bool IS_ERR(const void *ptr)
{
	return (unsigned long)ptr >= (unsigned long)-MAX_ERRNO;
}

__shim bool IS_ERR_OR_NULL(const void *ptr)
{
	return !ptr || IS_ERR(ptr);
}

__shim void *ERR_CAST(const void *ptr)
{
	return (void *)ptr;
}

__shim int PTR_ERR_OR_ZERO(const void *ptr)
{
	return IS_ERR(ptr) ? (int)PTR_ERR(ptr) : 0;
}

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
/* What orders accesses beside locks, for the race detector (engine/race.c). */
void eng_publish(const void *object);
void eng_consume(const void *object);
void eng_data_race(int change);

#define data_race(expr) ({						\
	__auto_type _value = (eng_data_race(1), (expr));		\
	eng_data_race(-1);						\
	_value; })
/* One order of all: what fences are for is weak memory, which is not modelled. */
#define smp_wmb() eng_publish(NULL)
#define smp_rmb() eng_consume(NULL)
#define smp_mb() (eng_consume(NULL), eng_publish(NULL))
#define barrier() __asm__ volatile("" ::: "memory")
#define smp_load_acquire(p) ({						\
	__auto_type _value = READ_ONCE(*(p));				\
	eng_consume(p);							\
	_value; })
#define smp_store_release(p, v) (eng_publish(p), WRITE_ONCE(*(p), v))

#define _IO_CODE(dir, type, nr, size) (((dir) << 30) | ((size) << 16) | ((type) << 8) | (nr))
#define _IO(type, nr) _IO_CODE(0U, type, nr, 0U)
#define _IOW(type, nr, t) _IO_CODE(1U, type, nr, (unsigned int)sizeof(t))
#define _IOR(type, nr, t) _IO_CODE(2U, type, nr, (unsigned int)sizeof(t))
#define _IOWR(type, nr, t) _IO_CODE(3U, type, nr, (unsigned int)sizeof(t))

#endif
