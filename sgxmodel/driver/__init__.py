# SPDX-License-Identifier: GPL-2.0-only
"""The SGX driver of Linux 6.1 and 6.12 as far as all revisions share it.

Function names, order and sense are the kernel's (arch/x86/kernel/cpu/sgx);
files follow its files.  What a revision decides (which lists there are, which
flags a kind of page gets, the reclaim pass) is called by name and found in
sgxmodel.revisions.
"""
