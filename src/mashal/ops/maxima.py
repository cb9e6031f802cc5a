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
from mashal.core.nested import table_of
from mashal.core.tensor import Tensor, plan_of
from mashal.lower.windows import given, largest, taken
from mashal.ops.copying import compact, in_order_of, zeros_of
from mashal.ops.define import recorded
from mashal.ops.remembered import Part, remembered
from mashal.ops.run import Plan, kernel_of, remember, scalar_name

__all__ = ["Windows", "largest_of_windows"]

_plans: dict[Any, Any] = {}


class Windows:
    """The windows along a dimension of n elements: starts, and counts of elements `dilation` apart.

    Or tables of them (int32) for each plane, (planes, m), whose windows all have `widest` elements. Compared by identity.
    """

    remembered = True

    def __init__(self, n: int, starts: Any, counts: Any, dilation: int = 1, widest: int = 0):
        self.n, self.dilation = n, dilation
        self.own = 0
        self.regular = (0, 0, 0)
        if isinstance(starts, Tensor):
            self.m = self.own = starts.form.shape[-1]
            self.tables, self.widest = (starts, counts), widest
        else:
            self.m, self.widest = len(starts), max(counts, default=0)
            self.tables = tuple(table_of(list(v), int32) for v in (starts, counts))
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
    key = x.form, placed, *(w if not w.own else (w.n, w.m, w.widest) for w in windows)
    plan = _plans.get(key)
    if plan is None:
        plan = remember(_plans, key, _plan(x.form, windows, placed))
    found = plan(x, *_tables(windows))
    return (in_order_of(found[0], given), found[1]) if placed else in_order_of(found, given)


def _tables(windows: Sequence[Windows]) -> list[Tensor]:
    """The starts and counts of three dimensions."""
    return [t for w in (*[WHOLE] * (3 - len(windows)), *windows) for t in w.tables]


def _plan(of: Form, windows: Sequence[Windows], placed: bool) -> Plan:
    rank = len(windows)
    windows = (*[WHOLE] * (3 - rank), *windows)
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


def _plan_of_values(x: Form, windows: tuple[Windows, ...], placed: bool = True) -> Plan:
    """The plan of values and places, or of values alone, with windows that are the same for all planes."""
    if not x.contiguous:
        return lambda x: _largest(x, windows, placed)
    plan, tables = _plan(x, windows, placed), _tables(windows)
    return lambda x: plan(x, *tables)


def _put(g: Form, places: Form, whole: tuple[int, ...], rank: int) -> Plan:
    """Planes of a shape with g's elements at their places."""
    made = form(g.dtype, g.device, whole)
    return _at_places(kernel_of(given, g.dtype, True), g, made, prod(whole[:-rank]), made, g)


def _take(x: Form, places: Form, whole: tuple[int, ...], rank: int) -> Plan:
    """The elements of x, which has the shape of the whole, at the places."""
    made = form(x.dtype, x.device, tuple(places.shape))
    return _at_places(kernel_of(taken, x.dtype), x, made, prod(whole[:-rank]), x, made)


def _at_places(address: int, of: Form, made: Form, planes: int, whole: Form, some: Form) -> Plan:
    """plan(x, places) for a kernel between planes and some of their elements."""
    if not of.numel or not made.numel:
        return lambda x, places: zeros_of(made)
    constants = [planes, whole.numel // planes, some.numel // planes]
    kinds = [of.dtype.itemsize, 4]
    plan = plan_of(address, [(made.nbytes, made)], kinds, constants, work=of.numel + made.numel)
    return plan if of.contiguous else lambda x, places: in_order_of(plan(compact(x), places), of)


# ---------------------------------------------------------------- recorded
class _Named:
    """Largest elements of windows as grad_fn names them.

    values(x, windows), for windows that are the same for all planes; with_places(x, windows) -> (values, places), for all.
    """

    def __init__(self, name: str):
        self.values = values = remembered(f"{name}Backward0", results=2)(_plan_of_values)
        self.with_places = with_places = recorded(f"{name}Backward0")(_with_places)
        put = remembered(f"{name}BackwardBackward0", 2, gradients=1, kept=(1,))(_put)
        take = remembered(f"{name}Backward0", 2, gradients=1, kept=(1,))(_take)

        @values.backward
        @with_places.backward
        def _(node: Any, g: Tensor, _: Any = None) -> tuple:
            places, windows = node.kept()
            return (put(g, places, *_planes_of(g, windows)),)

        @values.parts
        def _(call: Any, things: list[Tensor], g: Tensor) -> list[Part]:
            return [Part(put.known(g, things[0], *_planes_of(g, *call.options)).bare, (1, 0))]

        @put.backward
        def _(node: Any, g: Tensor) -> tuple:
            return (take(g, *node.kept()),)

        @take.backward
        def _(node: Any, g: Tensor) -> tuple:
            return (put(g, *node.kept()),)


def _with_places(x: Tensor, windows: tuple[Windows, ...]) -> tuple[tuple, tuple]:
    y, places = _largest(x, windows, True)
    return (y, places), (places, windows)


def _planes_of(g: Tensor, windows: Sequence[Windows]) -> tuple[tuple[int, ...], int]:
    """The shape of what the windows of g were taken from, and the dimensions of space."""
    return (*g.form.shape[: -len(windows)], *(w.n for w in windows)), len(windows)


# values alone, for what is not recorded
_values = remembered("", gradients=0)(lambda x, windows: _plan_of_values(x, windows, False))
_NAMED = {
    name: _Named(name)
    for name in (
        "MaxPool1DWithIndices", "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D",
        "AdaptiveMaxPool3D", "FractionalMaxPool2D", "FractionalMaxPool3D",
    )
}  # fmt: skip


def largest_of_windows(node: str, x: Tensor, windows: Sequence[Windows], placed: bool) -> Any:
    """(values, places as int64) if placed; else the values, or what is known of the call that gives them."""
    windows = tuple(windows)
    if placed:
        y, places = _NAMED[node].with_places(x, windows)
        return y, in_order_of(places.long(), x.form)  # type: ignore[attr-defined]
    if not any(w.own for w in windows):
        return (_values if x.node is None else _NAMED[node].values).known(x, windows)
    return _largest(x, windows, False) if x.node is None else _NAMED[node].with_places(x, windows)[0]
