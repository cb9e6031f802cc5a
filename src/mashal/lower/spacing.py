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
    pitch = w["stride_w"] * w["step_w"]
    lane = f.constant(vector(width, "i64"), range(width))

    def phase(q: Value) -> None:
        begin = [f.load(first, q * 3 + axis, "i64") for axis in range(3)]
        low = f.min(f.max(-begin[2] + w["step_w"] - 1, 0) / w["step_w"], row_size)
        high = f.max(f.min((w["width"] - begin[2] + w["step_w"] - 1) / w["step_w"], row_size), low)

        def depth(i: Value) -> None:
            z = i * w["step_d"] + begin[0]

            def row(j: Value) -> None:
                y = j * w["step_h"] + begin[1]
                to = f.at(copy, (q * w["size_d"] + i) * plane + j * row_size, type)

                def clear(a: Value, b: Value) -> None:
                    zero = f.constant(vector(width, type), 0)
                    f.loop(a, b, width, lambda k: f.store(zero, to, k, f.first(b - k, width)))

                def inside() -> None:
                    clear(f.i64(0), low)
                    start = z * w["stride_d"] + y * w["stride_h"] + (low * w["step_w"] + begin[2]) * w["stride_w"]
                    source, count = f.at(x, start, d.llvm), high - low

                    def copy_by(load) -> None:
                        whole = count & -width
                        f.loop(0, whole, width, lambda k: f.store(load(k, None), to, low + k))
                        mask = f.first(count - whole, width)
                        f.if_(whole.compare("slt", count), lambda: f.store(load(whole, mask), to, low + whole, mask))

                    def side_by_side(k: Value, mask: Value | None) -> Value:
                        return load_element(f, d, source, k, width, mask)

                    def every_second(k: Value, mask: Value | None) -> Value:
                        left = (count - k) * 2 - 1  # nothing is read behind the last one
                        a, b = (
                            load_element(f, d, source, k * 2 + half, width, f.first(left - half, width))
                            for half in (0, width)
                        )
                        return f.shuffle(a, b, range(0, 2 * width, 2))

                    def anywhere(k: Value, mask: Value | None) -> Value:
                        places = (f.splat(k, width) + lane) * f.splat(pitch, width)
                        return gather_element(f, d, source, places, mask)

                    f.if_(
                        pitch.compare("eq", 1),
                        lambda: copy_by(side_by_side),
                        lambda: f.if_(pitch.compare("eq", 2), lambda: copy_by(every_second), lambda: copy_by(anywhere)),
                    )
                    clear(high, row_size)

                there = z.compare("ult", w["depth"]) & y.compare("ult", w["height"])
                f.if_(there, inside, lambda: clear(f.i64(0), row_size))

            f.loop(0, w["size_h"], 1, row)

        f.loop(0, w["size_d"], 1, depth)

    f.loop(0, w["phases"], 1, phase)
    f.end()
    return name


def copied(f: Function, name: str, words: Block) -> None:
    """Runs the chunks of add_spacing."""
    f.call("void", "mashal_parallel_for", Value(f, f"@{name}", "ptr"), words.pointer, words["n"] * words["channels"])
