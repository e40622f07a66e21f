# SPDX-License-Identifier: GPL-2.0-only
"""A function's syntax tree becomes a graph of blocks, one operation at the end of each."""

from __future__ import annotations

import ast
import builtins
from typing import Any, NoReturn, cast

from sgxmodel.errors import NotationError
from sgxmodel.machine.graph import Block, Branch, Jump, KernelFunction, Return, Yield
from sgxmodel.machine.layout import FIELD_NAMES, Param, Static
from sgxmodel.machine.op import LOAD, STORE, Primitive
from sgxmodel.machine.trees import PURE_BUILTINS, assigned, at, expr, keyword, map_children, shared


def request_name(prim: Primitive) -> str:
    """The global name under which a block finds a primitive."""
    return f"__op_{prim.name}"


class Lowering:
    """One function on its way from syntax tree to blocks."""

    def __init__(self, node: ast.FunctionDef, filename: str, names: dict[str, Any]) -> None:
        self.node = node
        self.filename = filename
        self.names = names
        self.extra: dict[str, Any] = {}
        self.params = tuple(a.arg for a in node.args.args)
        self.locals = set(self.params) | set(assigned(node))
        self.calls: dict[str, int] = {}
        self.arities: dict[tuple[str, int], int] = {}
        self.temps = 0
        self.loops: list[tuple[Block, Block]] = []
        self.labels: dict[str, Block] = {}
        self.placed: set[str] = set()
        self.gotos: dict[str, list[tuple[ast.Call, list[int]]]] = {}
        self.suites: list[int] = []
        self.block = Block(node.lineno)

    def run(self) -> Block:
        entry = self.block
        args = self.node.args
        if args.vararg or args.kwarg or args.kwonlyargs or args.defaults or args.posonlyargs:
            self.fail(self.node, "parameters are plain names without defaults")
        self.suite(self.node.body)
        if self.block.end is None:
            self.block.end = Return(ast.Constant(None))
        for name, origins in self.gotos.items():
            self.fail(origins[0][0], f"goto({name}) without a label({name}) after it")
        return entry

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        line = getattr(node, "lineno", self.node.lineno)
        raise NotationError(self.filename, line, f"in {self.node.name}: {message}")

    # -- statements -----------------------------------------------------------------------

    def suite(self, stmts: list[ast.stmt]) -> None:
        self.suites.append(id(stmts))
        for stmt in stmts:
            if self.block.end is not None:
                self.block = Block(stmt.lineno)
            method = getattr(self, f"do_{type(stmt).__name__}", None)
            if method is None:
                self.fail(stmt, f"'{keyword(stmt)}' is not part of the notation")
            method(stmt)
        self.suites.pop()

    def do_Pass(self, stmt: ast.Pass) -> None:
        pass

    def do_Expr(self, stmt: ast.Expr) -> None:
        value = stmt.value
        if isinstance(value, ast.Constant):
            return
        if not isinstance(value, ast.Call):
            self.fail(stmt, "an expression without effect")
        if isinstance(value.func, ast.Name) and value.func.id in {"goto", "label"}:
            self.jump(value.func.id, value)
            return
        self.value(value, wanted=False)

    def jump(self, verb: str, call: ast.Call) -> None:
        if len(call.args) != 1 or call.keywords:
            self.fail(call, f"{verb} takes one name")
        name = ast.unparse(call.args[0]).strip("'\"")
        if name in self.placed:
            self.fail(call, f"{verb}({name}) after label({name}): a goto goes forward")
        target = self.labels.setdefault(name, Block(call.lineno))
        if self.block.end is None:
            self.block.end = Jump(target)
        if verb == "goto":
            self.gotos.setdefault(name, []).append((call, list(self.suites)))
            return
        for origin, suites in self.gotos.pop(name, []):
            if suites[: len(self.suites)] != self.suites:
                self.fail(origin, f"goto({name}) into a suite that it is not in")
        self.placed.add(name)
        self.block = target

    def do_Assign(self, stmt: ast.Assign) -> None:
        if len(stmt.targets) != 1:
            self.fail(stmt, "one target an assignment")
        self.assign(stmt.targets[0], stmt.value, stmt)

    def do_AnnAssign(self, stmt: ast.AnnAssign) -> None:
        if stmt.value is None:
            return
        self.assign(stmt.target, stmt.value, stmt)

    def assign(self, target: ast.expr, value: ast.expr, stmt: ast.stmt) -> None:
        if isinstance(target, ast.Name):
            self.set(target.id, self.value(value), stmt)
        elif isinstance(target, ast.Attribute):
            new = self.value(value)  # before the target's own dots, as in Python
            self.yield_op(STORE, [self.slot(target), new], stmt)
        elif isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
            self.local(ast.Assign([target], self.value(value)), stmt)
        else:
            self.fail(stmt, "assign to a local name, a tuple of them, or a field")

    def do_AugAssign(self, stmt: ast.AugAssign) -> None:
        if isinstance(stmt.target, ast.Name):
            load = ast.Name(stmt.target.id, ast.Load())
            self.set(stmt.target.id, ast.BinOp(load, stmt.op, self.value(stmt.value)), stmt)
        elif isinstance(stmt.target, ast.Attribute):
            # A read-modify-write is two operations: only a lock makes it atomic.
            address = self.slot(stmt.target)
            old = self.yield_op(LOAD, [address], stmt, "v")
            new = ast.BinOp(old, stmt.op, self.value(stmt.value))
            self.yield_op(STORE, [address, new], stmt)
        else:
            self.fail(stmt, "assign to a local name or a field")

    def do_Return(self, stmt: ast.Return) -> None:
        value = self.value(stmt.value) if stmt.value else ast.Constant(None)
        self.block.end = Return(value)

    def do_If(self, stmt: ast.If) -> None:
        then, orelse, after = Block(stmt.lineno), Block(stmt.lineno), Block(stmt.lineno)
        self.condition(stmt.test, then, orelse)
        for block, body in ((then, stmt.body), (orelse, stmt.orelse)):
            self.block = block
            self.suite(body)
            if self.block.end is None:
                self.block.end = Jump(after)
        self.block = after

    def do_While(self, stmt: ast.While) -> None:
        if stmt.orelse:
            self.fail(stmt, "'while ... else' is not part of the notation")
        head, body, after = Block(stmt.lineno), Block(stmt.lineno), Block(stmt.lineno)
        self.block.end = Jump(head)
        self.block = head
        self.condition(stmt.test, body, after)
        self.loop(stmt.body, body, head, after)

    def loop(self, suite: list[ast.stmt], body: Block, again: Block, after: Block) -> None:
        self.loops.append((again, after))
        self.block = body
        self.suite(suite)
        if self.block.end is None:
            self.block.end = Jump(again)
        self.loops.pop()
        self.block = after

    def do_Break(self, stmt: ast.Break) -> None:
        self.block.end = Jump(self.loops[-1][1])

    def do_Continue(self, stmt: ast.Continue) -> None:
        self.block.end = Jump(self.loops[-1][0])

    def do_For(self, stmt: ast.For) -> None:
        call = stmt.iter
        if (
            stmt.orelse
            or not isinstance(stmt.target, ast.Name)
            or not isinstance(call, ast.Call)
            or not isinstance(call.func, ast.Name)
        ):
            self.fail(stmt, "a loop is 'for name in range(...)' or over a list walk")
        if call.func.id == "range":
            self.for_range(stmt, stmt.target.id, call)
        elif hasattr(self.names.get(call.func.id), "__walk__"):
            self.for_walk(stmt, stmt.target.id, call)
        else:
            self.fail(stmt, f"'{call.func.id}' is no list walk")

    def for_range(self, stmt: ast.For, name: str, call: ast.Call) -> None:
        if len(call.args) not in (1, 2) or call.keywords:
            self.fail(stmt, "range takes one or two plain bounds")
        bounds = [self.value(a) for a in call.args]
        start: ast.expr = bounds[0] if len(bounds) == 2 else ast.Constant(0)
        stop = self.temp("n")
        self.set(stop, bounds[-1], stmt)
        # The counter is kept apart so that the body may not disturb the loop.
        count = self.temp("i")
        self.set(count, start, stmt)
        head, body, step, after = (Block(stmt.lineno) for _ in range(4))
        self.block.end = Jump(head)
        self.block = head
        head.end = Branch(expr(f"{count} < {stop}", stmt), body, after)
        self.block = body
        self.set(name, expr(count, stmt), stmt)
        self.loop(stmt.body, body, step, after)
        self.block = step
        self.set(count, expr(f"{count} + 1", stmt), stmt)
        step.end = Jump(head)
        self.block = after

    def for_walk(self, stmt: ast.For, name: str, call: ast.Call) -> None:
        walk = self.names[cast(ast.Name, call.func).id]
        safe, next_op, entry = walk.__walk__
        if len(call.args) != 1 or call.keywords:
            self.fail(stmt, "a list walk takes the list's head")
        head = self.temp("head")
        self.set(head, self.value(call.args[0]), stmt)
        pos, following = self.temp("pos"), self.temp("next")

        def advance(source: str, into: str) -> None:
            self.set(into, self.yield_op(next_op, [expr(source, stmt)], call), stmt)

        advance(head, pos)
        if safe:
            advance(pos, following)
        again, body, step, after = (Block(stmt.lineno) for _ in range(4))
        self.block.end = Jump(again)
        again.end = Branch(expr(f"{pos} is not {head}", stmt), body, after)
        self.block = body
        self.extra[entry.__name__] = entry
        self.set(name, expr(f"{entry.__name__}({pos})", stmt), stmt)
        self.loop(stmt.body, self.block, step, after)
        self.block = step
        if safe:
            self.set(pos, expr(following, stmt), stmt)
            advance(following, following)
        else:
            advance(pos, pos)
        self.block.end = Jump(again)
        self.block = after

    # -- expressions ----------------------------------------------------------------------

    def value(self, node: ast.expr, wanted: bool = True) -> ast.expr:
        """Lower an expression to one over locals; shared accesses become operations."""
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.Attribute):
            if FIELD_NAMES.get(node.attr, False):
                return self.address(node)
            return self.yield_op(LOAD, [self.address(node)], node)
        if isinstance(node, ast.Call):
            return self.call(node, wanted)
        if isinstance(node, ast.BoolOp | ast.IfExp) and shared(node, self.names):
            return self.branching_value(node)
        if isinstance(node, ast.Compare) and len(node.ops) > 1 and shared(node, self.names):
            self.fail(node, "a chained comparison of shared fields: write it with 'and'")
        if isinstance(
            node,
            ast.Lambda
            | ast.ListComp
            | ast.SetComp
            | ast.DictComp
            | ast.GeneratorExp
            | ast.Await
            | ast.Yield
            | ast.YieldFrom
            | ast.NamedExpr
            | ast.JoinedStr,
        ):
            self.fail(node, f"'{keyword(node)}' is not part of the notation")
        return map_children(node, self.value)

    def name(self, node: ast.Name) -> ast.expr:
        if node.id in self.locals or node.id in self.names or hasattr(builtins, node.id):
            return ast.copy_location(ast.Name(node.id, ast.Load()), node)
        self.fail(node, f"'{node.id}' is neither a local nor known in this module")

    def address(self, node: ast.Attribute) -> ast.expr:
        """``a.b.c`` as an address: all dots but the last are accesses or embedded structs."""
        if node.attr not in FIELD_NAMES:
            self.fail(node, f"no struct has a field '{node.attr}'")
        base = self.value(node.value)
        return ast.copy_location(ast.Attribute(base, node.attr, ast.Load()), node)

    def slot(self, node: ast.Attribute) -> ast.expr:
        """The place of a field that is assigned to."""
        if FIELD_NAMES.get(node.attr, False):
            self.fail(node, f"'{node.attr}' is an address: nothing can be assigned to it")
        return self.address(node)

    def branching_value(self, node: ast.expr) -> ast.expr:
        """``and``, ``or`` and conditional expressions whose parts touch shared state."""
        out = self.temp("b")
        after = Block(node.lineno)
        if isinstance(node, ast.IfExp):
            then, orelse = Block(node.lineno), Block(node.lineno)
            self.condition(node.test, then, orelse)
            for block, part in ((then, node.body), (orelse, node.orelse)):
                self.block = block
                self.set(out, self.value(part), node)
                self.block.end = Jump(after)
        else:
            assert isinstance(node, ast.BoolOp)
            for part in node.values:
                self.set(out, self.value(part), node)
                if part is not node.values[-1]:
                    more = Block(node.lineno)
                    test = expr(out, node)
                    ways = (more, after) if isinstance(node.op, ast.And) else (after, more)
                    self.block.end = Branch(test, *ways)
                    self.block = more
            self.block.end = Jump(after)
        self.block = after
        return expr(out, node)

    def condition(self, test: ast.expr, then: Block, orelse: Block) -> None:
        """Branch on a test, left to right, with C's short circuits."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self.condition(test.operand, orelse, then)
        elif isinstance(test, ast.BoolOp):
            *firsts, last = test.values
            for part in firsts:
                more = Block(part.lineno)
                ways = (more, orelse) if isinstance(test.op, ast.And) else (then, more)
                self.condition(part, *ways)
                self.block = more
            self.condition(last, then, orelse)
        elif isinstance(test, ast.Constant):
            self.block.end = Jump(then if test.value else orelse)
        else:
            self.block.end = Branch(self.value(test), then, orelse)

    def call(self, node: ast.Call, wanted: bool) -> ast.expr:
        if not isinstance(node.func, ast.Name) or node.keywords:
            self.fail(node, "call a function by its plain name, with plain arguments")
        name = node.func.id
        if name in self.locals:
            self.fail(node, f"'{name}' is a local, not a function")
        target = self.names.get(name)
        if isinstance(target, Primitive):
            if len(node.args) != len(target.params):
                self.fail(node, f"{name} takes {len(target.params)} arguments")
            args = [
                self.address_argument(a) if p in target.addresses else self.value(a)
                for p, a in zip(target.params, node.args, strict=True)
            ]
            return self.yield_op(target, args, node)
        if any(isinstance(a, ast.Starred) for a in node.args):
            self.fail(node, "call a function by its plain name, with plain arguments")
        args = [self.value(a) for a in node.args]
        if getattr(target, "__pure__", False) or (target is None and name in PURE_BUILTINS):
            return ast.copy_location(ast.Call(self.name(node.func), args, []), node)
        if target is not None and not isinstance(target, KernelFunction):
            self.fail(node, f"'{name}' is neither model code nor marked as pure")
        self.calls.setdefault(name, node.lineno)
        self.arities.setdefault((name, len(args)), node.lineno)
        callee = ast.Tuple(
            [
                ast.Name("__call", ast.Load()),
                ast.Name(f"__entry_{name}", ast.Load()),
                ast.Tuple(args, ast.Load()),
            ],
            ast.Load(),
        )
        return self.emit(callee, node, "r", ast.unparse(node))

    def address_argument(self, node: ast.expr) -> ast.expr:
        if not isinstance(node, ast.Attribute):
            self.fail(node, "this argument is the address of a field")
        return self.address(node)

    def yield_op(
        self, prim: Primitive, args: list[ast.expr], node: ast.AST, hint: str = "r"
    ) -> ast.expr:
        parts: list[ast.expr]
        if len(args) <= 2:
            parts = [*args, *[ast.Constant(None)] * (2 - len(args))]
        else:
            parts = [ast.Tuple(args, ast.Load()), ast.Constant(None)]
        request = ast.Tuple([ast.Name(request_name(prim), ast.Load()), *parts], ast.Load())
        self.extra[request_name(prim)] = prim
        return self.emit(request, node, hint, ast.unparse(cast(ast.expr, node)))

    def emit(self, request: ast.expr, node: ast.AST, hint: str, text: str) -> ast.expr:
        line = getattr(node, "lineno", self.node.lineno)
        following = Block(line, result=self.temp(hint), site=(line, text))
        self.block.end = Yield(at(request, node), following)
        self.block = following
        return expr(cast(str, following.result), node)

    # -- small helpers --------------------------------------------------------------------

    def temp(self, hint: str) -> str:
        self.temps += 1
        name = f"_{hint}{self.temps}"
        self.locals.add(name)
        return name

    def set(self, name: str, value: ast.expr, node: ast.AST) -> None:
        self.local(ast.Assign([ast.Name(name, ast.Store())], value), node)

    def local(self, stmt: ast.stmt, node: ast.AST) -> None:
        self.block.body.append(at(stmt, node))


def is_placeholder(value: object) -> bool:
    """Whether a module-level name stands for something that the layout provides."""
    return isinstance(value, Static | Param)
