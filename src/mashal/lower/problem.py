"""The words of a contraction: what a kernel C = A @ B is called with, by name.

Every kernel of lower.matmul is `i64 NAME(ptr words)`. Words in order (8 bytes each; strides in elements):

    c a b bias scratch         pointers; bias may be null if the epilogue has none, scratch if no bytes are needed
    alpha beta                 doubles, or i64 for integer elements; read only if the epilogue says so
    m n k                      A is (m, k), B is (k, n), C is (m, n)
    ldc rsa csa rsb csb        C's row stride (its columns are neighbours), A's and B's row and column strides
    batch0 batch1              batched kernels only, as all that follows: item i is (i // batch1, i % batch1)
    sa0 sa1 sb0 sb1 sc0 sc1    strides of the two batch dimensions; 0 broadcasts
    scratch_each threads       bytes of scratch for each thread, and for how many threads there is some
"""

from __future__ import annotations

from mashal.machine.text import Function, Module, Value


def names(text: str) -> tuple[str, ...]:
    """The words of a text, as the names of an argument block."""
    return tuple(text.split())


ONE = names("c a b bias scratch alpha beta m n k ldc rsa csa rsb csb")
BATCH = names("batch0 batch1 sa0 sa1 sb0 sb1 sc0 sc1 scratch_each threads")
WORDS = (*ONE, *BATCH)
POINTERS = frozenset(names("c a b bias scratch"))

PARALLEL_FOR, PARALLEL_FOR_FEW = "mashal_parallel_for", "mashal_parallel_for_few"
PARALLEL_FROM = 1 << 21  # multiply-adds; below, waking a thread costs more than it saves (FINDINGS, decision 9)


class Block:
    """An array of 8-byte words with names, seen from one function: block["k"] loads, block["k"] = value stores."""

    def __init__(self, f: Function, pointer: Value, fields: tuple[str, ...] = WORDS, pointers: frozenset = POINTERS):
        self.f, self.pointer, self.fields, self.pointers = f, pointer, fields, pointers

    def __getitem__(self, name: str) -> Value:
        return self.f.word(self.pointer, self.fields.index(name), "ptr" if name in self.pointers else "i64")

    def __setitem__(self, name: str, value) -> None:
        self.f.set_word(self.pointer, self.fields.index(name), value)

    def all(self, text: str) -> list[Value]:
        """Several words, named in one text."""
        return [self[name] for name in names(text)]


def chunk_function(module: Module, name: str) -> tuple[Function, Value, Value, Value]:
    """A new internal function for the pool: (function, context, chunk, thread)."""
    parameters = [("ptr", "context"), ("i64", "chunk"), ("i64", "thread")]
    f = module.function(name, parameters=parameters, linkage="internal")
    context, chunk, thread = f.parameters
    return f, context, chunk, thread


def share_out(f: Function, name: str, context: Value, chunks: Value, work: Value, least: int = PARALLEL_FROM) -> None:
    """Runs the chunk function `name` for each chunk: on the pool if the work is worth it."""

    def on_the_pool() -> None:
        f.call("void", PARALLEL_FOR, Value(f, f"@{name}", "ptr"), context, chunks)

    def one(i: Value) -> None:
        f.call("void", name, context, i, 0)

    def here() -> None:
        f.loop(0, chunks, 1, one)

    f.if_(work.compare("sgt", least), on_the_pool, here)
