"""torch.signal.windows: weights by which a piece of a signal fades in and out.

Every window has M values from i = 0 to M - 1. Let N = M - 1 if sym (the window is symmetric, as filters want it), N = M if not
(periodic, as spectra want it); the formulas below are of i and N. dtype: float32 or float64. One value is 1, none is an empty tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi
from typing import Any

from mashal import ops
from mashal.core.dtypes import dtype as DType
from mashal.core.dtypes import float32, float64, get_default_dtype
from mashal.core.layouts import strided
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.nearest import nearest

__all__ = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming", "hann",
           "kaiser", "nuttall"]  # fmt: skip


class _Window:
    """What the windows have in common: their checks, places and short forms."""

    def __init__(
        self, name: str, M: int, sym: bool, dtype: DType | None, layout: Any, device: Any, requires_grad: bool
    ):
        self.name, self.length = name, M
        self.last = M - 1 if sym else M
        self.dtype = get_default_dtype() if dtype is None else dtype
        self.options: dict[str, Any] = {"dtype": self.dtype, "device": device, "requires_grad": requires_grad}
        if M < 0:
            raise ValueError(message(name, f"requires non-negative window length, got M={M}"))
        if layout is not strided:
            raise ValueError(message(name, f"is implemented for strided tensors only, got: {layout}"))
        if self.dtype not in (float32, float64):
            raise ValueError(message(name, f"expects float32 or float64 dtypes, got: {self.dtype}"))

    def short(self) -> Tensor | None:
        """The window, if it has less than two values."""
        return ops.ones(self.length, **self.options) if self.length < 2 else None  # pyright: ignore[reportCallIssue]

    def places(self, start: float, step: float) -> Any:
        """start + step·i for every i."""
        end = start + (self.length - 1) * step
        return ops.linspace(start, end, self.length, **self.options)  # pyright: ignore[reportCallIssue]


def bartlett(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """1 - |2i/N - 1|: a triangle.

    >>> torch.signal.windows.bartlett(5)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    window = _Window("bartlett", M, sym, dtype, layout, device, requires_grad)
    if M < 2:
        return window.short()  # type: ignore[return-value]
    return 1 - window.places(-1, 2 / window.last).abs()


def cosine(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
           requires_grad: bool = False) -> Tensor:  # fmt: skip
    """sin(π (i + ½) / (N + 1)): half a wave.

    >>> torch.signal.windows.cosine(3)
    tensor([0.5000, 1.0000, 0.5000])
    """
    window = _Window("cosine", M, sym, dtype, layout, device, requires_grad)
    if M < 2:
        return window.short()  # type: ignore[return-value]
    step = pi / (window.last + 1)
    return window.places(step / 2, step).sin()


def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, dtype: DType | None = None,
                layout: Any = strided, device: Any = None, requires_grad: bool = False) -> Tensor:  # fmt: skip
    """exp(-|i - center| / tau). center: N / 2 if None, as it must be of a symmetric window.

    >>> torch.signal.windows.exponential(3)
    tensor([0.3679, 1.0000, 0.3679])
    """
    window = _Window("exponential", M, sym, dtype, layout, device, requires_grad)
    if tau <= 0:
        raise ValueError(message("exponential", f"tau must be positive, got: {tau}"))
    if sym and center is not None:
        raise ValueError(message("exponential", f"center is {center}", "leave it out of a symmetric window"))
    if M < 2:
        return window.short()  # type: ignore[return-value]
    middle = window.last / 2 if center is None else center
    return (-window.places(-middle / tau, 1 / tau).abs()).exp()


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """exp(-((i - N/2) / std)² / 2).

    >>> torch.signal.windows.gaussian(3)
    tensor([0.6065, 1.0000, 0.6065])
    """
    window = _Window("gaussian", M, sym, dtype, layout, device, requires_grad)
    if std <= 0:
        raise ValueError(message("gaussian", f"the standard deviation must be positive, got: {std}"))
    if M < 2:
        return window.short()  # type: ignore[return-value]
    scale = 1 / (std * 2**0.5)
    return (-(window.places(-window.last / 2 * scale, scale) ** 2)).exp()


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
           requires_grad: bool = False) -> Tensor:  # fmt: skip
    """I₀(β √(1 - (2i/N - 1)²)) / I₀(β), with I₀ the modified Bessel function of the first kind.

    >>> torch.signal.windows.kaiser(3, beta=0.0)
    tensor([1., 1., 1.])
    """
    window = _Window("kaiser", M, sym, dtype, layout, device, requires_grad)
    if beta < 0:
        raise ValueError(message("kaiser", f"beta must be non-negative, got: {beta}"))
    if M < 2:
        return window.short()  # type: ignore[return-value]
    height = ops.tensor(float(beta), dtype=window.dtype, device=device)
    places = window.places(-beta, 2 * beta / window.last)
    inside = ops.sqrt((beta * beta - places * places).clamp_min(0))
    return ops.i0e(inside) * ops.exp(inside - beta) / ops.i0e(height)  # I₀ itself overflows float32 above 91


