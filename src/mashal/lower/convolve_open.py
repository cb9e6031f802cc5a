"""Tiles of convolutions whose positions are numbered as the source's planes are: vectors are read where they lie."""

from __future__ import annotations

from mashal.lower.convolve_writer import Part, Writer
from mashal.lower.problem import chunk_function
from mashal.lower.tilings import AHEAD
from mashal.machine.text import SIZES, Function, Value


class Open(Writer):
    """Positions of an image, ends of rows included; what is computed there is dropped when a tile is written."""

    def write_tile(self) -> None:
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

    def write_positions(self) -> None:
        """A chunk: some panels of rows, each with some panels of positions, of one group."""
        f, context, chunk, _ = chunk_function(self.module, "positions_chunk")
        x, rows, across = Part(f, context, self), self.tiling.rows, self.tiling.across
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

    def _deliver(self, f: Function, x: Part, tile: Value, v: Value, y: Value, channel: Value, count: Value) -> None:
        """Writes a tile: its positions from v on, row of results by row of results, to y."""
        stop = f.min(v + self.tiling.across, x.positions)

        def run(at: Value) -> list[Value]:
            line = at / x.pitch
            column = at - line * x.pitch
            length = f.min(x.ow - column, stop - at)
            to = f.at(x.words["y"], y + line * x.part["y_h"] + column * x.part["y_w"], self.d.llvm)
            self.write_run(f, x, f.at(tile, at - v, self.type), to, length, channel, count)
            following = (line + 1) * x.pitch
            return [following.compare("slt", stop), following]

        column = v % x.pitch
        start = f.select(column.compare("slt", x.ow), v, v + x.pitch - column)
        f.if_(start.compare("slt", stop), lambda: f.repeat(run, [start]) and None)
