"""Joining parts: one is brought to the other's shape, and reads what the other stores without going through memory.

A place is met again exactly (same memory, same strides over the shape) or its memory must not be touched: anything between is
refused. What is stored as a half precision is rounded on the way, so that results keep their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

from mashal.capture.fuse_parts import MOST_PLACES, Part, Place, load, number, overlap, sound, substituted
from mashal.core.shapes import view_strides
from mashal.lang.expression import Expression, cast


# ---------------------------------------------------------------- another shape
def _moved(part: Part, shape: tuple[int, ...], change: Callable[[tuple[int, ...]], Any], per_row: bool) -> Part | None:
    """The part over another shape; None if some strides cannot be said over it."""
    changed: dict[tuple[int, ...], Any] = {}
    for place in (*part.loads, *part.stores):
        if place.strides not in changed:
            to = change(place.strides)
            if to is None:
                return None
            changed[place.strides] = tuple(0 if n == 1 else s for n, s in zip(shape, to))
    again = lambda p: Place(p.buffer, p.start, changed[p.strides], p.dtype, p.per_row or per_row)
    values = {again(p).memory: part.values[p.memory] for p in (*part.loads, *part.stores) if p.memory in part.values}
    stores = {again(p): e for p, e in part.stores.items()}
    return Part(shape, part.dims, list(map(again, part.loads)), part.numbers, stores, values, product=part.product)


def aligned(part: Part, to: Part) -> Iterator[Part]:
    """The ways in which a part goes over another part's elements, or over its rows."""
    if part.dims is not None:
        if part.shape == to.shape and part.dims == to.dims:
            yield part
        return
    if part.shape == to.shape:
        yield part
    if prod(part.shape) == prod(to.shape):
        moved = _through(part, to)
        if moved is not None:
            yield moved
        if part.shape != to.shape:
            moved = _moved(part, to.shape, lambda s: view_strides(part.shape, s, to.shape), False)
            if moved is not None:
                yield moved
    elif to.dims is not None:
        rows = tuple(1 if d in to.dims else n for d, n in enumerate(to.shape))
        if prod(part.shape) == prod(rows):
            moved = _moved(part, rows, lambda s: view_strides(part.shape, s, rows), True)
            if moved is not None:
                yield replace(moved, shape=to.shape)


def _through(part: Part, to: Part) -> Part | None:
    """Aligned by memory that both see, whatever the order of their dimensions."""
    theirs = {p[:2]: p.strides for p in (*to.stores, *to.loads)}
    for place in (*part.loads, *part.stores):
        strides: tuple[int, ...] = theirs.get(place[:2], ())
        if not strides:
            continue
        mine = sorted((d for d, n in enumerate(part.shape) if n > 1), key=lambda d: -place.strides[d])
        other = sorted((d for d, n in enumerate(to.shape) if n > 1), key=lambda d: -strides[d])
        if any(place.strides[d] == 0 for d in mine) or any(strides[d] == 0 for d in other):
            continue
        sizes, wanted = [part.shape[d] for d in mine], [to.shape[d] for d in other]

        def change(s: tuple[int, ...], mine=mine, other=other, sizes=sizes, wanted=wanted) -> Any:
            found = view_strides(sizes, [s[d] for d in mine], wanted)
            if found is None:
                return None
            out = [0] * len(to.shape)
            for d, stride in zip(other, found):
                out[d] = stride
            return tuple(out)

        moved = _moved(part, to.shape, change, False)
        if moved is not None and any(p.memory == (place.buffer, place.start, strides, place.dtype)
                                     for p in (*moved.loads, *moved.stores)):  # fmt: skip
            return moved
    return None


# ---------------------------------------------------------------- joining
def joined(a: Part, b: Part) -> Part | None:
    """Both parts as one, a's steps before b's; None if that cannot be said or would change what they compute."""
    if a.order is not None and b.order is not None and a.order != b.order:
        return None
    if (a.product is not None) + (b.product is not None) + (a.dims is not None or b.dims is not None) > 1:
        return None
    pairs = [(a, x) for x in aligned(b, a)] if b.dims is None or a.dims is not None else []
    if b.dims is not None and a.dims is None or not pairs:
        pairs += [(x, b) for x in aligned(a, b)]
    for first, second in pairs:
        whole = _together(first, second)
        if whole is not None:
            return whole
    return None


def _together(a: Part, b: Part) -> Part | None:
    dims = a.dims if a.dims is not None else b.dims
    whole = Part(a.shape, dims, list(a.loads), list(a.numbers), dict(a.stores), {**b.values, **a.values},
                 a.order or b.order, dict(a.unroll), a.lead or b.lead, a.product or b.product)  # fmt: skip
    stored = {p.memory: e for p, e in a.stores.items()}
    leaves: dict[Expression, Expression] = {}
    for i, place in enumerate(b.loads):
        leaf = Expression("operand", (), place.dtype, i)
        e = stored.get(place.memory)
        if e is not None:
            leaves[leaf] = cast(e, place.dtype)
        elif any(overlap(place, p, a.shape) for p in a.stores):
            return None
        else:
            leaves[leaf] = load(whole, place, b.values.get(place.memory))
    for j, (d, x) in enumerate(b.numbers):
        leaves[Expression("scalar", (), d, j)] = number(whole, d, x)
    done = substituted([*b.stores.values(), *b.unroll], leaves)
    for place, e in b.stores.items():
        for p in whole.stores:
            if p.memory == place.memory:
                del whole.stores[p]
                break
        whole.stores[place] = done[e]
    for over, unroll in b.unroll.items():
        if whole.unroll.setdefault(done[over], unroll) != unroll:
            return None
    if len(whole.loads) + len(whole.stores) > MOST_PLACES:
        return None
    return whole if sound(whole) else None
