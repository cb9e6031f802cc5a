"""What the kernels of convolutions share (lower.convolve): words, panels of weights, how results are written."""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.lower.emit import load_element, register_type, store_element
from mashal.lower.problem import PARALLEL_FOR, Block, chunk_function, names
from mashal.lower.spacing import SPACE, add_spacing, copied
from mashal.lower.tilings import PACKED, PANELS, ROOM, TASKS, Tiling, packed_depth
from mashal.machine.text import SIZES, Function, Module, Value, vector

MORE = names("groups m part_count source_n source_g weight_g row y_n y_g y_c")
PART = names("terms koff_at aoff_at od oh ow base y_d y_h y_w")


class Writer:
    """What the kernels share: the words, panels of weights, how results are written. Others write tiles and positions."""

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
        self.write_tile()
        self.write_positions()
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
            x = Part(f, context, self)
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
        x, rows = Part(f, context, self), self.tiling.rows
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

    def write_tile(self) -> None:
        """Adds @tile: the micro-kernel."""
        raise NotImplementedError

    def write_positions(self) -> None:
        """Adds @positions_chunk: tiles of some panels of rows and of positions."""
        raise NotImplementedError

    def write_run(
        self, f: Function, x: Part, tile: Value, to: Value, length: Value, channel: Value, count: Value
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


class Part:
    """What chunks know of the part they work on."""

    def __init__(self, f: Function, context: Value, writer: Writer):
        tiling = writer.tiling
        self.words = words = Block(f, f.word(context, 0, "ptr"), writer.fields, writer.pointers)
        self.part = part = Block(f, f.word(context, 1, "ptr"), PART, frozenset())
        self.terms, self.od, self.oh, self.ow = part.all("terms od oh ow")
        self.koff = f.at(words["koff"], part["koff_at"], "i64")
        self.aoff = f.at(words["aoff"], part["aoff_at"], "i64")
        self.groups, self.m = words.all("groups m")
        self.pitch = words["size_w"]
        self.plane = words["size_h"] * self.pitch
        self.source = words["x"] if writer.direct else words["scratch"]
        itemsize = SIZES[writer.type]
        copied = f.i64(0) if writer.direct else words["n"] * words["source_n"] * itemsize
        self.panels = f.at(words["scratch"], (copied + 2 * tiling.across * itemsize + 63) & -64, "i8")
        self.positions = (self.oh - 1) * self.pitch + self.ow
        self.image_panels = (self.positions + (tiling.across - 1)) / tiling.across
        self.images = words["n"] * self.od
        self.panel_count = self.images * self.image_panels
        if writer.dense:
            self.panel_count = (self.images * self.oh * self.ow + (tiling.across - 1)) / tiling.across
        self.row_panels = (self.m + (tiling.rows - 1)) / tiling.rows
        self._share(f, tiling, bool(writer.dense))

    def _share(self, f: Function, tiling: Tiling, dense: bool) -> None:
        """Panels of positions and of rows that a chunk works on: some chunks at least, however few images there are."""
        self.pixels_each = f.max(f.min((self.panel_count + 7) / 8, PACKED if dense else PANELS), 1)
        self.pixel_chunks = (self.panel_count + self.pixels_each - 1) / self.pixels_each
        chunks = f.max(self.pixel_chunks * self.groups, 1)
        wanted = (chunks + (TASKS - 1)) / chunks
        if dense:
            most = ROOM // (PACKED * tiling.rows * tiling.across)
            wanted = f.max(wanted, (self.row_panels + (most - 1)) / most)
        wanted = f.min(wanted, self.row_panels)
        self.rows_each = (self.row_panels + wanted - 1) / wanted
        self.row_chunks = (self.row_panels + self.rows_each - 1) / self.rows_each
