"""Short-time transforms: the spectra of a signal's overlapping pieces, and the signal from them."""

from __future__ import annotations

import warnings
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.creation import arange
from mashal.ops.define import spelled
from mashal.ops.fourier.transforms import complex_transform, from_real, to_real
from mashal.ops.padding import constant_pad_nd, pad
from mashal.ops.views import view_as_real

# pyright: reportAttributeAccessIssue=false


def _check_sizes(name: str, n_fft: int, hop: int, win: int, window: Tensor | None, most: float) -> None:
    if n_fft <= 0 or n_fft > most:
        raise RuntimeError(message(name, f"expected 0 < n_fft <= {most}, but got n_fft={n_fft}"))
    if hop <= 0:
        raise RuntimeError(message(name, f"expected hop_length > 0, but got hop_length={hop}"))
    if win <= 0 or win > n_fft:
        raise RuntimeError(
            message(name, f"expected 0 < win_length <= n_fft, but got win_length={win}", f"n_fft is {n_fft}")
        )
    if window is not None and tuple(window.form.shape) != (win,):
        wrong = f"expected a 1D window tensor of size equal to win_length={win}, but got window with size {tuple(window.form.shape)}"
        raise RuntimeError(message(name, wrong))


def _full_window(window: Tensor | None, like: Tensor, win: int, n_fft: int) -> Tensor | None:
    """The window in the middle of n_fft zeros; None if it would be ones alone."""
    if window is None:
        if win == n_fft:
            return None
        window = like.detach().new_ones([win], dtype=like.form.dtype.to_real())
    left = (n_fft - win) // 2
    return window if win == n_fft else constant_pad_nd(window, [left, n_fft - win - left])


