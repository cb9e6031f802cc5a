"""Nests: what a kernel computes, for every element of its results or of its rows.

A `Nest` is the list of its results, each an expression and the dtype in which it is stored, over operands that are
tensors or numbers. Without `over` in its expressions it is pointwise: all operands have (by broadcasting) the shape of the
results. With `over` it is rowwise: the elements are arranged in rows along one dimension (or several, taken as one), an
expression that depends on no element within the row has one value a row.

How a nest is run (lanes, threads, which dimension is innermost) is not said here: that is lower.schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mashal.core.dtypes import dtype
from mashal.lang.expression import Expression, walk


@dataclass(frozen=True)
class Operand:
    """A tensor's elements (per_row: the same for a whole row), or a number."""

    dtype: dtype
    number: bool = False
    per_row: bool = False


@dataclass(frozen=True, eq=False)
class Nest:
    """results: (expression, dtype as stored); operands in the order in which a kernel is given them. Equal if the same object."""

    results: tuple[tuple[Expression, dtype], ...]
    operands: tuple[Operand, ...]

    @property
    def rowwise(self) -> bool:
        return any(node.kind in ("over", "length", "place") for node in walk(e for e, _ in self.results))

    def per_row(self, root: Expression) -> bool:
        """Whether an expression has one value for a whole row."""
        return root not in self.varying()

    def varying(self) -> set[Expression]:
        """The expressions whose value changes within a row (not to be changed: it is kept)."""
        return _varying(self)

    def __str__(self) -> str:
        lines = [
            f"x{i}: {o.dtype.name}{' number' if o.number else ' per row' if o.per_row else ''}"
            for i, o in enumerate(self.operands)
        ]
        lines += [f"-> {d.name}: {e}" for e, d in self.results]
        return "\n".join(lines)


@lru_cache(maxsize=1024)
def _varying(nest: Nest) -> set[Expression]:
    found: set[Expression] = set()
    for node in walk(e for e, _ in nest.results):
        if node.kind == "operand":
            if not nest.operands[node.value].per_row:
                found.add(node)
        elif node.kind == "place" or (node.kind != "over" and any(o in found for o in node.operands)):
            found.add(node)
    return found
