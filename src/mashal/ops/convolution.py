"""Convolutions of one, two and three dimensions, and their transposes: arguments checked, then ops.correlation."""

from __future__ import annotations

from functools import partial
from typing import Any

from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor
from mashal.ops.correlation import correlate, spread
from mashal.ops.define import recorded, spelled
from mashal.ops.padding import constant_pad_nd
from mashal.ops.remembered import Door
from mashal.ops.run import same_device
from mashal.ops.sliding import Geometry
from mashal.ops.views import reshape, squeeze, unsqueeze


@recorded("ConvolutionBackward0", tensors=2)
def _with_bias(y: Tensor, bias: Tensor) -> tuple[Tensor, tuple]:
    """y (n, channels, space …) plus a number for each channel, into y's own memory: nothing else sees it."""
    y += reshape(bias, (-1, *(1,) * (y.form.rank - 2)))
    return y, (y.form.rank,)


@_with_bias.backward
def _(node: Any, g: Tensor) -> tuple:
    (rank,) = node.kept()
    return g, g.sum((0, *range(2, rank))) if node.wants(1) else None  # type: ignore[attr-defined]


# ---------------------------------------------------------------- checks
def _sizes(operation: str, name: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    """A number, or one for each dimension of space, as a tuple."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(v, int) for v in values):
        raise TypeError(message(operation, f"{name} {value!r} must be an int or a tuple of {rank} ints"))
    if len(values) not in (1, rank):
        raise RuntimeError(message(operation, f"{name} has {len(values)} values, but space has {rank} dimensions"))
    if min(values) < least:
        kind = "non-positive" if least else "negative"
        raise RuntimeError(message(operation, f"{kind} {name} is not supported: {value}"))
    return values * rank if len(values) == 1 else values


def _paddings(operation: str, padding: Any, kernel: Any, stride: Any, dilation: Any) -> tuple[tuple, tuple]:
    """Zeros before and after, along each dimension; 'same' puts an odd one after."""
    if not isinstance(padding, str):
        low = _sizes(operation, "padding", padding, len(kernel), 0)
        return low, low
    if padding not in ("same", "valid"):
        raise RuntimeError(
            message(operation, f"padding {padding!r} is not known", "it may be 'same', 'valid' or numbers")
        )
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if any(s != 1 for s in stride):
        raise RuntimeError(
            message(operation, f"padding='same' is not supported for strided convolutions: stride {stride}")
        )
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    return tuple([t // 2 for t in total]), tuple([t - t // 2 for t in total])


def _check(operation: str, x: Any, w: Any, bias: Any, groups: int, rank: int, transposed: bool) -> None:
    """What the tensors must be, whatever the geometry."""
    check_tensor(operation, x, "input", 1)
    check_tensor(operation, w, "weight", 2)
    if bias is not None:
        check_tensor(operation, bias, "bias", 3)
    shape, sizes = tuple(x.form.shape), tuple(w.form.shape)
    if w.form.rank != rank + 2:
        raise RuntimeError(message(operation, f"weight {sizes} must be {rank + 2}-D"))
    if x.form.rank not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{operation}: Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, but got input of size: {list(shape)}"
        )
    same_device(operation, [t for t in (x, w, bias) if t is not None])
    if any(t is not None and t.form.dtype is not x.form.dtype for t in (w, bias)):
        others = f"weight {w.dtype}" + ("" if bias is None else f", bias {bias.dtype}")
        raise RuntimeError(message(operation, f"input {x.dtype} and {others} should be of the same dtype"))
    if not isinstance(groups, int) or groups < 1:
        raise RuntimeError(message(operation, f"non-positive groups is not supported: {groups}"))
    if sizes[0] % groups or not all(sizes[2:]):
        raise RuntimeError(
            message(operation, f"weight {sizes} must have its first size divisible by groups={groups}, none 0")
        )
    channels = sizes[0] if transposed else sizes[1] * groups
    if shape[-rank - 1] != channels:
        raise RuntimeError(
            f"{operation}: Given groups={groups}, weight of size {list(sizes)}, expected input{list(shape)} to have {channels} "
            f"channels, but got {shape[-rank - 1]} channels instead"
        )
    outputs = sizes[1] * groups if transposed else sizes[0]
    if bias is not None and tuple(bias.form.shape) != (outputs,):
        raise RuntimeError(
            f"{operation}: Given weight of size {list(sizes)}, expected bias to be 1-dimensional with {outputs} elements, "
            f"but got bias of size {list(bias.form.shape)} instead"
        )


# ---------------------------------------------------------------- the public functions
def _convolve(rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    """What is known of such a call, or its result."""
    operation = f"conv{rank}d"
    _check(operation, x, w, bias, groups, rank, False)
    strides = _sizes(operation, "stride", stride, rank, 1)
    dilations = _sizes(operation, "dilation", dilation, rank, 1)
    kernel = tuple(w.form.shape[2:])
    low, high = _paddings(operation, padding, kernel, strides, dilations)
    geometry = Geometry(strides, low, high, dilations, groups)
    batched = x if x.form.rank == rank + 2 else unsqueeze(x, 0)
    space = [n + lo + hi for n, lo, hi in zip(batched.form.shape[2:], low, high)]
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel)]
    if any(n < r for n, r in zip(space, reach)):
        raise RuntimeError(
            f"{operation}: Calculated padded input size per channel: {tuple(space)}. Kernel size: {tuple(reach)}. "
            "Kernel size can't be greater than actual input size"
        )
    return correlate.known(x, w, bias, geometry) if batched is x else squeeze(correlate(batched, w, bias, geometry), 0)


_doors = {rank: Door(partial(_convolve, rank), 3) for rank in (1, 2, 3)}


@spelled(where=("torch", "functional"))
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Sums over windows of input (n, channels, length), or without n, times weight (outputs, channels / groups, kernel).

    padding: zeros on both sides, 'same' for as many as keep the length, 'valid' for none. groups: channels and outputs
    are cut in as many parts, each with its own weights.

    >>> torch.nn.functional.conv1d(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[[1.0, 1.0]]]))
    tensor([[3., 5.]])
    """
    return _doors[1].find(input, weight, bias, stride, padding, dilation, groups)


@spelled(where=("torch", "functional"))
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As conv1d, for images (n, channels, height, width) and weight (outputs, channels / groups, height, width).

    >>> torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)).sum()
    tensor(16.)
    """
    return _doors[2].find(input, weight, bias, stride, padding, dilation, groups)


@spelled(where=("torch", "functional"))
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As conv1d, for volumes (n, channels, depth, height, width).

    >>> torch.nn.functional.conv3d(torch.ones(1, 2, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)).shape
    torch.Size([1, 1, 1, 1, 1])
    """
    return _doors[3].find(input, weight, bias, stride, padding, dilation, groups)


