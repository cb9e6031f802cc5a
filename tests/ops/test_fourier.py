"""Fourier's transforms: what they undo, what they refuse, and spectrograms."""

import numpy as np
import pytest

import mashal as torch

F = torch.fft


def random(*shape, dtype=torch.float64):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    return torch.from_numpy(x + 1j * rng.standard_normal(shape) if dtype.is_complex else x).to(dtype)


def close(a, b, tolerance=1e-10):
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [1, 4, 5])
def test_inverses_undo(norm, n):
    x, z = random(3, n), random(3, n, dtype=torch.complex128)
    close(F.ifft(F.fft(z, norm=norm), norm=norm), z)
    close(F.irfft(F.rfft(x, norm=norm), n, norm=norm), x)
    close(F.hfft(F.ihfft(x, norm=norm), n, norm=norm), x)
    close(F.irfftn(F.rfftn(x, norm=norm), x.shape, norm=norm), x)
    close(F.hfftn(F.ihfftn(x, norm=norm), x.shape, norm=norm), x)


@pytest.mark.parametrize("dtype, made", [("float32", "complex64"), ("float64", "complex128"), ("int64", "complex64"),
                                         ("bool", "complex64"), ("complex64", "complex64")])  # fmt: skip
def test_dtypes_of_transforms(dtype, made):
    assert F.fft(torch.ones(4, dtype=getattr(torch, dtype))).dtype is getattr(torch, made)


def test_float32_is_computed_with_its_digits():
    x = torch.randn(1000)
    assert F.irfft(F.rfft(x), 1000).dtype is torch.float32
    close(F.irfft(F.rfft(x), 1000), x, 1e-5)


@pytest.mark.parametrize("name", ["fft", "ifft", "fftn", "ifftn"])
def test_gradients_of_complex_numbers(name):
    assert torch.autograd.gradcheck(getattr(F, name), random(3, 4, dtype=torch.complex128).requires_grad_())


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("name", ["irfft", "hfft"])
def test_gradients_of_what_becomes_real(name, n):
    z = random(2, n // 2 + 1, dtype=torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: getattr(F, name)(z, n), z)
    assert torch.autograd.gradgradcheck(lambda z: getattr(F, name)(z, n), z)


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda x: F.fft(x, n=0), RuntimeError, r"Invalid number of data points \(0\)"),
        (lambda x: F.fft(x, norm="x"), RuntimeError, 'Invalid normalization mode: "x"'),
        (lambda x: F.rfft(x + 0j), RuntimeError, "expects a real input tensor, but got ComplexFloat"),
        (lambda x: F.fft(x, dim=3), IndexError, "range"),
        (lambda x: F.fftn(x, dim=(0, 0)), RuntimeError, "must be unique"),
        (lambda x: F.fftn(x, s=(1, 2), dim=(0,)), RuntimeError, "must have the same length"),
        (lambda x: F.fftn(x, s=(1, 2, 3)), RuntimeError, "Got shape with 3 values but input tensor only has 2"),
        (lambda x: F.fft(x.half()), RuntimeError, "Unsupported dtype Half"),
        (lambda x: F.rfftn(x[0, 0]), RuntimeError, "must transform at least one axis"),
        (lambda x: F.fftfreq(4, dtype=torch.int64), RuntimeError, "floating point or complex"),
        (lambda x: torch.stft(x[0], 4), RuntimeError, "return_complex"),
        (lambda x: torch.stft(x[0], 2, 0, return_complex=True), RuntimeError, "hop_length > 0"),
        (
            lambda x: torch.stft(x[0], 2, win_length=3, hop_length=1, return_complex=True),
            RuntimeError,
            "win_length <= n_fft",
        ),
        (lambda x: torch.istft(x, 4), RuntimeError, "complex-valued input"),
        (lambda x: torch.istft(x + 0j, 8), RuntimeError, "frequency dimension"),
    ],
)
def test_what_is_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call(torch.ones(2, 3))


def test_a_window_that_vanishes_cannot_be_undone():
    with pytest.raises(RuntimeError, match="window overlap add min"):
        torch.istft(torch.ones(3, 5, dtype=torch.complex64), 4, window=torch.zeros(4))


@pytest.mark.parametrize(
    "hop, center, normalized", [(2, True, False), (3, True, True), (4, True, False), (2, False, True)]
)
def test_istft_undoes_stft(hop, center, normalized):
    x, window = random(2, 32), torch.hamming_window(8, dtype=torch.float64)
    options = {"hop_length": hop, "window": window, "center": center, "normalized": normalized}
    back = torch.istft(torch.stft(x, 8, return_complex=True, **options), 8, **options)
    n = back.shape[1]
    assert n >= 24
    close(back, x[:, :n])


def test_stft_gives_parts_if_asked():
    x = random(16)
    with pytest.warns(UserWarning, match="return_complex=False"):
        parts = torch.stft(x, 4, return_complex=False)
    close(torch.view_as_complex(parts), torch.stft(x, 4, return_complex=True))


def test_the_first_window_can_begin_with_the_signal():
    x = torch.arange(1.0, 13.0)
    y = torch.stft(x, 8, 2, 4, center=False, align_to_window=True, return_complex=True)
    assert y[0].real.tolist() == [10.0, 18.0, 26.0, 34.0, 42.0]
