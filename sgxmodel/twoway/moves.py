# SPDX-License-Identifier: GPL-2.0-only
"""What a run of the model and a run of a tree have in common: who took which lock when.

A run is told as *moves*, (task, what it did).  Those of ``LOCKS`` are its lock
sections, in the order in which they began; those of ``FINE`` add what is done
without a lock and may decide what a call does: leaves, look-ups, references.
properties/tree/test_concurrent.py holds that a call alone makes the same moves
on both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sgxmodel.kernel.lock import (
    down_read,
    down_write,
    down_write_nested,
    mutex_lock,
    spin_lock,
)
from sgxmodel.machine.system import System
from sgxmodel.tree.plan import Plan
from sgxmodel.tree.steps import Event

Move = tuple[str, str]
"""(task, what)"""

_TREE_LOCKS = {
    "spin_lock(sgx_reclaimer_lock)": "reclaimer lock",
    "spin_lock(&sgx_numa_nodes[nid].lock)": "node lock",
    "spin_lock(&encl->mm_lock)": "mm_lock",
    "mutex_lock(&encl->lock)": "encl lock",
    "mutex_lock(&vepc->lock)": "vepc lock",
    "mutex_lock(&zombie_secs_pages_lock)": "zombie lock",
    "mmap_read_lock(mmap_lock)": "mmap_lock",
    "mmap_write_lock(mmap_lock)": "mmap_lock",
}
_MODEL_LOCKS = (
    ("sgx_reclaimer_lock", "reclaimer lock"),
    (r"node\d+\.lock", "node lock"),
    (r"encl\d*\.mm_lock", "mm_lock"),
    (r"encl\d*\.lock", "encl lock"),
    (r"vepc.*\.lock", "vepc lock"),
    (r".*\.zombie_secs_pages_lock", "zombie lock"),
    (r".*\.mmap_lock", "mmap_lock"),
)
LOCKS = frozenset(_TREE_LOCKS.values())
_LEAVES = frozenset(
    [
        "ECREATE",
        "EADD",
        "EINIT",
        "EREMOVE",
        "EPA",
        "EAUG",
        "EBLOCK",
        "ETRACK",
        "EWB",
        "ELDU",
        "EMODPR",
        "EMODT",
    ]
)
_REFERENCES = frozenset(("kref_get_unless_zero", "kref_put"))
_ACCESS, _LOOK = "access", "look-up"
RETURNS, FAILS = "returns", "fails"
FINE = LOCKS | _LEAVES | _REFERENCES | {"xa_insert", "xa_erase", _ACCESS, _LOOK, RETURNS, FAILS}
_STEPS = {"access_page": _ACCESS, "eng_xa_load": _LOOK}
"""What the engine only announces: it happens when the task runs on."""
_TAKES = (spin_lock, mutex_lock, down_read, down_write, down_write_nested)
_CALL = re.compile(r"(\w+)\((.*?)\)")


def _counts(verb: str, what: str) -> bool:
    """Whether both sides make this move of a call.

    A guest's access looks under the vepc's lock in the model, even at what is mapped; its
    leaves have other names.  A debugger's write is one look-up in the model, two in the
    engine.
    """
    if what in (RETURNS, FAILS):
        return True
    if verb.startswith("guest-"):
        return what == "node lock"
    if verb.startswith("vepc-"):
        return what in LOCKS and what != "mmap_lock"
    return not (verb == "poke" and what == "encl lock")


def of_tree(plan: Plan, events: list[Event]) -> Iterator[Move]:
    """The moves of a run of the engine, until all calls have returned."""
    announced: dict[int, str] = {}
    running = events[0].task if events else 0
    depth = [0] * len(plan.tasks)
    for event in events:
        task, text = event.task, event.text
        if text.startswith("switch "):
            running = task = int(text.split()[1])
        if task in announced and task == running:
            yield plan.tasks[task], announced.pop(task)
        if plan.tasks[event.task] == "end" and text.startswith("state "):
            return
        what = _of_event(text, depth[task])
        depth[task] += text.startswith("mutex_lock(") - text.startswith("mutex_unlock(")
        verb = plan.texts[event.call].split()[0] if event.call >= 0 else plan.tasks[event.task]
        if not what or not _counts(verb, what):
            continue
        if what == _LOOK and verb not in ("touch", "run", "accept"):
            continue
        if text.startswith("step "):
            announced[task] = what
        else:
            yield plan.tasks[task], what


def _of_event(text: str, mutexes: int) -> str | None:
    if text.startswith("step "):
        what = _STEPS.get(text.removeprefix("step "))
        return None if what == _LOOK and mutexes else what
    if text.startswith("returns "):
        return RETURNS
    if text == "fails on request":
        return FAILS
    if text in _TREE_LOCKS:
        return _TREE_LOCKS[text]
    said = _CALL.match(text)
    if not said or said[1] not in FINE:
        return None
    if said[1] in _REFERENCES and not said[2].startswith("encl#"):
        return None
    return said[1]


def of_model(system: System, t: int) -> str | None:
    """What the pending operation of a task is called among the moves, if it is one."""
    op = system.pending[t]
    what = _of_op(system, t) if op else None
    spec = system.tasks[t]
    verb = spec.name if spec.daemon else spec.calls[system.position[t]].text.split()[0]
    return what if what and _counts(verb, what) else None


def _of_op(system: System, t: int) -> str | None:
    op = system.pending[t]
    assert op is not None
    prim, a, _ = op
    name = prim.name
    if system.site(t).function == "exit_mmap":
        return None  # the engine takes no mmap_lock there, as nobody else has the mm
    if prim in _TAKES:
        return next((to for lock, to in _MODEL_LOCKS if re.fullmatch(lock, str(a))), None)
    if name in ("enclave_access", "EACCEPT"):
        return _ACCESS
    if name == "xa_load":
        return _LOOK if system.site(t).function == "sgx_vma_fault" else None
    if name in _REFERENCES:
        return name if re.fullmatch(r"encl\d*\.refcount", str(a)) else None
    return name if name in FINE else None
