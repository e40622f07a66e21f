// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process's ioctls, with the arguments of the UAPI as the tree's headers have
 * them.  Compiled with the driver, after probe.c.
 */

HARNESS static long ioctl_create(struct file *file, const struct eng_call *call, int encl)
{
	struct sgx_secs secs = {
		.base = (u64)(encl + 1) << 32,
		.size = (u64)eng_size(encl) << 12,
		.attributes = SGX_ATTR_MODE64BIT |
			      (call->verb == V_CREATE_DEBUG ? SGX_ATTR_DEBUG : 0),
		.xfrm = 3,
		.ssa_frame_size = 1,
	};
	struct sgx_enclave_create arg = { .src = (u64)(unsigned long)&secs };
	struct sgx_encl *made = file->private_data;
	long ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_CREATE, (unsigned long)&arg);

	if (!ret && !(made->flags >> SGX_ENCL_CREATED & 1))
		violate("15-errno", "sgx_encl_create", "sgx_encl_create() returns 0, but there is no enclave");
	return ret;
}

/*
 * Success means all of the range, and that no leaf has failed.  Not so for
 * SGX_IOC_ENCLAVE_ADD_PAGES, which a signal ends half way with success.
 */
HARNESS static void whole(const char *func, long ret, u64 count, u64 length, u64 result)
{
	if (!ret && count != length)
		violate("15-errno", func, "an ioctl returns 0 after a part of its range\n"
			"%lld of %lld bytes", count, length);
	if (!ret && result)
		violate("15-errno", func, "an ioctl returns 0 although an ENCLS leaf failed\n"
			"with %lld", result);
}

HARNESS static long ioctl_add(struct file *file, const struct eng_call *call, int encl, long *done)
{
	struct sgx_secinfo secinfo = {
		.flags = call->type == SGX_PAGE_TYPE_TCS ? SGX_SECINFO_TCS :
			 SGX_SECINFO_REG | SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_X,
	};
	struct sgx_enclave_add_pages arg = {
		.src = (u64)(encl << 8 | call->arg | 0x10000) << 12,
		.offset = (u64)call->arg << 12,
		.length = call->count * PAGE_SIZE,
		.secinfo = (u64)(unsigned long)&secinfo,
		.flags = SGX_PAGE_MEASURE,
	};
	long ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_ADD_PAGES, (unsigned long)&arg);

	*done = arg.count;
	return ret;
}

HARNESS static long ioctl_init(struct file *file)
{
	struct sgx_sigstruct sigstruct = { .modulus = { HOST_SIGNER } };
	struct sgx_enclave_init arg = { .sigstruct = (u64)(unsigned long)&sigstruct };

	return encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_INIT, (unsigned long)&arg);
}

HARNESS static long ioctl_restrict(struct file *file, const struct eng_call *call, long *done)
{
	struct sgx_enclave_restrict_permissions arg = {
		.offset = (u64)call->arg << 12, .length = call->count * PAGE_SIZE,
		.permissions = call->type,
	};
	long ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS,
					     (unsigned long)&arg);

	whole("sgx_enclave_restrict_permissions", ret, arg.count, arg.length, arg.result);
	*done = arg.count;
	return ret;
}

HARNESS static long ioctl_modify(struct file *file, const struct eng_call *call, long *done)
{
	struct sgx_enclave_modify_types arg = {
		.offset = (u64)call->arg << 12, .length = call->count * PAGE_SIZE,
		.page_type = call->type,
	};
	long ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_MODIFY_TYPES,
					     (unsigned long)&arg);

	whole("sgx_enclave_modify_types", ret, arg.count, arg.length, arg.result);
	*done = arg.count;
	return ret;
}

HARNESS static long ioctl_remove(struct file *file, const struct eng_call *call, long *done)
{
	struct sgx_enclave_remove_pages arg = {
		.offset = (u64)call->arg << 12, .length = call->count * PAGE_SIZE,
	};
	long ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_REMOVE_PAGES,
					     (unsigned long)&arg);

	whole("sgx_encl_remove_pages", ret, arg.count, arg.length, 0);
	*done = arg.count;
	return ret;
}

HARNESS static long ioctl_provision(struct file *file, const struct eng_call *call)
{
	struct sgx_enclave_provision arg = { .fd = call->type };
	struct sgx_encl *encl = file->private_data;
	int made = encl->flags >> SGX_ENCL_CREATED & 1;
	long ret;

	if (call->type != FD_NOTHING)
		eng_descriptor(call->type)->f_op =
			call->type == FD_PROVISION ? &sgx_provision_fops : encl_fops;
	ret = encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_PROVISION, (unsigned long)&arg);
	if (!ret && call->type != FD_PROVISION)
		violate("15-errno", "sgx_set_attribute", "an enclave gets the provision key\n"
			"the file descriptor is not one of /dev/sgx_provision");
	/* Before that ECREATE sets the mask. */
	if (!ret && made && !(encl->attributes_mask & SGX_ATTR_PROVISIONKEY))
		violate("15-errno", "sgx_set_attribute", "an enclave does not get the provision key\n"
			"although SGX_IOC_ENCLAVE_PROVISION succeeded");
	return ret;
}

