# SPDX-License-Identifier: GPL-2.0-only
"""Tasks, and the system that steps them one operation at a time.

The system decides nothing: who runs and which outcome a choice has is the
scheduler's business.  It knows tasks and operations, nothing of what they
mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import attrs

from sgxmodel.machine.blocks import Site
from sgxmodel.machine.layout import CHOICE, CURRENT, State, Struct, show
from sgxmodel.machine.op import LOAD, SOMETIMES, STORE, Fault, Op, Recorder
from sgxmodel.machine.program import CALL, RETURN, Frame, Image

START = Site("start", "", 0, "start")


@attrs.frozen
class Call:
    """One kernel or user call of a task, in the words of a scenario."""

    text: str
    function: str
    args: tuple[Any, ...]


@attrs.frozen
class TaskSpec:
    """A task: its name, its task_struct, and the calls that it makes one after the other.

    A ``daemon`` may be asleep or busy when a run ends; the ``last`` task begins
    when all others but the daemons are done.
    """

    name: str
    handle: Any
    calls: tuple[Call, ...]
    daemon: bool = False
    last: bool = False


class Observer(Protocol):
    """What watches a run.  All methods are told the task's index."""

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None: ...

    def fault(self, t: int, site: Site, fault: Fault) -> None: ...

    def sometimes(self, what: str) -> None: ...

    def returned(self, t: int, call: Call, value: Any) -> None: ...


class Silent:
    """An observer that watches nothing (set-up, the bare loop of the benchmarks)."""

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        pass

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        raise fault

    def sometimes(self, what: str) -> None:
        pass

    def returned(self, t: int, call: Call, value: Any) -> None:
        pass


@attrs.frozen
class Snapshot:
    """The whole state: shared slots and every task's local state.  Hashable."""

    shared: tuple[Any, ...]
    locals: tuple[Any, ...]


def _dereference(error: AttributeError) -> str:
    # A struct of another type, NULL, an error code taken for a pointer (ERR_PTR), a
    # value entry of an xarray (xa_is_value()), or a struct on the stack.
    if not isinstance(error.obj, Struct | int | str | tuple) and error.obj is not None:
        raise error
    return f"BUG: dereference of {show(error.obj)}, field {error.name}"


def _garbage(error: Exception) -> str:
    """What C would have done with garbage; an error deeper than model code is our own."""
    block = error.__traceback__.tb_next if error.__traceback__ else None
    while block is not None and block.tb_next is not None and _is_block(block):
        block = block.tb_next  # blocks that follow each other without an operation
    if block is None or not _is_block(block):
        raise error
    function = block.tb_frame.f_code.co_name.rpartition("__")[0]
    if isinstance(error, ZeroDivisionError):
        return f"BUG: divide error in {function}"
    index = isinstance(error, IndexError)
    kind = "array index out of bounds" if index else "a value of another type"
    return f"BUG: {kind} used in {function}"


def _is_block(level: TracebackType) -> bool:
    """Whether model code runs here: a block is named after its function and its number."""
    return level.tb_frame.f_code.co_name.rpartition("__")[2].isdigit()


NO_SLOTS: tuple[int, ...] = ()


