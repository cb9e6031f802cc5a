"""From two operands' shapes and strides to a contraction: which kernel, with which sizes and how much scratch.

    plan = arrange((8, 12, 256, 64), ..., (64, 256), ..., "float")
    contraction(plan.element, plan.form, epilogue, plan.batched)   the kernel
    plan.sizes, plan.scratch                                       its last words; bytes of scratch

Batch dimensions are broadcast, collapsed where strides allow, and folded into A's rows where B is the same for all of
them: a linear layer on (batch, time, features) is one product of (batch * time) rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mashal.lower.matmul import choose, scratch_bytes, side_by_side
from mashal.machine.host import HOST, Host


@dataclass(frozen=True)
class Plan:
    """How a product is computed. sizes are the words from `m` on; copy is True if it can't be done without a copy.

    The fields other than copy mean nothing if it is set: an operand's batch dimensions must be made contiguous first.
    """

    element: str
    form: str
    batched: bool
    sizes: tuple[int, ...]
    scratch: int
    copy: bool = False


@dataclass
class _Dimension:
    """A batch dimension: how many items, and the strides of A, B and C."""

    size: int
    a: int
    b: int
    c: int

    def holds(self, inner: _Dimension) -> bool:
        """Whether it continues where `inner` ends, for all operands."""
        return all(getattr(self, x) == getattr(inner, x) * inner.size for x in "abc")


def arrange(
    a_shape: Sequence[int],
    a_strides: Sequence[int],
    b_shape: Sequence[int],
    b_strides: Sequence[int],
    element: str,
    c_strides: Sequence[int] | None = None,
    threads: int = 1,
    host: Host = HOST,
    how: str | None = None,
) -> Plan:
    """The plan for A (..., m, k) times B (..., k, n), no size 0 among m, n and the batch; strides in elements.

    c_strides: those of the result, whose columns must be neighbours; contiguous if not given. threads: for how many
    a batch is to have scratch; more will not compute at once. how: the form of the kernel, else the one that suits the sizes.

    >>> plan = arrange((8, 16, 64), (1024, 64, 1), (64, 32), (1, 64), "float")
    >>> plan.batched, plan.sizes[:3]
    (False, (128, 32, 64))
    """
    m, k, n = a_shape[-2], a_shape[-1], b_shape[-1]
    batch = _broadcast(a_shape[:-2], b_shape[:-2])
    c_strides = c_strides or _contiguous((*batch, m, n))
    rsa, csa, rsb, csb, ldc = *a_strides[-2:], *b_strides[-2:], c_strides[-2]
    strides = [_spread(batch, shape, s) for shape, s in ((a_shape, a_strides), (b_shape, b_strides))]
    dimensions = [_Dimension(*four) for four in zip(batch, *strides, c_strides[:-2]) if four[0] != 1]
    dimensions = _collapsed(dimensions)
    while dimensions and dimensions[-1].b == 0:  # B is the same for all: more rows of A
        last = dimensions[-1]
        if m != 1 and (last.a != m * rsa or last.c != m * ldc):
            break
        rsa, ldc = (last.a, last.c) if m == 1 else (rsa, ldc)
        m *= dimensions.pop().size
    csa, csb = 1 if k == 1 else csa, 1 if n == 1 else csb  # a stride that is never taken may be anything
    form = how or choose(m, n, k, element, rsa, csa, rsb, csb, host)
    sizes = (m, n, k, ldc, rsa, csa, rsb, csb)
    each = scratch_bytes(form, m, n, k, element, rsb, csa, host)
    if not dimensions:
        return Plan(element, form, False, sizes, each)
    outer, inner = [_Dimension(1, 0, 0, 0), *dimensions][-2:]
    apart = side_by_side(outer.size * inner.size, m * n * k)
    sizes += (outer.size, inner.size, outer.a, inner.a, outer.b, inner.b, outer.c, inner.c, each, threads)
    return Plan(element, form, True, sizes, each * (threads if apart else 1), copy=len(dimensions) > 2)


def _broadcast(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The shape of both; that they broadcast has been checked."""
    length = max(len(a), len(b))
    a, b = (1,) * (length - len(a)) + tuple(a), (1,) * (length - len(b)) + tuple(b)
    return tuple(y if x == 1 else x for x, y in zip(a, b))


def _spread(batch: Sequence[int], shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    """An operand's strides for the dimensions of the batch, 0 where it is broadcast."""
    own = [0 if size == 1 else stride for size, stride in zip(shape[:-2], strides[:-2])]
    return [0] * (len(batch) - len(own)) + own


def _contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _collapsed(dimensions: list[_Dimension]) -> list[_Dimension]:
    """The same items with fewer dimensions: neighbours are joined where every stride continues."""
    joined: list[_Dimension] = []
    for inner in reversed(dimensions):
        if joined and inner.holds(joined[0]):
            joined[0].size *= inner.size
        else:
            joined.insert(0, inner)
    return joined
