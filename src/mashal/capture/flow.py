"""How values flow through a function's statements: which variables are needed after each, and which are surely bound before it.

Both are found by walking the source's tree: backward for what is needed (loops twice, as often as it takes to
change nothing), forward for what is bound. Where a path is uncertain, more is needed and less is bound.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mashal.capture.names import binds, captured, surely_binds, uses

__all__ = ["Flow", "Paths"]

Names = frozenset[str]
NOTHING: Names = frozenset()


@dataclass(frozen=True)
class Paths:
    """What is needed where a statement may go: behind the loop, to its head, or (an exception, a return) anywhere."""

    after_loop: Names = NOTHING
    loop_head: Names = NOTHING
    always: Names = NOTHING


class Flow:
    """The flow of a function's body.

    needed[statement]: the names whose values may be read after it. bound[statement]: those that have a value before it
    on every path. paths[statement]: as in `Paths`.
    """

    def __init__(self, body: Sequence[ast.stmt], arguments: set[str]) -> None:
        self.needed: dict[ast.stmt, Names] = {}
        self.bound: dict[ast.stmt, Names] = {}
        self.paths: dict[ast.stmt, Paths] = {}
        self.uncertain = _deleted(body)
        self.before_all(body, NOTHING, Paths(always=frozenset(captured(body))))
        self._forward(body, frozenset(arguments) - self.uncertain)

    # ---------------------------------------------------------------- backward: what is needed
    def before_all(self, statements: Sequence[ast.stmt], after: Names, paths: Paths) -> Names:
        """What is needed before some statements, if `after` is needed behind them."""
        for statement in reversed(statements):
            after = self.needed[statement] = after | paths.always
            self.paths[statement] = paths
            after = self.before(statement, after, paths)
        return after

    def before(self, statement: ast.stmt, after: Names, paths: Paths) -> Names:
        """What is needed before a statement."""
        match statement:
            case ast.If(test=test, body=body, orelse=orelse):
                needed = self.before_all(body, after, paths) | self.before_all(orelse, after, paths) | uses(test)
            case ast.For() | ast.AsyncFor() | ast.While():
                needed = self._before_loop(statement, after, paths)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                inside = self.before_all(body, after, paths)
                needed = inside.union(*map(uses, items)) | (after if _suppresses(items) else NOTHING)
            case ast.Try():
                needed = self._before_try(statement, after, paths)
            case ast.Match(subject=subject, cases=cases):
                inside = [self.before_all(case.body, after, paths) | uses(case.pattern) for case in cases]
                guards = [uses(case.guard) for case in cases if case.guard is not None]
                needed = after.union(*inside, *guards, uses(subject))
            case ast.Return():
                needed = frozenset(uses(statement))
            case ast.Raise():
                needed = frozenset(uses(statement))
            case ast.Break():
                needed = paths.after_loop
            case ast.Continue():
                needed = paths.loop_head
            case _ if type(statement).__name__ == "TryStar":
                needed = self._before_try(statement, after, paths)
            case _:
                needed = (after - surely_binds(statement)) | uses(statement)
        return needed | paths.always

    def _before_loop(self, loop: ast.stmt, after: Names, paths: Paths) -> Names:
        assert isinstance(loop, (ast.For, ast.AsyncFor, ast.While))
        ended = self.before_all(loop.orelse, after, paths)
        tested = uses(loop.test) if isinstance(loop, ast.While) else set()
        target = NOTHING if isinstance(loop, ast.While) else frozenset(binds(loop.target))
        changed = NOTHING if isinstance(loop, ast.While) else uses(loop.target)
        head: Names = ended | tested | changed
        while True:
            inside = self.before_all(loop.body, head, replace(paths, after_loop=after, loop_head=head))
            wider = head | (inside - target)
            if wider == head:
                break
            head = wider
        return head if isinstance(loop, ast.While) else head | uses(loop.iter)

    def _before_try(self, statement: ast.stmt, after: Names, paths: Paths) -> Names:
        """Any statement of the body may lead to a handler, any at all to the final block."""
        finally_needs = self.before_all(statement.finalbody, after, paths) if statement.finalbody else after  # type: ignore[attr-defined]
        in_final = finally_needs if statement.finalbody else NOTHING  # type: ignore[attr-defined]
        inside = replace(paths, always=paths.always | in_final)
        caught: Names = NOTHING
        for handler in statement.handlers:  # type: ignore[attr-defined]
            caught |= self.before_all(handler.body, finally_needs, inside)
            caught |= uses(handler.type) if handler.type is not None else NOTHING
        otherwise = self.before_all(statement.orelse, finally_needs, inside)  # type: ignore[attr-defined]
        return self.before_all(statement.body, otherwise, replace(inside, always=inside.always | caught))  # type: ignore[attr-defined]

    # ---------------------------------------------------------------- forward: what is bound
    def _forward(self, statements: Sequence[ast.stmt], bound: Names) -> Names | None:
        """What is bound behind some statements; None if their end is never reached."""
        for statement in statements:
            self.bound[statement] = bound
            after = self._after(statement, bound)
            if after is None:
                for rest in statements[statements.index(statement) + 1 :]:
                    self.bound[rest] = NOTHING
                    self._forward([rest], NOTHING)
                return None
            bound = after - self.uncertain
        return bound

    def _after(self, statement: ast.stmt, bound: Names) -> Names | None:
        match statement:
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                return None
            case ast.If(body=body, orelse=orelse):
                return _both(self._forward(body, bound), self._forward(orelse, bound))
            case ast.For() | ast.AsyncFor() | ast.While():
                target = NOTHING if isinstance(statement, ast.While) else frozenset(binds(statement.target))
                self._forward(statement.body, (bound | target) - self.uncertain)
                self._forward(statement.orelse, bound)
                return bound
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                start = (
                    bound.union(*(binds(item.optional_vars) for item in items if item.optional_vars)) - self.uncertain
                )
                inside = self._forward(body, start)
                return bound if _suppresses(items) else inside
            case ast.Match(cases=cases):
                for case in cases:
                    self._forward(case.body, (bound | binds(case.pattern)) - self.uncertain)
                return bound
            case ast.Try() if not statement.handlers:
                inside = self._forward(statement.body, bound)
                self._forward(statement.orelse, bound)
                last = self._forward(statement.finalbody, bound)
                return None if inside is None or last is None else inside | last
            case _ if hasattr(statement, "handlers"):
                parts = [statement.body, statement.orelse, *(h.body for h in statement.handlers)]  # type: ignore[attr-defined]
                for part in parts:
                    self._forward(part, bound)
                return self._forward(statement.finalbody, bound)  # type: ignore[attr-defined]
        return bound | surely_binds(statement)


def _both(one: Names | None, other: Names | None) -> Names | None:
    """What is bound where two paths meet."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _suppresses(items: list[ast.withitem]) -> bool:
    """Whether a with statement looks like one that goes on behind its body after an exception inside."""
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
             for item in items for node in ast.walk(item.context_expr)}  # fmt: skip
    return any("suppress" in name or "raises" in name or "ignore" in name for name in names)


def _deleted(body: Sequence[ast.stmt]) -> Names:
    """Names that are deleted somewhere: they never count as bound."""
    found: set[str] = set()
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, ast.Delete):
            found |= set().union(*map(binds, node.targets))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return frozenset(found)
