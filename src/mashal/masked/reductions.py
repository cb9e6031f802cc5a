"""Reductions of the elements that a mask lets through. input: any shape. mask: bools that broadcast to it; None: all.

dim: None for all, an int or several. Where the mask lets nothing through the result is the reduction's identity: 0 for sum, -inf
for amax, nan for mean. dtype: computed and stored in it.
"""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.masked.filling import checked, filled, highest, lowest, result_dtype, shown

__all__ = ["amax", "amin", "argmax", "argmin", "logsumexp", "mean", "median", "norm", "prod", "std", "sum", "var"]

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false


def _dims(input: Tensor, dim: Any) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(input.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    wrapped = tuple(
        d % max(input.ndim, 1) if -max(input.ndim, 1) <= d < max(input.ndim, 1) else _outside(d, input) for d in dims
    )
    if len(set(wrapped)) != len(wrapped):
        raise RuntimeError(message("masked", f"dim {dims} names a dimension twice"))
    return tuple(d for d in wrapped if input.ndim)


def _outside(d: int, input: Tensor) -> int:
    n = max(input.ndim, 1)
    raise IndexError(f"masked: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")


def sum(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The sum of what the mask lets through; 0 for nothing.

    >>> torch.masked.sum(torch.tensor([1.0, 2.0, 4.0]), mask=torch.tensor([True, False, True]))
    tensor(5.)
    """
    input, mask = checked("sum", input, mask)
    d = result_dtype(dtype, input, counts=True)
    x, dims = filled(input, mask, 0), _dims(input, dim)
    return ops.sum(x, dims, keepdim, dtype=d) if dims or not input.ndim else x.to(d)


def prod(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The product of what the mask lets through; 1 for nothing.

    >>> torch.masked.prod(torch.tensor([3.0, 2.0, 4.0]), mask=torch.tensor([True, False, True]))
    tensor(12.)
    """
    input, mask = checked("prod", input, mask)
    d = result_dtype(dtype, input, counts=True)
    x = filled(input, mask, 1).to(d)
    for each in sorted(_dims(input, dim), reverse=True):
        x = x.prod(each, keepdim)
    return x


def amax(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The largest element that the mask lets through; -inf, or the least integer, for nothing.

    >>> torch.masked.amax(torch.tensor([1.0, 2.0, 4.0]), mask=torch.tensor([True, True, False]))
    tensor(2.)
    """
    return _extreme("amax", lowest, input, dim, keepdim, dtype, mask)


def amin(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The smallest element that the mask lets through; inf, or the largest integer, for nothing.

    >>> torch.masked.amin(torch.tensor([1.0, 2.0, 4.0]), mask=torch.tensor([False, True, True]))
    tensor(2.)
    """
    return _extreme("amin", highest, input, dim, keepdim, dtype, mask)


def _extreme(name: str, identity: Any, input: Any, dim: Any, keepdim: bool, dtype: Any, mask: Any) -> Tensor:
    input, mask = checked(name, input, mask)
    x = filled(input, mask, identity(name, input.dtype))
    dims = _dims(input, dim)
    if not dims and input.ndim:
        return x.to(result_dtype(dtype, input))
    return getattr(ops, name)(x, dims, keepdim).to(result_dtype(dtype, input))


def argmax(
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The index of the largest element that the mask lets through, in the input's dtype (or dtype).

    >>> torch.masked.argmax(torch.tensor([1, 2, 4]), mask=torch.tensor([True, True, False]))
    tensor(1)
    """
    input, mask = checked("argmax", input, mask)
    x = filled(input, mask, lowest("argmax", input.dtype))
    return ops.argmax(x, dim, keepdim).to(result_dtype(dtype, input))


def argmin(
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The index of the smallest element that the mask lets through, in the input's dtype (or dtype).

    >>> torch.masked.argmin(torch.tensor([1, 2, 4]), mask=torch.tensor([False, True, True]))
    tensor(1)
    """
    input, mask = checked("argmin", input, mask)
    x = filled(input, mask, highest("argmin", input.dtype))
    return ops.argmin(x, dim, keepdim).to(result_dtype(dtype, input))


def logsumexp(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """log Σ exp(x) of what the mask lets through; -inf for nothing.

    >>> torch.masked.logsumexp(torch.tensor([3.0, 2.0]), 0, mask=torch.tensor([True, False]))
    tensor(3.)
    """
    input, mask = checked("logsumexp", input, mask)
    d = result_dtype(dtype, input)
    x = filled(input, mask, lowest("logsumexp", input.dtype))
    return ops.logsumexp(x, _dims(input, dim), keepdim).to(d)


# ---------------------------------------------------------------- means
def _count(input: Tensor, mask: Tensor | None, dims: tuple[int, ...], keepdim: bool, dtype: Any) -> Tensor:
    """How many elements of each row the mask lets through."""
    ones = ops.ones(input.shape, dtype=dtype, device=input.device)
    return sum(ones, dims, keepdim=keepdim, mask=mask)


def _computed(name: str, dtype: Any, input: Tensor) -> Any:
    d = result_dtype(dtype, input)
    if d.kind not in "fc":
        raise ValueError(
            message(
                f"masked.{name}",
                f"Could not infer output dtype. Input dtype must be floating point or complex, it is {d}",
                "say dtype=",
            )
        )
    return d


def mean(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The mean of what the mask lets through; nan for nothing. Floating or complex; integers need dtype (ValueError).

    >>> torch.masked.mean(torch.tensor([1.0, 2.0, 4.0]), mask=torch.tensor([True, True, False]))
    tensor(1.5000)
    """
    input, mask = checked("mean", input, mask)
    d = _computed("mean", dtype, input)
    dims = _dims(input, dim)
    total = sum(input, dims, keepdim=keepdim, dtype=d, mask=mask)
    return total / _count(input, mask, dims, keepdim, d)


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The lower median of what the mask lets through; nan for nothing, which is a ValueError for integers.

    >>> torch.masked.median(torch.tensor([1.0, 2.0, 4.0]), 0, mask=torch.tensor([True, True, False]))
    tensor(1.)
    """
    input, mask = checked("median", input, mask)
    d = result_dtype(dtype, input)
    visible = shown(mask, input)
    if input.dtype.kind not in "f" and visible is not None:
        if not bool(visible.any(dim).all()):
            raise ValueError(
                message("masked.median", "a row without any element let through", "integers have no nan to say so")
            )
        whole = ops.nanmedian(filled(input.double(), visible, float("nan")), dim, keepdim).values
        return whole.to(d)
    x = filled(input, visible, float("nan")) if visible is not None else input
    return ops.nanmedian(x, dim, keepdim).values.to(d)


def norm(input: Tensor, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool = False, dtype: Any = None,
         mask: Tensor | None = None) -> Tensor:  # fmt: skip
    """The vector norm of what the mask lets through.

    >>> torch.masked.norm(torch.tensor([3.0, 7.0, 4.0]), 2, 0, mask=torch.tensor([True, False, True]))
    tensor(5.)
    """
    input, mask = checked("norm", input, mask)
    d = result_dtype(dtype, input)
    nothing = float("inf") if ord == -float("inf") else 0
    x = filled(input.to(d), mask, nothing if d.kind in "fc" else 0)
    return ops.vector_norm(x, 2 if ord is None else ord, _dims(input, dim), keepdim)


def var(input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
        dtype: Any = None, mask: Tensor | None = None) -> Tensor:  # fmt: skip
    """The variance of what the mask lets through: mean square distance from the mean, divided by the count - correction.

    >>> torch.masked.var(torch.tensor([1.0, 2.0, 9.0]), 0, mask=torch.tensor([True, True, False]))
    tensor(0.5000)
    """
    return _spread("var", input, dim, unbiased, correction, keepdim, dtype, mask)


def std(input: Tensor, dim: Any = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
        dtype: Any = None, mask: Tensor | None = None) -> Tensor:  # fmt: skip
    """The standard deviation of what the mask lets through: the root of `var`.

    >>> torch.masked.std(torch.tensor([1.0, 3.0, 9.0]), 0, False, mask=torch.tensor([True, True, False]))
    tensor(1.)
    """
    return _spread("std", input, dim, unbiased, correction, keepdim, dtype, mask)


def _spread(
    name: str, input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool, dtype: Any, mask: Any
) -> Tensor:
    if unbiased is not None and correction is not None:
        raise RuntimeError(message(f"masked.{name}", "only one of unbiased and correction may be given"))
    correction = correction if correction is not None else 1.0 if unbiased is None or unbiased else 0.0
    input, mask = checked(name, input, mask)
    d = dtype if dtype is not None else input.dtype if input.dtype.kind in "fc" else ops.tensor(0.0).dtype
    x, dims = input.to(d), _dims(input, dim)
    real = d.to_real()
    count = _count(input, mask, dims, True, real)
    away = x - sum(x, dims, keepdim=True, mask=mask) / count
    squares = (away * away.conj()).real if d.kind == "c" else away * away
    total = sum(squares, dims, keepdim=keepdim, mask=mask)
    count = count if keepdim else count.reshape(total.shape)
    freedom = ops.maximum(count - correction, ops.zeros_like(count))
    return (ops.sqrt(total / freedom) if name == "std" else total / freedom).to(d)
