"""max_pool of one, two and three dimensions, max_unpool, adaptive_max_pool and fractional_max_pool."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from math import prod
from typing import Any

from mashal.core.dtypes import int32
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.creation import arange, full_like, new_zeros
from mashal.ops.define import spelled
from mashal.ops.joining import cat
from mashal.ops.maxima import Windows, largest_of_windows
from mashal.ops.random_factories import rand
from mashal.ops.remembered import Door
from mashal.ops.views import reshape
from mashal.ops.windowing import (
    adaptive_bounds,
    check_adaptive,
    check_result,
    check_space,
    per_dimension,
    positions,
    targets,
)

BOTH = ("torch", "functional")


# ---------------------------------------------------------------- max_pool
@lru_cache(maxsize=1024)
def _windows(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> Windows:
    """Windows of k elements, d apart, at every s-th element; padding is no part of them."""
    starts, counts = [], []
    for j in range(positions("max_pool", n, k, s, p, d, ceil)):
        low = j * s - p
        skipped = -(low // d) if low < 0 else 0
        start = low + skipped * d
        starts.append(start)
        counts.append(max(min(k - skipped, (n - 1 - start) // d + 1), 0))
    return Windows(n, starts, counts, d)


def _max_pool(rank: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: Any, placed: bool) -> Any:
    name = f"max_pool{rank}d"
    check_tensor(name, x)
    kernel = per_dimension(name, "kernel_size", kernel, rank, 1)
    empty = stride is None or stride == [] or stride == ()
    stride = kernel if empty else per_dimension(name, "stride", stride, rank, 1)
    padding = per_dimension(name, "padding", padding, rank, 0)
    dilation = per_dimension(name, "dilation", dilation, rank, 1)
    check_space(name, x, rank, kernel, padding, dilation)
    space = x.form.shape[-rank:]
    every = list(zip(space, kernel, stride, padding, dilation))
    check_result(name, x.form.shape, [positions(name, *each, bool(ceil)) for each in every])
    windows = [_windows(*each, bool(ceil)) for each in every]
    return largest_of_windows(f"MaxPool{rank}DWithIndices", x, windows, placed)


def _doors(pool: Any) -> Any:
    """door(rank, x): the door of pool(rank, x, …), one for operands with a node and one for others."""
    doors = {(rank, bare): Door(partial(pool, rank), 1) for rank in (1, 2, 3) for bare in (False, True)}
    return lambda rank, x: doors[rank, getattr(x, "node", None) is None]


_door = _doors(_max_pool)


@spelled(BOTH)
def max_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """The largest elements of windows of (n, channels, length), or without n; nan if there is one.

    kernel_size: elements of a window, dilation apart. stride: windows begin at every stride-th element, by default kernel_size.
    padding: elements before and behind, smaller than all. ceil_mode: a last window may reach beyond the end. return_indices:
    also where in its channel each one lies.

    >>> F.max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _door(1, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@spelled(BOTH)
def max_pool2d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """As max_pool1d, for images (n, channels, height, width). Indices are height · width of the image + width.

    >>> F.max_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return _door(2, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@spelled(BOTH)
def max_pool3d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:  # fmt: skip
    """As max_pool1d, for volumes (n, channels, depth, height, width)."""
    return _door(3, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@spelled(BOTH)
def max_pool1d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = True) -> Any:  # fmt: skip
    """max_pool1d with its indices."""
    return _door(1, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, True)


@spelled(("functional",))
def max_pool2d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = True) -> Any:  # fmt: skip
    """max_pool2d with its indices."""
    return _door(2, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, True)


@spelled(("functional",))
def max_pool3d_with_indices(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                            ceil_mode: bool = False, return_indices: bool = True) -> Any:  # fmt: skip
    """max_pool3d with its indices."""
    return _door(3, input).find(input, kernel_size, stride, padding, dilation, ceil_mode, True)


# ---------------------------------------------------------------- adaptive_max_pool
@lru_cache(maxsize=1024)
def _covering(n: int, m: int) -> Windows:
    """m windows that cover n elements."""
    bounds = [adaptive_bounds(j, n, m) for j in range(m)]
    return Windows(n, [low for low, _ in bounds], [high - low for low, high in bounds])


def _adaptive(rank: int, x: Any, size: Any, placed: bool) -> Any:
    name = f"adaptive_max_pool{rank}d"
    check_tensor(name, x)
    size = targets(name, size, x, rank)
    check_adaptive(name, x, rank, size)
    windows = [_covering(n, m) for n, m in zip(x.form.shape[-rank:], size)]
    return largest_of_windows(f"AdaptiveMaxPool{rank}D", x, windows, placed)


_adaptive_door = _doors(_adaptive)


@spelled(("functional",))
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of output_size windows that cover the length of (n, channels, length), or without n.

    >>> F.adaptive_max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _adaptive_door(1, input).find(input, output_size, return_indices)


@spelled(("functional",))
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As adaptive_max_pool1d, for images; output_size: (height, width), None for the input's."""
    return _adaptive_door(2, input).find(input, output_size, return_indices)


@spelled(("functional",))
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As adaptive_max_pool1d, for volumes; output_size: (depth, height, width), None for the input's."""
    return _adaptive_door(3, input).find(input, output_size, return_indices)


@spelled(("functional",))
def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """adaptive_max_pool1d with its indices."""
    return _adaptive_door(1, input).find(input, output_size, True)


@spelled(("functional",))
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """adaptive_max_pool2d with its indices."""
    return _adaptive_door(2, input).find(input, output_size, True)


@spelled(("functional",))
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """adaptive_max_pool3d with its indices."""
    return _adaptive_door(3, input).find(input, output_size, True)


# ---------------------------------------------------------------- fractional_max_pool
def _drawn(name: str, n: int, m: int, k: int, samples: Tensor) -> Windows:
    """m windows of k elements that begin at irregular distances, which a number of [0, 1) for each plane decides."""
    if m + k - 1 > n:
        raise RuntimeError(
            message(name, f"kernel_size {k} is too large relative to the input's size {n} for {m} results")
        )
    s = reshape(samples, (-1, 1))
    last = full_like(s, n - k, dtype=int32)
    if m > 1:
        alpha = s.new_full((), n - k) / s.new_full((), m - 1)  # type: ignore[attr-defined]
        steps = (arange(m - 1, dtype=s.form.dtype, device=s.form.device) + s) * alpha
        starts = cat([steps.to(int32) - (s * alpha).to(int32), last], 1)  # type: ignore[operator]
    else:
        starts = last
    return Windows(n, starts, full_like(starts, k), widest=k)


def _fractional(rank: int, x: Any, kernel: Any, size: Any, ratio: Any, placed: bool, samples: Tensor | None) -> Any:
    name = f"fractional_max_pool{rank}d"
    if size is None and ratio is None:
        raise ValueError(message(name, "needs output_size or output_ratio"))
    check_tensor(name, x)
    kernel = per_dimension(name, "kernel_size", kernel, rank, 1)
    if size is None:
        ratios = tuple(ratio) if isinstance(ratio, (tuple, list)) else (ratio,) * rank
        if any(not 0 < r < 1 for r in ratios):
            raise RuntimeError(message(name, f"output_ratio must be between 0 and 1, it is {ratios}"))
        size = tuple(int(n * r) for n, r in zip(x.form.shape[-rank:], ratios))
    size = per_dimension(name, "output_size", size, rank, 0)
    shape = tuple(x.form.shape)
    if len(shape) not in (rank + 1, rank + 2) or any(n == 0 for n in shape[-rank - 1 :]):
        wrong = (
            f"Expected {rank + 1}D or {rank + 2}D tensor with non-zero sizes, the batch's aside, but got {list(shape)}"
        )
        raise RuntimeError(message(name, wrong))
    batch, channels = (shape[0] if len(shape) == rank + 2 else 1), shape[-rank - 1]
    if samples is None:
        drawn: Any = rand(batch, channels, rank, dtype=x.form.dtype, device=x.form.device)
    else:
        drawn = samples
    _check_samples(name, x, drawn, (batch, channels, rank))
    which = range(rank) if rank == 3 else (1, 0)
    windows = [_drawn(name, n, m, k, drawn.select(2, i)) for n, m, k, i in zip(shape[-rank:], size, kernel, which)]
    return largest_of_windows(f"FractionalMaxPool{rank}D", x, windows, placed)


def _check_samples(name: str, x: Tensor, samples: Tensor, shape: tuple[int, ...]) -> None:
    if samples.form.dtype is not x.form.dtype:
        raise RuntimeError(message(name, "Expect _random_samples to have the same dtype as input"))
    found = tuple(samples.form.shape)
    if len(found) != 3:
        raise RuntimeError(message(name, f"Expect _random_samples to have 3 dimensions, got {len(found)}"))
    if found[0] < shape[0] or found[1] != shape[1] or found[2] != shape[2]:
        raise RuntimeError(message(name, f"Expect _random_samples of shape {shape}, got {found}"))


@spelled(("functional",))
def fractional_max_pool2d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """The largest elements of windows that begin at random distances; so many results, or such a part of the input's size.

    _random_samples: (n, channels, 2) numbers of [0, 1) that decide about them; by default drawn.

    >>> F.fractional_max_pool2d(torch.zeros(1, 5, 5), 2, output_size=3).shape
    torch.Size([1, 3, 3])
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@spelled(("functional",))
def fractional_max_pool3d(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                          return_indices: bool = False, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """As fractional_max_pool2d, for volumes."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@spelled(("functional",))
def fractional_max_pool2d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                       return_indices: bool = True, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """fractional_max_pool2d with its indices."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)


@spelled(("functional",))
def fractional_max_pool3d_with_indices(input: Tensor, kernel_size: Any, output_size: Any = None, output_ratio: Any = None,
                                       return_indices: bool = True, _random_samples: Tensor | None = None) -> Any:  # fmt: skip
    """fractional_max_pool3d with its indices."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)


# ---------------------------------------------------------------- max_unpool
def _unpool(rank: int, x: Any, indices: Any, kernel: Any, stride: Any, padding: Any, size: Any) -> Tensor:
    name = f"max_unpool{rank}d"
    check_tensor(name, x)
    if indices.form.dtype.name != "int64":
        raise RuntimeError(message(name, f"elements in indices should be type int64 but got: {indices.dtype}"))
    if indices.form.shape != x.form.shape:
        wrong = f"Expected shape of indices to be same as that of the input tensor {list(x.shape)}, got {list(indices.shape)}"
        raise RuntimeError(message(name, wrong))
    kernel = per_dimension(name, "kernel_size", kernel, rank, 1)
    stride = kernel if stride is None else per_dimension(name, "stride", stride, rank, 1)
    padding = per_dimension(name, "padding", padding, rank, 0)
    if x.form.rank not in (rank + 1, rank + 2):
        raise RuntimeError(message(name, f"Input must be {rank + 1}D or {rank + 2}D, it is {tuple(x.shape)}"))
    if any(n == 0 for n in x.form.shape[-rank:]):
        raise RuntimeError(message(name, "Expected input to have non-zero size for non-batch dimensions"))
    space = _unpooled_size(name, x.form.shape[-rank:], kernel, stride, padding, size)
    lead = tuple(x.form.shape[:-rank])
    zeros = new_zeros(x, (prod(lead), prod(space)))
    flat = (prod(lead), prod(x.form.shape[-rank:]))
    put = zeros.scatter(1, reshape(indices, flat), reshape(x, flat))  # type: ignore[attr-defined]
    return reshape(put, (*lead, *space))


def _unpooled_size(
    name: str, space: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], size: Any
) -> tuple[int, ...]:
    rank = len(space)
    default = [(n - 1) * s + k - 2 * p for n, k, s, p in zip(space, kernel, stride, padding)]
    if size is None:
        return tuple(default)
    size = list(size)
    size = size[-rank:] if len(size) == rank + 2 else size
    if len(size) != rank:
        raise ValueError(message(name, f"output_size should have {rank} or {rank + 2} values, but it has {len(size)}"))
    for d, (n, k, m) in enumerate(zip(default, stride, size)):
        if not n - k < m < n + k:
            wrong = f"invalid output_size {size}: dim {d} must be between {n - k} and {n + k}"
            raise ValueError(message(name, wrong))
    return tuple(int(m) for m in size)


@spelled(("functional",))
def max_unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:  # fmt: skip
    """input's elements at the places that max_pool1d's indices say, among zeros. output_size: where several sizes are possible.

    >>> y, places = F.max_pool1d(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, places, 2)
    tensor([[0., 3., 2., 0.]])
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@spelled(("functional",))
def max_unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:  # fmt: skip
    """As max_unpool1d, for images."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@spelled(("functional",))
def max_unpool3d(input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Tensor:  # fmt: skip
    """As max_unpool1d, for volumes."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
