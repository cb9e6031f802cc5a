"""What the kernels of a recording cost: bytes, arithmetic, and time measured one by one.

Arithmetic is counted as it is written: a product of (m, k) by (k, n) is 2·m·k·n, a convolution as the products it is made of; every
other addition, multiplication, comparison or function (exp, tanh) of an element is one. Of kernels that no formula stands for
(sorting, cross-entropy) it is estimated. Bytes are those of the tensors that a kernel reads and writes, each counted once; what
is looked up by indices counts as much as is taken from it. Times are of a kernel run by itself, the fastest of several: what it
needs may still lie in the processor's caches.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from mashal.capture.origins import Place
from mashal.capture.program import Program
from mashal.capture.trail import MADE, Step, UpdateStep, Value
from mashal.core.generator import PLACE, default_generator
from mashal.lang.expression import Expression, walk
from mashal.lang.recipes import Copy, Counted, Elements, Product, Rows
from mashal.machine import jit, memory
from mashal.machine.text import Module

TURNS, TURN = 8, 1e-4
"""The fastest of so many turns counts; a turn runs a kernel as often as it takes to last so many seconds."""
MOST = 1000  # runs in a turn
_QUIET = ("operand", "scalar", "constant", "cast", "place", "length")


@dataclass(frozen=True)
class Kernel:
    """name; operations: what it was made of; read and written: bytes; arithmetic: how many operations on numbers (estimated: about);
    time: seconds; places: (file, line) of the program's lines that it comes from."""

    name: str
    operations: tuple[str, ...]
    read: int
    written: int
    arithmetic: int
    time: float
    places: tuple[Place, ...] = ()
    estimated: bool = False


def kernels_of(program: Program) -> list[Kernel]:
    """The kernels of a program in the order in which they run."""
    steps = [step for step in program.plan.trail.steps if isinstance(step, UpdateStep) or step.call.kernel]
    return [_kernel(step, seconds) for step, seconds in zip(steps, _times(program))]


def recorded_in(program: Program) -> int:
    """How many operations were recorded for a program."""
    steps = program.plan.trail.steps
    return sum(len(_leaves(step)) for step in steps if isinstance(step, UpdateStep) or step.call.kernel)


def _leaves(step: Any) -> list[Any]:
    """The recorded steps that a step is made of."""
    parts = getattr(step, "parts", ())
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [step]


def _kernel(step: Any, seconds: float) -> Kernel:
    leaves = _leaves(step)
    names = tuple(leaf.name or "copy" for leaf in leaves)
    places = tuple(sorted({leaf.place for leaf in leaves if leaf.place is not None}))
    written = sum(map(_bytes, _apart(step.written)))
    estimated = any(isinstance(leaf, Step) and leaf.recipe is None and leaf.call.work for leaf in leaves)
    arithmetic = sum(map(_arithmetic, leaves))
    return Kernel(together(names), names, _read(step, written), written, arithmetic, seconds, places, estimated)


def together(names: Iterable[str]) -> str:
    """The names of operations that share a kernel, each said once, and what they have in common said once.

    >>> together(["mul", "add", "add", "clip: norm", "clip: div"])
    'mul + add + clip: norm + div'
    """
    said: list[str] = []
    last = ""
    for name in dict.fromkeys(names):
        before, colon, rest = name.rpartition(": ")
        said.append(rest if colon and before == last else name)
        last = before
    return " + ".join(said)


# ---------------------------------------------------------------- bytes and arithmetic
def _apart(values: Iterable[Value]) -> list[Value]:
    """Each place in memory once."""
    return list({(v.buffer, v.start, v.form): v for v in values}.values())


def _bytes(value: Value) -> int:
    """The bytes of a value's elements; those that repeat count once."""
    f = value.form
    return f.dtype.itemsize * prod(n for n, s in zip(f.shape, f.strides) if s or n == 0)


