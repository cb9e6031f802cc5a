"""Matrix times vector: contractions with one row or one column. A stream through memory, not a tile problem.

Both are y[j] = Σₖ x[k]·matrix[k, j]: for one row x is A's row and the matrix is B, for one column x is B's column and
the matrix is A transposed. Neighbours along j are added up row by row in a buffer; neighbours along k are dot products.
"""

from __future__ import annotations

from collections.abc import Callable

from mashal.lower.problem import Block, chunk_function, names, share_out
from mashal.lower.tiles import Epilogue, Numbers, ceil_div
from mashal.machine.host import Host
from mashal.machine.text import SIZES, Function, Module, Value

FIELDS = names("y ys x xs matrix sk sj n k width bias bias_step alpha beta")
FIELD_POINTERS = frozenset(names("y x matrix bias"))
BUFFER = 4096  # results kept on the stack at a time: long runs for the prefetcher
ROWS, DOTS = 8, 4  # rows of the matrix added in one pass; dot products in one pass
PARALLEL_FROM = 1 << 17  # elements of the matrix; they come from memory, so fewer than for tiles
GRAIN = 1 << 16  # elements of the matrix for one chunk


def scratch_of(m: int, n: int, k: int, rsb: int, csa: int, itemsize: int) -> int:
    """Bytes for a copy of the vector, which dot products want side by side."""
    return k * itemsize if (csa if m == 1 else rsb) != 1 else 0


def add_matvec(module: Module, numbers: Numbers, epilogue: Epilogue, host: Host) -> str:
    """Adds void matvec(words): m or n is 1, and the matrix has a stride of 1."""
    f, pointer, chunk, _ = chunk_function(module, "matvec_chunk")
    part = _Part(f, numbers, epilogue, Block(f, pointer, FIELDS, FIELD_POINTERS), host)
    part.write(chunk)
    f.end()
    f = module.function("matvec", parameters=[("ptr", "words")], linkage="internal")
    _write_driver(f, numbers)
    f.end()
    return "matvec"