def _transpose(
    rank: int, x: Any, w: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any
) -> Tensor:
    operation = f"conv_transpose{rank}d"
    _check(operation, x, w, bias, groups, rank, True)
    strides = _sizes(operation, "stride", stride, rank, 1)
    dilations = _sizes(operation, "dilation", dilation, rank, 1)
    low = _sizes(operation, "padding", padding, rank, 0)
    more = _sizes(operation, "output_padding", output_padding, rank, 0)
    if any(m >= s and m >= d for m, s, d in zip(more, strides, dilations)):
        raise RuntimeError(
            message(operation, f"output padding must be smaller than either stride or dilation, but got {more}")
        )
    batched = x if x.form.rank == rank + 2 else unsqueeze(x, 0)
    space = tuple(
        [
            (n - 1) * s - 2 * lo + d * (k - 1) + m + 1
            for n, k, s, lo, d, m in zip(batched.form.shape[2:], w.form.shape[2:], strides, low, dilations, more)
        ]
    )
    if min(space) < 1:
        raise RuntimeError(message(operation, f"the calculated output size {space} is too small"))
    unseen = [
        max(m - s + 1, 0) for m, s in zip(more, strides)
    ]  # at the end, where no window reaches: of the padding first
    high = tuple([max(p - u, 0) for p, u in zip(low, unseen)])
    unseen = [max(u - p, 0) for p, u in zip(low, unseen)]
    seen = tuple([n - u for n, u in zip(space, unseen)])
    y = spread(batched, w, Geometry(strides, low, high, dilations, groups), seen)
    if any(unseen):
        y = constant_pad_nd(y, [n for u in reversed(unseen) for n in (0, u)])
    y = y if bias is None else _with_bias(y, bias)
    return y if batched is x else squeeze(y, 0)


@spelled(where=("torch", "functional"))
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """conv1d backwards, in its shapes: weight is (channels, outputs / groups, kernel). output_padding: so much longer.

    >>> torch.nn.functional.conv_transpose1d(torch.tensor([[1.0, 2.0]]), torch.tensor([[[1.0, 1.0]]]))
    tensor([[1., 3., 2.]])
    """
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@spelled(where=("torch", "functional"))
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As conv_transpose1d, for images (n, channels, height, width).

    >>> torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).sum()
    tensor(16.)
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@spelled(where=("torch", "functional"))
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """As conv_transpose1d, for volumes (n, channels, depth, height, width).

    >>> torch.nn.functional.conv_transpose3d(torch.ones(1, 1, 1, 1, 1), torch.ones(1, 2, 1, 1, 1)).shape
    torch.Size([1, 2, 1, 1, 1])
    """
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
