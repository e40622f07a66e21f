/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ENCLS: the tree's encls.h is inline assembly, so its guard is taken and the
 * wrappers lead to the model of the hardware instead.
 */
#ifndef SHIM_ENCLS_H
#define SHIM_ENCLS_H

#define ENCLS_TRAPNR(r) ((r) & ~SGX_ENCLS_FAULT_FLAG)
#define ENCLS_WARN(r, name) do {					\
	int _r = (r);							\
	if (_r)								\
		eng_warn(__func__, "%s returned %d (0x%x)\n", name, _r, _r); \
	} while (0)

__shim bool encls_faulted(int ret)
{
	return ret & SGX_ENCLS_FAULT_FLAG;
}

__shim bool encls_failed(int ret)
{
	return encls_faulted(ret) ? ENCLS_TRAPNR(ret) != X86_TRAP_PF : ret != 0;
}

__shim int __ecreate(struct sgx_pageinfo *info, void *secs)
{
	const struct sgx_secs *src = (const struct sgx_secs *)(unsigned long)info->contents;
	struct eng_secs template = { src->size, src->base, src->attributes };

	return hw_ecreate(&template, secs);
}

__shim int __eadd(struct sgx_pageinfo *info, void *addr)
{
	const struct sgx_secinfo *si = (const struct sgx_secinfo *)(unsigned long)info->metadata;

	return hw_eadd((void *)(unsigned long)info->secs, info->addr, si->flags,
		       (const void *)(unsigned long)info->contents, addr);
}

__shim int __eextend(void *secs, void *addr)
{
	return hw_eextend(secs, addr);
}

__shim int __einit(void *sigstruct, void *token, void *secs)
{
	const struct sgx_sigstruct *by = sigstruct;

	return hw_einit(secs, by->modulus, sizeof(by->modulus));
}

__shim int __eremove(void *addr)
{
	return hw_eremove(addr);
}

__shim int __edbgwr(void *addr, unsigned long *data)
{
	return hw_edbgwr(addr, *data);
}

__shim int __edbgrd(void *addr, unsigned long *data)
{
	return hw_edbgrd(addr, data);
}

__shim int __etrack(void *addr)
{
	return hw_etrack(addr);
}

__shim int __eldu(struct sgx_pageinfo *info, void *addr, void *va)
{
	return hw_eldu(addr, (void *)(unsigned long)info->secs, info->addr,
		       (const void *)(unsigned long)info->contents,
		       (const void *)(unsigned long)info->metadata, va);
}

__shim int __eblock(void *addr)
{
	return hw_eblock(addr);
}

__shim int __epa(void *addr)
{
	return hw_epa(addr);
}

__shim int __ewb(struct sgx_pageinfo *info, void *addr, void *va)
{
	return hw_ewb(addr, (void *)(unsigned long)info->contents,
		      (void *)(unsigned long)info->metadata, va);
}

__shim int __emodpr(struct sgx_secinfo *secinfo, void *addr)
{
	return hw_emodpr(secinfo->flags, addr);
}

__shim int __emodt(struct sgx_secinfo *secinfo, void *addr)
{
	return hw_emodt(secinfo->flags, addr);
}

__shim int __eaug(struct sgx_pageinfo *info, void *addr)
{
	return hw_eaug((void *)(unsigned long)info->secs, info->addr, addr);
}

#endif
