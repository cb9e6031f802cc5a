"""pad: rows of elements before and behind a tensor's own, for nn.functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.forms import form
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.copying import check_tensor, copy_into
from mashal.ops.creation import filled, tensor
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.parts import narrow

__all__ = ["constant_pad_nd", "pad"]


@recorded("ConstantPadNdBackward0")
def _constant(x: Tensor, pads: tuple[tuple[int, int], ...], value: Any) -> tuple[Tensor, tuple]:
    """pads: for each dimension how many elements before and behind; negative ones are left out."""
    shape = tuple(n + before + behind for n, (before, behind) in zip(x.form.shape, pads))
    result = filled(form(x.form.dtype, x.form.device, shape), value)
    inside, source = result, x
    for dim, (before, behind) in enumerate(pads):
        inside = inside.narrow(dim, max(before, 0), shape[dim] - max(before, 0) - max(behind, 0))
        source = source.narrow(dim, max(-before, 0), x.form.shape[dim] - max(-before, 0) - max(-behind, 0))
    if source.form.numel:
        copy_into(inside, source)
        result.version = None
    return result, (pads,)


@_constant.backward
def _(node: Any, g: Tensor) -> tuple:
    (pads,) = node.kept()
    return (_constant(g, tuple((-before, -behind) for before, behind in pads), 0),)


def _pairs(name: str, x: Tensor, pad: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """pad, which begins with the last dimension, as pairs for all dimensions."""
    pad = tuple(pad)
    if len(pad) % 2:
        raise RuntimeError(message(name, f"Padding length must be divisible by 2, but it is {len(pad)}"))
    if len(pad) // 2 > x.form.rank:
        raise RuntimeError(
            message(name, f"Padding length too large: {len(pad)} for an input of {x.form.rank} dimensions")
        )
    pairs = [(0, 0)] * x.form.rank
    for i in range(len(pad) // 2):
        pairs[-1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    for dim, (n, (before, behind)) in enumerate(zip(x.form.shape, pairs)):
        if n + before + behind < 0:
            raise RuntimeError(
                message(
                    name,
                    f"The input size {n}, plus negative padding {before} and {behind}, resulted in a negative output size in dim {dim}",
                )
            )
    return tuple(pairs)


@spelled(("torch",))
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """input with a number before and behind its elements; see nn.functional.pad."""
    check_tensor("constant_pad_nd", input)
    return _constant(input, _pairs("constant_pad_nd", input, pad), value)


@spelled(("functional",))
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with more elements before and behind: pad gives how many, two numbers a dimension, the last dimension first.

    mode: "constant" (value, 0 if not given), "reflect" (mirrored at the first element, without it), "replicate" (the first element
    again) or "circular" (the other end). Negative numbers leave elements out.

    >>> F.pad(torch.tensor([1, 2, 3]), (1, 2))
    tensor([0, 1, 2, 3, 0, 0])
    >>> F.pad(torch.tensor([[1, 2, 3]]), (2, 1), mode="reflect")
    tensor([[3, 2, 1, 2, 3, 2]])
    """
    check_tensor("pad", input)
    pairs = _pairs("pad", input, pad)
    if mode == "constant":
        return _constant(input, pairs, 0 if value is None else value)
    if mode not in _PLACES:
        raise NotImplementedError(
            message("pad", f"mode {mode!r}", "one of 'constant', 'reflect', 'replicate' and 'circular' is")
        )
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    result = input
    for dim, (before, behind) in enumerate(pairs):
        if before or behind:
            result = _extended(result, dim, _PLACES[mode], before, behind)
    return result


SHORT = 512
"""Up to this size a dimension is picked as a whole by its places; of longer ones only what is new is."""


def _extended(x: Tensor, dim: int, places: Any, before: int, behind: int) -> Tensor:
    """x with elements of its own before and behind; a negative number of them leaves some out."""
    n = x.form.shape[dim]
    start, end = max(-before, 0), n - max(-behind, 0)
    first, last = places(n, start, end, max(before, 0), max(behind, 0))
    picked = lambda which: x.index_select(dim, tensor(which, device=x.form.device))  # type: ignore[attr-defined]
    if n <= SHORT:
        return picked([*first, *range(start, end), *last])
    kept = narrow(x, dim, start, end - start)
    parts = [*([picked(first)] if first else []), kept, *([picked(last)] if last else [])]
    return cat(parts, dim) if len(parts) > 1 else kept.clone()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- the places of what comes before and behind
def _reflected(n: int, start: int, end: int, before: int, behind: int) -> tuple[list[int], list[int]]:
    if before >= n or behind >= n:
        raise RuntimeError(
            message(
                "pad",
                "Padding size should be less than the corresponding input dimension",
                f"{before} and {behind} are not less than {n}",
            )
        )
    return [*range(before, 0, -1)], [*range(n - 2, n - 2 - behind, -1)]


def _replicated(n: int, start: int, end: int, before: int, behind: int) -> tuple[list[int], list[int]]:
    return [0] * before, [n - 1] * behind


def _circular(n: int, start: int, end: int, before: int, behind: int) -> tuple[list[int], list[int]]:
    if before > n or behind > n:
        raise RuntimeError(
            message(
                "pad", "Padding value causes wrapping around more than once", f"{before} and {behind} with size {n}"
            )
        )
    kept = range(start, end)
    return [*kept[len(kept) - before :]], [*kept[:behind]]


_PLACES = {"reflect": _reflected, "replicate": _replicated, "circular": _circular}
