"""Fourier's transforms: of complex numbers, of real ones (half of the result says all), and back to real ones.

Three primitives make all names: `_complex` (both complex), `_from_real` and `_to_real`. `norm` says where the factor 1/n is:
"backward" in the inverse, "forward" in the transform, "ortho" half of it (1/√n) in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.dtypes import get_default_dtype
from mashal.core.interop import numpy
from mashal.core.shapes import wrap_dim
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.define import recorded, spelled
from mashal.ops.outside import finish, outside
from mashal.ops.padding import constant_pad_nd
from mashal.ops.parts import narrow
from mashal.ops.run import scalar_name

# pyright: reportAttributeAccessIssue=false

__all__ = ["complex_transform", "from_real", "to_real"]

_SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm with which the transform in the other direction is this one's adjoint."""


# ---------------------------------------------------------------- primitives
def _transformed(a: Any, dims: tuple[int, ...], norm: str, back: bool) -> Any:
    if not a.size:
        return a.astype(numpy.result_type(a.dtype, "complex64"))
    made = (numpy.fft.ifftn if back else numpy.fft.fftn)(a, axes=dims, norm=norm)
    return made.astype(numpy.result_type(a.dtype, "complex64"), copy=False)


@recorded("FftC2CBackward0")
def complex_transform(x: Tensor, dims: tuple[int, ...], norm: str, back: bool) -> tuple[Tensor, tuple]:
    """The transform of complex numbers along dims (the inverse if back)."""
    return outside(_transformed, x, dims, norm, back), (dims, norm, back)


@complex_transform.backward
def _(node: Any, g: Tensor) -> tuple:
    dims, norm, back = node.kept()
    return (complex_transform(g, dims, _SWAPPED[norm], not back),)


def _halved(a: Any, dims: tuple[int, ...], norm: str) -> Any:
    made = numpy.fft.rfftn(a, axes=dims, norm=norm)
    return made.astype(numpy.result_type(a.dtype, "complex64"), copy=False)


@recorded("FftR2CBackward0")
def from_real(x: Tensor, dims: tuple[int, ...], norm: str, half: bool) -> tuple[Tensor, tuple]:
    """The transform of real numbers; half: only the first n // 2 + 1 numbers along the last of dims."""
    y = outside(_halved, x, dims, norm) if half else outside(_transformed, x, dims, norm, False)
    return y, (dims, norm, half, x.form.shape[dims[-1]])


@from_real.backward
def _(node: Any, g: Tensor) -> tuple:
    dims, norm, half, n = node.kept()
    whole = _sized(g, dims[-1], n) if half else g
    return (complex_transform(whole, dims, _SWAPPED[norm], True).real,)


def _joined(a: Any, dims: tuple[int, ...], norm: str, n: int) -> Any:
    sizes = [*(a.shape[d] for d in dims[:-1]), n]
    return numpy.fft.irfftn(a, sizes, dims, norm).astype(a.real.dtype, copy=False)


@recorded("FftC2RBackward0")
def to_real(x: Tensor, dims: tuple[int, ...], norm: str, n: int) -> tuple[Tensor, tuple]:
    """The inverse of `from_real` with half: n real numbers along the last of dims."""
    return outside(_joined, x, dims, norm, n), (dims, norm, n)


@to_real.backward
def _(node: Any, g: Tensor) -> tuple:
    dims, norm, n = node.kept()
    y = from_real(g, dims, _SWAPPED[norm], True)
    size = y.form.shape[dims[-1]]
    twice = y.real.detach().new_full([size], 2.0)  # all but the first and the middle stand for two numbers
    twice[0] = 1.0
    if n % 2 == 0:
        twice[size - 1] = 1.0
    shape = [1] * y.form.rank
    shape[dims[-1]] = size
    return (y * twice.reshape(shape),)


