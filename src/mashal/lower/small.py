"""Contractions without packing of A, for small problems and for those with few rows.

A panel of B's columns is read where it lies if it is whole and its columns are neighbours; otherwise it is first
copied (and widened) to the stack, which is why k is limited to DEPTH. Panels are shared out when the rows are few
and B is big.
"""

from __future__ import annotations

from mashal.lower.microkernel import add_direct_tile
from mashal.lower.pack import add_pack
from mashal.lower.problem import Block, chunk_function, share_out
from mashal.lower.tiles import Epilogue, Numbers, Tile, ceil_div
from mashal.machine.host import Host
from mashal.machine.text import SIZES, Function, Module, Value

DEPTH = 2048  # a panel of 2048 x 32 floats is 256 KB of stack
FEW = 4  # rows of the tile for what the big tile leaves over


def add_small(module: Module, numbers: Numbers, epilogue: Epilogue, host: Host, few: bool) -> str:
    """Adds void small(words). few: leave the big tile out, for fewer rows than it has."""
    tile = Tile.of(host, numbers)
    pack = add_pack(module, "pack_columns", numbers, tile.across, host)
    narrow = add_direct_tile(module, "tile_few", numbers, FEW, tile, epilogue)
    wide = None if few else add_direct_tile(module, "tile_many", numbers, tile.rows, tile, epilogue)
    panels = _add_panel(module, numbers, tile, pack, narrow, wide)
    f = module.function("small", parameters=[("ptr", "words")], linkage="internal")
    words = Block(f, f.parameters[0])
    m, n, k = words.all("m n k")
    share_out(f, panels, words.pointer, ceil_div(n, tile.across), m * n * k)
    f.end()
    return "small"


def _add_panel(module: Module, numbers: Numbers, tile: Tile, pack: str, narrow: str, wide: str | None) -> str:
    """Adds the chunk function that computes one panel of C's columns."""
    f, context, chunk, _ = chunk_function(module, "small_panel")
    words = Block(f, context)
    c, a, b, bias, alpha, beta, m, n, k = words.all("c a b bias alpha beta m n k")
    ldc, rsa, csa, rsb, csb = words.all("ldc rsa csa rsb csb")
    alpha, beta = numbers.scalar(f, alpha), numbers.scalar(f, beta)
    j = chunk * tile.across
    left = n - j
    column = numbers.at(f, b, j * csb)
    panel, ldb = _columns(f, numbers, tile, pack, column, rsb, csb, left, k)
    c, bias = numbers.at(f, c, j), numbers.at(f, bias, j)

    def rows(name: str, i: Value) -> None:
        here = [numbers.at(f, a, i * rsa), rsa, csa, panel, ldb, k, numbers.at(f, c, i * ldc), ldc, bias]
        f.call("void", name, *here, m - i, left, alpha, beta)

    whole = f.i64(0)
    if wide is not None:
        whole = m // tile.rows * tile.rows
        f.loop(0, whole, tile.rows, lambda i: rows(wide, i))
    f.loop(whole, m, FEW, lambda i: rows(narrow, i))
    f.end()
    return "small_panel"


def _columns(f: Function, numbers: Numbers, tile: Tile, pack: str, column, rsb, csb, left, k) -> list[Value]:
    """[where a panel of B is read, its row stride]: in place if it can be, else copied to the stack."""
    buffer = f.stack(DEPTH * tile.across * SIZES[numbers.compute])

    def copied() -> list[Value]:
        f.call("void", pack, buffer, column, csb, rsb, f.min(left, tile.across), k)
        return [buffer, f.i64(tile.across)]

    if numbers.memory != numbers.compute:
        return copied()
    in_place = csb.compare("eq", 1) & left.compare("sge", tile.across)
    return f.if_(in_place, lambda: [column, rsb], copied)
