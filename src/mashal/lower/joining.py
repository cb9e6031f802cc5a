"""A kernel that copies the blocks of many contiguous tensors into one, side by side.

    words: out | tensors (n) | rows, bytes of a row of out, pieces | bytes of a tensor's block (n) | where it begins in a row (n)

Row r of out is block r of every tensor, one behind the other. Each block is copied in so many pieces, that few large
tensors are shared out too. There is a kernel for each n, a short one.
"""

from __future__ import annotations

from mashal.machine.text import Function, Module, Value
from mashal.machine.threads import PARALLEL_FOR

CHUNK = 1 << 16  # bytes


def joining(n: int) -> Module:
    """The kernel for n tensors, of any dtype."""
    module = Module()
    _write_chunk(module, n)
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    rows, row, pieces = (f.word(words, 1 + n + i) for i in range(3))
    units, each = _shared_out(f, n, rows, row, pieces)
    chunks = (units + each - 1) // each
    f.if_(
        chunks.compare("eq", 1),
        lambda: f.call("void", "kernel_chunk", words, 0, 0),
        lambda: f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, chunks),
    )
    f.end(f.constant("i64", -1))
    return module


def _shared_out(f: Function, n: int, rows: Value, row: Value, pieces: Value) -> tuple[Value, Value]:
    """How many pieces there are to copy, and how many make a chunk."""
    units = rows * pieces * n
    return units, f.max(f.i64(CHUNK) * n * pieces // f.max(row, 1), 1)


def _write_chunk(module: Module, n: int) -> None:
    parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
    f = module.function("kernel_chunk", "void", parameters, linkage="internal")
    words, chunk, _ = f.parameters
    out = f.word(words, 0, "ptr")
    rows, row, pieces = (f.word(words, 1 + n + i) for i in range(3))
    units, each = _shared_out(f, n, rows, row, pieces)
    start = chunk * each

    def unit(u: Value) -> None:
        block = u // pieces
        piece = u - block * pieces
        r = block // n
        i = block - r * n
        length, place = f.word(words, i + (4 + n)), f.word(words, i + (4 + 2 * n))
        step = ((length + pieces - 1) // pieces + 63) & -64
        begin = f.min(piece * step, length)
        count = f.min(begin + step, length) - begin
        source = f.at(f.word(words, i + 1, "ptr"), r * length + begin, "i8")
        target = f.at(out, r * row + place + begin, "i8")
        f.call("void", "llvm.memcpy.p0.p0.i64", target, source, count, Value(f, "false", "i1"))

    f.loop(start, f.min(start + each, units), 1, unit)
    f.end()
