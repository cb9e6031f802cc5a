"""Largest elements of windows, and where they lie: what max_pool, adaptive_max_pool and fractional_max_pool are made of.

Windows are given for each dimension of space by `Windows`: where each begins and how many elements it has. Places are kept as
int32, within a plane (n, channel); users get them as int64. What flows back is put at the places; the gradient of that is taken
from there, so derivatives of every order follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core.dtypes import int32
from mashal.core.forms import Form, form
from mashal.core.nested import tensor_from_data
from mashal.core.tensor import Tensor, plan_of
from mashal.lower.windows import given, largest, taken
from mashal.ops.copying import compact, in_order_of, zeros_of
from mashal.ops.define import recorded
from mashal.ops.run import kernel_of, remember, scalar_name

__all__ = ["Windows", "largest_of_windows"]

_plans: dict[Any, Any] = {}


class Windows:
    """The windows along a dimension of n elements: starts, and counts of elements `dilation` apart.

    Or tables of them (int32) for each plane, (planes, m), whose windows all have `widest` elements. Compared by identity.
    """

    def __init__(self, n: int, starts: Any, counts: Any, dilation: int = 1, widest: int = 0):
        self.n, self.dilation = n, dilation
        self.own = 0
        self.regular = (0, 0, 0)
        if isinstance(starts, Tensor):
            self.m = self.own = starts.form.shape[-1]
            self.tables, self.widest = (starts, counts), widest
        else:
            self.m, self.widest = len(starts), max(counts, default=0)
            self.tables = tuple(tensor_from_data(list(v), int32, None) for v in (starts, counts))
            self.regular = self._regular(starts, counts)

    def _regular(self, starts: Sequence[int], counts: Sequence[int]) -> tuple[int, int, int]:
        """(step, first, last): the longest run of whole windows that begin at every step-th element; 0, if short."""
        reach, best = (self.widest - 1) * self.dilation, (0, 0, 0)
        for step in (1, 2):
            begin, length = 0, 0
            for j, (start, count) in enumerate(zip(starts, counts)):
                fits = count == self.widest and start + reach + (step == 2) < self.n
                follows = length and start == starts[j - 1] + step
                begin, length = (begin, length + 1) if fits and follows else (j, int(fits))
                if length > max(8, best[2] - best[1]):
                    best = step, begin, j + 1
        return best


WHOLE = Windows(1, [0], [1])


# ---------------------------------------------------------------- kernels
def _largest(x: Tensor, windows: Sequence[Windows], placed: bool) -> Any:
    """Values, or (values, places): not recorded. Values have channels last where x has them; places are contiguous."""
    given, x = x.form, compact(x)
    rank = len(windows)
    all_three = (*[WHOLE] * (3 - rank), *windows)
    tables = [t for w in all_three for t in w.tables]
    key = x.form, placed, *(w if not w.own else (w.n, w.m, w.widest) for w in all_three)
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, _plan(x.form, all_three, rank, placed))
    found = plan(x, *tables)
    return (in_order_of(found[0], given), found[1]) if placed else in_order_of(found, given)


def _plan(of: Form, windows: Sequence[Windows], rank: int, placed: bool) -> Any:
    if of.dtype.kind not in "fiu":
        raise NotImplementedError(f"max_pool{rank}d: not implemented for '{scalar_name(of.dtype)}'")
    shape = (*of.shape[:-rank], *(w.m for w in windows[3 - rank :]))
    made = [form(of.dtype, of.device, shape), *([form(int32, of.device, shape)] if placed else [])]
    sizes = [(f.nbytes, f) for f in made]
    kinds = [of.dtype.itemsize] + [4] * 6
    if not made[0].numel:
        return plan_of(0, sizes, kinds)
    planes, (step, first, last) = prod(of.shape[:-rank]), windows[2].regular
    work = windows[2].m * prod(max(w.widest, 1) for w in windows)
    constants = [planes, *(w.n for w in windows), *(w.m for w in windows), *(w.dilation for w in windows)]
    constants += [*(w.own for w in windows), windows[2].widest, work, first, last]
    address = kernel_of(largest, of.dtype, placed, step)
    return plan_of(address, sizes, kinds, constants, work=work * planes * windows[0].m * windows[1].m)


def _at_places(kind: str, x: Tensor, places: Tensor, shape: tuple[int, ...], rank: int) -> Tensor:
    """x's elements at the places of a plane ("taken"), or a plane with x's elements at their places ("given"), of a shape."""
    before, x = x.form, compact(x)
    key = kind, x.form, places.form, shape
    plan = _plans.get(key)
    if plan is None:
        made = form(x.form.dtype, x.form.device, shape)
        if not x.form.numel or not made.numel:
            return zeros_of(made)
        planes = prod(shape[:-rank])
        whole, some = (x.form, made) if kind == "taken" else (made, x.form)
        constants = [planes, whole.numel // planes, some.numel // planes]
        address = kernel_of(taken, x.form.dtype) if kind == "taken" else kernel_of(given, x.form.dtype, True)
        sizes = [x.form.dtype.itemsize, 4]
        plan = plan_of(address, [(made.nbytes, made)], sizes, constants, work=x.form.numel + made.numel)
        remember(_plans, key, plan)
    return in_order_of(plan(x, places), before)


# ---------------------------------------------------------------- recorded
def _recorded_largest(node: str) -> Any:
    """largest(x, windows) -> (values, places), with gradients."""

    @recorded(f"{node}Backward0")
    def values(x: Tensor, windows: Sequence[Windows]) -> tuple[tuple, tuple]:
        y, places = _largest(x, windows, True)
        return (y, places), (places, tuple(x.form.shape), len(windows))

    @recorded(f"{node}BackwardBackward0")
    def put(g: Tensor, places: Tensor, shape: tuple[int, ...], rank: int) -> tuple[Tensor, tuple]:
        return _at_places("given", g, places, shape, rank), (places, tuple(g.form.shape), rank)

    @recorded(f"{node}Backward0")
    def take(x: Tensor, places: Tensor, shape: tuple[int, ...], rank: int) -> tuple[Tensor, tuple]:
        return _at_places("taken", x, places, shape, rank), (places, tuple(x.form.shape), rank)

    @values.backward
    def _(node: Any, g: Tensor, _: Any = None) -> tuple:
        return (put(g, *node.kept()),)

    @put.backward
    def _(node: Any, g: Tensor) -> tuple:
        return (take(g, *node.kept()),)

    @take.backward
    def _(node: Any, g: Tensor) -> tuple:
        return (put(g, *node.kept()),)

    return values


_RECORDED = {
    name: _recorded_largest(name)
    for name in (
        "MaxPool1DWithIndices", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D",
        "AdaptiveMaxPool3D", "FractionalMaxPool2D", "FractionalMaxPool3D",
    )
}  # fmt: skip


def largest_of_windows(node: str, x: Tensor, windows: Sequence[Windows], placed: bool) -> Any:
    """Values, or if placed (values, places as int64)."""
    if not placed and x.node is None:
        return _largest(x, windows, False)
    y, places = _RECORDED[node](x, tuple(windows))
    return (y, in_order_of(places.long(), x.form)) if placed else y