# ---------------------------------------------------------------- operands
def _operand(name: str, x: Any, to_complex: bool) -> Tensor:
    """x in the dtype of the transform. RuntimeError for half precisions."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    d = x.form.dtype
    if d.name in ("float16", "bfloat16", "complex32"):
        raise RuntimeError(message(name, f"Unsupported dtype {scalar_name(d)}", "use .float() first"))
    if d.kind not in "fc":
        d = get_default_dtype()
    if to_complex:
        d = d.to_complex()
    return x.to(d)


def _real_operand(name: str, x: Any) -> Tensor:
    if isinstance(x, Tensor) and x.form.dtype.is_complex:
        raise RuntimeError(message(name, f"{name} expects a real input tensor, but got {scalar_name(x.form.dtype)}"))
    return _operand(name, x, False)


def _norm_of(name: str, norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in _SWAPPED:
        right = "it is 'backward', 'ortho' or 'forward'"
        raise RuntimeError(message(name, f'Invalid normalization mode: "{norm}"', right))
    return norm


def _sized(x: Tensor, dim: int, n: int) -> Tensor:
    """x cut, or extended by zeros, to n elements along dim."""
    size = x.form.shape[dim]
    if n < size:
        return narrow(x, dim, 0, n)
    if n == size:
        return x
    pads = [0] * (2 * (x.form.rank - dim))
    pads[-1] = n - size
    return constant_pad_nd(x, pads)


def _check_size(name: str, n: int) -> None:
    if n < 1:
        raise RuntimeError(message(name, f"Invalid number of data points ({n}) specified"))


def _dims_and_sizes(name: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple[int, ...], list[int]]:
    """The dimensions to be transformed and their sizes; a size of -1 is the tensor's own."""
    sizes = None if s is None else [s] if isinstance(s, int) else [int(n) for n in s]
    given = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if given is not None:
        dims = [wrap_dim(name, d, x.form.rank) for d in given]
        if len(set(dims)) != len(dims):
            raise RuntimeError(message(name, "FFT dims must be unique", f"they are {tuple(given)}"))
    if sizes is not None and given is not None and len(sizes) != len(given):
        wrong = "When given, dim and shape arguments must have the same length"
        raise RuntimeError(message(name, wrong, f"they have {len(given)} and {len(sizes)}"))
    if given is None:
        count = x.form.rank if sizes is None else len(sizes)
        if count > x.form.rank:
            wrong = f"Got shape with {count} values but input tensor only has {x.form.rank} dimensions"
            raise RuntimeError(message(name, wrong))
        dims = list(range(x.form.rank - count, x.form.rank))
    if sizes is None:
        sizes = [-1] * len(dims)
    sizes = [x.form.shape[d] if n == -1 else n for n, d in zip(sizes, dims)]
    return tuple(dims), sizes


def _all_sized(name: str, x: Tensor, dims: Sequence[int], sizes: Sequence[int]) -> Tensor:
    for d, n in zip(dims, sizes):
        _check_size(name, n)
        x = _sized(x, d, n)
    return x


# ---------------------------------------------------------------- several dimensions
def _forward(name: str, input: Any, s: Any, dim: Any, norm: Any, back: bool) -> Tensor:
    real = isinstance(input, Tensor) and not input.form.dtype.is_complex
    x, how = _operand(name, input, back), _norm_of(name, norm)
    dims, sizes = _dims_and_sizes(name, x, s, dim)
    x = _all_sized(name, x, dims, sizes)
    if not dims:
        return x.to(x.form.dtype.to_complex()) if x is not input else x.clone()
    return from_real(x, dims, how, False) if real and not back else complex_transform(x, dims, how, back)


def _real_forward(name: str, input: Any, s: Any, dim: Any, norm: Any, hermitian: bool) -> Tensor:
    x, how = _real_operand(name, input), _norm_of(name, norm)
    dims, sizes = _dims_and_sizes(name, x, s, dim)
    if not dims:
        raise RuntimeError(message(name, f"{name} must transform at least one axis"))
    x = _all_sized(name, x, dims, sizes)
    return from_real(x, dims, _SWAPPED[how], True).conj() if hermitian else from_real(x, dims, how, True)


