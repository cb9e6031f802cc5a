"""unfold: the windows of images as columns; fold: columns added up to images. Each is the other's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.creation import new_zeros
from mashal.ops.define import recorded, spelled
from mashal.ops.sliding import Geometry, add_windows, inside, windows_of
from mashal.ops.views import reshape, squeeze, unsqueeze


@recorded("Im2ColBackward0")
def _columns(x: Tensor, kernel: tuple[int, ...], geometry: Geometry) -> tuple[Tensor, tuple]:
    """(n, channels, height, width) to (n, channels · kernel positions, positions)."""
    n, channels, *space = x.form.shape
    positions = prod(geometry.positions(space, kernel))
    saved = tuple(space), kernel, geometry
    if not x.form.numel:
        return new_zeros(x, (n, channels * prod(kernel), positions)), saved
    windows = windows_of(x, kernel, geometry)
    return reshape(windows, (n, channels * prod(kernel), positions)).contiguous(), saved  # type: ignore[attr-defined]


@recorded("Col2ImBackward0")
def _image(
    columns: Tensor, space: tuple[int, ...], kernel: tuple[int, ...], geometry: Geometry
) -> tuple[Tensor, tuple]:
    """(n, channels · kernel positions, positions) to (n, channels, height, width): every column added up at its window's places."""
    n, channels = columns.form.shape[0], columns.form.shape[1] // prod(kernel)
    sizes = [m + lo + hi for m, lo, hi in zip(space, geometry.low, geometry.high)]
    padded = new_zeros(columns, (n, channels, *sizes))
    if columns.form.numel:
        positions = geometry.positions(space, kernel)
        add_windows(padded, reshape(columns, (n, channels, prod(kernel), *positions)), kernel, geometry)
    return inside(padded, space, geometry.low).contiguous(), (kernel, geometry)  # type: ignore[attr-defined]


@_columns.backward
def _(node: Any, g: Tensor) -> tuple:
    return (_image(g, *node.kept()),)


@_image.backward
def _(node: Any, g: Tensor) -> tuple:
    return (_columns(g, *node.kept()),)


# ---------------------------------------------------------------- the public functions
def _geometry(name: str, kernel: Any, dilation: Any, padding: Any, stride: Any) -> tuple[tuple[int, ...], Geometry]:
    sizes = []
    for word, value, least in (
        ("kernel_size", kernel, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
        ("stride", stride, 1),
    ):
        values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        values = values * 2 if len(values) == 1 else values
        if len(values) != 2:
            raise RuntimeError(message(name, f"It is expected {word} equals to 2, but got size {len(values)}"))
        if min(values) < least:
            kind = "greater than zero" if least else "non-negative"
            raise RuntimeError(message(name, f"{word} should be {kind}, but it is {value!r}"))
        sizes.append(values)
    kernel, dilation, padding, stride = sizes
    return kernel, Geometry(stride, padding, padding, dilation, 1)


def _count(name: str, space: Sequence[int], kernel: tuple[int, ...], geometry: Geometry) -> int:
    positions = geometry.positions(space, kernel)
    if min(positions) < 1:
        wrong = (
            f"spatial size {tuple(space)}, kernel_size={kernel}, dilation={geometry.dilation}, padding={geometry.low}, "
        )
        raise RuntimeError(
            message(name, f"{wrong}stride={geometry.stride} give {positions} windows", "there must be at least one")
        )
    return prod(positions)


@spelled((), name="unfold_images", aliases=("functional.unfold",))
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of images (n, channels, height, width), or without n, as columns: (n, channels · kernel_size, windows).

    >>> F.unfold(torch.arange(9.0).reshape(1, 1, 3, 3), 2)
    tensor([[[0., 1., 3., 4.],
             [1., 2., 4., 5.],
             [3., 4., 6., 7.],
             [4., 5., 7., 8.]]])
    """
    check_tensor("unfold", input)
    kernel, geometry = _geometry("unfold", kernel_size, dilation, padding, stride)
    shape = tuple(input.form.shape)
    if len(shape) not in (3, 4) or not all(shape[-3:]):
        wrong = f"Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions, but got {shape}"
        raise RuntimeError(message("unfold", wrong))
    _count("unfold", shape[-2:], kernel, geometry)
    if len(shape) == 4:
        return _columns(input, kernel, geometry)
    return squeeze(_columns(unsqueeze(input, 0), kernel, geometry), 0)


@spelled(("functional",))
def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Columns (n, channels · kernel_size, windows), or without n, added up at their windows' places in images of output_size.

    >>> F.fold(torch.ones(1, 4, 4), (3, 3), 2)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    check_tensor("fold", input)
    kernel, geometry = _geometry("fold", kernel_size, dilation, padding, stride)
    size = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = size * 2 if len(size) == 1 else size
    shape = tuple(input.form.shape)
    if len(shape) not in (2, 3) or not all(shape[-2:]):
        wrong = f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions, but got {shape}"
        raise RuntimeError(message("fold", wrong))
    if len(size) != 2 or min(size) < 1:
        raise RuntimeError(message("fold", f"output_size must be two sizes greater than zero, it is {output_size!r}"))
    if shape[-2] % prod(kernel):
        wrong = f"Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got {shape[-2]} and {kernel}"
        raise RuntimeError(message("fold", wrong))
    if (windows := _count("fold", size, kernel, geometry)) != shape[-1]:
        wrong = f"output_size={size} and kernel_size={kernel} have {windows} windows, but input {shape} has {shape[-1]}"
        raise RuntimeError(message("fold", wrong))
    if len(shape) == 3:
        return _image(input, size, kernel, geometry)
    return squeeze(_image(unsqueeze(input, 0), size, kernel, geometry), 0)
