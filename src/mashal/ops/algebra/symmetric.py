"""L·D·Lᴴ of symmetric arrays that are not positive-definite, and solutions with it: what NumPy does not have.

As `arrays`: stacks of matrices, here one after another, for their pivots differ.
"""

from __future__ import annotations

from typing import Any

from mashal.core.interop import numpy
from mashal.ops.algebra.arrays import count_of, size_of, stacked


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
        below = size_of(x[k + 1 :, k])
        largest = below.max() if len(below) else 0.0
        at = k + 1 + int(below.argmax()) if len(below) else k
        own = abs(x[k, k].real) if hermitian else size_of(x[k, k])
        step, chosen = 1, k
        if max(own, largest) == 0 or own != own:
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        if own < _ALPHA * largest:
            row = numpy.concatenate([size_of(x[at, k:at]), size_of(x[at + 1 :, at])])
            widest = row.max()
            there = abs(x[at, at].real) if hermitian else size_of(x[at, at])
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
    for i, (f, p) in enumerate(zip(stacked(both), pivots.reshape(count_of(both), n))):
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
