"""What a contraction's micro-kernel is made of on one host: the tile, the numbers, and what ends a tile.

`Tile` says how many rows and vectors of C stay in registers, `Numbers` how elements of one dtype are read,
multiplied and written, `Epilogue` what happens to a result before it is stored. Stands on machine.text alone.

Surprise: half and bfloat never appear as LLVM types in memory. They are loaded as i16 and widened by us, because
LLVM lowers vectors of them to library calls on processors without the instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mashal.machine.host import Host
from mashal.machine.text import FLOATS, SIZES, Function, Value, vector


def cheap_masks(host: Host) -> bool:
    """Whether masked loads and stores are single instructions for every element size."""
    return host.vector_bytes == 64


@dataclass(frozen=True)
class Numbers:
    """How one element type is computed with.

    memory: the type loads and stores use; compute: what products are accumulated in; panel: a word of a packed
    panel; group: how many neighbours along k one such word holds (2 where the processor has bfloat dot products);
    fused: whether a product is rounded only with the sum it is added to.

    >>> n = Numbers.of("bfloat", Host("znver4", "+avx512bf16", 64, 32), pairs=True)
    >>> n.memory, n.compute, n.panel, n.group, n.width
    ('i16', 'float', 'i32', 2, 16)
    """

    element: str
    memory: str
    compute: str
    panel: str
    group: int
    width: int
    fused: bool = True

    @staticmethod
    def of(element: str, host: Host, pairs: bool = False) -> Numbers:
        """pairs: whether bfloat dot products may be used where the processor has them."""
        memory = "i16" if element in ("half", "bfloat") else element
        compute = {"half": "float", "bfloat": "float", "i8": "i32", "i16": "i32"}.get(element, element)
        pairs = pairs and element == "bfloat" and host.has("avx512bf16") and host.vector_bytes == 64
        width = host.lanes(SIZES[compute])
        return Numbers(element, memory, compute, "i32" if pairs else compute, 2 if pairs else 1, width)

    @property
    def vector(self) -> str:
        """A full vector of accumulators."""
        return vector(self.width, self.compute)

    @property
    def rounds(self) -> bool:
        """Whether storing loses digits, so that partial sums must not be stored as elements."""
        return self.element in ("half", "bfloat")

    @property
    def floating(self) -> bool:
        return self.compute in FLOATS

    def widen(self, f: Function, x: Value) -> Value:
        """An element as loaded (or lanes of it) in the type of the accumulators; exact."""
        if self.element == "bfloat":
            return (f.convert("zext", x, "i32") << 16).bitcast("float")
        if self.element == "half":
            return f.convert("fpext", x.bitcast("half"), "float")
        return x if self.memory == self.compute else f.convert("sext", x, self.compute)

    def narrow(self, f: Function, x: Value) -> Value:
        """An accumulator as it is stored: rounded to nearest even, or wrapped."""
        if self.group == 2:  # where there are bfloat dot products, this is one instruction
            return f.convert("fptrunc", x, "bfloat").bitcast("i16")
        if self.element == "bfloat":
            bits = x.bitcast("i32")
            odd = bits.shift_right_unsigned(16) & 1
            rounded = (bits + odd + 0x7FFF).shift_right_unsigned(16)
            return f.convert("trunc", f.select(x.compare("uno", x), 0x7FC0, rounded), "i16")
        if self.element == "half":
            return f.convert("fptrunc", x, "half").bitcast("i16")
        return x if self.memory == self.compute else f.convert("trunc", x, self.memory)

    def load(self, f: Function, pointer: Value, width: int = 0, mask: Value | None = None) -> Value:
        """`width` elements (0: one scalar) behind a pointer, widened."""
        return self.widen(f, f.load(pointer, type=vector(width, self.memory), mask=mask))

    def store(self, f: Function, x: Value, pointer: Value, mask: Value | None = None) -> None:
        f.store(self.narrow(f, x), pointer, mask=mask)

    def at(self, f: Function, pointer: Value, i) -> Value:
        """The address of element i."""
        return f.at(pointer, i, self.memory)

    def zero(self, f: Function) -> Value:
        return f.constant(self.vector, 0)

    def add_words(self, f: Function, a: Value, b: Value, c: Value) -> Value:
        """c + a * b for vectors of panel words, which may hold pairs."""
        if self.group == 1:
            return self.add_product(f, a, b, c)
        pairs = [f.op("<32 x bfloat>", f"bitcast {x} to <32 x bfloat>") for x in (a, b)]
        return f.call(self.vector, "llvm.x86.avx512bf16.dpbf16ps.512", c, *pairs)

    def add_product(self, f: Function, a: Value, b: Value, c: Value) -> Value:
        """c + a * b on vectors of accumulators."""
        return f.math("fmuladd", a, b, c) if self.floating and self.fused else a * b + c  # if the processor can

    def beta(self, f: Function, word: Value, epilogue: Epilogue) -> Value:
        """The word `beta`: a scalar, or where the kernel's own words lie for what follows."""
        if epilogue.follow is not None:
            return f.op("ptr", f"inttoptr {word} to ptr")
        return self.scalar(f, word)

    def scalar(self, f: Function, word: Value) -> Value:
        """The scalar argument in an 8-byte word (a double, or an i64 for integers) as an accumulator's type."""
        if self.compute == "double":
            return f.convert("bitcast", word, "double")
        if self.compute == "float":
            return f.convert("fptrunc", f.convert("bitcast", word, "double"), "float")
        return word if self.compute == "i64" else f.convert("trunc", word, self.compute)


