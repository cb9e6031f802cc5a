"""Tiles of convolutions whose positions are results only, of several images if they are small: what they read is packed."""

from __future__ import annotations

from mashal.lower.convolve_writer import Part, Writer
from mashal.lower.problem import chunk_function
from mashal.lower.tilings import NEAR, PACKED, ROOM, packed_depth
from mashal.machine.text import SIZES, Function, Value, vector


class Dense(Writer):
    """Panels of results are packed block of terms by block; an image's rows are joined by masked loads."""

    def write_tile(self) -> None:
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

    def write_positions(self) -> None:
        """A chunk: some panels of results, packed block by block of terms, with some panels of rows.

        A block of a panel of results stays in the first-level cache while all these weights, in the second, go by.
        """
        f, context, chunk, _ = chunk_function(self.module, "positions_chunk")
        x, rows, across, size = Part(f, context, self), self.tiling.rows, self.tiling.across, SIZES[self.type]
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

    def _places(self, f: Function, x: Part, first: Value) -> list[list[tuple[Value, Value]]]:
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
        self, f: Function, x: Part, tile: Value, e: Value, y: Value, channel: Value, count: Value
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
            self.write_run(
                f, x, f.at(tile, at - e, self.type), f.at(x.words["y"], to, self.d.llvm), length, channel, count
            )
            return [(at + length).compare("slt", stop), at + length]

        f.repeat(run, [e])
