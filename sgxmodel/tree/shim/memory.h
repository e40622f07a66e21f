/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocation: each block carries the expression of its size, which names its type. */
#ifndef SHIM_MEMORY_H
#define SHIM_MEMORY_H

#define GFP_KERNEL 1U
#define GFP_ATOMIC 0U
#define GFP_NOWAIT 0U
#define GFP_KERNEL_ACCOUNT 1U
#define __GFP_ZERO 2U

void *eng_alloc(size_t size, gfp_t gfp, const char *what, const char *func);
void eng_free(const void *ptr, const char *func);
void eng_check_range(const void *ptr, size_t size, int write);
void *eng_memset(void *p, int c, size_t n);
void *eng_memcpy(void *d, const void *s, size_t n);
void *eng_memchr_inv(const void *p, int c, size_t n);

#define kmalloc(size, gfp) eng_alloc(size, gfp, #size, __func__)
#define kzalloc(size, gfp) eng_alloc(size, (gfp) | __GFP_ZERO, #size, __func__)
#define kmalloc_array(n, size, gfp) eng_alloc((size_t)(n) * (size), gfp, #size, __func__)
#define kcalloc(n, size, gfp) eng_alloc((size_t)(n) * (size), (gfp) | __GFP_ZERO, #size, __func__)
#define kvmalloc kmalloc
#define kvzalloc kzalloc
#define vmalloc(size) eng_alloc(size, GFP_KERNEL, #size, __func__)
#define vzalloc(size) eng_alloc(size, GFP_KERNEL | __GFP_ZERO, #size, __func__)
#define kfree(p) eng_free(p, __func__)
#define kvfree(p) eng_free(p, __func__)
#define vfree(p) eng_free(p, __func__)
#define memset(p, c, n) eng_memset(p, c, n)
#define memcpy(d, s, n) eng_memcpy(d, s, n)
#define memchr_inv(p, c, n) eng_memchr_inv(p, c, n)

unsigned long eng_copy_user(void *dst, const void *src, unsigned long n, int from);
#define copy_from_user(d, s, n) eng_copy_user(d, (const void *)(s), n, 1)
#define copy_to_user(d, s, n) eng_copy_user((void *)(d), s, n, 0)
#define access_ok(p, n) ((p) != NULL)
#define __uaccess_begin() ((void)0)
#define __uaccess_end() ((void)0)

#endif
