"""make_tensor: random tensors to test with."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import finfo, iinfo
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["make_tensor"]

# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportOperatorIssue=false


def make_tensor(*shape: Any, dtype: Any, device: Any, low: float | None = None, high: float | None = None, requires_grad: bool = False,
                noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None) -> Tensor:  # fmt: skip
    """A tensor of random numbers from [low, high); without bounds from [-9, 9], of unsigned integers from [0, 9].

    noncontiguous: of several elements, every second one of twice as many. exclude_zero: zeros become the smallest number.

    >>> torch.testing.make_tensor(2, 3, dtype=torch.float32, device="cpu", low=1, high=2).shape
    torch.Size([2, 3])
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    low, high = _bounds(dtype, low, high)
    if noncontiguous and memory_format is not None:
        wrong = f"noncontiguous=True and memory_format={memory_format} contradict each other"
        raise ValueError(message("make_tensor", wrong, "give one of them"))
    drawn = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes and _several(sizes) else sizes
    x = _drawn(drawn, dtype, device, low, high)
    x = x[..., ::2] if drawn != sizes else x
    if memory_format is not None:
        x = x.clone(memory_format=memory_format)
    if exclude_zero:
        x[x == 0] = finfo(dtype).tiny if dtype.kind in "fc" else 1
    return x.requires_grad_() if requires_grad else x


def _several(sizes: tuple) -> bool:
    n = 1
    for size in sizes:
        n *= size
    return n > 1


def _bounds(d: Any, low: float | None, high: float | None) -> tuple[float, float]:
    usual = (0, 2) if d is bool_ else (0, 10) if d.kind == "u" else (-9, 10) if d.kind == "i" else (-9, 9)
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    if not (low == low and high == high):
        raise ValueError(message("make_tensor", f"bounds {low} and {high}", "they must be numbers"))
    least, most = (
        (0, 2) if d is bool_ else (iinfo(d).min, iinfo(d).max) if d.kind in "iu" else (finfo(d).min, finfo(d).max)
    )
    low, high = max(low, least), min(high, most)
    if not low < high:
        raise ValueError(message("make_tensor", f"low {low} must be less than high {high} for {d}"))
    return low, high


def _drawn(sizes: tuple, d: Any, device: Any, low: float, high: float) -> Tensor:
    if d.kind in "iub":
        return ops.randint(int(low), max(int(low) + 1, int(high)), sizes, device=device).to(d)
    if d.kind == "c":
        x = ops.empty((*sizes, 2), dtype=d.to_real(), device=device).uniform_(low, high)
        return ops.view_as_complex(x)
    return ops.empty(sizes, dtype=d, device=device).uniform_(low, high)