# ---------------------------------------------------------------- sums of cosines
def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, dtype: DType | None = None, layout: Any = strided,
                   device: Any = None, requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Σₖ (-1)ᵏ aₖ cos(2πk i/N).

    >>> torch.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    return _cosines("general_cosine", M, a, sym, dtype, layout, device, requires_grad)


def _cosines(name: str, M: int, a: Any, sym: bool, dtype: Any, layout: Any, device: Any, requires_grad: bool) -> Tensor:
    window = _Window(name, M, sym, dtype, layout, device, requires_grad)
    if not isinstance(a, (list, tuple)):
        raise TypeError(message(name, f"coefficients must be a list or a tuple, not {type(a).__name__}"))
    if not a:
        raise ValueError(message(name, "coefficients cannot be empty"))
    if M < 2:
        return window.short()  # type: ignore[return-value]
    places = window.places(0, 2 * pi / window.last)
    total = a[0]
    for k, factor in enumerate(a[1:], 1):
        total = total + (-1) ** k * factor * ops.cos(places * k)
    return total if isinstance(total, Tensor) else places * 0 + total


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, dtype: DType | None = None, layout: Any = strided,
                    device: Any = None, requires_grad: bool = False) -> Tensor:  # fmt: skip
    """α - (1 - α) cos(2πi/N).

    >>> torch.signal.windows.general_hamming(3, alpha=0.5)
    tensor([0., 1., 0.])
    """
    return _cosines("general_hamming", M, [alpha, 1.0 - alpha], sym, dtype, layout, device, requires_grad)


def hamming(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
            requires_grad: bool = False) -> Tensor:  # fmt: skip
    """0.54 - 0.46 cos(2πi/N).

    >>> torch.signal.windows.hamming(3)
    tensor([0.0800, 1.0000, 0.0800])
    """
    return _cosines("hamming", M, [0.54, 0.46], sym, dtype, layout, device, requires_grad)


def hann(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
         requires_grad: bool = False) -> Tensor:  # fmt: skip
    """½ - ½ cos(2πi/N).

    >>> torch.signal.windows.hann(4, sym=False)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _cosines("hann", M, [0.5, 0.5], sym, dtype, layout, device, requires_grad)


def blackman(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """0.42 - 0.5 cos(2πi/N) + 0.08 cos(4πi/N).

    >>> torch.signal.windows.blackman(5)[1:4]
    tensor([0.3400, 1.0000, 0.3400])
    """
    return _cosines("blackman", M, [0.42, 0.5, 0.08], sym, dtype, layout, device, requires_grad)


def nuttall(M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = strided, device: Any = None,
            requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Nuttall's four cosines, whose side lobes are below -93 dB.

    >>> torch.signal.windows.nuttall(3)
    tensor([3.6280e-04, 1.0000e+00, 3.6280e-04])
    """
    terms = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return _cosines("nuttall", M, terms, sym, dtype, layout, device, requires_grad)


__getattr__ = nearest(__name__)
