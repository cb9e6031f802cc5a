"""Which frequencies a transform's numbers stand for, and their order."""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import get_default_dtype
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.arranging import roll
from mashal.ops.creation import arange
from mashal.ops.define import spelled, write_out
from mashal.ops.joining import cat

# pyright: reportAttributeAccessIssue=false

FFT = ("fft",)


def _finished(name: str, y: Tensor, out: Tensor | None, wants: bool) -> Tensor:
    if out is not None:
        return write_out(name, out, y)
    return y.requires_grad_() if wants else y


def _checked(name: str, dtype: Any, options: dict) -> Any:
    options.pop("pin_memory", None)
    options.pop("layout", None)
    d = get_default_dtype() if dtype is None else dtype
    if d.kind not in "fc":
        raise RuntimeError(message(name, f"{name} requires a floating point or complex dtype", f"it is {d}"))
    return d


@spelled(FFT)
def fftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None, requires_grad: bool = False,
            **options: Any) -> Tensor:  # fmt: skip
    """The frequencies of fft's n numbers, d the distance of samples: 0, 1, …, -2, -1, divided by n·d.

    >>> torch.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    kind = _checked("fftfreq", dtype, options)
    first = arange(0, (n + 1) // 2, dtype=kind, **options)
    last = arange(-(n // 2), 0, dtype=kind, **options)
    return _finished("fftfreq", cat([first, last]) * (1.0 / (n * d) if n else 0.0), out, requires_grad)


@spelled(FFT)
def rfftfreq(n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: Any = None, requires_grad: bool = False,
             **options: Any) -> Tensor:  # fmt: skip
    """The frequencies of rfft's n // 2 + 1 numbers.

    >>> torch.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    kind = _checked("rfftfreq", dtype, options)
    y = arange(0, n // 2 + 1, dtype=kind, **options) * (1.0 / (n * d) if n else 0.0)
    return _finished("rfftfreq", y, out, requires_grad)


def _dims(name: str, x: Tensor, dim: Any) -> tuple[int, ...]:
    given = range(x.form.rank) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return tuple(wrap_dim(name, d, x.form.rank) for d in given)


@spelled(FFT)
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The numbers of a transform with frequency 0 in the middle of each of dims (all by default).

    >>> torch.fft.fftshift(torch.tensor([0, 1, -2, -1]))
    tensor([-2, -1,  0,  1])
    """
    dims = _dims("fftshift", input, dim)
    return roll(input, [input.form.shape[d] // 2 for d in dims], dims) if dims else input.clone()


@spelled(FFT)
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of fftshift: frequency 0 comes first.

    >>> torch.fft.ifftshift(torch.tensor([-2, -1, 0, 1]))
    tensor([ 0,  1, -2, -1])
    """
    dims = _dims("ifftshift", input, dim)
    return roll(input, [(input.form.shape[d] + 1) // 2 for d in dims], dims) if dims else input.clone()