@spelled()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The spectra of pieces of n_fft numbers, a hop apart: input (*, length) to (*, n_fft // 2 + 1, pieces), complex.

    hop_length: by default n_fft // 4. window: (win_length,), what each piece is multiplied by. center: the signal is padded so
    that piece t is around number t·hop; align_to_window (with center=False): padded so that the first window, not the first
    piece, begins with the signal. normalized: divided by √n_fft. onesided: of real signals only half of each spectrum.
    return_complex=False gives real and imaginary parts as a last dimension.

    >>> torch.stft(torch.ones(8), 4, return_complex=True).shape
    torch.Size([3, 9])
    """
    name = "stft"
    d = input.form.dtype
    is_complex = d.is_complex or (window is not None and window.form.dtype.is_complex)
    if return_complex is None:
        if not is_complex:
            wrong = "stft requires the return_complex parameter be given for real inputs"
            raise RuntimeError(message(name, wrong, "pass return_complex=True"))
        return_complex = True
    elif not return_complex:
        warnings.warn(
            "stft: return_complex=False is deprecated; use torch.view_as_real on the complex result", stacklevel=2
        )
    if d.kind not in "fc":
        raise RuntimeError(message(name, "expected a tensor of floating point or complex values", f"input is of {d}"))
    if input.form.rank not in (1, 2):
        raise RuntimeError(message(name, "expected a 1D or 2D tensor", f"input is {tuple(input.form.shape)}"))
    if center and align_to_window is not None:
        raise RuntimeError(message(name, "stft align_to_window should only be set when center = false"))
    hop, win = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    x = input.unsqueeze(0) if input.form.rank == 1 else input
    if center:
        both = [n_fft // 2, n_fft // 2]
        x = pad(x.unsqueeze(1), both, pad_mode).squeeze(1)
    _check_sizes(name, n_fft, hop, win, window, x.form.shape[1])
    if onesided and is_complex:
        raise RuntimeError(message(name, "Cannot have onesided output if window or input is complex"))
    if align_to_window:
        left = (n_fft - win) // 2
        x = constant_pad_nd(x, [left, n_fft - win - left])
    pieces = x.unfold(-1, n_fft, hop)  # (batch, pieces, n_fft)
    full = _full_window(window, x, win, n_fft)
    pieces = pieces if full is None else pieces * full
    norm = "ortho" if normalized else "backward"
    if is_complex:
        y = complex_transform(pieces, (2,), norm, False)
    else:
        y = from_real(pieces, (2,), norm, onesided is not False)
    y = y.transpose(1, 2)
    y = y.squeeze(0) if input.form.rank == 1 else y
    return y if return_complex else view_as_real(y)


@spelled()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal whose stft (with the same options) comes nearest: input (*, n_fft // 2 + 1, pieces) complex to (*, length).

    Pieces are windowed, added where they overlap, and divided by the sum of squared windows, which must not vanish anywhere.

    >>> x = torch.arange(8.0)
    >>> torch.istft(torch.stft(x, 4, window=torch.ones(4), return_complex=True), 4, window=torch.ones(4)).round()
    tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    name = "istft"
    hop, win = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    half = _check_spectra(name, input, n_fft, onesided, return_complex)
    _check_sizes(name, n_fft, hop, win, window, float("inf"))
    if hop > win:
        raise RuntimeError(message(name, "expected 0 < hop_length <= win_length", f"they are {hop} and {win}"))
    x = (input.unsqueeze(0) if input.form.rank == 2 else input).transpose(1, 2)  # (batch, pieces, frequencies)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        pieces = complex_transform(x, (2,), norm, True)
    else:
        pieces = to_real(x if half else x[..., : n_fft // 2 + 1], (2,), norm, n_fft)
    full = _full_window(window, x, win, n_fft)
    if full is None:
        full = x.detach().real.new_ones([n_fft])
    count = pieces.form.shape[1]
    size = n_fft + hop * (count - 1)
    y = _overlapped(pieces * full, hop, size)
    weight = _overlapped((full * full).expand(1, count, n_fft), hop, size)
    start = n_fft // 2 if center else 0
    end = min(size, start + length if length is not None else size - start if center else size)
    y, weight = y[:, start:end], weight[:, start:end]
    if weight.form.numel and float(weight.abs().min()) <= 1e-11:
        raise RuntimeError(
            message(
                name, f"window overlap add min: {float(weight.abs().min())}", "the squared windows must not add to 0"
            )
        )
    y = y / weight
    if length is not None and length > y.form.shape[1]:
        warnings.warn(
            "istft: the signal is shorter than the length asked for; zeros follow it",
            stacklevel=2,
        )
        y = constant_pad_nd(y, [0, length - y.form.shape[1]])
    return y.squeeze(0) if input.form.rank == 2 else y


def _check_spectra(name: str, x: Any, n_fft: int, onesided: bool | None, return_complex: bool) -> bool:
    """Errors for what no stft gave; whether only half of each spectrum is there."""
    if not x.form.dtype.is_complex:
        wrong = "istft requires a complex-valued input tensor matching the output from stft with return_complex=True"
        raise RuntimeError(message(name, wrong, f"input is of {x.form.dtype}"))
    if not x.form.numel:
        raise RuntimeError(message(name, "input tensor cannot be empty", f"it is {tuple(x.form.shape)}"))
    if x.form.rank not in (2, 3):
        raise RuntimeError(message(name, f"expected a tensor with 2 or 3 dimensions, but got {x.form.rank}"))
    size = x.form.shape[-2]
    half = (size != n_fft) if onesided is None else onesided
    if return_complex and half:
        wrong = "cannot have onesided input and return_complex=True: the signal of half a spectrum is real"
        raise RuntimeError(message(name, wrong))
    expected = n_fft // 2 + 1 if half else n_fft
    if size != expected:
        wrong = f"expected the frequency dimension (3rd to the last) of the input tensor to match n_fft ({expected})"
        raise RuntimeError(message(name, wrong, f"it has {size}"))
    return half


def _overlapped(pieces: Tensor, hop: int, size: int) -> Tensor:
    """Pieces (batch, count, n) added where they lie in a signal, each a hop after the one before: (batch, size)."""
    batch, count, n = pieces.form.shape
    at = arange(count, device=pieces.form.device).unsqueeze(1) * hop + arange(n, device=pieces.form.device)
    zeros = pieces.detach().new_zeros([batch, size])
    return zeros.index_add(1, at.reshape(-1), pieces.reshape(batch, count * n))
