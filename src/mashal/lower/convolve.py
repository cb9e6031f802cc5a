"""The kernel of convolutions, and of their transposes: products of a matrix of weights with windows that are never copied.

    words: y | x, w[, bias], first, koff, aoff, parts | scratch | SPACE of lower.spacing | the names of MORE

Over planes with zeros around them (lower.spacing) every window's element k lies at a fixed distance koff[k] from the
window's first one. So result i of a position is Σ over k of A[k, i] · x[position + koff[k]]: the micro-kernel reads vectors of
neighbouring positions where they lie, and A from panels of rows. A[k, i] = w[aoff[k] + i·row]. Positions are numbered as the
spaced planes are, ends of rows included; what is computed there is dropped when a tile is written.

A call has several `parts` of ten numbers each: terms, where its koff and aoff begin, results along depth, height and width, where
they begin in y, and their strides. A strided convolution's transpose is one part for each phase of the stride.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, register_type, store_element
from mashal.lower.problem import PARALLEL_FOR, Block, chunk_function, names
from mashal.lower.spacing import SPACE, add_spacing, copied
from mashal.machine.host import HOST, Host
from mashal.machine.text import SIZES, Function, Module, Value, vector

MORE = names("groups m part_count source_n source_g weight_g row rows_at y_n y_g y_c pixels_each rows_each")
PART = names("terms koff_at aoff_at od oh ow base y_d y_h y_w")
AHEAD = 16  # terms whose elements are asked for beforehand
ROOM = 9 << 13  # sums that a chunk keeps in the second-level cache
NEAR = 1 << 12  # packed elements of a panel that stay in the first-level cache
PACKED = 4  # panels of positions that are packed together
SEGMENT = 3  # cost of a row that a packed vector is in, in cycles of a pair of multiplications
PANELS = 8  # of positions that a panel of weights is used for while it is near


@dataclass(frozen=True)
class Tiling:
    """rows of results times vectors of positions, kept in registers."""

    rows: int
    vectors: int
    width: int

    @property
    def across(self) -> int:
        return self.vectors * self.width


def tilings(itemsize: int, host: Host = HOST) -> list[Tiling]:
    """The shapes a tile may have on this host, that of most reuse first."""
    shapes = [(12, 2), (8, 3), (4, 6)] if host.registers >= 32 else [(6, 2), (4, 3), (2, 5)]
    return [Tiling(rows, vectors, host.lanes(itemsize)) for rows, vectors in shapes]


def choose(
    m: int, positions: int, oh: int, ow: int, images: int, itemsize: int, host: Host = HOST
) -> tuple[Tiling, int]:
    """The tiling that costs least for m rows, and in how many rows of an image a packed vector may lie, 0 if none is packed.

    positions: of an image, ends of rows included. oh, ow: its results.
    """

    def cost(choice: tuple[Tiling, int]) -> float:
        t, dense = choice
        panels = -(-oh * ow * images // t.across) if dense else -(-positions // t.across) * images
        return panels * (-(-m // t.rows) * t.rows * t.vectors / 2 + SEGMENT * dense * t.vectors)

    shapes = tilings(itemsize, host)
    return min([(t, dense) for t in shapes for dense in (0, -(-(t.width - 1) // ow) + 1)], key=cost)


def packed_depth(tiling: Tiling) -> int:
    """Terms of a packed block."""
    return NEAR // tiling.across & -16


def convolution(d: dtype, tiling: Tiling, bias: bool, direct: bool, dense: int) -> Module:
    """The kernel. direct: x is read where it lies; it has compact planes, and no zeros are needed around them. dense: if not 0, a
    panel's elements are packed, so that positions are results only, of several images if they are small; a vector of them lies
    in so many rows of images at most."""
    return _Writer(d, tiling, bias, direct, dense).module


class _Writer:
    def __init__(self, d: dtype, tiling: Tiling, bias: bool, direct: bool, dense: int):
        self.d, self.tiling, self.bias, self.direct, self.dense = d, tiling, bias, direct, dense
        self.type = register_type(d)
        self.vector = vector(tiling.width, self.type)
        first = ("y", "x", "w", *(("bias",) if bias else ()), "first", "koff", "aoff", "parts", "scratch")
        self.fields = (*first, *SPACE, *MORE)
        self.pointers = frozenset((*first, "part", "words"))
        self.module = Module()
        add_spacing(self.module, "space_chunk", d, self.fields, self.pointers)
        self._write_rows()
        if dense:
            self._write_packed_tile()
            self._write_packed_positions()
        else:
            self._write_tile()
            self._write_positions()
        self._write_kernel()

    def _write_kernel(self) -> None:
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        words = Block(f, f.parameters[0], self.fields, self.pointers)
        if not self.direct:
            copied(f, "space_chunk", words)
        context = f.stack(16)
        f.set_word(context, 0, words.pointer)

        def part(p: Value) -> None:
            f.set_word(context, 1, f.at(words["parts"], p * len(PART), "i64"))
            x = _Part(f, context, self)
            f.call("void", PARALLEL_FOR, Value(f, "@rows_chunk", "ptr"), context, x.groups * x.row_panels)
            f.call(
                "void",
                PARALLEL_FOR,
                Value(f, "@positions_chunk", "ptr"),
                context,
                x.groups * x.row_chunks * x.pixel_chunks,
            )

        f.loop(0, words["part_count"], 1, part)
        f.end(f.constant("i64", -1))

    def _write_rows(self) -> None:
        """A panel of weights: A[k, i] for its rows; block of terms by block, where positions are packed."""
        f, context, chunk, _ = chunk_function(self.module, "rows_chunk")
        x, rows = _Part(f, context, self), self.tiling.rows
        g = chunk / x.row_panels
        i = (chunk - g * x.row_panels) * rows
        row = x.words["row"]
        sources = [
            f.at(x.words["w"], g * x.words["weight_g"] + f.min(i + r, x.m - 1) * row, self.d.llvm) for r in range(rows)
        ]
        panels = f.at(x.panels, g * x.row_panels * x.terms * rows, self.type)
        depth = packed_depth(self.tiling) if self.dense else x.terms

        def block(start: Value) -> None:
            count = f.min(x.terms - start, depth)
            panel = f.at(panels, (start * x.row_panels + i / rows * count) * rows, self.type)

            def term(k: Value) -> None:
                at = f.load(x.aoff, start + k, "i64")
                for r, source in enumerate(sources):
                    f.store(load_element(f, self.d, source, at, 0), panel, k * rows + r)

            f.loop(0, count, 1, term)

        f.loop(0, x.terms, depth, block)
        f.end()

    def _write_tile(self) -> None:
        """void tile(a, x, koff, terms, out): out[i, j] = Σ a[k, i] · x[koff[k] + j] for a tile of rows and positions."""
        parameters = [
            ("ptr noalias", "a"),
            ("ptr noalias", "x"),
            ("ptr noalias", "koff"),
            ("i64", "terms"),
            ("ptr noalias", "out"),
        ]
        f = self.module.function("tile", parameters=parameters, attributes="nounwind noinline", linkage="internal")
        a, x, koff, terms, out = f.parameters
        rows, vectors, width = self.tiling.rows, self.tiling.vectors, self.tiling.width

        def term(k: Value, *sums: Value) -> list[Value]:
            source = f.at(x, f.load(koff, k, "i64"), self.type)
            right = [f.load(source, j * width, self.vector) for j in range(vectors)]
            column, found = f.at(a, k * rows, self.type), []
            if vectors > 2:  # such a tile's elements don't stay in the first-level cache
                ahead = f.at(x, f.load(koff, k + AHEAD, "i64"), self.type)
                for j in range(vectors):
                    line = f.at(ahead, j * width, self.type)
                    f.call("void", "llvm.prefetch.p0", line, f.value(0, "i32"), f.value(3, "i32"), f.value(1, "i32"))
            for i in range(rows):
                left = f.splat(f.load(column, i, self.type), width)
                found += [f.math("fmuladd", left, b, sums[i * vectors + j]) for j, b in enumerate(right)]
            return found

        sums = f.loop(0, terms, 1, term, [f.constant(self.vector, 0.0)] * (rows * vectors))
        for i, v in enumerate(sums):
            f.store(v, out, i * width, align=width * SIZES[self.type])
        f.end()

    def _write_positions(self) -> None:
        """A chunk: some panels of rows, each with some panels of positions, of one group."""
        f, context, chunk, _ = chunk_function(self.module, "positions_chunk")
        x, rows, across = _Part(f, context, self), self.tiling.rows, self.tiling.across
        g = chunk / (x.row_chunks * x.pixel_chunks)
        rest = chunk - g * (x.row_chunks * x.pixel_chunks)
        p, r = rest / x.row_chunks, rest % x.row_chunks
        begin, end = p * x.pixels_each, f.min((p + 1) * x.pixels_each, x.panel_count)
        tile = f.stack(rows * across * SIZES[self.type])
        source = f.at(x.source, g * x.words["source_g"], self.type)

        def row_panel(i: Value) -> None:
            panel = f.at(x.panels, (g * x.row_panels + i) * rows * x.terms, self.type)

            def positions(q: Value) -> None:
                image = q / x.image_panels
                v = (q - image * x.image_panels) * across
                v = f.min(v, x.positions - across) if self.direct else v
                n = image / x.od
                z = image - n * x.od
                here = f.at(source, n * x.words["source_n"] + z * x.plane + v, self.type)
                f.call("void", "tile", panel, here, x.koff, x.terms, tile)
                y = (
                    g * x.words["y_g"]
                    + n * x.words["y_n"]
                    + z * x.part["y_d"]
                    + x.part["base"]
                    + i * rows * x.words["y_c"]
                )
                self._deliver(f, x, tile, v, y, g * x.m + i * rows, f.min(x.m - i * rows, rows))

            f.loop(begin, end, 1, positions)

        f.loop(r * x.rows_each, f.min((r + 1) * x.rows_each, x.row_panels), 1, row_panel)
        f.end()

    # ---------------------------------------------------------------- densely
    def _write_packed_tile(self) -> None:
        """void tile(a, b, terms, add, out): out[i, j] (+)= Σ a[k, i] · b[k, j] for a tile of rows and positions."""
        parameters = [
            ("ptr noalias", "a"),
            ("ptr noalias", "b"),
            ("i64", "terms"),
            ("i64", "add"),
            ("ptr noalias", "out"),
        ]
        f = self.module.function("tile", parameters=parameters, attributes="nounwind noinline", linkage="internal")
        a, b, terms, add, out = f.parameters
        rows, vectors, width = self.tiling.rows, self.tiling.vectors, self.tiling.width
        aligned = width * SIZES[self.type]

        def term(k: Value, *sums: Value) -> list[Value]:
            row, column, found = f.at(b, k * self.tiling.across, self.type), f.at(a, k * rows, self.type), []
            right = [f.load(row, j * width, self.vector, align=aligned) for j in range(vectors)]
            for i in range(rows):
                left = f.splat(f.load(column, i, self.type), width)
                found += [f.math("fmuladd", left, v, sums[i * vectors + j]) for j, v in enumerate(right)]
            return found

        sums = f.loop(0, terms, 1, term, [f.constant(self.vector, 0.0)] * (rows * vectors))
        before = lambda i: f.load(out, i * width, self.vector, align=aligned)
        sums = f.if_(add.compare("ne", 0), lambda: [v + before(i) for i, v in enumerate(sums)], lambda: sums)
        for i, v in enumerate(sums):
            f.store(v, out, i * width, align=aligned)
        f.end()

    def _write_packed_positions(self) -> None:
        """A chunk: some panels of results, packed block by block of terms, with some panels of rows.

        A block of a panel of results stays in the first-level cache while all these weights, in the second, go by.
        """
        f, context, chunk, _ = chunk_function(self.module, "positions_chunk")
        x, rows, across, size = _Part(f, context, self), self.tiling.rows, self.tiling.across, SIZES[self.type]
        g = chunk / (x.row_chunks * x.pixel_chunks)
        rest = chunk - g * (x.row_chunks * x.pixel_chunks)
        p, r = rest / x.row_chunks, rest % x.row_chunks
        packed, sums = f.stack(PACKED * NEAR * size), f.stack(ROOM * size)
        source = f.at(x.source, g * x.words["source_g"], self.type)
        begin, end = r * x.rows_each, f.min((r + 1) * x.rows_each, x.row_panels)
        depth = packed_depth(self.tiling)
        first, last = p * x.pixels_each, f.min((p + 1) * x.pixels_each, x.panel_count)
        panel_at = lambda q: f.at(packed, (q - first) * (depth * across), self.type)
        tile_at = lambda i, q: f.at(sums, ((i - begin) * PACKED + (q - first)) * (rows * across), self.type)

        def block(k: Value) -> None:
            count = f.min(x.terms - k, depth)
            koff = f.at(x.koff, k, "i64")
            f.loop(
                first,
                last,
                1,
                lambda q: self._pack(f, source, koff, count, self._places(f, x, q * across), panel_at(q)),
            )

            def tile(q: Value, i: Value) -> None:
                weights = f.at(x.panels, (x.row_panels * (g * x.terms + k) + i * count) * rows, self.type)
                f.call("void", "tile", weights, panel_at(q), count, k, tile_at(i, q))

            f.loop(first, last, 1, lambda q: f.loop(begin, end, 1, lambda i: tile(q, i)) and None)

        f.loop(0, f.max(x.terms, 1), depth, block)  # sums of no terms are 0, too

        def deliver(i: Value) -> None:
            y = g * x.words["y_g"] + x.part["base"] + i * rows * x.words["y_c"]
            channel, count = g * x.m + i * rows, f.min(x.m - i * rows, rows)
            f.loop(first, last, 1, lambda q: self._deliver_packed(f, x, tile_at(i, q), q * across, y, channel, count))

        f.loop(begin, end, 1, deliver)
        f.end()

    def _places(self, f: Function, x: _Part, first: Value) -> list[list[tuple[Value, Value]]]:
        """For each vector of a panel the rows its results lie in: (where a load begins, which of its lanes are meant)."""
        width, found = self.tiling.width, []
        lane = f.constant(vector(width, "i64"), range(width))
        stop = x.images * x.oh * x.ow
        for j in range(self.tiling.vectors):
            e = first + j * width
            line = e / x.ow
            column = e - line * x.ow
            there = lane.compare("slt", f.splat(stop - e, width))
            rows = []
            for i in range(self.dense):
                low = x.ow * i - column
                mask = there & lane.compare("slt", f.splat(low + x.ow, width))
                mask = mask & lane.compare("sge", f.splat(low, width)) if i else mask
                image = (line + i) / x.oh
                n = image / x.od
                row = (line + i - image * x.oh) * x.pitch
                rows.append((n * x.words["source_n"] + (image - n * x.od) * x.plane + row - low, mask))
            found.append(rows)
        return found

    def _pack(self, f: Function, source: Value, koff: Value, count: Value, places: list, packed: Value) -> None:
        width, zero = self.tiling.width, f.constant(self.vector, 0.0)

        def term(k: Value) -> None:
            base = f.at(source, f.load(koff, k, "i64"), self.type)
            for j, rows in enumerate(places):
                v = zero
                for place, mask in rows:
                    v = f.load(base, place, self.vector, mask, other=v)
                f.store(v, packed, k * self.tiling.across + j * width, align=width * SIZES[self.type])

        f.loop(0, count, 1, term)

    def _deliver_packed(
        self, f: Function, x: _Part, tile: Value, e: Value, y: Value, channel: Value, count: Value
    ) -> None:
        """Writes a tile of results from e on, row of an image by row of an image."""
        of_image = x.oh * x.ow
        stop = f.min(e + self.tiling.across, x.images * of_image)

        def run(at: Value) -> list[Value]:
            image = at / of_image
            rest = at - image * of_image
            n, line = image / x.od, rest / x.ow
            z, column = image - n * x.od, rest - line * x.ow
            length = f.min(x.ow - column, stop - at)
            to = y + n * x.words["y_n"] + z * x.part["y_d"] + line * x.part["y_h"] + column * x.part["y_w"]
            self._write_run(
                f, x, f.at(tile, at - e, self.type), f.at(x.words["y"], to, self.d.llvm), length, channel, count
            )
            return [(at + length).compare("slt", stop), at + length]

        f.repeat(run, [e])

    # ---------------------------------------------------------------- results
    def _deliver(self, f: Function, x: _Part, tile: Value, v: Value, y: Value, channel: Value, count: Value) -> None:
        """Writes a tile: its positions from v on, row of results by row of results, to y."""
        stop = f.min(v + self.tiling.across, x.positions)

        def run(at: Value) -> list[Value]:
            line = at / x.pitch
            column = at - line * x.pitch
            length = f.min(x.ow - column, stop - at)
            to = f.at(x.words["y"], y + line * x.part["y_h"] + column * x.part["y_w"], self.d.llvm)
            self._write_run(f, x, f.at(tile, at - v, self.type), to, length, channel, count)
            following = (line + 1) * x.pitch
            return [following.compare("slt", stop), following]

        column = v % x.pitch
        start = f.select(column.compare("slt", x.ow), v, v + x.pitch - column)
        f.if_(start.compare("slt", stop), lambda: f.repeat(run, [start]) and None)

    def _write_run(
        self, f: Function, x: _Part, tile: Value, to: Value, length: Value, channel: Value, count: Value
    ) -> None:
        """Neighbouring results of all rows of a tile."""
        across, width, y_w = self.tiling.across, self.tiling.width, x.part["y_w"]

        def one(r: Value) -> None:
            source, target = f.at(tile, r * across, self.type), f.at(to, r * x.words["y_c"], self.d.llvm)
            bias = load_element(f, self.d, x.words["bias"], channel + r, 0) if self.bias else None

            def several(j: Value) -> None:
                mask = f.first(length - j, width)
                value = f.load(source, j, self.vector, mask)
                value = value if bias is None else value + f.splat(bias, width)
                store_element(f, self.d, value, target, j, mask)

            def single(j: Value) -> None:
                value = f.load(source, j, self.type)
                store_element(f, self.d, value if bias is None else value + bias, target, j * y_w)

            f.if_(y_w.compare("eq", 1), lambda: f.loop(0, length, width, several), lambda: f.loop(0, length, 1, single))

        f.loop(0, count, 1, one)


class _Part:
    """What chunks know of the part they work on."""

    def __init__(self, f: Function, context: Value, writer: _Writer):
        tiling = writer.tiling
        self.words = words = Block(f, f.word(context, 0, "ptr"), writer.fields, writer.pointers)
        self.part = part = Block(f, f.word(context, 1, "ptr"), PART, frozenset())
        self.terms, self.od, self.oh, self.ow = part.all("terms od oh ow")
        self.koff = f.at(words["koff"], part["koff_at"], "i64")
        self.aoff = f.at(words["aoff"], part["aoff_at"], "i64")
        self.groups, self.m, self.pixels_each, self.rows_each = words.all("groups m pixels_each rows_each")
        self.pitch = words["size_w"]
        self.plane = words["size_h"] * self.pitch
        self.source = words["x"] if writer.direct else words["scratch"]
        self.panels = f.at(words["scratch"], words["rows_at"], "i8")
        self.positions = (self.oh - 1) * self.pitch + self.ow
        self.image_panels = (self.positions + (tiling.across - 1)) / tiling.across
        self.images = words["n"] * self.od
        self.panel_count = self.images * self.image_panels
        if writer.dense:
            self.panel_count = (self.images * self.oh * self.ow + (tiling.across - 1)) / tiling.across
        self.row_panels = (self.m + (tiling.rows - 1)) / tiling.rows
        self.row_chunks = (self.row_panels + self.rows_each - 1) / self.rows_each
        self.pixel_chunks = (self.panel_count + self.pixels_each - 1) / self.pixels_each