/* An enclave's first page, as each ioctl would take it, but for one thing. */
HARNESS static long refused_restrict(struct file *file, int wrong, u64 offset, u64 length)
{
	struct sgx_enclave_restrict_permissions arg = {
		.offset = offset, .length = length, .permissions = SGX_SECINFO_R,
		.count = wrong == BAD_RESTRICT_COUNT ? PAGE_SIZE : 0,
		.result = wrong == BAD_RESTRICT_RESULT,
	};

	if (wrong == BAD_RESTRICT_UNKNOWN)
		arg.permissions |= 1 << 3;
	if (wrong == BAD_RESTRICT_WRITE_ONLY)
		arg.permissions = SGX_SECINFO_W;
	return encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS,
					 (unsigned long)&arg);
}

HARNESS static long refused_modify(struct file *file, int wrong, u64 offset, u64 length)
{
	struct sgx_enclave_modify_types arg = {
		.offset = offset, .length = length, .page_type = SGX_PAGE_TYPE_TRIM,
		.count = wrong == BAD_MODIFY_COUNT ? PAGE_SIZE : 0,
		.result = wrong == BAD_MODIFY_RESULT,
	};

	if (wrong == BAD_MODIFY_UNKNOWN)
		arg.page_type |= 1 << 8;
	return encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_MODIFY_TYPES, (unsigned long)&arg);
}

HARNESS static long refused_remove(struct file *file, int wrong, u64 offset, u64 length)
{
	struct sgx_enclave_remove_pages arg = {
		.offset = offset, .length = length,
		.count = wrong == BAD_REMOVE_COUNT ? PAGE_SIZE : 0,
	};

	return encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_REMOVE_PAGES, (unsigned long)&arg);
}

HARNESS static long refused_add(struct file *file, int wrong, u64 offset, u64 length, int encl)
{
	struct sgx_secinfo secinfo = { .flags = SGX_SECINFO_REG | SGX_SECINFO_R };
	struct sgx_enclave_add_pages arg = {
		.src = (u64)(encl << 8 | 0x10000) << 12, .offset = offset, .length = length,
		.secinfo = (u64)(unsigned long)&secinfo,
	};

	if (wrong == BAD_ADD_SOURCE)
		arg.src += 8;
	if (wrong == BAD_ADD_UNKNOWN)
		secinfo.flags |= 1UL << 16;
	if (wrong == BAD_ADD_WRITE_ONLY)
		secinfo.flags = SGX_SECINFO_REG | SGX_SECINFO_W;
	if (wrong == BAD_ADD_TCS_RIGHTS)
		secinfo.flags = SGX_SECINFO_TCS | SGX_SECINFO_R;
	if (wrong == BAD_ADD_RESERVED)
		secinfo.reserved[sizeof(secinfo.reserved) - 1] = 1;
	if (wrong == BAD_ADD_TYPE)
		secinfo.flags = SGX_SECINFO_TRIM | SGX_SECINFO_R;
	return encl_fops->unlocked_ioctl(file, SGX_IOC_ENCLAVE_ADD_PAGES, (unsigned long)&arg);
}

/* None of these may do anything, whatever state the enclave is in. */
HARNESS static long ioctl_refused(struct file *file, int wrong, int encl)
{
	u64 offset = 0, length = PAGE_SIZE;
	long ret;

	switch (wrong) {
	case BAD_RESTRICT_UNALIGNED: case BAD_MODIFY_UNALIGNED:
	case BAD_REMOVE_UNALIGNED: case BAD_ADD_UNALIGNED:
		offset = 8;
		break;
	case BAD_RESTRICT_EMPTY: case BAD_MODIFY_EMPTY:
	case BAD_REMOVE_EMPTY: case BAD_ADD_EMPTY:
		length = 0;
		break;
	case BAD_RESTRICT_BEYOND: case BAD_MODIFY_BEYOND:
	case BAD_REMOVE_BEYOND: case BAD_ADD_BEYOND:
		offset = (u64)eng_size(encl) << 12;
		break;
	case BAD_RESTRICT_WRAPS: case BAD_MODIFY_WRAPS:
	case BAD_REMOVE_WRAPS: case BAD_ADD_WRAPS:
		length = -PAGE_SIZE;
		offset = 2 * PAGE_SIZE;
		break;
	}
	ret = wrong < BAD_MODIFY_COUNT ? refused_restrict(file, wrong, offset, length) :
	      wrong < BAD_REMOVE_COUNT ? refused_modify(file, wrong, offset, length) :
	      wrong < BAD_ADD_SOURCE ? refused_remove(file, wrong, offset, length) :
	      refused_add(file, wrong, offset, length, encl);
	if (ret != -EINVAL && ret != -ENODEV && ret != -EFAULT && ret != -EBUSY)
		violate("15-errno", "sgx_ioctl", "an ioctl accepts an invalid argument\n"
			"it returns %ld", ret);
	return ret;
}

/* ``done``: bytes of the range, where the call says so. */
HARNESS long tree_ioctl(struct file *file, const struct eng_call *call, int encl, long *done)
{
	switch (call->verb) {
	case V_CREATE:
	case V_CREATE_DEBUG:
		return ioctl_create(file, call, encl);
	case V_ADD:
		return ioctl_add(file, call, encl, done);
	case V_INIT:
		return ioctl_init(file);
	case V_PROVISION:
		return ioctl_provision(file, call);
	case V_REFUSED:
		return ioctl_refused(file, call->arg, encl);
	case V_RESTRICT:
		return ioctl_restrict(file, call, done);
	case V_MODIFY:
		return ioctl_modify(file, call, done);
	case V_REMOVE:
		return ioctl_remove(file, call, done);
	}
	return -ENOTTY;
}
