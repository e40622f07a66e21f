# SPDX-License-Identifier: GPL-2.0-only
"""ioctl.c: arguments that no ioctl may take, as a broken or a hostile process passes them.

The model's ioctls take pages, so what is wrong with a struct of the UAPI
(<asm/sgx.h>) is a word here; a kernel tree gets the struct itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.calls import IOCTL, Verb
from sgxmodel.driver.structs import (
    EFAULT,
    EINVAL,
    SGX_ENCL_CREATED,
    SGX_ENCL_INITIALIZED,
    process,
    sgx_encl,
)
from sgxmodel.kernel.memory import IS_ERR
from sgxmodel.kernel.ref import test_bit
from sgxmodel.machine.notation import part_of
from sgxmodel.machine.op import sometimes

if TYPE_CHECKING:
    from sgxmodel.driver.ioctl import ioctl_begin, ioctl_end
    from sgxmodel.driver.sgx2 import sgx_ioc_sgx2_ready
    from sgxmodel.driver.user import copy_from_user


@part_of("sgx_ioctl")
def ioctl_refused(proc: process, adds: bool) -> Any:
    """SGX_IOC_ENCLAVE_ADD_PAGES, or an ioctl of SGX2, with an argument that is wrong."""
    encl = ioctl_begin(proc)
    if IS_ERR(encl):
        return encl
    ret = sgx_ioc_refused(encl, adds)
    ioctl_end(proc, encl)
    return ret


@part_of("sgx_ioctl")
def sgx_ioc_refused(encl: sgx_encl, adds: bool) -> int:
    """First whether the enclave is in the state for it, then the argument."""
    if adds:
        if not test_bit(SGX_ENCL_CREATED, encl.flags):
            return -EINVAL
        if test_bit(SGX_ENCL_INITIALIZED, encl.flags):
            return -EINVAL
    else:
        ret = sgx_ioc_sgx2_ready(encl)
        if ret:
            return ret
    if copy_from_user():
        return -EFAULT
    sometimes("an ioctl refused its argument")
    return -EINVAL


CALLS = (
    Verb("refused", ioctl_refused, ("enclave", "argument"),
         (*IOCTL[1:], "-ENODEV", "-EFAULT"), "an ioctl with an argument that is wrong"),
)  # fmt: skip
