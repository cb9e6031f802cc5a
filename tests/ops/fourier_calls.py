"""Sample calls of Fourier's transforms."""

from ops.samples import Source, call


def one(s: Source) -> list:
    return [
        call(s.real(3, 4)),
        call(s.real(5), 7),
        call(s.real(4, 3), 3, 0, "ortho"),
        call(s.real(4, 6), norm="forward"),
    ]


def two(s: Source) -> list:
    return [call(s.real(3, 4)), call(s.real(2, 3, 5), (4, 4), (0, 2), "ortho")]


def many(s: Source) -> list:
    return [call(s.real(3, 4)), call(s.real(2, 3, 4), (4, 5)), call(s.real(4, 3), dim=(1, 0), norm="forward")]


FAMILY = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
CALLS = {
    **dict.fromkeys(FAMILY, one),
    **dict.fromkeys([f"{name}2" for name in FAMILY], two),
    **dict.fromkeys([f"{name}n" for name in FAMILY], many),
    "fftshift": lambda s: [call(s.real(5)), call(s.real(3, 4)), call(s.real(3, 4), 1)],
    "ifftshift": lambda s: [call(s.real(5)), call(s.real(3, 4)), call(s.real(3, 4), (0, -1))],
    "fftfreq": lambda s: [call(5), call(4, 0.5), call(0)],
    "rfftfreq": lambda s: [call(5), call(4, 0.5)],
    "stft": lambda s: [
        call(s.real(12), 4, return_complex=True),
        call(s.real(2, 12), 4, 2, 3, s.real(3), False, return_complex=True),
    ],
    "istft": lambda s: [
        call(s.complex(3, 5), 4, window=s.real(4, low=0.5)),
        call(s.complex(2, 3, 5), 4, 2, 4, s.real(4, low=0.5), False),
    ],
}
TRANSFORMS = [f"{name}{end}" for name in FAMILY for end in ("", "2", "n")] + ["stft", "istft"]
"""Refuse half precisions, as PyTorch does on the CPU."""
