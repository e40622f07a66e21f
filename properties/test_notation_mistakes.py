# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in model code are told at file:line, when it is defined or linked."""

from __future__ import annotations

import ast

import pytest
from hypothesis import strategies as st

from properties import toy
from properties.toy import World, finish, load, slot
from properties.toy_programs import source_of
from sgxmodel.errors import LinkError, NotationError
from sgxmodel.machine.edit import edited
from sgxmodel.machine.layout import Embedded, Layout, Struct
from sgxmodel.machine.plain import PlainRun
from sgxmodel.machine.program import Program, functions_of

STEPS = 400
numbers = st.lists(st.integers(0, 5), max_size=40)
"""Choices of a run, 0 past the end."""


MISTAKES = {
    "with": "with p:  # here\n    pass",
    "try": "try:  # here\n    pass\nfinally:\n    pass",
    "raise": "raise p  # here",
    "assert": "assert n  # here",
    "del": "x = n\ndel x  # here",
    "global": "global x  # here",
    "import": "import os  # here",
    "nested function": "def inner():  # here\n    pass",
    "nested class": "class inner:  # here\n    pass",
    "match": "match n:  # here\n    case _:\n        pass",
    "lambda": "x = n\nx = lambda: 0  # here",
    "list comprehension": "x = [i for i in p]  # here",
    "generator expression": "x = max(i for i in p)  # here",
    "yield": "x = yield  # here",
    "yield from": "x = yield from p  # here",
    "walrus": "if (x := n):  # here\n    pass",
    "f-string": "x = f'{n}'  # here",
    "star argument": "toy_mix(*p)  # here",
    "expression without effect": "p.t_a  # here",
    "keyword argument": "toy_mix(a=n, b=n)  # here",
    "method call": "p.t_list.t_next.pop()  # here",
    "call of a local": "x = n\nx(n)  # here",
    "call of a local that hides an operation": "toy_take = n\ntoy_take(p.t_lock)  # here",
    "unmarked function": "able(n)  # here",
    "unknown name": "x = n + nowhere  # here",
    "unknown field": "x = p.t_nothing  # here",
    "unknown field assigned": "p.t_nothing = 1  # here",
    "too few arguments": "toy_take()  # here",
    "too many arguments": "toy_take(p.t_lock, n)  # here",
    "address of no field": "toy_add(n, 1)  # here",
    "address assigned": "p.t_lock = n  # here",
    "address incremented": "p.t_lock += n  # here",
    "two targets": "x = y = n  # here",
    "starred target": "x, *y = n  # here",
    "fields in a tuple target": "p.t_a, p.t_b = n, n  # here",
    "subscript target": "p[0] = n  # here",
    "while else": "while n:  # here\n    n = 0\nelse:\n    pass",
    "for else": "for i in range(n):  # here\n    pass\nelse:\n    pass",
    "for over a tuple": "for i in (1, 2):  # here\n    pass",
    "for over no walk": "for i in toy_mix(1, 2):  # here\n    pass",
    "for two targets": "for i, j in toy_each(ring.t_list):  # here\n    pass",
    "range with a step": "for i in range(0, n, 2):  # here\n    pass",
    "walk of nothing": "for i in toy_each():  # here\n    pass",
    "chained comparison": "if 0 < p.t_a < 3:  # here\n    pass",
    "goto without label": "x = n\nif x:\n    goto('out')  # here",
    "goto back": "label('out')\nif n:\n    goto('out')  # here",
    "goto into a suite": "goto('out')  # here\nif n:\n    label('out')",
    "label twice": "label('out')\nlabel('out')  # here",
    "goto nowhere": "goto()  # here",
    "in an else": "if n:\n    pass\nelse:\n    x = p.t_nothing  # here",
    "after a return": "return 0\nwith p:  # here\n    pass",
    "in a second line": "x = (n +\n    nowhere)  # here",
    "default": "@kernel\ndef f(p, n=1):  # here\n    pass",
    "star parameter": "@kernel\ndef f(*p):  # here\n    pass",
    "keyword-only parameter": "@kernel\ndef f(*, p):  # here\n    pass",
    "coroutine": "@kernel\nasync def f(p):  # here\n    pass",
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_at_its_line(case: str) -> None:
    source = source_of(MISTAKES[case])
    with pytest.raises(NotationError) as caught:
        load(source)
    lines = source.splitlines()
    assert lines[caught.value.lineno - 1].endswith("# here")
    assert str(caught.value).startswith(f"{caught.value.filename}:{caught.value.lineno}: ")


def test_a_local_that_may_be_unset_is_told_at_its_line() -> None:
    source = source_of("if n:\n    x = 1\np.t_a = n\nreturn x  # here")
    with pytest.raises(NotationError, match="'x' may be used before it is set") as caught:
        World.of(load(source))
    assert source.splitlines()[caught.value.lineno - 1].endswith("# here")


def test_a_call_that_nobody_defines_is_told_at_its_line() -> None:
    module = load(source_of("x = n\nsomewhere_else(x)"))
    line = source_of("").count("\n") + 1
    with pytest.raises(LinkError, match=rf":{line}: f calls somewhere_else"):
        Program.link(functions_of(module))


def test_a_later_table_may_define_what_an_earlier_one_calls() -> None:
    module = load(source_of("return other(p)"))
    other = load(source_of("return 0").replace("def f(p, q, n)", "def other(p)"))
    assert set(Program.link(functions_of(module), functions_of(other)).functions) == {"f", "other"}


def test_only_a_function_that_is_there_can_be_replaced() -> None:
    program = Program.link(functions_of(toy))
    new = functions_of(toy)["toy_both"]
    assert program.replace({"toy_both": new}).functions.keys() == program.functions.keys()
    with pytest.raises(LinkError, match="cannot replace toy_missing"):
        program.replace({"toy_missing": new})


def test_a_replacement_is_what_callers_call() -> None:
    old = load(
        "from properties.toy import *\n"
        "@kernel\ndef inner(p):\n    return 1\n"
        "@kernel\ndef outer(p):\n    return inner(p) + p.t_a\n"
    )
    new = load("from properties.toy import *\n@kernel\ndef inner(p):\n    return 10\n")
    world = World.of(old)
    world.program = world.program.replace(functions_of(new))
    world.image = world.program.load(world.layout)
    system, log = world.system(("outer", world.nodes[0]))
    finish(system)
    state = list(world.layout.values)
    plain = PlainRun(world.program, world.layout, state).call("outer", world.nodes[0])
    assert log.returns == [(0, plain)] == [(0, 11)]


def test_a_field_name_has_one_meaning() -> None:
    with pytest.raises(TypeError, match=r"clash\.t_lock: elsewhere this name is an address"):
        type("clash", (Struct,), {"__annotations__": {"t_lock": "int"}})
    with pytest.raises(TypeError, match=r"clash\.t_a: elsewhere this name is a scalar"):
        type("clash", (Struct,), {"__annotations__": {"t_a": "toy_lock"}})


def test_the_same_field_may_be_in_two_structs() -> None:
    other = type("other", (Embedded,), {"__annotations__": {"t_a": "int"}, "t_a": 3})
    layout = Layout()
    assert layout.values[slot(layout.new(other, "o"), "t_a")] == 3


def test_model_code_does_not_run_by_itself() -> None:
    with pytest.raises(TypeError, match="run it through a System"):
        toy.toy_both(None)  # type: ignore[arg-type]  # it never looks at it
    with pytest.raises(TypeError, match="only functions of the notation"):
        toy.toy_whoami()


def test_a_call_with_the_wrong_number_of_arguments_is_told_at_link_time() -> None:
    module = load(
        "from properties.toy import *\n"
        "@kernel\ndef inner(p):\n    return 1\n"
        "@kernel\ndef outer(p):\n    return inner(p, p)\n"
    )
    with pytest.raises(LinkError, match=r":\d+: outer calls inner with 2 arguments, it takes 1"):
        Program.link(functions_of(module))


def test_an_edit_replaces_a_snippet_that_occurs_once() -> None:
    module = load("from properties.toy import *\n@kernel\ndef one(p):\n    return p.t_a + 1\n")
    with pytest.raises(LinkError, match="occurs 0 times"):
        edited(module.one, ("p.t_b", "p.t_a"))
    assert "p.t_a + 2" in ast.unparse(edited(module.one, ("+ 1", "+ 2")).tree)
