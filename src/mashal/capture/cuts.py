"""Where a function is cut, line by line: what lies there, and whether it is only that a value is read, or something stored.

What could not be recorded when the function ran (`noted.Obstacle`) is a cut at the function's own line; and so is what its source says
that no call could record (`hoisting.sure_cuts`), in branches, perhaps, that were not run yet.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from types import CodeType
from typing import TYPE_CHECKING

from mashal.capture.hoisting import sure_cuts
from mashal.capture.source import Unsplit

if TYPE_CHECKING:
    from mashal.capture.noted import Obstacle

__all__ = ["Cuts"]


class Cuts:
    """The cuts of a function. deeper: by line, the code of what is called there, where the cut lies in that."""

    def __init__(self, code: CodeType, definition: ast.FunctionDef, obstacles: Iterable[Obstacle]) -> None:
        self.deeper: dict[int, CodeType] = {}
        self._reads: dict[int, bool] = {}  # by line: whether all cuts there read a value, in this very function
        self._stores: dict[int, bool] = defaultdict(bool)  # by line: whether all there set an attribute or an item
        for obstacle in obstacles:
            self._note(obstacle, code)
        for line, reads in sure_cuts(definition):
            self._reads.setdefault(line, reads)

    def _note(self, cut: Obstacle, code: CodeType) -> None:
        if not cut.frames or cut.frames[0][0].co_filename != code.co_filename:
            raise Unsplit(f"{cut.what}, outside the lines of the function")
        line, is_own = cut.frames[0][1], len(cut.frames) == 1
        self._reads[line] = self._reads.get(line, True) and cut.reads and is_own
        self._stores[line] = self._stores.get(line, True) and cut.what.endswith(" = …") and is_own
        if not is_own:
            self.deeper[line] = cut.frames[1][0]

    def lines(self, *nodes: ast.AST) -> list[int]:
        """The lines of cuts in some nodes."""
        ranges = [(node.lineno, node.end_lineno or node.lineno) for node in nodes]  # type: ignore[attr-defined]
        return [line for line in self._reads if any(first <= line <= last for first, last in ranges)]

    def only_read(self, statement: ast.stmt) -> bool:
        """Whether the cuts of a statement (of its head, if it has a body) read values and do nothing else."""
        lines = self.lines(*_head(statement))
        return bool(lines) and all(self._reads[line] for line in lines)

    def only_store(self, statement: ast.stmt) -> bool:
        """Whether a statement is cut only because of where it stores something."""
        lines = self.lines(statement)
        return bool(lines) and all(self._stores[line] for line in lines)

    def lie_deeper(self, statement: ast.stmt) -> bool:
        """Whether a statement is cut, at some line, in what is called there."""
        return any(line in self.deeper for line in self.lines(statement))


def _head(statement: ast.stmt) -> list[ast.AST]:
    """What a statement evaluates itself, apart from the blocks inside it."""
    match statement:
        case ast.If(test=test) | ast.While(test=test):
            return [test]
        case ast.For(target=target, iter=iterated):
            return [target, iterated]
        case ast.With(items=items):
            return [item.context_expr for item in items]
        case ast.Match(subject=subject):
            return [subject]
    return [] if hasattr(statement, "handlers") else [statement]
