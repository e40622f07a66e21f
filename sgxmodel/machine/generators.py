# SPDX-License-Identifier: GPL-2.0-only
"""A second lowering: a kernel function becomes a Python generator.

It shares nothing with the block lowering but the syntax tree and the linking of
names.  Python's own control flow stays, a shared access is ``yield operation``,
a call is ``yield from``, and a ``goto`` is an exception that its label catches.
A generator cannot be set back, so no search uses it: it is there to disagree
with the block lowering.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from types import CodeType, FunctionType
from typing import Any

import attrs

from sgxmodel.machine.graph import KernelFunction
from sgxmodel.machine.layout import CHOICE, CURRENT, FIELD_NAMES, Layout, State
from sgxmodel.machine.op import LOAD, STORE, Fault, Op, Primitive
from sgxmodel.machine.program import Program, bind
from sgxmodel.machine.system import TaskSpec

Run = Generator[Op, Any, Any]


# -- goto and label, for any lowering that keeps Python's control flow ------------------------


def _jump(stmt: ast.AST, verb: str) -> str | None:
    """The name in ``goto(name)`` or ``label(name)``."""
    match stmt:
        case ast.Expr(ast.Call(ast.Name(found), [name])) if found == verb:
            return ast.unparse(name).strip("'\"")
    return None


class _Structured(ast.NodeTransformer):
    """``goto`` raises, ``label`` catches what the suite before it raises."""

    def __init__(self) -> None:
        self.labels: set[str] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        name = _jump(node, "goto")
        if name is None:
            return node
        return ast.copy_location(ast.Raise(_exception(name), None), node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse"):
            suite = getattr(node, field, None)
            if isinstance(suite, list):
                setattr(node, field, self.suite(suite))
        return node

    def suite(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for stmt in stmts:
            name = _jump(stmt, "label")
            if name is None:
                out.append(stmt)
            else:
                self.labels.add(name)
                handler = ast.ExceptHandler(_exception(name), None, [ast.Pass()])
                caught = ast.Try(out or [ast.Pass()], [handler], [], [])
                out = [ast.copy_location(caught, stmt)]
        return out


def _exception(label: str) -> ast.expr:
    return ast.Name(f"__goto_{label}", ast.Load())


def structured(fn: KernelFunction) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """A copy of a function's tree without gotos, and the names that the copy needs."""
    tree = copy.deepcopy(fn.tree)
    tree.decorator_list, tree.returns = [], None
    for arg in tree.args.args:
        arg.annotation = None
    rewriting = _Structured()
    rewriting.visit(tree)
    raised = {f"__goto_{n}": type(f"goto_{n}", (Exception,), {}) for n in rewriting.labels}
    return tree, raised


def function_code(tree: ast.FunctionDef, filename: str) -> CodeType:
    """Compile one function by Python's own compiler."""
    module = compile(ast.fix_missing_locations(ast.Module([tree], [])), filename, "exec")
    return next(c for c in module.co_consts if isinstance(c, CodeType))


# -- accesses and calls -----------------------------------------------------------------------


class _Yielding(ast.NodeTransformer):
    """Makes each shared access a ``yield`` and each call a ``yield from``."""

    def __init__(self, fn: KernelFunction, functions: Collection[str]) -> None:
        self.names = fn.globals
        self.functions = functions
        self.space: dict[str, Any] = {}
        self.temps = 0

    def visit(self, node: ast.AST) -> Any:
        new = super().visit(node)
        for made in new if isinstance(new, list) else [new]:
            if not hasattr(made, "lineno"):
                ast.copy_location(made, node)
        return new

    def temp(self) -> str:
        self.temps += 1
        return f"__t{self.temps}"

    def known(self, value: Any) -> str:
        """A name under which the generator finds ``value``."""
        name = f"__g{id(value)}"
        self.space[name] = value
        return name

    def operation(self, prim: Primitive, args: list[ast.expr]) -> ast.expr:
        if len(args) > 2:
            args = [ast.Tuple(args, ast.Load())]
        while len(args) < 2:
            args = [*args, ast.Constant(None)]
        return ast.Yield(ast.Tuple([_load(self.known(prim)), *args], ast.Load()))

    def place(self, node: ast.Attribute) -> ast.expr:
        return ast.Attribute(self.visit(node.value), node.attr, ast.Load())

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        place = self.place(node)
        return place if FIELD_NAMES[node.attr] else self.operation(LOAD, [place])

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        target = self.names.get(name)
        if isinstance(target, Primitive):
            pairs = zip(target.params, node.args, strict=True)
            return self.operation(
                target,
                [
                    self.place(a)
                    if p in target.addresses and isinstance(a, ast.Attribute)
                    else self.visit(a)
                    for p, a in pairs
                ],
            )
        args = [self.visit(a) for a in node.args]
        if name in self.functions:
            return ast.YieldFrom(ast.Call(_load(f"__call_{name}"), args, []))
        return ast.Call(node.func, args, [])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Pass()
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_Assign(self, node: ast.Assign) -> Any:
        [target] = node.targets
        node.value = self.visit(node.value)
        if not isinstance(target, ast.Attribute):
            return node
        new = self.temp()
        store = self.operation(STORE, [self.place(target), _load(new)])
        return [_set(new, node.value), ast.Expr(store)]

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if not isinstance(node.target, ast.Attribute):
            node.value = self.visit(node.value)
            return node
        where = self.temp()
        old = self.operation(LOAD, [_load(where)])
        new = ast.BinOp(old, node.op, self.visit(node.value))
        store = self.operation(STORE, [_load(where), new])
        return [_set(where, self.place(node.target)), ast.Expr(store)]

    def visit_For(self, node: ast.For) -> Any:
        assert isinstance(node.iter, ast.Call)
        assert isinstance(node.iter.func, ast.Name)
        walk = self.names.get(node.iter.func.id)
        node.iter.args = [self.visit(a) for a in node.iter.args]
        suite = ast.Module(node.body, [])
        self.generic_visit(suite)
        node.body = suite.body
        return self.walk(node, walk) if hasattr(walk, "__walk__") else node

    def walk(self, node: ast.For, walk: Any) -> list[ast.stmt]:
        """The kernel's for loops over lists; ``safe`` ones are a step ahead of the body."""
        assert isinstance(node.iter, ast.Call)
        safe, following, entry = walk.__walk__
        head, pos, ahead = self.temp(), self.temp(), self.temp()
        cursor = ahead if safe else pos
        advance = f"{cursor} = yield ({self.known(following)}, {cursor}, None)"
        loop = _parsed(
            f"while True:\n"
            f"    {pos} = {cursor}\n"
            f"    {advance}\n"
            f"    if {pos} is {head}:\n"
            f"        break\n"
            f"    {ast.unparse(node.target)} = {self.known(entry)}({pos})\n",
            node,
        )
        assert isinstance(loop, ast.While)
        loop.body += node.body
        before = [_set(head, node.iter.args[0]), _set(cursor, _load(head))]
        return [*before, *([_parsed(advance, node)] if safe else []), loop]


