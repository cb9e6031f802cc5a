"""What follows a product, in its own kernel: a pointwise nest of the complete sums, while they are in registers.

The nest's first operand is the sum, its first result goes where the product would. The other tensors lie exactly as the
product's result does (same sizes and strides), or are one element for all. The kernel is called with

    c, the other results | a b bias, the other operands (pointers, numbers) | scratch alpha beta m n k … as in lower.problem

so the place of an element in another tensor follows from its distance to c.
"""

from __future__ import annotations

from dataclasses import dataclass

from mashal.core.dtypes import dtype
from mashal.lang.expression import Expression
from mashal.lang.nest import Nest
from mashal.lower.emit import Emitter, load_element, store_element
from mashal.lower.pointwise import number_word
from mashal.machine.text import SIZES, Function, Value, element, lanes

_PRODUCT = 3  # operands of a product: a, b, bias


@dataclass(frozen=True)
class Following:
    """nest: of sums (operand 0), other tensors and numbers. single: operands that are one element for all."""

    nest: Nest
    single: tuple[int, ...] = ()

    def places(self, count: int) -> list[int]:
        """Where each of the words of lower.problem is among the kernel's words."""
        results, operands = len(self.nest.results), len(self.nest.operands) - 1
        rest = results + _PRODUCT + operands
        return [0, results, results + 1, results + 2, *range(rest, rest + count - _PRODUCT - 1)]

    def prefetch(self, f: Function, words: Value, c: Value, bytes: int) -> None:
        """Asks for the row of other operands that belongs to so many bytes of sums at c: they come while sums are added up."""
        first = len(self.nest.results) + _PRODUCT - 1
        start, here = (f.op("i64", f"ptrtoint {p} to i64") for p in (f.word(words, 0, "ptr"), c))
        for i, o in enumerate(self.nest.operands):
            if i and not o.number and i not in self.single:
                row = f.at(f.word(words, first + i, "ptr"), here - start, "i8")
                for at in range(0, bytes, 64):
                    f.call("void", "llvm.prefetch.p0", f.at(row, at, "i8"), *(f.value(n, "i32") for n in (0, 3, 1)))

    def apply(self, f: Function, words: Value, c: Value, x: Value, mask: Value | None) -> Value:
        """What is stored at c of the complete sums x; writes the other results."""
        n, first = lanes(x.type), len(self.nest.results) + _PRODUCT - 1  # the word of operand i is first + i
        start, here = (f.op("i64", f"ptrtoint {p} to i64") for p in (f.word(words, 0, "ptr"), c))
        distance = (here - start).shift_right_unsigned({4: 2, 8: 3}[SIZES[element(x.type)]])

        def at(word: int, d: dtype) -> Value:
            return f.at(f.word(words, word, "ptr"), distance, d.llvm)

        def leaf(node: Expression) -> Value:
            if node.kind == "scalar":
                return number_word(f, words, first, node)
            if node.value == 0:
                return x
            if node.value in self.single:
                return load_element(f, node.dtype, f.word(words, first + node.value, "ptr"), 0, 0)
            return load_element(f, node.dtype, at(first + node.value, node.dtype), 0, n, mask)

        emitter = Emitter(f, n, leaf)
        values = [emitter(e) for e, _ in self.nest.results]
        for r, (v, (_, d)) in enumerate(zip(values, self.nest.results)):
            if r:
                store_element(f, d, v, at(r, d), 0, mask)
        return values[0]