def _real_inverse(name: str, input: Any, s: Any, dim: Any, norm: Any, hermitian: bool) -> Tensor:
    x, how = _operand(name, input, True), _norm_of(name, norm)
    dims, sizes = _dims_and_sizes(name, x, s, dim)
    if not dims:
        raise RuntimeError(message(name, f"{name} must transform at least one axis"))
    asked = None if s is None else s if isinstance(s, int) else s[-1]
    n = 2 * (x.form.shape[dims[-1]] - 1) if asked is None or asked == -1 else sizes[-1]
    _check_size(name, n)
    x = _all_sized(name, x, dims, [*sizes[:-1], n // 2 + 1])
    return to_real(x.conj(), dims, _SWAPPED[how], n) if hermitian else to_real(x, dims, how, n)


def _one(name: str, way: Callable[..., Tensor], flag: bool, text: str, example: str) -> Callable[..., Tensor]:
    def transform(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *,
                  out: Tensor | None = None) -> Tensor:  # fmt: skip
        if isinstance(input, Tensor) and not input.form.rank:
            raise IndexError(message(name, f"Dimension specified as {dim} but tensor has no dimensions"))
        if n is not None:
            _check_size(name, n)
        return finish(name, out, way(name, input, n, dim, norm, flag))

    details = "n: the size to which dim is cut or extended by zeros first. norm: where 1/n is, see torch.fft.fft."
    return _spelled(name, transform, f"{text}\n\n    {details}\n{example}")


def _two(name: str, way: Callable[..., Tensor], flag: bool, text: str) -> Callable[..., Tensor]:
    def transform(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *,
                  out: Tensor | None = None) -> Tensor:  # fmt: skip
        return finish(name, out, way(name, input, s, dim, norm, flag))

    return _spelled(name, transform, text)


def _many(name: str, way: Callable[..., Tensor], flag: bool, text: str) -> Callable[..., Tensor]:
    def transform(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *,
                  out: Tensor | None = None) -> Tensor:  # fmt: skip
        return finish(name, out, way(name, input, s, dim, norm, flag))

    details = "s: the sizes to which dims are cut or extended by zeros; dim: by default the last len(s) ones, or all."
    return _spelled(name, transform, f"{text}\n\n    {details}\n    ")


def _spelled(name: str, transform: Callable[..., Tensor], text: str) -> Callable[..., Tensor]:
    transform.__name__ = transform.__qualname__ = name
    transform.__doc__ = text
    return spelled(("fft",), name=name)(transform)


# ---------------------------------------------------------------- the names
fft = _one(
    "fft",
    _forward,
    False,
    """Fourier's transform along dim: Σ x[j]·exp(-2πi·jk/n), complex; norm: "backward" (None), "ortho" (1/√n), "forward" (1/n).""",
    """
    >>> torch.fft.fft(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """,
)
ifft = _one(
    "ifft",
    _forward,
    True,
    "The inverse of fft along dim: Σ x[k]·exp(2πi·jk/n) / n.",
    """
    >>> torch.fft.ifft(torch.tensor([4.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """,
)
rfft = _one(
    "rfft",
    _real_forward,
    False,
    "The first n // 2 + 1 numbers of real numbers' transform; the others are their conjugates.",
    """
    >>> torch.fft.rfft(torch.tensor([1.0, 0.0, -1.0, 0.0]))
    tensor([0.+0.j, 2.+0.j, 0.+0.j])
    """,
)
irfft = _one(
    "irfft",
    _real_inverse,
    False,
    "The inverse of rfft: n real numbers, by default an even number, 2·(m - 1) of m.",
    """
    >>> torch.fft.irfft(torch.tensor([0.0, 2.0, 0.0]))
    tensor([ 1.,  0., -1.,  0.])
    """,
)
hfft = _one(
    "hfft",
    _real_inverse,
    True,
    "The transform of numbers whose second half are conjugates and not given: n real numbers, by default 2·(m - 1) of m.",
    """
    >>> torch.fft.hfft(torch.tensor([1.0, 0.0, 0.0]))
    tensor([1., 1., 1., 1.])
    """,
)
ihfft = _one(
    "ihfft",
    _real_forward,
    True,
    "The inverse of hfft: of n real numbers n // 2 + 1 complex ones.",
    """
    >>> torch.fft.ihfft(torch.tensor([1.0, 1.0, 1.0, 1.0]))
    tensor([1.-0.j, 0.-0.j, 0.-0.j])
    """,
)
fft2 = _two("fft2", _forward, False, "fft along two dimensions, by default the last two.")
ifft2 = _two("ifft2", _forward, True, "ifft along two dimensions, by default the last two.")
rfft2 = _two("rfft2", _real_forward, False, "rfft along the last of two dimensions, fft along the other.")
irfft2 = _two("irfft2", _real_inverse, False, "The inverse of rfft2.")
hfft2 = _two("hfft2", _real_inverse, True, "hfft along the last of two dimensions, fft along the other.")
ihfft2 = _two("ihfft2", _real_forward, True, "The inverse of hfft2.")
fftn = _many("fftn", _forward, False, "fft along several dimensions.")
ifftn = _many("ifftn", _forward, True, "ifft along several dimensions.")
rfftn = _many("rfftn", _real_forward, False, "rfft along the last of several dimensions, fft along the others.")
irfftn = _many("irfftn", _real_inverse, False, "The inverse of rfftn.")
hfftn = _many("hfftn", _real_inverse, True, "hfft along the last of several dimensions, fft along the others.")
ihfftn = _many("ihfftn", _real_forward, True, "The inverse of hfftn.")
