"""Space made even: a copy of planes with zeros around them, cut into phases of a stride, that convolutions read.

    copy[n, c, q, i, j, k] = x[n, c, step_d·i + first(q, 0), step_h·j + first(q, 1), step_w·k + first(q, 2)], 0 outside

for phases q: whatever the stride, neighbouring results of a convolution then read neighbouring elements. x may have any strides;
the copy has the type that is computed with, and no gaps.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.emit import gather_element, load_element, register_type
from mashal.lower.problem import Block, chunk_function, names
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector

SPACE = names(
    "n channels depth height width stride_n stride_c stride_d stride_h stride_w phases step_d step_h step_w size_d size_h size_w"
)


def add_spacing(module: Module, name: str, d: dtype, fields: tuple[str, ...], pointers: frozenset) -> str:
    """Adds the chunk function: plane `chunk` of (n, c). The words have x, first (i64, three a phase), scratch and SPACE's."""
    f, context, chunk, _ = chunk_function(module, name)
    words = Block(f, context, fields, pointers)
    w = {field: words[field] for field in SPACE}
    type = register_type(d)
    width = HOST.lanes(SIZES[type])
    n = chunk / w["channels"]
    x = f.at(words["x"], n * w["stride_n"] + (chunk - n * w["channels"]) * w["stride_c"], d.llvm)
    row_size, plane = w["size_w"], w["size_h"] * w["size_w"]
    copy = f.at(words["scratch"], chunk * (w["phases"] * w["size_d"] * plane), type)
    first = words["first"]
    unit = (w["stride_w"] * w["step_w"]).compare("eq", 1)
    lane = f.constant(vector(width, "i64"), range(width))

    def phase(q: Value) -> None:
        begin = [f.load(first, q * 3 + axis, "i64") for axis in range(3)]

        def depth(i: Value) -> None:
            z = i * w["step_d"] + begin[0]

            def row(j: Value) -> None:
                y = j * w["step_h"] + begin[1]
                to = f.at(copy, (q * w["size_d"] + i) * plane + j * row_size, type)
                inside = z.compare("ult", w["depth"]) & y.compare("ult", w["height"])
                source = f.at(x, z * w["stride_d"] + y * w["stride_h"], d.llvm)

                def vectors(k: Value) -> None:
                    column = k * w["step_w"] + begin[2]
                    columns = f.splat(column, width) + lane * f.splat(w["step_w"], width)
                    there = columns.compare("ult", f.splat(w["width"], width)) & f.splat(inside, width)
                    v = f.if_(
                        unit,
                        lambda: load_element(f, d, source, column, width, there),
                        lambda: gather_element(f, d, source, columns * f.splat(w["stride_w"], width), there),
                    )
                    f.store(f.select(there, v, 0), to, k, f.first(row_size - k, width))

                f.loop(0, row_size, width, vectors)

            f.loop(0, w["size_h"], 1, row)

        f.loop(0, w["size_d"], 1, depth)

    f.loop(0, w["phases"], 1, phase)
    f.end()
    return name


def copied(f: Function, name: str, words: Block) -> None:
    """Runs the chunks of add_spacing."""
    f.call("void", "mashal_parallel_for", Value(f, f"@{name}", "ptr"), words.pointer, words["n"] * words["channels"])
