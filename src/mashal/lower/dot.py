"""The product of one row and one column that fit in the nearest cache: a sum of products, lane by lane.

For floats it is added up as the reference BLAS does it where PyTorch runs: four accumulators of 16 bytes, products
rounded before they are added, then the accumulators one after the other, then halves. So short dots have PyTorch's bits.
"""

from __future__ import annotations

from mashal.lower.microkernel import Place, finish_vector
from mashal.lower.problem import Block
from mashal.lower.tiles import Epilogue, Numbers
from mashal.machine.text import SIZES, Function, Module, Value, vector

LONGEST = 1 << 12  # elements up to which one vector of sums is enough
ACCUMULATORS = 4


def add_dot(module: Module, numbers: Numbers, epilogue: Epilogue) -> str:
    """Adds void dot(words): m and n are 1; the row and the column have a stride of 1."""
    f = module.function("dot", parameters=[("ptr", "words")], linkage="internal")
    words = Block(f, f.parameters[0])
    a, b, c, bias, n, k = words.all("a b c bias n k")
    lanes = ACCUMULATORS * 16 // SIZES[numbers.compute]

    def step(i: Value, so_far: Value, mask: Value | None = None) -> Value:
        x, y = (numbers.load(f, numbers.at(f, p, i), lanes, mask) for p in (a, b))
        return x * y + so_far

    whole = k & -lanes
    total = f.loop(0, whole, lanes, step, [f.constant(vector(lanes, numbers.compute), 0)])
    total = f.if_(whole.compare("slt", k), lambda: step(whole, total, f.first(k - whole, lanes)), lambda: total)
    alpha, beta = numbers.scalar(f, words["alpha"]), numbers.beta(f, words["beta"], epilogue)
    place = Place(c, n, n, n, bias, alpha, beta, c, n)
    x = _joined(f, total, lanes)
    x = x * alpha if epilogue.alpha else x
    mask = f.first(n, numbers.width)  # n is 1
    finish_vector(f, numbers, epilogue, f.splat(x, numbers.width), place, f.i64(0), f.i64(0), mask)
    f.end()
    return "dot"


def _joined(f: Function, total: Value, lanes: int) -> Value:
    """The accumulators one after the other, then the halves of what is left."""
    width = lanes // ACCUMULATORS
    parts = [f.shuffle(total, total, range(i * width, (i + 1) * width)) for i in range(ACCUMULATORS)]
    x = parts[0]
    for part in parts[1:]:
        x = x + part
    while width > 1:
        width //= 2
        x = f.shuffle(x, x, range(width)) + f.shuffle(x, x, range(width, 2 * width))
    return f.extract(x, 0)
