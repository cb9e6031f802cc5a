"""Big contractions: pack, then tile. The layout of the work, for one block of B's columns and one block of k:

    phase 1 (shared out): all rows of A and the block's columns of B are packed into panels
    phase 2 (shared out): tiles of C; in each, for every panel of B, for every panel of A, the micro-kernel

How k is cut depends on sizes alone, so the results don't depend on the number of threads.
"""

from __future__ import annotations

from mashal.lower.microkernel import Place, add_packed_tile
from mashal.lower.pack import add_pack
from mashal.lower.problem import Block, chunk_function, names, share_out
from mashal.lower.tiles import Epilogue, Numbers, Tile, aligned, ceil_div
from mashal.machine.host import Host
from mashal.machine.text import SIZES, Function, Module, Value

FIELDS = names(
    "c ldc a rsa csa b rsb csb m n k steps rows_at columns_at row_chunks bands width first last partial ldp bias "
    "alpha beta"
)
FIELD_POINTERS = frozenset(names("c a b rows_at columns_at partial bias"))
ROW_PANELS, COLUMN_PANELS = 4, 2  # panels packed by one chunk
TILES = 32  # tiles wanted in phase 2, so that some 8 threads find work
WIDEST = 1024  # columns of a tile: more of B than this leaves the second-level cache


def context_of(f: Function, pointer: Value) -> Block:
    return Block(f, pointer, FIELDS, FIELD_POINTERS)


def cut(k: int, tile: Tile, numbers: Numbers) -> int:
    """How long the blocks of k are: equal parts of at most the tile's depth, even (pairs must not be split)."""
    parts = ceil_div(k, tile.depth * numbers.group)
    return ceil_div(k, parts) + 1 & -2


def scratch_of(m: int, n: int, k: int, tile: Tile, numbers: Numbers) -> int:
    """Bytes that the packed panels and, for half types, the partial sums need: never less for larger sizes."""
    deepest = tile.depth * numbers.group
    steps = ceil_div(min(k, deepest), numbers.group) + 1
    across = min(n, tile.columns)
    panels = (ceil_div(m, tile.rows) * tile.rows + ceil_div(across, tile.across) * tile.across) * steps
    partial = m * across if numbers.rounds and k > deepest else 0
    return (panels + partial) * SIZES[numbers.compute] + 256


def add_blocked(module: Module, numbers: Numbers, epilogue: Epilogue, host: Host) -> str:
    """Adds void blocked(words)."""
    tile = Tile.of(host, numbers)
    _add_packing(module, numbers, tile, host)
    _add_band(module, numbers, tile, epilogue)
    f = module.function("blocked", parameters=[("ptr", "words")], linkage="internal")
    _Driver(f, numbers, tile).write()
    f.end()
    return "blocked"


def _add_packing(module: Module, numbers: Numbers, tile: Tile, host: Host) -> None:
    """Phase 1: the first chunks pack A, the others B."""
    pack_rows = add_pack(module, "pack_rows", numbers, tile.rows, host)
    pack_columns = add_pack(module, "pack_columns", numbers, tile.across, host)
    f, pointer, chunk, _ = chunk_function(module, "pack_chunk")
    x = context_of(f, pointer)
    m, n, k, steps, row_chunks = x.all("m n k steps row_chunks")

    def panels(name: str, size: int, start: Value, count: int, total: Value, to: str, matrix: str, across, along):
        def one(i: Value) -> None:
            panel = f.at(x[to], i * steps, numbers.panel)
            source = numbers.at(f, x[matrix], i * x[across])
            f.call("void", name, panel, source, x[across], x[along], f.min(total - i, size), k)

        f.loop(start, f.min(start + count * size, total), size, one)

    def rows() -> None:
        start = chunk * (ROW_PANELS * tile.rows)
        panels(pack_rows, tile.rows, start, ROW_PANELS, m, "rows_at", "a", "rsa", "csa")

    def columns() -> None:
        start = (chunk - row_chunks) * (COLUMN_PANELS * tile.across)
        panels(pack_columns, tile.across, start, COLUMN_PANELS, n, "columns_at", "b", "csb", "rsb")

    f.if_(chunk.compare("slt", row_chunks), rows, columns)
    f.end()


class _Places:
    """How the packed micro-kernel reads where its tile goes (the argument `blocked` of add_packed_tile)."""

    def __init__(self, numbers: Numbers, epilogue: Epilogue):
        self.numbers, self.epilogue = numbers, epilogue

    def place(self, f: Function, context: Value, c, partial, bias, m, n) -> Place:
        x, numbers = context_of(f, context), self.numbers
        alpha, beta = numbers.scalar(f, x["alpha"]), numbers.beta(f, x["beta"], self.epilogue)
        first, last = x["first"].compare("ne", 0), x["last"].compare("ne", 0)
        return Place(c, x["ldc"], m, n, bias, alpha, beta, partial, x["ldp"], first, last)