class System:
    """Shared state and tasks of one run."""

    def __init__(
        self, image: Image, tasks: Sequence[TaskSpec], state: State, observer: Observer
    ) -> None:
        self.image = image
        self.tasks = tuple(tasks)
        self.observer = observer
        self.state = state
        self.recorder = Recorder(state)
        self.pending: list[Op | None] = [None] * len(self.tasks)
        self.frames: list[Frame | None] = [None] * len(self.tasks)
        self.position = [0] * len(self.tasks)
        self.steps = 0
        self.stopped: Fault | None = None

    def start(self) -> None:
        """Bring every task to its first operation."""
        for t in range(len(self.tasks)):
            self._begin(t)

    # -- what a scheduler asks ------------------------------------------------------------

    def done(self, t: int) -> bool:
        return self.pending[t] is None

    def enabled(self, t: int) -> bool:
        op = self.pending[t]
        if op is None:
            return False
        test = op[0].enabled
        if test is None:
            return True
        self.state[CURRENT] = self.tasks[t].handle
        return bool(test(self.state, op[1], op[2]))

    def alternatives(self, t: int) -> int:
        """How many outcomes the pending operation may have: 1 unless it is a choice."""
        op = self.pending[t]
        if op is None or op[0].choices is None:
            return 1
        self.state[CURRENT] = self.tasks[t].handle
        return int(op[0].choices(self.state, op[1], op[2]))

    def site(self, t: int) -> Site:
        """Where the pending operation of a task stands."""
        frame = self.frames[t]
        return self.image.sites.get(frame[0], START) if frame else START

    def callers(self, t: int) -> list[str]:
        """Functions of a task, innermost first."""
        names, frame = [], self.frames[t]
        while frame:
            site = self.image.sites.get(frame[0])
            names.append(site.function if site else "start")
            frame = frame[2]
        return names

    # -- stepping -------------------------------------------------------------------------

    def step(self, t: int, choice: int = 0) -> None:
        """Apply the pending operation of task ``t`` and run its local code to the next one."""
        op = self.pending[t]
        assert op is not None
        prim, a, b = op
        state = self.state
        state[CURRENT] = self.tasks[t].handle
        self.steps += 1
        try:
            if prim is LOAD:
                result = prim.apply(state, a, b)
                self.observer.operation(t, op, result, (a,), NO_SLOTS)
            elif prim is STORE:
                prim.apply(state, a, b)
                result = None
                self.observer.operation(t, op, b, NO_SLOTS, (a,))
            else:
                state[CHOICE] = choice
                recorder = self.recorder
                recorder.reads, recorder.writes = [], []
                result = prim.apply(recorder, a, b)
                state[CHOICE] = 0
                self.observer.operation(t, op, result, recorder.reads, recorder.writes)
        except AttributeError as error:
            # The operation itself was given NULL, or an error code.
            state[CHOICE] = 0
            result = self._fault(t, Fault("wild-pointer", _dereference(error), fatal=True))
        except Fault as fault:
            state[CHOICE] = 0
            result = self._fault(t, fault)
        if self.stopped is None:
            self._advance(t, result)

    def _fault(self, t: int, fault: Fault) -> Any:
        self.observer.fault(t, self.site(t), fault)
        if fault.fatal:
            self.stopped = fault
        return fault.result

    def _begin(self, t: int) -> None:
        spec = self.tasks[t]
        if self.position[t] >= len(spec.calls):
            self.pending[t] = self.frames[t] = None
            return
        call = spec.calls[self.position[t]]
        self.frames[t] = self.image.start(call.function, call.args)
        self._advance(t, None)

    def _advance(self, t: int, result: Any) -> None:
        """Local code only: blocks, calls and returns up to the next operation."""
        frame = self.frames[t]
        assert frame is not None
        block, live, caller = frame
        while True:
            try:
                request, following, live = block(result, *live)
            except AttributeError as error:
                # A dot on NULL, or on an object of another type.
                self.frames[t] = (block, live, caller)
                self._fault(t, Fault("wild-pointer", _dereference(error), fatal=True))
                return
            except (IndexError, TypeError, ZeroDivisionError) as error:
                # Past the end of an array on the stack, an error code used as a struct.
                self.frames[t] = (block, live, caller)
                self._fault(t, Fault("wild-pointer", _garbage(error), fatal=True))
                return
            what = request[0]
            if what is CALL:
                caller = (following, live, caller)
                block, live, result = request[1], request[2], None
            elif what is RETURN:
                result = request[1]
                if caller is None:
                    self._returned(t, result)
                    return
                block, live, caller = caller
            elif what.silent:
                self.frames[t] = (following, live, caller)
                self.state[CURRENT] = self.tasks[t].handle
                result = self._silently(t, request)
                if self.stopped:
                    return
                block = following
            else:
                self.pending[t] = request
                self.frames[t] = (following, live, caller)
                return

    def _silently(self, t: int, op: Op) -> Any:
        prim, a, b = op
        if prim is SOMETIMES:
            self.observer.sometimes(a)
            return None
        recorder = self.recorder
        recorder.reads, recorder.writes = [], []
        try:
            result = prim.apply(recorder, a, b)
        except AttributeError as error:
            return self._fault(t, Fault("wild-pointer", _dereference(error), fatal=True))
        except Fault as fault:
            return self._fault(t, fault)
        if recorder.writes:
            self.observer.operation(t, op, result, NO_SLOTS, recorder.writes)
        return result

    def _returned(self, t: int, value: Any) -> None:
        call = self.tasks[t].calls[self.position[t]]
        self.frames[t] = None
        self.pending[t] = None
        self.position[t] += 1
        self.observer.returned(t, call, value)
        if self.stopped is None:
            self._begin(t)

    # -- whole states ---------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The state as a value; equal states compare equal, as local states are values."""
        self.state[CURRENT] = None
        return Snapshot(
            tuple(self.state),
            tuple(zip(self.pending, self.frames, self.position, strict=True)),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Set everything back, in place."""
        self.state[:] = snapshot.shared
        for t, (pending, frame, position) in enumerate(snapshot.locals):
            self.pending[t], self.frames[t], self.position[t] = pending, frame, position
        self.stopped = None