def _write_driver(f: Function, numbers: Numbers) -> None:
    """Names the operands x and matrix, and shares the results out."""
    words, block = Block(f, f.parameters[0]), Block(f, f.stack(8 * len(FIELDS)), FIELDS, FIELD_POINTERS)
    one_row = words["m"].compare("eq", 1)
    chosen = {"x": "a b", "xs": "csa rsb", "matrix": "b a", "sk": "rsb csa", "sj": "csb rsa", "n": "n m"}
    for field, (row, column) in ((field, both.split()) for field, both in chosen.items()):
        block[field] = f.select(one_row, words[row], words[column])
    for field, word in (("y", "c"), ("k", "k"), ("bias", "bias"), ("alpha", "alpha"), ("beta", "beta")):
        block[field] = words[word]
    block["ys"] = f.select(one_row, f.i64(1), words["ldc"])
    block["bias_step"] = f.convert("zext", one_row, "i64")
    n, k, sj, xs = block.all("n k sj xs")

    def copy_vector() -> None:
        x, copy = block["x"], words["scratch"]
        f.loop(0, k, 1, lambda i: f.store(f.load(x, i * xs, numbers.memory), copy, i))
        block["x"], block["xs"] = copy, f.i64(1)

    by_rows = sj.compare("eq", 1)
    f.if_(xs.compare("ne", 1) & by_rows.compare("eq", 0), copy_vector)
    grain = f.max(f.i64(GRAIN) // f.max(k, 1), 1)
    grain = f.select(by_rows, f.max(grain, f.min(ceil_div(n, 8), 1024)), grain)
    width = (f.max(grain, ceil_div(n, 64)) + 63) & -64
    block["width"] = width
    share_out(f, "matvec_chunk", block.pointer, ceil_div(n, width), n * k, PARALLEL_FROM)


class _Part:
    """The results of one chunk, as parts of one function."""

    def __init__(self, f: Function, numbers: Numbers, epilogue: Epilogue, block: Block, host: Host):
        self.f, self.numbers, self.epilogue, self.block, self.host = f, numbers, epilogue, block, host
        self.size = SIZES[numbers.compute]
        self.buffer = f.stack((BUFFER + numbers.width) * self.size)
        self.x, self.matrix, self.k = block.all("x matrix k")
        self.xs, self.sk, self.sj = block.all("xs sk sj")

    def at(self, j: Value) -> Value:
        return self.f.at(self.buffer, j, self.numbers.compute)

    def write(self, chunk: Value) -> None:
        f, width = self.f, self.block["width"]
        start = chunk * width
        stop = f.min(start + width, self.block["n"])

        def some(j: Value) -> None:
            end = f.min(j + BUFFER, stop)
            f.if_(self.sj.compare("eq", 1), lambda: self.add_rows(j, end), lambda: self.dot_products(j, end))
            self.finish(j, end)

        f.loop(start, stop, BUFFER, some)

    def add_rows(self, start: Value, stop: Value) -> None:
        """buffer = Σₖ x[k]·matrix[k, start:stop], several k a pass."""
        f, numbers, width = self.f, self.numbers, self.numbers.width
        count = stop - start
        whole = count & -width
        f.loop(0, count, width, lambda j: f.store(numbers.zero(f), self.at(j), align=width * self.size))

        def passes(rows: int) -> Callable[[Value], None]:
            def one(k: Value) -> None:
                left = [f.splat(numbers.load(f, numbers.at(f, self.x, (k + i) * self.xs)), width) for i in range(rows)]
                right = [numbers.at(f, self.matrix, (k + i) * self.sk + start) for i in range(rows)]

                def column(j: Value, masked: bool) -> None:
                    mask = f.first(count - j, width) if masked else None
                    total = f.load(self.at(j), type=numbers.vector, align=width * self.size)
                    for a, row in zip(left, right):
                        b = numbers.load(f, numbers.at(f, row, j), width, mask)
                        total = numbers.add_product(f, a, b, total)
                    f.store(total, self.at(j), align=width * self.size)

                f.loop(0, whole, width, lambda j: column(j, False))
                f.loop(whole, count, width, lambda j: column(j, True))

            return one

        many = self.k & -ROWS
        f.loop(0, many, ROWS, passes(ROWS))
        f.loop(many, self.k, 1, passes(1))

    def dot_products(self, start: Value, stop: Value) -> None:
        """buffer[j] = x · matrix[:, j], several j a pass."""
        f, numbers, width = self.f, self.numbers, self.numbers.width
        whole = self.k & -width

        def passes(count: int) -> Callable[[Value], None]:
            def one(j: Value) -> None:
                columns = [numbers.at(f, self.matrix, (j + i) * self.sj) for i in range(count)]

                def step(k: Value, *sums: Value, mask: Value | None = None) -> list[Value]:
                    a = numbers.load(f, numbers.at(f, self.x, k), width, mask)
                    right = [numbers.load(f, numbers.at(f, c, k), width, mask) for c in columns]
                    return [numbers.add_product(f, a, b, s) for b, s in zip(right, sums)]

                sums = f.loop(0, whole, width, step, [numbers.zero(f)] * count)
                sums = [sums] if isinstance(sums, Value) else sums
                sums = step(whole, *sums, mask=f.first(self.k - whole, width))
                for i, s in enumerate(sums):
                    f.store(f.reduce("fadd" if numbers.floating else "add", s), self.at(j - start + i))

            return one

        many = start + ((stop - start) & -DOTS)
        f.loop(start, many, DOTS, passes(DOTS))
        f.loop(many, stop, 1, passes(1))

    def finish(self, start: Value, stop: Value) -> None:
        """The buffer to y: vectors where y's elements are neighbours, else one lane at a time."""
        f, numbers, epilogue, width = self.f, self.numbers, self.epilogue, self.numbers.width
        y, ys, bias, bias_step = self.block.all("y ys bias bias_step")
        alpha, beta = numbers.scalar(f, self.block["alpha"]), numbers.scalar(f, self.block["beta"])
        step = f.select(ys.compare("eq", 1), f.i64(width), f.i64(1))

        def bias_at(j: Value, mask: Value) -> Value:
            return f.if_(
                bias_step.compare("eq", 1),
                lambda: numbers.load(f, numbers.at(f, bias, j), width, mask),
                lambda: f.splat(numbers.load(f, bias), width),
            )

        def some(j: Value) -> None:
            mask = f.first(f.min(step, stop - j), width)
            x = f.load(self.at(j - start), type=numbers.vector)
            place = numbers.at(f, y, j * ys)
            if epilogue.alpha:
                x = x * f.splat(alpha, width)
            if epilogue.accumulate:
                x = numbers.add_product(f, f.splat(beta, width), numbers.load(f, place, width, mask), x)
            numbers.store(f, epilogue.apply(f, numbers, x, lambda: bias_at(j, mask)), place, mask)

        f.loop(start, stop, step, some)
