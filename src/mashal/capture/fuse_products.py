"""Products of matrices and what follows them, element by element, in one kernel (lower.following).

To the other parts a product is one that stores its sums; they come from a place in no memory, its first load. Whatever is joined
with it must lie as its result lies. Only products large enough for a pass over memory to count, in float32 and float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mashal.capture.fuse_parts import MOST_NODES, Part, Place
from mashal.capture.fuse_steps import LAUNCH, MEMORY, Drawn, named, sketched, units
from mashal.capture.trail import MADE, Buffer, Step, Value
from mashal.lang.expression import Expression, walk
from mashal.lang.recipes import Product
from mashal.lower.arrange import Plan, arrange
from mashal.lower.following import Following
from mashal.lower.matmul import FOLLOWED, alternatives, contraction
from mashal.lower.tiles import Epilogue
from mashal.machine.launch import INTEGER, NUMBER, Call
from mashal.machine.threads import get_num_threads
from mashal.ops.run import kernel_of

SMALLEST = 1 << 14
"""Elements of a result; below, it is in the nearest cache anyway and another kernel would only have to be compiled."""

CACHED, FAR = 1 << 20, 3.5
"""Bytes of a result from which what else is read, tile by tile, is far away, and how much more that costs than in one sweep."""

BETWEEN = 2.5
"""How much more a function costs between the tiles of a large product than in a sweep of its own (gelu: 1.5 ms and 1.0)."""

_SUMS = Buffer(-1, None, 0, MADE)
_ELEMENTS = {"float32": "float", "float64": "double"}


def part_of_product(step: Any) -> Part | None:
    """A product as a part that others can follow."""
    recipe = getattr(step, "recipe", None)
    if not isinstance(recipe, Product) or not step.call.kernel or recipe.result.dtype.name not in _ELEMENTS:
        return None
    if not recipe.result.contiguous or not isinstance(step.results[0], Value):
        return None
    how = _arranged(recipe)
    if how.form not in FOLLOWED or how.copy or tuple(step.call.constants[-len(how.sizes) :]) != tuple(how.sizes):
        return None
    shape, value, d = tuple(recipe.result.shape), step.results[0], recipe.result.dtype
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, recipe.result.strides))
    stored = Place(value.buffer, value.start, strides, d)
    sums = Expression("operand", (), d, 0)
    return Part(shape, None, [Place(_SUMS, 0, strides, d)], [], {stored: sums}, {stored.memory: value}, product=step)


def is_large(step: Any) -> bool:
    """Whether the result of a product is large enough for what follows it to be computed with it."""
    return step.recipe.result.numel >= SMALLEST


def _arranged(recipe: Product) -> Plan:
    a, b = recipe.a, recipe.b
    element = _ELEMENTS[recipe.result.dtype.name]
    return arrange(a.shape, a.strides, b.shape, b.strides, element, threads=get_num_threads(), how=recipe.how)


def of_chosen_form(step: Any, choose: Callable[[bool], bool]) -> Any:
    """A step; a product that may have another form, in the one that is chosen. choose(whether it is blocked)."""
    recipe = getattr(step, "recipe", None)
    if not isinstance(recipe, Product) or not step.call.kernel or recipe.result.dtype.name not in _ELEMENTS:
        return step
    how = _arranged(recipe)
    form = "blocked" if choose(how.form == "blocked") else "small"
    if how.copy or form == how.form or form not in alternatives(how.form, recipe.a.shape[-1], how.element):
        return step
    recipe = replace(recipe, how=form)
    how = _arranged(recipe)
    kernel = kernel_of(contraction, how.element, how.form, Epilogue(bias=recipe.bias is not None), how.batched)
    before = step.call.constants[bool(not step.call.scratch) : -len(how.sizes)]
    constants = (*([] if how.scratch else [0]), *before, *how.sizes)
    call = replace(step.call, kernel=kernel, scratch=how.scratch, constants=constants)
    return replace(step, recipe=recipe, call=call)


def drawn_product(part: Part, needed: Callable[[Place], bool]) -> Drawn | None:
    """The nest that follows a product: its first operand the sums, its first result where the product would be written."""
    stores = [(p, e) for p, e in part.stores.items() if needed(p)]
    layout = next(p.strides for p in part.loads if p.buffer is _SUMS)
    first = next((i for i, (p, _) in enumerate(stores) if _fresh(part, p, layout)), None)
    if first is None:  # partial sums must lie somewhere
        stores = [(p, e) for p, e in part.stores.items() if _is_sum(part, e)][:1] + stores
        if not stores or not _fresh(part, stores[0][0], layout):
            return None
    else:
        stores = [stores[first], *stores[:first], *stores[first + 1 :]]
    used = list(walk(e for _, e in stores))
    loads = {n.value for n in used if n.kind == "operand"}
    if len(used) > MOST_NODES or not any(part.loads[i].buffer is _SUMS for i in loads):
        return None
    sketch, _ = sketched(part, stores, sorted(loads, key=lambda i: (part.loads[i].buffer is not _SUMS, i)))
    if any(p.strides != layout for p in sketch.results):
        return None
    if any(p.strides != layout and any(p.strides) for p in sketch.operands):
        return None
    n = part.product.recipe.result.numel
    apart = FAR if n * part.product.recipe.result.dtype.itemsize > CACHED else 1.0
    work = sum(units(e) for e in used) * (BETWEEN if apart > 1 else 1.0)
    each = work + MEMORY * (len(sketch.results) + apart * (len(sketch.operands) - 1))
    sketch.elements, sketch.cost = n, n * each / get_num_threads() + LAUNCH
    return sketch


def _fresh(part: Part, place: Place, layout: tuple[int, ...]) -> bool:
    """Whether sums may wait in a place: nothing was there before that is still needed."""
    untouched = all(p.buffer is not place.buffer for p in part.loads)
    d = part.product.recipe.result.dtype
    return place.strides == layout and place.dtype is d and place.buffer.source is MADE and untouched


def _is_sum(part: Part, e: Expression) -> bool:
    return e.kind == "operand" and part.loads[e.value].buffer is _SUMS


def product_step(part: Part, made: Drawn, steps: Sequence[Any]) -> Step:
    """A product with all that follows it."""
    product, recipe = part.product, part.product.recipe
    how = _arranged(recipe)
    single = tuple(i for i, p in enumerate(made.operands) if i and not any(p.strides))
    epilogue = Epilogue(bias=recipe.bias is not None, follow=Following(made.nest, single))
    kernel = kernel_of(contraction, how.element, how.form, epilogue, how.batched)
    others = made.operands[1:]
    kinds = [*product.call.kinds, *(p.dtype.itemsize for p in others)]
    kinds += [NUMBER if d.kind == "f" else INTEGER for d, _ in made.numbers]
    call = Call(kernel, product.call.work, product.call.scratch, False, 0, tuple(kinds), (), product.call.constants)
    operands = (*product.operands, *(part.values[p.memory] for p in others), *(x for _, x in made.numbers))
    results = tuple(part.values[p.memory] for p in made.results)
    return Step(call, operands, results, recipe=None, name=named(steps), parts=tuple(steps))
