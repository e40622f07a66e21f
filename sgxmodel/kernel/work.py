# SPDX-License-Identifier: GPL-2.0-only
"""Work that a kworker does later (kernel/workqueue.c), as far as it is met here."""

from __future__ import annotations

from typing import Any

from sgxmodel.machine.layout import State, Struct
from sgxmodel.machine.op import primitive


class workqueue(Struct):
    """What is to be done, in order."""

    items: Any = ()


@primitive(access="none", releases=True)
def schedule_work(S: State, queue: workqueue, item: Any) -> None:
    """Hand an object to the worker."""
    S[queue.items] = (*S[queue.items], item)


def _waits(S: State, queue: workqueue) -> bool:
    return bool(S[queue.items])


@primitive(enabled=_waits, access="none", acquires=True)
def next_work(S: State, queue: workqueue) -> Any:
    """The worker sleeps until there is something, and takes it."""
    item, *rest = S[queue.items]
    S[queue.items] = tuple(rest)
    return item
