"""pad: rows of elements before and behind a tensor's own, for nn.functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mashal.core.dtypes import int64
from mashal.core.forms import Form, form
from mashal.core.tensor import Tensor, make
from mashal.core.tensor import empty as new
from mashal.errors import message
from mashal.ops.copying import check_tensor, copied_as, copy_into
from mashal.ops.creation import fill_plan, filled, tensor
from mashal.ops.define import recorded, spelled
from mashal.ops.joining import cat
from mashal.ops.parts import narrow
from mashal.ops.remembered import Part, door, remembered
from mashal.ops.run import Plan

__all__ = ["constant_pad_nd", "pad"]


@remembered("ConstantPadNdBackward0", 2, gradients=1)
def _constant(x: Form, value: type | None, pads: tuple[tuple[int, int], ...]) -> Plan:
    """plan(x[, value]). pads: for each dimension how many elements before and behind; negative ones are left out."""
    shape = tuple(n + before + behind for n, (before, behind) in zip(x.shape, pads))
    made = form(x.dtype, x.device, shape)
    kept = tuple(n + min(before, 0) + min(behind, 0) for n, (before, behind) in zip(x.shape, pads))
    source, first = x.viewed(kept, x.strides), sum(max(-p, 0) * s for (p, _), s in zip(pads, x.strides))
    if kept == shape:
        return lambda x, value=0: copied_as(make(x.capsule, x.offset + first, source), made)
    inside, start = made.viewed(kept, made.strides), sum(max(p, 0) * s for (p, _), s in zip(pads, made.strides))
    zeros, whole = fill_plan(made, int64), kept == tuple(x.shape)

    def plan(x: Tensor, value: Any = None) -> Tensor:
        y = zeros(0) if value is None else filled(made, value)
        copy_into(make(y.capsule, start, inside), x if whole else make(x.capsule, x.offset + first, source))
        return y

    return plan


_constant.backward(lambda node, g: (_constant(g, None, _turned(*node.kept())), None))
_constant.parts(lambda call, things, g: [Part(_constant.known(g, None, _turned(*call.options)).bare, (0,))])


def _turned(pads: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((-before, -behind) for before, behind in pads)


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
    return _constant(input, value, _pairs("constant_pad_nd", input, pad))


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
    return _pad.find(input, value, pad, mode)


@door(2)
def _pad(input: Any, value: Any, pad: Sequence[int], mode: str) -> Any:
    check_tensor("pad", input)
    pairs = _pairs("pad", input, pad)
    if mode == "constant":
        return _constant.known(input, value, pairs)
    if mode not in _PLACES:
        raise NotImplementedError(
            message("pad", f"mode {mode!r}", "one of 'constant', 'reflect', 'replicate' and 'circular' is")
        )
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    return _bordered(input, mode, pairs)


# ---------------------------------------------------------------- borders made of the tensor's own elements
_NODES = {"reflect": "ReflectionPad", "replicate": "ReplicationPad", "circular": "CircularPad"}


def _bordered(x: Tensor, mode: str, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """x with borders: strips are copied, a dimension after the other; where something is left out, or borders are wide, by index."""
    padded = [d for d, pair in enumerate(pairs) if any(pair)]
    if all(0 <= n <= _STRIPS for pair in pairs for n in pair) and x.form.numel and 1 <= len(padded) <= 3:
        places = tuple(_PLACES[mode](n, 0, n, *pair) for n, pair in zip(x.form.shape, pairs))
        return _RECORDED[f"{_NODES[mode]}{len(padded)}D"](x, pairs, places)
    for dim in padded:
        x = _extended(x, dim, _PLACES[mode], *pairs[dim])
    return x


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


_STRIPS = 16  # elements before or behind up to which strips are copied one by one


def _strips(
    shape: Sequence[int], pairs: Sequence[tuple[int, int]], places: Sequence[tuple]
) -> list[tuple[int, int, int, int]]:
    """(dimension, first, where from, how many) of the result's strips, in the order in which they can be filled."""
    strips: list[tuple[int, int, int, int]] = []
    for dim, ((before, _), (first, last)) in enumerate(zip(pairs, places)):
        n = shape[dim] - len(first) - len(last)
        for i, place in [*enumerate(first), *enumerate(last, before + n)]:
            source = place + before
            d, at, of, count = strips[-1] if strips else (-1, 0, 0, 0)
            if d == dim and at + count == i and of + count == source:
                strips[-1] = (dim, at, of, count + 1)
            else:
                strips.append((dim, i, source, 1))
    return strips


def _inner(x: Any, pairs: Sequence[tuple[int, int]], but: int) -> Any:
    """x without the borders of the dimensions behind `but`, which are still to be filled."""
    for dim, (before, behind) in enumerate(pairs):
        if dim > but and (before or behind):
            x = x.narrow(dim, before, x.form.shape[dim] - before - behind)
    return x


def _with_strips(x: Tensor, pairs: tuple, places: tuple) -> Tensor:
    shape = tuple(n + before + behind for n, (before, behind) in zip(x.form.shape, pairs))
    result = new(form(x.form.dtype, x.form.device, shape))
    copy_into(_inner(result, pairs, -1), x)
    for dim, first, source, count in _strips(shape, pairs, places):
        seen = _inner(result, pairs, dim)
        copy_into(seen.narrow(dim, first, count), seen.narrow(dim, source, count))
    result.version = None
    return result


def _strips_back(g: Tensor, pairs: tuple, places: tuple) -> Tensor:
    result: Any = g.clone()  # type: ignore[attr-defined]
    for dim, first, source, count in reversed(_strips(g.form.shape, pairs, places)):
        seen = _inner(result, pairs, dim)
        seen.narrow(dim, source, count).add_(seen.narrow(dim, first, count))
    return _inner(result, pairs, -1).contiguous()


def _recorded_strips(name: str) -> Any:
    @recorded(f"{name}Backward0")
    def forward(x: Tensor, pairs: tuple, places: tuple) -> tuple[Tensor, tuple]:
        return _with_strips(x, pairs, places), (pairs, places)

    @recorded(f"{name}BackwardBackward0")
    def back(g: Tensor, pairs: tuple, places: tuple) -> tuple[Tensor, tuple]:
        return _strips_back(g, pairs, places), (pairs, places)

    @forward.backward
    def _(node: Any, g: Tensor) -> tuple:
        return (back(g, *node.kept()),)

    @back.backward
    def _(node: Any, g: Tensor) -> tuple:
        return (forward(g, *node.kept()),)

    return forward


_RECORDED = {name: _recorded_strips(name) for name in (f"{kind}{n}D" for kind in _NODES.values() for n in (1, 2, 3))}


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
