"""The micro-kernels' hot loops on every kind of processor: one multiply-add an accumulator, nothing on the stack."""

import re

import llvmlite.binding as llvm
import pytest

from mashal.lower.matmul import contraction
from mashal.lower.tiles import Numbers, Tile
from mashal.machine.host import Host

TARGETS = {
    "avx512": (Host("znver4", "+avx512bf16", 64, 32), "x86_64-unknown-linux-gnu", r"vfmadd\w+\s.*zmm", r"\(%r[sb]p"),
    "avx512-intel": (Host("skylake-avx512", "", 64, 32), "x86_64-unknown-linux-gnu", r"vfmadd\w+\s.*zmm", r"\(%r[sb]p"),
    "avx2": (Host("haswell", "", 32, 16), "x86_64-unknown-linux-gnu", r"vfmadd\w+\s.*ymm", r"\(%r[sb]p"),
    "neon": (Host("neoverse-n1", "", 16, 32, arm=True), "aarch64-unknown-linux-gnu", r"fmla\s", r"\[sp"),
    "apple": (Host("apple-m1", "", 16, 32, arm=True, mac=True), "arm64-apple-macosx13", r"fmla", r"\[sp"),
}


def assembly(form, host, triple, element="float"):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=host.cpu, opt=2)
    text = contraction(element, form, host=host).text()
    return machine.emit_assembly(llvm.parse_assembly(f'target triple = "{triple}"\n{text}'))


def hottest_block(text, multiply_add, function):
    """The basic block of a function with most multiply-adds."""
    blocks, label, inside = {}, "", False
    for line in text.split("\n"):
        start = re.match(r"(\.?L?BB\w+|[\w.]+):", line)
        if start:
            label = start.group(1)
            if "BB" not in label:
                inside = function in label
        elif inside and line.startswith("\t") and not line.strip().startswith((".", "#", ";", "//")):
            blocks.setdefault(label, []).append(line.strip())
    return max(blocks.values(), key=lambda block: sum(bool(re.search(multiply_add, x)) for x in block))


@pytest.mark.parametrize(
    "form, function, rows", [("blocked", "tile_packed", 0), ("small", "tile_many", 0), ("small", "tile_few", 4)]
)
@pytest.mark.parametrize("target", TARGETS)
def test_hot_loops_stay_in_registers(target, form, function, rows):
    host, triple, multiply_add, stack = TARGETS[target]
    tile = Tile.of(host, Numbers.of("float", host))
    block = hottest_block(assembly(form, host, triple), multiply_add, function)
    count = sum(bool(re.search(multiply_add, x)) for x in block)
    assert count == (rows or tile.rows) * tile.vectors
    assert not [x for x in block if re.search(stack, x)]


def test_tiles_follow_from_lanes_and_registers():
    tiles = [Tile.of(host, Numbers.of("float", host)) for host, *_ in TARGETS.values()]
    assert [(tile.rows, tile.across) for tile in tiles] == [(12, 32), (12, 32), (6, 16), (8, 12), (8, 12)]


def test_bfloat_dot_products_stay_in_registers():
    host, triple, _, stack = TARGETS["avx512"]
    for form, function in (("blocked", "tile_packed"), ("pairs", "tile_many")):
        block = hottest_block(assembly(form, host, triple, "bfloat"), r"vdpbf16ps", function)
        assert sum("vdpbf16ps" in x for x in block) == 24
        assert not [x for x in block if re.search(stack, x)]
