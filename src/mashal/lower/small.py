"""Contractions without packing of A, for small problems and for those with few rows
or columns.

A panel of B's columns is read where it lies if it is whole, its columns are neighbours and it is read only a few
times; otherwise it is first copied (and widened) to the stack, which is why k is limited to DEPTH. Reading A in place
is good as long as it stays in the second-level cache, or is read once.
"""

from __future__ import annotations

from mashal.lower.microkernel import add_direct_tile
from mashal.lower.pack import add_pack
from mashal.lower.problem import PARALLEL_FROM, Block, chunk_function, share_out
from mashal.lower.tiles import Epilogue, Numbers, Tile, ceil_div
from mashal.machine.host import Host
from mashal.machine.text import SIZES, Function, Module, Value

DEPTH = 2048  # a panel of 2048 x 32 floats is 256 KB of stack
FEW = 4  # rows of the tile for what the big tile leaves over
CHUNKS, BLOCK = 32, 8  # chunks wanted; big tiles in a chunk at least, since each packs its panel anew
COPY_FROM = 96  # rows from which a panel is read so often that copying it pays


def add_small(module: Module, numbers: Numbers, epilogue: Epilogue, host: Host, few: bool) -> str:
    """Adds void small(words). few: without the big tile, for fewer rows than it has."""
    tile = Tile.of(host, numbers)
    pack = add_pack(module, "pack_columns", numbers, tile.across, host)
    narrow = add_direct_tile(module, "tile_few", numbers, FEW, tile, epilogue)
    wide = None if few else add_direct_tile(module, "tile_many", numbers, tile.rows, tile, epilogue)
    chunk = _add_chunk(module, numbers, tile, epilogue, pack, narrow, wide)
    f = module.function("small", parameters=[("ptr", "words")], linkage="internal")
    words = Block(f, f.parameters[0])
    m, n, k = words.all("m n k")
    panels, height = _shares(f, tile, m, n, k)
    share_out(f, chunk, words.pointer, panels * ceil_div(m, height), m * n * k)
    f.end()
    return "small"


def _shares(f: Function, tile: Tile, m: Value, n: Value, k: Value) -> list[Value]:
    """[panels of columns, rows that a chunk computes]: few panels of many rows are cut into blocks of rows."""
    panels = ceil_div(n, tile.across)
    wanted = f.max(f.i64(CHUNKS) // panels, 1)
    height = f.max(ceil_div(ceil_div(m, wanted), tile.rows), BLOCK) * tile.rows
    return [panels, f.select((m * n * k).compare("sgt", PARALLEL_FROM), height, m)]


def _add_chunk(
    module: Module, numbers: Numbers, tile: Tile, epilogue: Epilogue, pack: str, narrow: str, wide: str | None
) -> str:
    """Adds the chunk function: a block of rows of one panel of C's columns."""
    f, context, chunk, _ = chunk_function(module, "small_chunk")
    words = Block(f, context)
    c, a, b, bias, alpha, beta, m, n, k = words.all("c a b bias alpha beta m n k")
    ldc, rsa, csa, rsb, csb = words.all("ldc rsa csa rsb csb")
    alpha, beta = numbers.scalar(f, alpha), numbers.beta(f, beta, epilogue)
    panels, height = _shares(f, tile, m, n, k)
    j, start = chunk % panels * tile.across, chunk // panels * height
    stop, left = f.min(start + height, m), n - j
    panel, ldb = _columns(f, numbers, tile, pack, numbers.at(f, b, j * csb), rsb, csb, left, k, stop - start)
    c, bias = numbers.at(f, c, j), numbers.at(f, bias, j)

    def rows(name: str, i: Value) -> None:
        here = [numbers.at(f, a, i * rsa), rsa, csa, panel, ldb, k, numbers.at(f, c, i * ldc), ldc, bias]
        f.call("void", name, *here, stop - i, left, alpha, beta)

    whole = start
    if wide is not None:
        whole = start + (stop - start) // tile.rows * tile.rows
        f.loop(start, whole, tile.rows, lambda i: rows(wide, i))
    f.loop(whole, stop, FEW, lambda i: rows(narrow, i))
    f.end()
    return "small_chunk"


def _columns(f: Function, numbers: Numbers, tile: Tile, pack: str, column, rsb, csb, left, k, rows) -> list[Value]:
    """[where a panel of B is read, its row stride]: in place if that is good enough, else copied to the stack."""
    buffer = f.stack(DEPTH * tile.across * SIZES[numbers.compute])

    def copied() -> list[Value]:
        f.call("void", pack, buffer, column, csb, rsb, f.min(left, tile.across), k)
        return [buffer, f.i64(tile.across)]

    if numbers.memory != numbers.panel:
        return copied()
    in_place = csb.compare("eq", 1) & left.compare("sge", tile.across) & rows.compare("slt", COPY_FROM)
    return f.if_(in_place, lambda: [column, rsb], copied)