def _add_band(module: Module, numbers: Numbers, tile: Tile, epilogue: Epilogue) -> None:
    """Phase 2: chunk i is a tile of C, of `block` rows and `width` columns."""
    micro = add_packed_tile(module, "tile_packed", numbers, tile, epilogue, _Places(numbers, epilogue))
    f, pointer, chunk, _ = chunk_function(module, "tile_chunk")
    x = context_of(f, pointer)
    c, ldc, m, n, steps, rows_at, columns_at = x.all("c ldc m n steps rows_at columns_at")
    bands, width, partial, ldp, bias = x.all("bands width partial ldp bias")
    i0, j0 = chunk % bands * tile.block, chunk // bands * width
    i1, j1 = f.min(i0 + tile.block, m), f.min(j0 + width, n)

    def column(j: Value) -> None:
        def row(i: Value) -> None:
            panels = [f.at(rows_at, i * steps, numbers.panel), f.at(columns_at, j * steps, numbers.panel), steps]
            sums = f.at(partial, i * ldp + j, numbers.compute) if numbers.rounds else partial
            places = [numbers.at(f, c, i * ldc + j), sums, numbers.at(f, bias, j)]
            f.call("void", micro, *panels, *places, m - i, n - j, pointer)

        f.loop(i0, i1, tile.rows, row)

    f.loop(j0, j1, tile.across, column)
    f.end()


class _Driver:
    """The loops over blocks of columns and of k, and the context they hand to the two phases."""

    def __init__(self, f: Function, numbers: Numbers, tile: Tile):
        self.f, self.numbers, self.tile = f, numbers, tile
        self.words = Block(f, f.parameters[0])
        self.x = context_of(f, f.stack(8 * len(FIELDS)))
        self.m, self.n, self.k = self.words.all("m n k")

    def write(self) -> None:
        f, tile, numbers, x = self.f, self.tile, self.numbers, self.x
        for name in names("ldc rsa csa rsb csb m alpha beta"):
            x[name] = self.words[name]
        parts = ceil_div(self.k, tile.depth * numbers.group)
        self.step = ceil_div(self.k, parts) + 1 & -2
        self.bands = ceil_div(self.m, tile.block)
        self.row_chunks = ceil_div(self.m, ROW_PANELS * tile.rows)
        x["bands"], x["row_chunks"] = self.bands, self.row_chunks
        x["rows_at"] = aligned(f, self.words["scratch"])
        f.loop(0, self.n, tile.columns, self.columns)

    def columns(self, j: Value) -> None:
        """One block of columns: how wide its tiles are, then its blocks of k."""
        f, tile, numbers, x, words = self.f, self.tile, self.numbers, self.x, self.words
        n = f.min(self.n - j, tile.columns)
        across = f.max(ceil_div(f.i64(TILES), self.bands), 1)
        width = ceil_div(ceil_div(n, across), tile.across) * tile.across
        self.width = f.min(f.max(width, 2 * tile.across), WIDEST // tile.across * tile.across)
        x["n"], x["width"], x["ldp"] = n, self.width, n
        x["c"], x["bias"] = numbers.at(f, words["c"], j), numbers.at(f, words["bias"], j)
        self.block_n, self.j = n, j
        f.loop(0, self.k, self.step, self.depth)

    def depth(self, p: Value) -> None:
        """One block of k: both phases."""
        f, tile, numbers, x, words = self.f, self.tile, self.numbers, self.x, self.words
        k = f.min(self.k - p, self.step)
        steps = ceil_div(k, numbers.group) if numbers.group > 1 else k
        x["k"], x["steps"] = k, steps
        x["a"] = numbers.at(f, words["a"], p * words["csa"])
        x["b"] = numbers.at(f, words["b"], p * words["rsb"] + self.j * words["csb"])
        x["first"] = f.convert("zext", p.compare("eq", 0), "i64")
        x["last"] = f.convert("zext", (p + k).compare("sge", self.k), "i64")
        rows = ceil_div(self.m, tile.rows) * tile.rows * steps
        x["columns_at"] = aligned(f, f.at(x["rows_at"], rows, numbers.panel))
        columns = ceil_div(self.block_n, tile.across) * tile.across * self.step
        # behind the largest panels there can be, at the same place for every block of k
        x["partial"] = x["c"] if not numbers.rounds else self.sums_at(columns)
        work = self.m * self.block_n * k
        column_chunks = ceil_div(self.block_n, COLUMN_PANELS * tile.across)
        share_out(f, "pack_chunk", x.pointer, self.row_chunks + column_chunks, work)
        share_out(f, "tile_chunk", x.pointer, self.bands * ceil_div(self.block_n, self.width), work)

    def sums_at(self, columns: Value) -> Value:
        """Where partial sums wait: after the panels of a whole block of k."""
        f, tile, group = self.f, self.tile, self.numbers.group
        rows = ceil_div(self.m, tile.rows) * tile.rows * self.step
        words = rows + columns if group == 1 else ceil_div(rows, group) + ceil_div(columns, group)
        return aligned(f, f.at(aligned(f, f.at(self.x["rows_at"], words, self.numbers.compute)), 16, "i32"))
