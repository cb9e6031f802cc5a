"""The kernel of convolutions' gradients in the weight: dw[o, k] = Σ over positions v of g[o, v] · x[v + koff[k]].

    words: dw | x, g, first, koff | scratch | SPACE of lower.spacing, for x | MORE

x is spaced as for lower.convolve; g is copied with zeros where a row of positions is longer than a row of results. Two ways:

    by results     g's copy has lanes along o, (panel of o, v, lanes): the micro-kernel keeps rows of k times vectors of o, and
                   multiplies elements of x with vectors of g. Sums are kept as (k, o) and turned in the end.
    by positions   for few o (depthwise): lanes along v, a dot product for each o and each row of k

Positions are taken in blocks that stay near, and rows of k are shared out; which is which follows from sizes only.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, register_type, store_element
from mashal.lower.pack import transpose
from mashal.lower.problem import PARALLEL_FOR, Block, chunk_function, names
from mashal.lower.spacing import SPACE, add_spacing, copied
from mashal.machine.host import HOST, Host
from mashal.machine.text import SIZES, Function, Module, Value, vector

_MORE = names(
    "groups m terms od oh ow source_n source_g g_image blocks block images_each tiles_each g_n g_c g_d g_h g_w"
)
SIDE = 8  # of the blocks that are turned
FEW = 8  # results a group up to which lanes go along positions


@dataclass(frozen=True)
class Weighing:
    """rows of k and vectors of o in registers; vectors 0: lanes go along positions."""

    rows: int
    vectors: int
    width: int

    @property
    def across(self) -> int:
        return self.vectors * self.width


def choose(m: int, itemsize: int, host: Host = HOST) -> Weighing:
    """The tile for so many results a group."""
    width, many = host.lanes(itemsize), host.registers >= 32
    if m <= FEW:
        return Weighing(8 if many else 4, 0, width)
    shapes = [(6, 4), (8, 3), (12, 2)] if many else [(4, 3), (6, 2)]
    return min((Weighing(*s, width) for s in shapes), key=lambda t: -(-m // t.across) * t.across / t.vectors**0.1)


def weighing(d: dtype, how: Weighing, direct: bool) -> Module:
    """The kernel. direct: x is read where it lies."""
    return _Writer(d, how, direct).module


class _Writer:
    def __init__(self, d: dtype, how: Weighing, direct: bool):
        self.d, self.how, self.direct = d, how, direct
        self.type = register_type(d)
        self.vector = vector(how.width, self.type)
        first = ("dw", "x", "g", "first", "koff", "scratch")
        self.fields, self.pointers = (*first, *SPACE, *_MORE), frozenset(first)
        self.module = Module()
        add_spacing(self.module, "space_chunk", d, self.fields, self.pointers)
        if how.vectors:
            self._write_turned()
            self._write_tile()
        else:
            self._write_evened()
            self._write_dots()
        self._write_block_chunk()
        self._write_delivery()
        self._write_kernel()

    def _block(self, f: Function, words: Value) -> Block:
        return Block(f, words, self.fields, self.pointers)

    def _panels(self, w: Block) -> Value | int:
        """Panels of o in a group."""
        return (w["m"] + (self.how.across - 1)) / self.how.across if self.how.vectors else w["m"]

    def _sums(self, f: Function, w: Block) -> Value:
        copied = (w["n"] * w["od"] * w["g_image"] + 64) * SIZES[self.type]
        return f.at(self._copy_of_g(f, w), (copied + 63) & -64, "i8")

    def _copy_of_g(self, f: Function, w: Block) -> Value:
        """Where g's copy begins: behind that of x."""
        copied = f.i64(0) if self.direct else (w["n"] * w["source_n"] + 64) * SIZES[self.type]
        return f.at(w["scratch"], (copied + 63) & -64, "i8")

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        w = self._block(f, f.parameters[0])
        if not self.direct:
            copied(f, "space_chunk", w)
        share = lambda name, chunks: f.call("void", PARALLEL_FOR, Value(f, f"@{name}", "ptr"), w.pointer, chunks)
        share("g_chunk", w["n"] * w["od"] * w["groups"] * self._panels(w))
        tiles = (w["terms"] + (self.how.rows - 1)) / self.how.rows
        share("block_chunk", w["groups"] * ((tiles + w["tiles_each"] - 1) / w["tiles_each"]))
        share("deliver_chunk", w["groups"] * ((w["m"] + (SIDE - 1)) / SIDE))
        f.end(f.constant("i64", -1))

    # ---------------------------------------------------------------- g's copy
    def _image_of_g(self, f: Function, w: Block, chunk: Value) -> tuple[Value, Value, Value]:
        """(g's image, panel of o over all groups, where in the copy that panel of that image begins)"""
        panels = w["groups"] * self._panels(w)
        image = chunk / panels
        panel = chunk - image * panels
        n = image / w["od"]
        z = image - n * w["od"]
        source = f.at(w["g"], n * w["g_n"] + z * w["g_d"], self.d.llvm)
        place = image * w["g_image"] + panel * (w["g_image"] / panels)
        copy = f.at(self._copy_of_g(f, w), place, self.type)
        return source, panel, copy

    def _write_turned(self) -> None:
        """copy[v, lane] = g[o, v] for the lanes' results; zeros behind the ends of rows."""
        f, words, chunk, _ = chunk_function(self.module, "g_chunk")
        w, across = self._block(f, words), self.how.across
        source, panel, copy = self._image_of_g(f, w, chunk)
        per_group = self._panels(w)
        group = panel / per_group
        o = (panel - group * per_group) * across
        pitch = w["size_w"]

        def results(b: Value) -> None:
            rows = [
                f.at(source, (group * w["m"] + f.min(o + b + i, w["m"] - 1)) * w["g_c"], self.d.llvm)
                for i in range(SIDE)
            ]

            def line(j: Value) -> None:
                def positions(k: Value) -> None:
                    mask = f.first(w["ow"] - k, SIDE)
                    lines = [load_element(f, self.d, r, j * w["g_h"] + k, SIDE, mask) for r in rows]
                    for t, v in enumerate(transpose(f, lines)):
                        f.store(v, copy, (j * pitch + k + t) * across + b)

                f.loop(0, pitch, SIDE, positions)

            f.loop(0, w["oh"], 1, line)

        f.loop(0, across, SIDE, results)
        f.end()

    def _write_evened(self) -> None:
        """copy[v] = g[o, v] for a result; zeros behind the ends of rows."""
        f, words, chunk, _ = chunk_function(self.module, "g_chunk")
        w, width = self._block(f, words), self.how.width
        source, o, copy = self._image_of_g(f, w, chunk)
        row = f.at(source, o * w["g_c"], self.d.llvm)

        def line(j: Value) -> None:
            def positions(k: Value) -> None:
                v = load_element(f, self.d, row, j * w["g_h"] + k, width, f.first(w["ow"] - k, width))
                f.store(v, copy, j * w["size_w"] + k)

            f.loop(0, w["size_w"], width, positions)

        f.loop(0, w["oh"], 1, line)
        f.end()

    # ---------------------------------------------------------------- blocks
    def _write_block_chunk(self) -> None:
        """Some tiles of k: for every block of positions, for every tile, for every panel of o."""
        f, words, chunk, _ = chunk_function(self.module, "block_chunk")
        w, rows = self._block(f, words), self.how.rows
        terms, panels = w["terms"], self._panels(w)
        tiles = (terms + (rows - 1)) / rows
        shares = (tiles + w["tiles_each"] - 1) / w["tiles_each"]
        g = chunk / shares
        begin = (chunk - g * shares) * w["tiles_each"]
        end = f.min(begin + w["tiles_each"], tiles)
        line = panels * max(self.how.across, 1)  # sums of a term
        sums = f.at(self._sums(f, w), g * tiles * rows * line, self.type)
        here = f.at(sums, begin * rows * line, self.type)
        bytes = (end - begin) * rows * line * SIZES[self.type]
        f.call("void", "llvm.memset.p0.i64", here, f.constant("i8", 0), bytes, f.constant("i1", 0))
        images, panel_size = w["n"] * w["od"], w["g_image"] / (w["groups"] * panels)
        x = f.at(w["x"] if self.direct else w["scratch"], g * w["source_g"], self.type)
        gs = f.at(self._copy_of_g(f, w), g * panels * panel_size, self.type)
        positions = (w["oh"] - 1) * w["size_w"] + w["ow"]

        def some_images(first: Value) -> None:
            last = f.min(first + w["images_each"], images)

            def block(b: Value) -> None:
                v = b * w["block"]
                count = f.min(positions - v, w["block"])

                def tile(t: Value) -> None:
                    def panel(p: Value) -> None:
                        to = f.at(sums, t * rows * line + p * max(self.how.across, 1), self.type)
                        mine = f.at(gs, p * panel_size + v * max(self.how.across, 1), self.type)
                        f.call(
                            "void", "tile", f.at(x, v, self.type), t * rows, mine, first, last, count, to, line, words
                        )

                    f.loop(0, panels, 1, panel)

                f.loop(begin, end, 1, tile)

            f.loop(0, w["blocks"], 1, block)

        f.loop(0, images, w["images_each"], some_images)
        f.end()

    def _tile_function(self) -> tuple:
        parameters = [("ptr noalias", "x"), ("i64", "row"), ("ptr noalias", "g"), ("i64", "first"), ("i64", "last")]
        parameters += [("i64", "count"), ("ptr noalias", "sums"), ("i64", "line"), ("ptr", "words")]
        f = self.module.function("tile", parameters=parameters, attributes="nounwind noinline", linkage="internal")
        return f, *f.parameters

    def _image(self, f: Function, w: Block, x: Value, g: Value, image: Value) -> tuple[Value, Value]:
        n = image / w["od"]
        z = image - n * w["od"]
        plane = w["size_h"] * w["size_w"]
        return f.at(x, n * w["source_n"] + z * plane, self.type), f.at(g, image * w["g_image"], self.type)

    def _write_tile(self) -> None:
        """sums[i, o] += Σ x[koff[row + i] + v] · g[v, o] over the positions of images first … last."""
        f, x, row, g, first, last, count, sums, line, words = self._tile_function()
        w, how = self._block(f, words), self.how
        offsets = [f.load(w["koff"], f.min(row + i, w["terms"] - 1), "i64") for i in range(how.rows)]

        def image(im: Value, *so_far: Value) -> list[Value]:
            plane, panel = self._image(f, w, x, g, im)
            rows = [f.at(plane, o, self.type) for o in offsets]

            def position(v: Value, *sums: Value) -> list[Value]:
                here = f.at(panel, v * how.across, self.type)
                right, found = [f.load(here, j * how.width, self.vector) for j in range(how.vectors)], []
                for i, r in enumerate(rows):
                    left = f.splat(f.load(r, v, self.type), how.width)
                    found += [f.math("fmuladd", left, b, sums[i * how.vectors + j]) for j, b in enumerate(right)]
                return found

            return f.loop(0, count, 1, position, so_far)

        found = f.loop(first, last, 1, image, [f.constant(self.vector, 0.0)] * (how.rows * how.vectors))
        for i in range(how.rows):
            to = f.at(sums, i * line, self.type)
            for j in range(how.vectors):
                f.store(f.load(to, j * how.width, self.vector) + found[i * how.vectors + j], to, j * how.width)
        f.end()

    def _write_dots(self) -> None:
        """sums[i] += Σ x[koff[row + i] + v] · g[v] over the positions of images first … last, lanes along v."""
        f, x, row, g, first, last, count, sums, line, words = self._tile_function()
        w, how = self._block(f, words), self.how
        offsets = [f.load(w["koff"], f.min(row + i, w["terms"] - 1), "i64") for i in range(how.rows)]

        def image(im: Value, *so_far: Value) -> list[Value]:
            plane, mine = self._image(f, w, x, g, im)
            rows = [f.at(plane, o, self.type) for o in offsets]

            def positions(v: Value, mask: Value | None, sums: tuple[Value, ...]) -> list[Value]:
                right = f.load(mine, v, self.vector, mask)
                return [f.math("fmuladd", f.load(r, v, self.vector, mask), right, s) for r, s in zip(rows, sums)]

            whole = count & -how.width
            now = f.loop(0, whole, how.width, lambda v, *sums: positions(v, None, sums), so_far)
            mask = f.first(count - whole, how.width)
            return f.if_(whole.compare("slt", count), lambda: positions(whole, mask, now), lambda: now)

        found = f.loop(first, last, 1, image, [f.constant(self.vector, 0.0)] * how.rows)
        for i, v in enumerate(found):
            f.store(f.load(sums, i * line, self.type) + f.reduce("fadd", v), sums, i * line)
        f.end()

    # ---------------------------------------------------------------- the result
    def _write_delivery(self) -> None:
        """dw[o, k] = sums[k, o] for some o: blocks turned in registers."""
        f, words, chunk, _ = chunk_function(self.module, "deliver_chunk")
        w, rows = self._block(f, words), self.how.rows
        terms, m = w["terms"], w["m"]
        per_group = (m + (SIDE - 1)) / SIDE
        g = chunk / per_group
        o = (chunk - g * per_group) * SIDE
        line = self._panels(w) * max(self.how.across, 1)
        tiles = (terms + (rows - 1)) / rows
        sums = f.at(self._sums(f, w), g * tiles * rows * line + o, self.type)
        dw = f.at(w["dw"], (g * m + o) * terms, self.d.llvm)
        there = f.first(m - o, SIDE)

        def block(k: Value) -> None:
            type = vector(SIDE, self.type)
            lines = [f.load(sums, f.min(k + i, terms - 1) * line, type, there) for i in range(SIDE)]
            for t, v in enumerate(transpose(f, lines)):
                count = f.select((o + t).compare("slt", m), terms - k, f.i64(0))
                store_element(f, self.d, v, dw, t * terms + k, f.first(count, SIDE))

        f.loop(0, terms, SIDE, block)
        f.end()