def _parsed(text: str, where: ast.AST) -> ast.stmt:
    stmt = ast.parse(text).body[0]
    for child in ast.walk(stmt):
        if hasattr(child, "lineno"):
            ast.copy_location(child, where)
    return stmt


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _set(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def generator_function(
    fn: KernelFunction, functions: Collection[str], layout: Layout
) -> Callable[..., Run]:
    """One kernel function as a generator function; calls are still to be linked."""
    tree, raised = structured(fn)
    rewriting = _Yielding(fn, functions)
    rewriting.generic_visit(tree)
    tree.body[:0] = ast.parse("if False:\n    yield").body
    code = function_code(tree, fn.filename)
    space = bind(code.co_names, fn.globals, layout) | raised | rewriting.space
    return FunctionType(code, space, fn.name)


# -- running ----------------------------------------------------------------------------------


@attrs.define(eq=False)
class GeneratorImage:
    """A loaded program whose functions are generator functions."""

    layout: Layout
    entries: dict[str, Callable[..., Run]]

    @classmethod
    def build(cls, program: Program, layout: Layout) -> GeneratorImage:
        functions = program.functions
        entries = {
            name: generator_function(fn.source, functions, layout) for name, fn in functions.items()
        }
        for entry in entries.values():
            space = entry.__globals__
            space.update({f"__call_{name}": called for name, called in entries.items()})
        return cls(layout, entries)

    def start(self, name: str, args: Iterable[Any]) -> Run:
        """A call of ``name`` that has not begun."""
        return self.entries[name](*args)


class GeneratorSystem:
    """Tasks of generators, stepped one operation at a time as a System steps its own."""

    def __init__(self, image: GeneratorImage, tasks: Sequence[TaskSpec], state: State) -> None:
        self.image = image
        self.tasks = tuple(tasks)
        self.state = state
        self.pending: list[Op | None] = [None] * len(self.tasks)
        self.returned: list[tuple[int, Any]] = []
        self.faults: list[Fault] = []
        self.stopped: Fault | None = None
        self.runs = [self._calls(t, spec) for t, spec in enumerate(self.tasks)]

    def _calls(self, t: int, spec: TaskSpec) -> Run:
        """All calls of a task, one after the other."""
        for call in spec.calls:
            value = yield from self.image.start(call.function, call.args)
            self.returned.append((t, value))

    def start(self) -> None:
        """Bring every task to its first operation."""
        for t in range(len(self.tasks)):
            self._advance(t, None)

    def enabled(self, t: int) -> bool:
        op = self.pending[t]
        if op is None:
            return False
        self.state[CURRENT] = self.tasks[t].handle
        return op[0].enabled is None or bool(op[0].enabled(self.state, op[1], op[2]))

    def step(self, t: int, choice: int = 0) -> Any:
        """Apply the pending operation, go on to the next one; the operation's result."""
        op = self.pending[t]
        assert op is not None
        result = self._apply(t, op, choice)
        if self.stopped is None:
            self._advance(t, result)
        return result

    def _apply(self, t: int, op: Op, choice: int) -> Any:
        self.state[CURRENT], self.state[CHOICE] = self.tasks[t].handle, choice
        try:
            return op[0].apply(self.state, op[1], op[2])
        except Fault as fault:
            self.faults.append(fault)
            if fault.fatal:
                self.stopped = fault
            return fault.result
        finally:
            self.state[CHOICE] = 0

    def _advance(self, t: int, result: Any) -> None:
        """On to the next operation; silent ones take effect on the way."""
        try:
            op = self.runs[t].send(result)
            while op[0].silent:
                result = self._apply(t, op, 0)
                if self.stopped:
                    return
                op = self.runs[t].send(result)
            self.pending[t] = op
        except StopIteration:
            self.pending[t] = None
        except AttributeError as error:
            self.stopped = Fault("wild-pointer", str(error), fatal=True)
            self.faults.append(self.stopped)
