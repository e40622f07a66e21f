# SPDX-License-Identifier: GPL-2.0-only
"""What ioctls share on the user's side: copies that may fault, partial progress."""

from __future__ import annotations

from typing import Any

from sgxmodel.kernel.task import fault_budget, may_fail
from sgxmodel.machine.layout import param, static
from sgxmodel.machine.notation import kernel
from sgxmodel.machine.op import pure, sometimes

USER_COPIES_FAIL = param("USER_COPIES_FAIL", 0)
"""Whether the scenario lets copies fault; where it does not they are no step."""
user_copy = static("user_copy", fault_budget)


@kernel
def copy_from_user() -> bool:
    """copy_from_user() of an ioctl's arguments; true where the user's page is not there."""
    if USER_COPIES_FAIL and may_fail(user_copy):
        sometimes("an ioctl's arguments could not be read")
        return True
    return False


@kernel
def copy_to_user() -> bool:
    """copy_to_user() of an ioctl's results: the work is done, and nobody learns how much."""
    if USER_COPIES_FAIL and may_fail(user_copy):
        sometimes("an ioctl's results could not be written")
        return True
    return False


@pure
def progress(ret: int, count: int, length: int) -> Any:
    """What the user sees: the result, and params.count where it says more than the result."""
    if count == (0 if ret else length):
        return ret
    return (ret, count)
