/* SPDX-License-Identifier: GPL-2.0-only */
/* The XArray: a small sorted table under a lock of its own; reads are lockless. */
#ifndef SHIM_XARRAY_H
#define SHIM_XARRAY_H

#define xarray eng_xarray
#define DEFINE_XARRAY(n) struct xarray n = { .lock = ENG_UNLOCKED("xa_lock", ENG_SPIN) }
#define xa_init(xa) eng_xa_init(xa)
#define xa_init_flags(xa, flags) eng_xa_init(xa)
#define xa_load(xa, index) eng_xa_load(xa, index)
#define xa_insert(xa, index, entry, gfp) eng_xa_insert(xa, index, entry, gfp, __func__)
#define xa_store(xa, index, entry, gfp) eng_xa_store(xa, index, entry, gfp, __func__)
#define xa_store_range(xa, first, last, entry, gfp) eng_xa_store_range(xa, first, last, entry)
#define xa_erase(xa, index) eng_xa_erase(xa, index, __func__)
#define xa_destroy(xa) eng_xa_destroy(xa, __func__)
#define xa_empty(xa) (READ_ONCE((xa)->count) == 0)
#define xa_err(p) (IS_ERR(p) ? (int)PTR_ERR(p) : 0)
#define xa_lock(xa) eng_lock(&(xa)->lock, __func__)
#define xa_unlock(xa) eng_unlock(&(xa)->lock, __func__)
#define xa_for_each(xa, index, entry)					\
	for (index = 0, entry = eng_xa_find(xa, &index, ~0UL); entry;	\
	     index++, entry = eng_xa_find(xa, &index, ~0UL))

unsigned long __attribute__((const)) eng_check_sched(void);	/* see tunables.h */
#define XA_CHECK_SCHED eng_check_sched()
struct xa_state {
	struct xarray *xa;
	unsigned long xa_index;
};
#define XA_STATE(name, array, index) struct xa_state name = { (array), (index) }
#define xas_lock(xas) eng_lock(&(xas)->xa->lock, __func__)
#define xas_unlock(xas) eng_unlock(&(xas)->xa->lock, __func__)
#define xas_pause(xas) ((void)(xas))
#define xas_for_each(xas, entry, last)					\
	for (entry = eng_xa_find((xas)->xa, &(xas)->xa_index, last); entry;	\
	     (xas)->xa_index++, entry = eng_xa_find((xas)->xa, &(xas)->xa_index, last))

#endif
