"""A kernel that puts zeros outside a triangle of contiguous matrices. words: x | matrices, rows, columns, diagonal"""

from __future__ import annotations

from mashal.machine.text import Function, Module, Value
from mashal.machine.threads import PARALLEL_FOR


def triangle(size: int, upper: bool) -> Module:
    """The kernel for elements of so many bytes: zeros below the diagonal (upper), or above it."""
    module = Module()
    _write_rows(module, size, upper)
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    rows = f.word(words, 1) * f.word(words, 2)
    each = _each(f, f.word(words, 3))
    f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, (rows + each - 1) // each)
    f.end(f.constant("i64", -1))
    return module


def _each(f: Function, columns: Value) -> Value:
    return f.max(f.i64(1 << 15) // columns, 1)


def _write_rows(module: Module, size: int, upper: bool) -> None:
    parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
    f = module.function("kernel_chunk", "void", parameters, linkage="internal")
    words, chunk, _ = f.parameters
    x = f.word(words, 0, "ptr")
    matrices, rows, columns, diagonal = (f.word(words, i) for i in range(1, 5))
    each = _each(f, columns)
    start = chunk * each
    stop = f.min(start + each, matrices * rows)

    def row(r: Value) -> None:
        edge = r - r // rows * rows + diagonal
        begin = f.i64(0) if upper else f.max(f.min(edge + 1, columns), 0)
        end = f.max(f.min(edge, columns), 0) if upper else columns
        place = f.at(x, (r * columns + begin) * size, "i8")
        f.call("void", "llvm.memset.p0.i64", place, Value(f, "0", "i8"), f.max(end - begin, 0) * size, Value(f, "false", "i1"))

    f.loop(start, stop, 1, row)
    f.end()
