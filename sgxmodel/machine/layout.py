# SPDX-License-Identifier: GPL-2.0-only
"""Shared state as one flat list of slots, and handles that name the slots.

A C struct is declared as a class with annotations.  An object of the modelled
kernel is a *handle*: an instance whose attributes are slot numbers, so that
``page.flags`` costs one attribute look-up and a state is a plain list.

* a scalar field (``flags: int``, ``owner: sgx_encl_page | None``) is one slot;
* an :class:`Embedded` struct (``lock: spinlock_t``) is a handle of its own, as
  ``&page->list`` is an address and not an access;
* ``Array`` fields are as many consecutive slots as the layout is told.

Slot 0 holds the handle of the running task, slot 1 the outcome of the choice
that the scheduler made for the operation under way.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, TypeVar, cast

import attrs

State = list[Any]
CURRENT = 0
CHOICE = 1


class _Freed:
    """What every slot of a freed object holds; reading it is a use after free."""

    def __repr__(self) -> str:
        return "freed"

    def __reduce__(self) -> str:
        return "FREED"


FREED = _Freed()


@attrs.frozen
class Field:
    name: str
    default: Any
    embedded: type[Embedded] | None = None
    array: bool = False


S = TypeVar("S", bound="Struct")

HANDLE_NAMES = frozenset({"name", "kind", "container", "slots"})
EMBEDDED: dict[str, type[Embedded]] = {}
FIELD_NAMES: dict[str, bool] = {}
"""Every declared field name, and whether it is an address (embedded or array)."""


def _fields(cls: type[Struct]) -> list[Field]:
    out = []
    for name, text in inspect.get_annotations(cls).items():
        text = text if isinstance(text, str) else text.__name__
        if (
            text.startswith("ClassVar")
            or name in {"name", "kind", "container", "slots"}
            or name.endswith("_len")
        ):
            continue
        embedded = EMBEDDED.get(text)
        array = text.startswith("Array")
        address = embedded is not None or array
        if FIELD_NAMES.setdefault(name, address) is not address:
            raise TypeError(
                f"{cls.__name__}.{name}: elsewhere this name is "
                f"{'a scalar' if address else 'an address'}; the notation needs one meaning"
            )
        out.append(Field(name, getattr(cls, name, None), embedded, array))
    return out


class Struct:
    """Base of the declared structs; an instance is a handle, not the data."""

    name: str
    kind: str
    container: Any
    slots: tuple[int, ...]
    __fields__: ClassVar[tuple[Field, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.__fields__ = cls.__fields__ + tuple(_fields(cls))

    def __repr__(self) -> str:
        return self.name

    def initial(self) -> dict[str, Any]:
        """Values of scalar fields that depend on the handle (a list head points to itself)."""
        return {}


class Embedded(Struct):
    """A struct that lives inside another one: its name is an address, not an access."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        EMBEDDED[cls.__name__] = cls


Array = int
"""Annotation of a field that is a row of slots: its handle attribute is the first slot,
and ``<name>_len`` how many there are."""


@attrs.define
class Static:
    """A variable of the modelled kernel that every layout has under the same name."""

    name: str
    type: type[Struct]


@attrs.define
class Param:
    """A constant that a scenario may set (pages per scan, watermarks, ...)."""

    name: str
    default: Any


def static(name: str, kind: type[S]) -> S:
    """Declare a static variable; model code uses the result as if it were one."""
    return cast(S, Static(name, kind))


def param(name: str, default: int) -> int:
    """Declare a constant with its default; model code uses the result as an int."""
    return cast(int, Param(name, default))


@attrs.define
class Layout:
    """The slots of one configuration: names, kinds, owners and first values, by slot."""

    names: list[str] = attrs.field(factory=lambda: ["current", "choice"])
    kinds: list[str] = attrs.field(factory=lambda: ["current", "choice"])
    owners: list[Any] = attrs.field(factory=lambda: [None, None])
    values: State = attrs.field(factory=lambda: [None, 0])
    namespace: dict[str, Any] = attrs.field(factory=dict)

    def new(self, cls: type[S], name: str, kind: str | None = None, **sizes: int) -> S:
        """Lay out one object.  ``sizes`` gives the length of each array field, by name."""
        return self._new(cls, name, kind or cls.__name__, None, sizes)

    def static(self, var: object, **sizes: int) -> Any:
        """Lay out a declared static variable and bind its name for model code."""
        assert isinstance(var, Static)
        handle = self.new(var.type, var.name, var.name, **sizes)
        self.namespace[var.name] = handle
        return handle

    def set(self, var: int, value: Any) -> None:
        """Give a declared parameter its value in this configuration."""
        assert isinstance(var, Param)
        self.namespace[var.name] = value

    def _slot(self, name: str, kind: str, owner: Any, value: Any) -> int:
        self.names.append(name)
        self.kinds.append(kind)
        self.owners.append(owner)
        self.values.append(value)
        return len(self.values) - 1

    def _new(self, cls: type[S], name: str, kind: str, container: Any, sizes: dict[str, int]) -> S:
        handle = cls.__new__(cls)
        handle.name, handle.kind, handle.container = name, kind, container
        owner = handle
        while owner.container is not None:
            owner = owner.container
        first = len(self.values)
        scalars = {}
        for f in cls.__fields__:
            inner, inner_kind = f"{name}.{f.name}", f"{kind}.{f.name}"
            value: Any
            if f.embedded is not None:
                value = self._new(f.embedded, inner, inner_kind, handle, sizes)
            elif f.array:
                value = len(self.values)
                for i in range(sizes[f.name]):
                    self._slot(f"{inner}[{i}]", inner_kind, owner, f.default)
                setattr(handle, f"{f.name}_len", sizes[f.name])
            else:
                value = scalars[f.name] = self._slot(inner, inner_kind, owner, f.default)
            setattr(handle, f.name, value)
        for field, first_value in handle.initial().items():
            self.values[scalars[field]] = first_value
        handle.slots = tuple(range(first, len(self.values)))
        return handle


def show(value: Any) -> str:
    """A value as the reports print it."""
    if value is None:
        return "NULL"
    if isinstance(value, tuple):
        return "(" + ", ".join(show(v) for v in value) + ")"
    return repr(value) if not isinstance(value, str) else value