@dataclass(frozen=True)
class Tile:
    """rows x (vectors * width) accumulators stay in registers; k is cut at depth, A at `block` rows, B at `columns`."""

    rows: int
    vectors: int
    width: int
    depth: int = 384

    @staticmethod
    def of(host: Host, numbers: Numbers) -> Tile:
        """As many accumulators as fit beside the vectors of B and one broadcast of A.

        >>> host = Host("haswell", "", 32, 16)
        >>> tile = Tile.of(host, Numbers.of("float", host))
        >>> tile.rows, tile.across
        (6, 16)
        """
        if not numbers.fused:  # for tiny products, which have few columns
            return Tile(4, 1, numbers.width)
        vectors = 2 if host.vector_bytes > 16 else 3
        rows = (host.registers - vectors - 1) // vectors
        depth = 512 if host.vector_bytes == 64 and SIZES[numbers.compute] == 4 else 384  # 10 % where k is 1024 to 2048
        return Tile(12 if rows >= 12 else rows // 2 * 2, vectors, numbers.width, depth)

    @property
    def across(self) -> int:
        return self.vectors * self.width

    @property
    def block(self) -> int:
        return 12 * self.rows

    @property
    def columns(self) -> int:
        return 4096 // self.across * self.across


class Follow(Protocol):
    """What follows a product, element by element."""

    def places(self, count: int) -> list[int]:
        """Where each of the first words of lower.problem is among the kernel's words."""
        ...

    def prefetch(self, f: Function, words: Value, c: Value, bytes: int) -> None:
        """Asks for what will be read beside so many bytes of sums at c."""
        ...

    def apply(self, f: Function, words: Value, c: Value, x: Value, mask: Value | None) -> Value:
        """What is stored at c of the complete sums x; writes its other results. words: those the kernel was called with."""
        ...


@dataclass(frozen=True)
class Epilogue:
    """What happens to alpha·A@B before it is stored, fixed when the kernel is generated.

    bias: add a row vector along N; activation: emits IR on a vector of accumulators; alpha: scale the product;
    accumulate: add beta times what C holds; follow: what is computed of complete sums and written elsewhere too
    (lower.following), which excludes alpha, accumulate and activation.
    """

    bias: bool = False
    activation: Callable[[Function, Value], Value] | None = None
    alpha: bool = False
    accumulate: bool = False
    follow: Follow | None = None

    @property
    def fused(self) -> bool:
        """Whether anything must wait for the complete sum."""
        return self.bias or self.activation is not None or self.follow is not None

    def apply(self, f: Function, numbers: Numbers, x: Value, bias: Callable[[], Value]) -> Value:
        """The complete sums x with bias() added and the activation applied."""
        if self.bias:
            x = x + bias()
        if self.activation and not numbers.floating:
            x = numbers.widen(f, numbers.narrow(f, x))  # integers wrap before the activation sees them
        return self.activation(f, x) if self.activation else x


def relu(f: Function, x: Value) -> Value:
    """max(x, 0) that keeps nan: a comparison with nan is false, and the other arm is x."""
    predicate = "olt" if x.type.split()[-1].rstrip(">") in FLOATS else "slt"
    return f.select(x.compare(predicate, 0), f.constant(x.type, 0), x)


def ceil_div(a, b):
    """a / b rounded up, for values and for Python's integers."""
    return (a + (b - 1)) // b


def aligned(f: Function, pointer: Value) -> Value:
    """A pointer moved up to the next multiple of 64 bytes."""
    address = (f.op("i64", f"ptrtoint {pointer} to i64") + 63) & -64
    return f.op("ptr", f"inttoptr {address} to ptr")
