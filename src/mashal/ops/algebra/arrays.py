"""Algorithms on arrays that NumPy does not have: elimination, substitution, and factorizations that go on after a failure.

Arrays are stacks of matrices (stack, rows, columns). Each algorithm works in blocks, so that most of it is NumPy's product of
matrices, and on the whole stack at once. What is written into are copies made by the caller.
"""

from __future__ import annotations

from typing import Any

from mashal.core.interop import numpy

BLOCK = 32


def stacked(a: Any) -> Any:
    """A new array (stack, rows, columns) with a's matrices."""
    return numpy.array(a, order="C").reshape((-1, *a.shape[-2:]) if a.size else (count_of(a), *a.shape[-2:]))


def count_of(a: Any) -> int:
    """How many matrices a has."""
    n = 1
    for size in a.shape[:-2]:
        n *= size
    return n


def size_of(x: Any) -> Any:
    """What pivots are chosen by: |x|, of complex numbers |re| + |im|."""
    return abs(x.real) + abs(x.imag) if x.dtype.kind == "c" else abs(x)


# ---------------------------------------------------------------- P·L·U
def eliminate(a: Any, pivot: bool = True) -> tuple[Any, Any, Any]:
    """(L below the diagonal and U, pivots counted from 1, info): Gauss's elimination, rows exchanged for the largest pivot.

    info: 0, or the number of the first pivot that is exactly 0. Like LAPACK's getrf, which NumPy does not show.
    """
    x, k = stacked(a), min(a.shape[-2:])
    pivots = numpy.empty((len(x), k), "int32")
    info = numpy.zeros(len(x), "int32")
    if len(x) == 1:
        info[0] = _eliminate_one(x[0], pivots[0], pivot)
    else:
        _eliminate(x, pivots, info, pivot)
    batch = a.shape[:-2]
    return x.reshape(a.shape), pivots.reshape(*batch, k), info.reshape(batch)


def _eliminate(x: Any, pivots: Any, info: Any, pivot: bool) -> None:
    k, which = pivots.shape[1], numpy.arange(len(x))
    for start in range(0, k, BLOCK):
        end = min(start + BLOCK, k)
        for j in range(start, end):
            p = j + size_of(x[:, j:, j]).argmax(1) if pivot else numpy.full(len(x), j)
            pivots[:, j] = p + 1
            if (p != j).any():
                row = x[which, p]
                x[which, p] = x[:, j]
                x[:, j] = row
            d = x[:, j, j]
            info[(d == 0) & (info == 0)] = j + 1
            x[:, j + 1 :, j] /= numpy.where(d == 0, d.dtype.type(1), d)[:, None]
            x[:, j + 1 :, j + 1 : end] -= x[:, j + 1 :, j, None] * x[:, j, None, j + 1 : end]
        _eliminate_right(x, start, end)


def _eliminate_one(x: Any, pivots: Any, pivot: bool) -> int:
    """The same of one matrix, which is quicker than a stack of one."""
    k, info = len(pivots), 0
    for start in range(0, k, BLOCK):
        end = min(start + BLOCK, k)
        for j in range(start, end):
            p = j + int(size_of(x[j:, j]).argmax()) if pivot else j
            pivots[j] = p + 1
            if p != j:
                row = x[p].copy()
                x[p] = x[j]
                x[j] = row
            if x[j, j] == 0:
                info = info or j + 1
            else:
                x[j + 1 :, j] /= x[j, j]
            x[j + 1 :, j + 1 : end] -= x[j + 1 :, j : j + 1] * x[j, j + 1 : end]
        _eliminate_right(x, start, end)
    return info


def _eliminate_right(x: Any, start: int, end: int) -> None:
    """What a block of columns means for those to its right."""
    if end < x.shape[-1]:
        _substitute_block(x[..., start:end, start:end], x[..., start:end, end:], False, True)
        x[..., end:, end:] -= x[..., end:, start:end] @ x[..., start:end, end:]


def order_of(pivots: Any, rows: int) -> Any:
    """The permutation that exchanging rows by pivots (counted from 1) makes: row i of P^T·A is row order[i] of A."""
    flat = pivots.reshape(count_of(pivots[..., None]), pivots.shape[-1])
    order = numpy.tile(numpy.arange(rows), (len(flat), 1))
    which = numpy.arange(len(flat))
    for j in range(flat.shape[1]):
        p = flat[:, j] - 1
        order[which, p], order[:, j] = order[:, j].copy(), order[which, p]
    return order.reshape(*pivots.shape[:-1], rows)


# ---------------------------------------------------------------- triangles
def substitute(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """The solution of A·X = B for triangular A; only A's triangle is read. A 0 on the diagonal gives inf and nan."""
    a, x = a.reshape(count_of(a), *a.shape[-2:]), stacked(b)
    if len(x) == 1:
        _substitute(a[0], x[0], upper, unit)  # products of two matrices are quicker than of stacks of one
    else:
        _substitute(a, x, upper, unit)
    return x.reshape(b.shape)


def _substitute(a: Any, x: Any, upper: bool, unit: bool) -> None:
    n = a.shape[-1]
    starts = range(0, n, BLOCK)
    for start in reversed(starts) if upper else starts:
        end = min(start + BLOCK, n)
        _substitute_block(a[..., start:end, start:end], x[..., start:end, :], upper, unit)
        if upper and start:
            x[..., :start, :] -= a[..., :start, start:end] @ x[..., start:end, :]
        elif not upper and end < n:
            x[..., end:, :] -= a[..., end:, start:end] @ x[..., start:end, :]


def _substitute_block(a: Any, x: Any, upper: bool, unit: bool) -> None:
    n = a.shape[-1]
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        row = x[..., i : i + 1, :]
        if i != (n - 1 if upper else 0):
            row -= a[..., i : i + 1, known] @ x[..., known, :]
        if not unit:
            row /= a[..., i : i + 1, i : i + 1]


# ---------------------------------------------------------------- L·L^H
def cholesky(a: Any) -> tuple[Any, Any]:
    """(lower factor, info) of positive-definite matrices; info: 0, or the order of the first leading minor that is not."""
    info = numpy.zeros(a.shape[:-2], "int32")
    try:
        return numpy.linalg.cholesky(a), info
    except numpy.linalg.LinAlgError:
        x = stacked(a)
        made, flat = numpy.tril(x), info.reshape(-1)
        for i, matrix in enumerate(x):
            try:
                made[i] = numpy.linalg.cholesky(matrix)
            except numpy.linalg.LinAlgError:
                flat[i] = _cholesky_as_far(made[i])
        return made.reshape(a.shape), info


def _cholesky_as_far(x: Any) -> int:
    """Replaces the columns before the minor that is not positive; returns its order."""
    for j in range(len(x)):
        d = (x[j, j] - (x[j, :j] * x[j, :j].conj()).sum()).real
        if not d > 0:
            return j + 1
        x[j, j] = numpy.sqrt(d)
        x[j + 1 :, j] = (x[j + 1 :, j] - x[j + 1 :, :j] @ x[j, :j].conj()) / x[j, j]
    return 0


# ---------------------------------------------------------------- e^A
_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
         670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)  # fmt: skip
"""The coefficients of Padé's approximation of eˣ of degree 13 (Higham 2005, table 10.4)."""
_PADE_NORM = 5.371920351148152
"""The norm up to which it is exact in float64."""


def exponential(a: Any) -> Any:
    """The exponential of square matrices: of A / 2^s by Padé's quotient, squared s times (s for each matrix)."""
    n = a.shape[-1]
    if not a.size:
        return numpy.array(a)
    x = stacked(a)
    norm = abs(x).sum(1).max(1).astype("float64")
    bad = ~numpy.isfinite(norm)
    ratio = numpy.where((norm > _PADE_NORM) & ~bad, norm / _PADE_NORM, 1.0)
    times = numpy.ceil(numpy.log2(ratio)).astype("int64")
    x = x * (0.5**times)[:, None, None].astype(x.real.dtype)
    b = _PADE
    one = numpy.eye(n, dtype=x.dtype)
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    odd[bad], even[bad] = 0, one
    y = numpy.linalg.solve(even - odd, even + odd).astype(x.dtype)
    for i in range(int(times.max(initial=0))):
        todo = times > i
        y[todo] = y[todo] @ y[todo]
    y[bad] = numpy.nan
    return y.reshape(a.shape)
