# SPDX-License-Identifier: GPL-2.0-only
"""How a file of the driver says which of its functions are calls that scenarios can make.

A tuple ``CALLS`` at its end is enough: words, arguments, build, coverage, pairs of calls
and ``sgxmodel list`` go by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import attrs

from sgxmodel.errors import LinkError
from sgxmodel.machine.graph import KernelFunction

KINDS = (
    "enclave", "child", "size", "page", "pages", "type", "permissions", "rights", "epc", "vepc",
    "vpage", "task", "descriptor", "argument",
)  # fmt: skip
"""Kinds of argument.  ``pages`` becomes two parameters, the first page and how many; ``size``
is no word, it is what the enclave's line says."""
PARTLY = "after some"
"""Of a range of pages, some were done before the result."""
IOCTL = ("0", "-EBADF", "-EBUSY", "-EINVAL")
CREATE = (*IOCTL, "-ENOMEM", "-EFAULT", "-EIO", "-ERESTARTSYS")
FAULT = ("0", "SIGBUS", "SIGSEGV", "OOM")
GUEST = ("0", "SIGBUS", "-EBADF")


def partly(*names: str) -> tuple[str, ...]:
    """These results after some pages of a range were done."""
    return tuple(f"{name} {PARTLY}" for name in names)


def _name(function: Callable[..., Any] | str) -> str:
    if isinstance(function, str):
        return function
    return function.name if isinstance(function, KernelFunction) else function.__name__


def _known(verb: Verb, _: object, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise LinkError(
                f"call {verb.name}: there is no kind of argument '{kind}'; "
                f"the kinds are {', '.join(KINDS)}"
            )


@attrs.frozen
class Verb:
    """A call that scenarios can make: its kernel function, arguments and possible results."""

    name: str
    function: str = attrs.field(converter=_name)
    args: tuple[str, ...] = attrs.field(validator=_known)
    results: tuple[str, ...]
    about: str


def calls_of(modules: Iterable[ModuleType]) -> dict[str, Verb]:
    """The calls that the modules declare, by word.  Raises :class:`LinkError` on a second one."""
    found: dict[str, Verb] = {}
    for module in modules:
        for verb in vars(module).get("CALLS", ()):
            if verb.name in found:
                raise LinkError(f"{module.__name__}: there is a call '{verb.name}' already")
            found[verb.name] = verb
    return found
