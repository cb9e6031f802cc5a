"""The kernel of convolutions (and their transposes) whose groups have one source channel: depthwise ones.

    words: as those of lower.convolve

A plane is spaced (lower.spacing) and at once convolved while it is near: blocks of rows times vectors of results stay in
registers, and every tap is one vector load and one multiplication each. There is no matrix worth packing.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.convolve_writer import MORE, PART
from mashal.lower.emit import load_element, register_type, scatter_element, store_element
from mashal.lower.problem import PARALLEL_FOR, Block, chunk_function
from mashal.lower.spacing import SPACE, add_spacing
from mashal.machine.host import HOST
from mashal.machine.text import SIZES, Function, Module, Value, vector

ROWS, VECTORS = 2, 4  # of results in registers
FEW = 4  # results a group up to which this kernel is taken


def depthwise(d: dtype, bias: bool, direct: bool) -> Module:
    """The kernel. direct: x is read where it lies, as it has no gaps and needs no zeros around."""
    return _Writer(d, bias, direct).module


class _Writer:
    def __init__(self, d: dtype, bias: bool, direct: bool):
        self.d, self.bias, self.direct = d, bias, direct
        self.type = register_type(d)
        self.width = HOST.lanes(SIZES[self.type])
        self.vector = vector(self.width, self.type)
        first = ("y", "x", "w", *(("bias",) if bias else ()), "first", "koff", "aoff", "parts", "scratch")
        self.fields, self.pointers = (*first, *SPACE, *MORE), frozenset(first)
        self.module = Module()
        add_spacing(self.module, "space_chunk", d, self.fields, self.pointers)
        self._write_line()
        self._write_chunk()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        w = Block(f, f.parameters[0], self.fields, self.pointers)
        f.call("void", PARALLEL_FOR, Value(f, "@plane_chunk", "ptr"), w.pointer, w["n"] * w["channels"])
        f.end(f.constant("i64", -1))

    def _write_chunk(self) -> None:
        """The results of a plane of x: of all parts, of all results of its group."""
        f, words, chunk, thread = chunk_function(self.module, "plane_chunk")
        w = Block(f, words, self.fields, self.pointers)
        if not self.direct:
            f.call("void", "space_chunk", words, chunk, thread)
        n = chunk / w["groups"]
        g = chunk - n * w["groups"]
        plane = f.at(w["x"] if self.direct else w["scratch"], n * w["source_n"] + g * w["source_g"], self.type)
        pitch = w["size_w"]

        def part(p: Value) -> None:
            part = Block(f, f.at(w["parts"], p * len(PART), "i64"), PART, frozenset())
            terms, od, oh, ow = part.all("terms od oh ow")
            koff, aoff = f.at(w["koff"], part["koff_at"], "i64"), f.at(w["aoff"], part["aoff_at"], "i64")

            def result(i: Value) -> None:
                channel = g * w["m"] + i
                weights = f.at(w["w"], g * w["weight_g"] + i * w["row"], self.d.llvm)
                bias = load_element(f, self.d, w["bias"], channel, 0) if self.bias else f.constant(self.type, 0.0)
                y = f.at(w["y"], n * w["y_n"] + g * w["y_g"] + i * w["y_c"] + part["base"], self.d.llvm)

                def depth(z: Value) -> None:
                    source = f.at(plane, z * w["size_h"] * pitch, self.type)
                    to = f.at(y, z * part["y_d"], self.d.llvm)

                    def lines(j: Value, rows: int) -> None:
                        arguments = [f.at(source, j * pitch, self.type), pitch, koff, aoff, weights, terms, ow]
                        target = f.at(to, j * part["y_h"], self.d.llvm)
                        f.call("void", f"lines_{rows}", *arguments, target, part["y_h"], part["y_w"], bias)

                    whole = oh / ROWS * ROWS
                    f.loop(0, whole, ROWS, lambda j: lines(j, ROWS))
                    f.loop(whole, oh, 1, lambda j: lines(j, 1))

                f.loop(0, od, 1, depth)

            f.loop(0, w["m"], 1, result)

        f.loop(0, w["part_count"], 1, part)
        f.end()

    def _write_line(self) -> None:
        for rows in (ROWS, 1):
            self._write_lines(rows)

    def _write_lines(self, rows: int) -> None:
        """Rows of results."""
        parameters = [("ptr noalias", "x"), ("i64", "pitch"), ("ptr", "koff"), ("ptr", "aoff"), ("ptr noalias", "w")]
        parameters += [
            ("i64", "terms"),
            ("i64", "count"),
            ("ptr noalias", "y"),
            ("i64", "y_h"),
            ("i64", "y_w"),
            (self.type, "bias"),
        ]
        name = f"lines_{rows}"
        f = self.module.function(name, parameters=parameters, attributes="nounwind noinline", linkage="internal")
        x, pitch, koff, aoff, w, terms, count, y, y_h, y_w, bias = f.parameters
        width = self.width
        start = f.splat(bias, width)

        def block(k: Value, vectors: int, masked: bool) -> None:
            masks = [f.first(count - k - v * width, width) if masked else None for v in range(vectors)]

            def term(t: Value, *sums: Value) -> list[Value]:
                source = f.at(x, f.load(koff, t, "i64") + k, self.type)
                weight = f.splat(load_element(f, self.d, w, f.load(aoff, t, "i64"), 0), width)
                found = []
                for r in range(rows):
                    row = f.at(source, pitch * r, self.type)
                    for v in range(vectors):
                        value = f.load(row, v * width, self.vector, masks[v])
                        found.append(f.math("fmuladd", value, weight, sums[r * vectors + v]))
                return found

            sums = f.loop(0, terms, 1, term, [start] * (rows * vectors))
            for r in range(rows):
                for v in range(vectors):
                    self._store(
                        f, _listed(sums)[r * vectors + v], f.at(y, y_h * r, self.d.llvm), k + v * width, y_w, masks[v]
                    )

        many = VECTORS * width
        whole = count / many * many
        f.loop(0, whole, many, lambda k: block(k, VECTORS, False))

        def rest(vectors: int) -> None:
            if vectors == 1:
                return block(whole, 1, True)
            f.if_(
                (count - whole).compare("sgt", (vectors - 1) * width),
                lambda: block(whole, vectors, True),
                lambda: rest(vectors - 1),
            )

        f.if_(whole.compare("slt", count), lambda: rest(VECTORS))
        f.end()

    def _store(self, f: Function, v: Value, y: Value, k: Value, y_w: Value, mask: Value | None) -> None:
        """A vector of results, side by side or y_w apart."""
        lane = f.constant(vector(self.width, "i64"), range(self.width))

        def apart() -> None:
            places = (f.splat(k, self.width) + lane) * f.splat(y_w, self.width)
            scatter_element(f, self.d, v, y, places, mask)

        f.if_(y_w.compare("eq", 1), lambda: store_element(f, self.d, v, y, k, mask), apart)


def _listed(v: Value | list[Value]) -> list[Value]:
    return [v] if isinstance(v, Value) else v
