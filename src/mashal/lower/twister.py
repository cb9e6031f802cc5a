"""mt19937 in machine code: the words that every random kernel draws, made many blocks at a time.

The recurrence is linear, x[k + 624] = x[k + 397] ^ twist(x[k], x[k + 1]), so new blocks are simply written behind
the present one, sixteen words an instruction, into the room that the generator's memory has there
(`core.generator` describes that memory). Kernels read the untempered words from the room and temper them as
they go; when they have read enough, the last block moves to the front and is the generator's state again.

Two successive words are a double word; the first one is its high half. `uniform24` and `uniform53` are the numbers
in [0, 1) made of the low 24 bits of a word, and of the low 53 of a double word.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from mashal.core import generator as memory
from mashal.machine import threads  # noqa: F401  (provides mashal_parallel_for)
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.text import Function, Module, Value, vector

HAS_SINCOS = hasattr(ctypes.pythonapi, "sincos")
provide_from_process("sched_yield", *(["sincos"] if HAS_SINCOS else ["sin", "cos"]))

BLOCK = memory.BLOCK
MAKE, KEEP = "mashal_random_make", "mashal_random_keep"  # what kernels call the engine's functions
CHUNK = 2048  # elements a thread takes at a time
LANES = 16  # divides the block, and is below 624 - 397: one step never needs a word that it makes itself


def kernel() -> tuple[Module, Function, Value]:
    """A module, the function that shall do the kernel's work, and its parameter, the words.

    Word 1 is the generator's memory. The exported @kernel takes the generator for itself, works, and releases it.
    """
    _provide_engine()
    module = Module()
    _write_entry(module)
    f = module.function("work", "i64", [("ptr", "words")], linkage="internal")
    return module, f, f.parameters[0]


def _write_entry(module: Module) -> None:
    """i64 kernel(ptr words): one thread at a time draws from a generator; others yield until it is free."""
    f = module.function("kernel", "i64", [("ptr", "words")])
    words = f.parameters[0]
    lock = f.at(f.word(words, 1, "ptr"), memory.LOCK, "i64")

    def taken() -> Value:
        return f.op("i64", f"atomicrmw xchg ptr {lock.spelling}, i64 1 acquire").compare("ne", 0)

    repeat_while(f, taken, lambda: f.call("i32", "sched_yield"))
    status = f.call("i64", "work", words)
    f.do(f"store atomic i64 0, ptr {lock.spelling} release, align 8")
    f.end(status)


def draw(f: Function, state: Value, n: Value, each: int, body: Callable[[Value, Value, Value], None]) -> None:
    """Has `body(raw, start, count)` make elements start … start + count - 1 until n are made.

    raw: where the words of element `start` begin; each: words an element takes, a power of two. All counts but
    the last are multiples of sixteen, and sixteen elements may be read at raw even where fewer are left.
    """
    done = f.stack(8)
    f.set_word(done, 0, 0)

    def round_() -> None:
        start = f.word(done, 0)
        left = n - start
        made = f.call("i64", MAKE, state, left * each)
        position = f.word(state, memory.POSITION)
        available = ((made + 1) * BLOCK - position) >> (each.bit_length() - 1)
        count = f.select(available.compare("slt", left), available & -LANES, left)
        body(f.at(_key(f, state), position, "i32"), start, count)
        f.call("void", KEEP, state, made, count * each)
        f.set_word(done, 0, start + count)

    repeat_while(f, lambda: f.word(done, 0).compare("slt", n), round_)


def in_parallel(
    f: Function, words: Value, out: Value, body: Callable[..., None]
) -> Callable[[Value, Value, Value], None]:
    """A body for `draw` that shares its elements among the threads, CHUNK at a time.

    body(g, words, out, raw, first, i, count) writes, into the function g, how elements i … i + count - 1 behind
    raw become elements first + i … of out.
    """
    g = f.module.function(
        "share", "void", [("ptr", "context"), ("i64", "chunk"), ("i64", "thread")], linkage="internal"
    )
    context, chunk, _ = g.parameters
    inner_words, inner_out, raw = (g.word(context, i, "ptr") for i in range(3))
    begin = chunk * CHUNK
    left = g.word(context, 4) - begin
    body(g, inner_words, inner_out, raw, g.word(context, 3), begin, g.min(left, CHUNK))
    g.end()

    def shared(raw: Value, start: Value, count: Value) -> None:
        block = f.stack(40)
        for i, value in enumerate((words, out, raw, start, count)):
            f.set_word(block, i, value)
        run = Value(f, "@share", "ptr")
        f.call("void", "mashal_parallel_for", run, block, (count + (CHUNK - 1)) // CHUNK)

    return shared


def skip(f: Function, state: Value, count: Value) -> None:
    """Draws `count` words, fewer than a block, for nobody."""
    f.call("void", KEEP, state, f.call("i64", MAKE, state, count), count)


def repeat_while(f: Function, condition: Callable[[], Value], body: Callable[[], object]) -> None:
    """while condition(): body()"""
    head, inside, after = f.new_label(), f.new_label(), f.new_label()
    f.branch(head)
    f.block(head)
    f.branch_if(condition(), inside, after)
    f.block(inside)
    body()
    f.branch(head)
    f.block(after)


class Slot:
    """A variable that changes in loops without phi nodes."""

    def __init__(self, f: Function, x: Value):
        self.f, self.type, self.place = f, x.type, f.stack(8, 8)
        self.set(x)

    def get(self) -> Value:
        return self.f.load(self.place, type=self.type)

    def set(self, x: Value) -> None:
        self.f.store(self.f.value(x, self.type), self.place)


# ---------------------------------------------------------------- what kernels read
def words(f: Function, raw: Value, i: Value, n: int) -> Value:
    """Words i … i + n - 1 behind raw, as lanes of i32; one scalar word for n = 0."""
    return _temper(f.load(raw, i, vector(n, "i32")))


def double_words(f: Function, raw: Value, i: Value, n: int) -> tuple[Value, Value]:
    """The high and the low halves of double words i … i + n - 1 (n at most 16; scalars for n = 0)."""
    i = i * 2
    if not n:
        return words(f, raw, i, 0), words(f, raw, i + 1, 0)
    first, second = words(f, raw, i, n), words(f, raw, i + n, n)
    return f.shuffle(first, second, range(0, 2 * n, 2)), f.shuffle(first, second, range(1, 2 * n, 2))


def joined(f: Function, high: Value, low: Value) -> Value:
    """The halves as i64."""
    return (f.convert("zext", high, "i64") << 32) | f.convert("zext", low, "i64")


def uniform24(f: Function, raw: Value, i: Value, n: int) -> Value:
    """float numbers in [0, 1) from words i … i + n - 1."""
    return f.convert("sitofp", words(f, raw, i, n) & 0xFFFFFF, "float") * 2.0**-24


def uniform53(f: Function, raw: Value, i: Value, n: int = 0) -> Value:
    """double numbers in [0, 1) from double words i … i + n - 1."""
    high, low = double_words(f, raw, i, n)
    high, low = f.convert("sitofp", high & 0x1FFFFF, "double"), f.convert("uitofp", low, "double")
    return f.fma(high, 2.0**-21, low * 2.0**-53)  # both terms and the sum are exact


def sine_and_cosine(f: Function, t: Value) -> tuple[Value, Value]:
    """sin t and cos t of a double, as the C library gives them (its sincos, where it has one, gives the same bits)."""
    if not HAS_SINCOS:
        return f.call("double", "sin", t), f.call("double", "cos", t)
    sine, cosine = f.stack(8, 8), f.stack(8, 8)
    f.call("void", "sincos", t, sine, cosine)
    return f.load(sine, type="double"), f.load(cosine, type="double")


def _temper(x: Value) -> Value:
    x = x ^ x.shift_right_unsigned(11)
    x = x ^ ((x << 7) & _signed(0x9D2C5680))
    x = x ^ ((x << 15) & _signed(0xEFC60000))
    return x ^ x.shift_right_unsigned(18)


# ---------------------------------------------------------------- the engine
@cache
def _provide_engine() -> None:
    """Compiles the engine, which all kernels call by name."""
    module = Module()
    _write_seeding(module)
    _write_making(module)
    _write_keeping(module)
    for name, address in zip((MAKE, KEEP), JIT.functions(module.text(), "engine", ["_make", "_keep"])):
        JIT.provide(name, address)


def _key(f: Function, state: Value) -> Value:
    return f.at(state, memory.HEADER, "i64")


def _write_seeding(module: Module) -> None:
    """void seed_key(ptr state): the key that belongs to the seed."""
    f = module.function("seed_key", "void", [("ptr", "state")], linkage="internal")
    state = f.parameters[0]
    key = _key(f, state)
    first = f.convert("trunc", f.word(state, memory.SEED), "i32")
    f.store(first, key)

    def one(i: Value, before: Value) -> Value:
        x = (before ^ before.shift_right_unsigned(30)) * 1812433253 + f.convert("trunc", i, "i32")
        f.store(x, key, i)
        return x

    f.loop(1, BLOCK, 1, one, [first])
    f.set_word(state, memory.POSITION, BLOCK)
    f.end()


def _write_making(module: Module) -> None:
    """i64 engine_make(ptr state, i64 need): makes blocks behind the key for `need` words, as far as there is room."""
    f = module.function("engine_make", "i64", [("ptr", "state"), ("i64", "need")])
    state, need = f.parameters
    f.if_(f.word(state, memory.POSITION).compare("eq", memory.UNSEEDED), lambda: f.call("void", "seed_key", state))
    f.set_word(state, memory.FRESH, 0)
    lacking = need - (BLOCK - f.word(state, memory.POSITION))
    made = f.min(f.max((lacking + (BLOCK - 1)) // BLOCK, 0), memory.ROOM)
    key = _key(f, state)

    def twist(i: Value) -> None:
        here, following, far = (f.load(f.at(key, i + k, "i32"), type=vector(LANES, "i32")) for k in (0, 1, 397))
        mixed = (here & _signed(0x80000000)) | (following & 0x7FFFFFFF)
        odd = (0 - (following & 1)) & _signed(0x9908B0DF)
        f.store(far ^ mixed.shift_right_unsigned(1) ^ odd, f.at(key, i + BLOCK, "i32"))

    f.loop(0, made * BLOCK, LANES, twist)
    f.end(made)


def _write_keeping(module: Module) -> None:
    """void engine_keep(ptr state, i64 made, i64 used): the last of the blocks made becomes the key."""
    f = module.function("engine_keep", "void", [("ptr", "state"), ("i64", "made"), ("i64", "used")])
    state, made, used = f.parameters
    behind = made * BLOCK
    f.set_word(state, memory.POSITION, f.word(state, memory.POSITION) + used - behind)

    def move() -> None:
        key = _key(f, state)
        last = f.at(key, behind, "i32")
        f.loop(0, BLOCK, LANES, lambda i: f.store(f.load(last, i, vector(LANES, "i32")), key, i))

    f.if_(made.compare("ne", 0), move)
    f.end()


def _signed(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits
