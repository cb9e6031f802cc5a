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
    return numpy.array(a, order="C").reshape((-1, *a.shape[-2:]) if a.size else (_count(a), *a.shape[-2:]))


def _count(a: Any) -> int:
    n = 1
    for size in a.shape[:-2]:
        n *= size
    return n


def _size(x: Any) -> Any:
    """What pivots are chosen by: |x|, of complex numbers |re| + |im|."""
    return abs(x.real) + abs(x.imag) if x.dtype.kind == "c" else abs(x)


# ---------------------------------------------------------------- P·L·U
def eliminate(a: Any, pivot: bool = True) -> tuple[Any, Any, Any]:
    """(L below the diagonal and U, pivots counted from 1, info): Gauss's elimination, rows exchanged for the largest pivot.

    info: 0, or the number of the first pivot that is exactly 0. Like LAPACK's getrf, which NumPy does not show.
    """
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    x, k = stacked(a), min(m, n)
    which = numpy.arange(len(x))
    pivots = numpy.empty((len(x), k), "int32")
    info = numpy.zeros(len(x), "int32")
    for start in range(0, k, BLOCK):
        end = min(start + BLOCK, k)
        for j in range(start, end):
            p = j + _size(x[:, j:, j]).argmax(1) if pivot else numpy.full(len(x), j)
            pivots[:, j] = p + 1
            if (p != j).any():
                row = x[which, p]
                x[which, p] = x[:, j]
                x[:, j] = row
            d = x[:, j, j]
            info[(d == 0) & (info == 0)] = j + 1
            x[:, j + 1 :, j] /= numpy.where(d == 0, d.dtype.type(1), d)[:, None]
            x[:, j + 1 :, j + 1 : end] -= x[:, j + 1 :, j, None] * x[:, j, None, j + 1 : end]
        if end < n:
            _substitute_block(x[:, start:end, start:end], x[:, start:end, end:], False, True)
            x[:, end:, end:] -= x[:, end:, start:end] @ x[:, start:end, end:]
    return x.reshape(a.shape), pivots.reshape(*batch, k), info.reshape(batch)


def order_of(pivots: Any, rows: int) -> Any:
    """The permutation that exchanging rows by pivots (counted from 1) makes: row i of P^T·A is row order[i] of A."""
    flat = pivots.reshape(_count(pivots[..., None]), pivots.shape[-1])
    order = numpy.tile(numpy.arange(rows), (len(flat), 1))
    which = numpy.arange(len(flat))
    for j in range(flat.shape[1]):
        p = flat[:, j] - 1
        order[which, p], order[:, j] = order[:, j].copy(), order[which, p]
    return order.reshape(*pivots.shape[:-1], rows)


# ---------------------------------------------------------------- triangles
def substitute(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """The solution of A·X = B for triangular A; only A's triangle is read. A 0 on the diagonal gives inf and nan."""
    a, x = a.reshape(-1, *a.shape[-2:]) if a.size else stacked(a), stacked(b)
    n = a.shape[-1]
    starts = range(0, n, BLOCK)
    for start in reversed(starts) if upper else starts:
        end = min(start + BLOCK, n)
        _substitute_block(a[:, start:end, start:end], x[:, start:end], upper, unit)
        if upper and start:
            x[:, :start] -= a[:, :start, start:end] @ x[:, start:end]
        elif not upper and end < n:
            x[:, end:] -= a[:, end:, start:end] @ x[:, start:end]
    return x.reshape(b.shape)


def _substitute_block(a: Any, x: Any, upper: bool, unit: bool) -> None:
    n = a.shape[-1]
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        if i != (n - 1 if upper else 0):
            x[:, i] -= (a[:, i, None, known] @ x[:, known])[:, 0]
        if not unit:
            x[:, i] /= a[:, i, i, None]


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


# ---------------------------------------------------------------- L·D·L^H
def symmetric_factors(a: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    """(L and D in one, pivots, info) of symmetric matrices, by Bunch and Kaufman's pivots of size 1 and 2.

    Only the lower triangle is read. A pivot of size 2 is marked by two equal negative numbers, as in LAPACK's sytrf and hetrf.
    """
    x = stacked(a)
    pivots = numpy.empty((len(x), a.shape[-1]), "int32")
    info = numpy.zeros(len(x), "int32")
    for i, matrix in enumerate(x):
        info[i] = _factor_symmetric(matrix, pivots[i], hermitian and matrix.dtype.kind == "c")
    return numpy.tril(x).reshape(a.shape), pivots.reshape(a.shape[:-1]), info.reshape(a.shape[:-2])


_ALPHA = (1 + 17**0.5) / 8
"""Bunch and Kaufman's bound: which pivot lets the remaining matrix grow least."""


def _factor_symmetric(x: Any, pivots: Any, hermitian: bool) -> int:
    n, k, info = len(x), 0, 0
    while k < n:
        if hermitian:
            x[k, k] = x[k, k].real
        below = _size(x[k + 1 :, k])
        largest = below.max() if len(below) else 0.0
        at = k + 1 + int(below.argmax()) if len(below) else k
        own = abs(x[k, k].real) if hermitian else _size(x[k, k])
        step, chosen = 1, k
        if max(own, largest) == 0 or own != own:
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        if own < _ALPHA * largest:
            row = numpy.concatenate([_size(x[at, k:at]), _size(x[at + 1 :, at])])
            widest = row.max()
            there = abs(x[at, at].real) if hermitian else _size(x[at, at])
            if own >= _ALPHA * largest * (largest / widest):
                pass
            elif there >= _ALPHA * widest:
                chosen = at
            else:
                step, chosen = 2, at
        _exchange(x, k + step - 1, chosen, k, step, hermitian)
        _eliminate_pivot(x, k, step, hermitian)
        pivots[k : k + step] = chosen + 1 if step == 1 else -(chosen + 1)
        k += step
    return info


def _exchange(x: Any, a: int, b: int, k: int, step: int, hermitian: bool) -> None:
    """Rows and columns a and b > a of the lower triangle, from column k on."""
    if a == b:
        return
    turned = (lambda v: v.conj()) if hermitian else (lambda v: v)
    x[b + 1 :, [a, b]] = x[b + 1 :, [b, a]]
    between = x[a + 1 : b, a].copy()
    x[a + 1 : b, a] = turned(x[b, a + 1 : b])
    x[b, a + 1 : b] = turned(between)
    if hermitian:
        x[b, a] = x[b, a].conj()
    x[a, a], x[b, b] = x[b, b], x[a, a]
    if step == 2:
        x[[a, b], k] = x[[b, a], k]


def _eliminate_pivot(x: Any, k: int, step: int, hermitian: bool) -> None:
    end = k + step
    rest = x[end:, k:end]
    if not len(rest):
        return
    block = numpy.array(x[k:end, k:end])
    if step == 2:
        block[0, 1] = block[1, 0].conj() if hermitian else block[1, 0]
    factor = numpy.linalg.solve(block.T, rest.T).T
    x[end:, end:] -= factor @ (rest.conj() if hermitian else rest).T
    x[end:, k:end] = factor


def solve_symmetric(both: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """X of A·X = B, given `symmetric_factors` of A."""
    x, n = stacked(b), both.shape[-1]
    for i, (f, p) in enumerate(zip(stacked(both), pivots.reshape(_count(both), n))):
        steps, k = [], 0
        while k < n:
            step = 1 if p[k] > 0 else 2
            steps.append((k, step, abs(int(p[k])) - 1))
            k += step
        y, turned = x[i], hermitian and f.dtype.kind == "c"
        for k, step, at in steps:
            last, end = k + step - 1, k + step
            y[[last, at]] = y[[at, last]] if last != at else y[[last, at]]
            y[end:] -= f[end:, k:end] @ y[k:end]
        for k, step, _ in steps:
            block = numpy.array(f[k : k + step, k : k + step])
            if step == 2:
                block[0, 1] = block[1, 0].conj() if turned else block[1, 0]
            y[k : k + step] = numpy.linalg.solve(block, y[k : k + step]) if step == 2 else y[k : k + 1] / block
        for k, step, at in reversed(steps):
            last, end = k + step - 1, k + step
            below = f[end:, k:end].T
            y[k:end] -= (below.conj() if turned else below) @ y[end:]
            y[[last, at]] = y[[at, last]] if last != at else y[[last, at]]
    return x.reshape(b.shape)


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