def _read(step: Any, written: int) -> int:
    """The bytes that a step reads; not those of what it only fills, and of what it looks up by indices no more than it writes."""
    values = step.read
    if isinstance(step, Step):
        filled = len(step.operands) and step.writes and _only_fills(step)
        values = [v for v in values if not filled or v is not step.operands[0]]
    sizes = [_bytes(v) for v in _apart(values)]
    return sum(min(size, written) if step.fails and written else size for size in sizes)


def _only_fills(step: Step) -> bool:
    """Whether what a step changes is not read by its formula."""
    recipe = step.recipe
    return (
        isinstance(recipe, Elements)
        and recipe.in_place
        and step.operands[0] not in step.operands[len(recipe.results) :]
    )


def _arithmetic(step: Any) -> int:
    """How many additions, products, comparisons and functions a step computes."""
    if isinstance(step, UpdateStep):
        counted = _operations(e for e in step.results if e is not None)
        return counted * sum(line[0].form.numel for line in step.lines)
    recipe = step.recipe
    if isinstance(recipe, Counted):
        return recipe.arithmetic
    if isinstance(recipe, Copy):
        return 0
    if isinstance(recipe, Product):
        return 2 * recipe.result.numel * recipe.a.shape[-1]
    if isinstance(recipe, Elements):
        return prod(recipe.shape) * _operations(e for e, _ in recipe.nest.results)
    if isinstance(recipe, Rows):
        varying, roots = recipe.nest.varying(), [e for e, _ in recipe.nest.results]
        rows = prod(n for d, n in enumerate(recipe.shape) if d not in recipe.dims)
        each = lambda node: prod(recipe.shape) if node in varying or node.kind == "over" else rows
        return sum(each(node) for node in walk(roots) if node.kind not in _QUIET)
    return step.call.work


def _operations(roots: Iterable[Expression]) -> int:
    """How many operations the formulas have that depend on an element."""
    found: set[Expression] = set()
    for node in walk(roots):
        if node.kind in ("operand", "place") or any(o in found for o in node.operands):
            found.add(node)
    return sum(node.kind not in _QUIET for node in found)


# ---------------------------------------------------------------- times
def _times(program: Program) -> list[float]:
    """Seconds of each kernel; one after another, with the words of the last replay."""
    with _put_back(program):
        return [_fastest(*launch) for launch in program.tables.launches]


def _fastest(kernel: int, words: int) -> float:
    run = _repeat()

    def turn(times: int) -> float:
        start = time.perf_counter()
        run(kernel, words, times)
        return (time.perf_counter() - start) / times

    times = max(1, min(MOST, int(TURN / max(turn(1), 1e-9))))
    return min(turn(times) for _ in range(TURNS))


@cache
def _repeat() -> Any:
    """run(kernel, words, times): calls a kernel so many times, so that what a call from Python costs is not measured."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "run"), ("ptr", "words"), ("i64", "times")])
    run, words, times = f.parameters
    f.loop(0, times, 1, lambda i: f.do(f"call i64 {run.spelling}({words})"))
    f.end(f.i64(-1))
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 3)(jit.compile(module))


@contextmanager
def _put_back(program: Program) -> Iterator[None]:
    """Gives the kernels memory of their own for what each call makes anew, and afterwards puts back what they changed."""
    trail = program.plan.trail
    changed = dict.fromkeys(
        v.buffer for step in trail.steps for v in step.written if v.buffer.source is not MADE and v.buffer.capsule
    )
    before = [(memory.address_of(b.capsule), ctypes.string_at(memory.address_of(b.capsule), b.nbytes)) for b in changed]
    random = ctypes.string_at(default_generator.address, PLACE)
    lent = program.lend()
    try:
        yield
    finally:
        for address, bytes in before:
            ctypes.memmove(address, bytes, len(bytes))
        ctypes.memmove(default_generator.address, random, PLACE)
        program.take_back(lent)
