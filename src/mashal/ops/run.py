"""The door: from an operation and its operands' forms to a plan, and what to do around a call.

Plans are made here and nowhere else: `plan_pointwise` and `plan_rowwise` turn a nest and forms into a builtin
that allocates, computes and returns. Each is found again by the operands' forms, so this runs once for each combination;
the warm path is a dictionary look-up in the operation itself (ops.define), then the plan.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from mashal.core.dtypes import can_cast, dtype
from mashal.core.forms import Form, form
from mashal.core.shapes import Size, broadcast_strides
from mashal.core.tensor import Tensor, empty, plan_of
from mashal.errors import message
from mashal.lang.expression import walk
from mashal.lang.nest import Nest
from mashal.lang.recipes import Elements, Rows
from mashal.lower.pointwise import pointwise
from mashal.lower.rowwise import (
    ACROSS,
    ALONG,
    PIECE,
    SHORT,
    SHORTEST,
    SPLIT,
    RowLayout,
    is_plain_sum,
    rowwise,
    scratch_bytes,
)
from mashal.lower.schedule import Layout, collapse, mode, with_long_rows
from mashal.machine import jit
from mashal.machine.launch import INTEGER, NUMBER
from mashal.switches import SHOW

Plan = Callable[..., Any]
PLANS_LIMIT = 4096

_kernels: dict[tuple, int] = {}


def kernel_of(build: Callable[..., Any], *key: Any) -> int:
    """The address of the kernel that `build(*key)` writes, compiled once."""
    full = (build, *key)
    address = _kernels.get(full)
    if address is None:
        address = _kernels[full] = jit.compile(build(*key))
    return address


def show(nest: Nest, layout: Any) -> None:
    """Prints what MASHAL_SHOW asks for of a nest that is about to be run."""
    if "nest" in SHOW:
        print(nest, file=sys.stderr)
    if "schedule" in SHOW:
        print(layout, file=sys.stderr)


def remember(plans: dict, key: Any, plan: Any) -> Any:
    """Keeps a plan; forgets all when a program with ever new shapes has filled the table."""
    if len(plans) >= PLANS_LIMIT:
        plans.clear()
    plans[key] = plan
    return plan


# ---------------------------------------------------------------- checks
def same_device(operation: str, tensors: Sequence[Tensor]) -> Any:
    """The device of all tensors (0-d ones on the cpu go along with any other)."""
    devices = {x.form.device for x in tensors}
    if len(devices) > 1:
        devices = {x.form.device for x in tensors if x.form.rank or x.form.device.type != "cpu"}
        if len(devices) != 1:
            names = ", ".join(sorted(map(str, {x.form.device for x in tensors})))
            raise RuntimeError(
                f"{operation}: Expected all tensors to be on the same device, but found at least two devices, {names}!"
            )
    return next(iter(devices))


def check_cast(operation: str, result: dtype, target: dtype) -> None:
    """RuntimeError unless a result of one dtype may be written into a tensor of another."""
    if not can_cast(result, target):
        raise RuntimeError(
            f"{operation}: result type {_scalar_name(result)} can't be cast to the desired output type {_scalar_name(target)}"
        )


def check_floating(operation: str, d: dtype) -> None:
    """NotImplementedError for a dtype without fractions."""
    if d.kind not in "fc":
        wrong = f"not implemented for '{_scalar_name(d)}'"
        raise NotImplementedError(message(operation, wrong, "the input must be floating"))


_NAMES = {"uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "float16": "Half", "bfloat16": "BFloat16",
          "float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble", "bool": "Bool",
          "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64", "complex32": "ComplexHalf"}  # fmt: skip


def _scalar_name(d: dtype) -> str:
    return _NAMES.get(d.name) or d.name.capitalize()


scalar_name = _scalar_name


# ---------------------------------------------------------------- pointwise
def plan_pointwise(
    nest: Nest, operands: Sequence[Form | None], shape: Sequence[int], results: Sequence[Form], in_place: bool = False
) -> Plan:
    """The plan of a pointwise nest. operands: forms, None for a number; results: forms of that shape.

    in_place: the plan takes the tensors of the results as its first operands and returns the first of them.
    """
    device = results[0].device
    if device.type == "meta":
        return _on_meta(results, in_place)
    tensors = [*results, *(f for f in operands if f is not None)]
    layout, constants = elements_layout(shape, [broadcast_strides(f.shape, f.strides, shape) for f in tensors])
    numel = results[0].numel
    kinds = operand_kinds(nest, operands)
    show(nest, layout)
    address = kernel_of(pointwise, nest, layout) if numel else 0
    recipe = Elements(nest, tuple(operands), tuple(shape), tuple(results), in_place)
    if in_place:
        kinds = [*(f.dtype.itemsize for f in results), *kinds]
        return plan_of(
            address, [], kinds, constants, work=numel, returns_first=True, recipe=recipe, writes=len(results)
        )
    made = [(f.extent * f.dtype.itemsize, f) for f in results]
    return plan_of(address, made, kinds, constants, work=numel, recipe=recipe)


def elements_layout(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[Layout, list[int]]:
    """How a pointwise kernel runs over tensors with these strides (results first), and the constants it is given."""
    sizes, walked = with_long_rows(*collapse(shape, strides))
    layout = Layout(len(sizes), tuple(mode(s[-1]) for s in walked))
    flat = layout.rank == 1 and "any" not in layout.modes
    return layout, sizes if flat else [*sizes, *(s for each in walked for s in each)]


def operand_kinds(nest: Nest, operands: Sequence[Form | None]) -> list[int]:
    """For each operand what the launcher reads: elements of a size, a double or an integer."""
    return [
        o.dtype.itemsize if f is not None else NUMBER if o.dtype.kind == "f" else INTEGER
        for o, f in zip(nest.operands, operands)
    ]


def _on_meta(results: Sequence[Form], in_place: bool) -> Plan:
    if in_place:
        return lambda first, *operands: first
    if len(results) == 1:
        return lambda *operands: empty(results[0])
    return lambda *operands: tuple(empty(f) for f in results)


# ---------------------------------------------------------------- rowwise
def plan_rowwise(nest: Nest, operands: Sequence[Form | None], shape: Sequence[int], dims: Sequence[int], results: Sequence[Form],
                 given: Sequence[Form] | None = None) -> Plan:  # fmt: skip
    """The plan of a rowwise nest over elements of `shape`, rows along `dims`.

    operands broadcast to the shape. results: forms that broadcast to the shape too (size 1 in dims where they have one
    value a row, the full shape otherwise). given: the forms in which the results are handed out, the same elements.
    """
    given = given or results
    device = results[0].device
    if device.type == "meta":
        return _on_meta(given, False)
    tensors = [*results, *(f for f in operands if f is not None)]
    strides = [broadcast_strides(f.shape, f.strides, shape) for f in tensors]
    made = [(f.extent * f.dtype.itemsize, f) for f in given]
    kinds = operand_kinds(nest, operands)
    if all(f.numel == 0 for f in results):
        return plan_of(0, made, kinds)
    lead = (strides[len(results) :] or strides)[0]  # the first operand decides the order of dimensions
    layout, constants, scratch, numel = rows_layout(nest, shape, dims, strides, lead)
    show(nest, layout)
    recipe = Rows(nest, tuple(operands), tuple(shape), tuple(dims), tuple(results), tuple(given))
    address = kernel_of(rowwise, nest, layout)
    return plan_of(address, made, kinds, constants, work=numel, scratch=scratch, recipe=recipe)


def rows_layout(
    nest: Nest, shape: Sequence[int], dims: Sequence[int], strides: Sequence[Sequence[int]], lead: Sequence[int]
) -> tuple[RowLayout, list[int], int, int]:
    """(layout, constants, bytes of scratch, elements) of a rowwise kernel over tensors with these strides, results first.

    lead: strides after which the dimensions are put in order.
    """
    kept = [d for d in range(len(shape)) if d not in dims]
    led = [lead, *strides]
    kept_sizes, (_, *kept_strides) = collapse([shape[d] for d in kept], [[s[d] for d in kept] for s in led])
    sizes, (_, *walked) = collapse([shape[d] for d in dims], [[s[d] for d in dims] for s in led])
    layout, numel = _row_layout(nest, kept_sizes, kept_strides, sizes, walked, len(nest.results))
    constants = [*kept_sizes, *sizes]
    for k, r in zip(kept_strides, walked):
        constants += [*k, *r]
    scratch = scratch_bytes(nest, _product(kept_sizes), _product(sizes)) if layout.schedule == SPLIT else 0
    return layout, constants, scratch, numel


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


def _row_layout(
    nest: Nest, kept: list, kept_strides: list, sizes: list, walked: list, n_results: int
) -> tuple[RowLayout, int]:
    """Which schedule: lanes where the operands' elements lie side by side; long single rows in pieces."""
    rows, length = _product(kept), _product(sizes)
    inputs = range(n_results, len(walked))
    side_by_side = all(walked[t][-1] in (0, 1) for t in inputs)
    columns = all(kept_strides[t][-1] in (0, 1) for t in inputs) and kept[-1] > 1
    if len(sizes) == 1 and _splittable(nest) and length >= 4 * PIECE and rows <= 64 and (side_by_side or not columns):
        schedule = SPLIT
    elif columns and (
        not side_by_side or (walked[n_results][-1] == 0 and kept_strides[n_results][-1] == 1) or sizes[-1] == 1
    ):
        schedule = ACROSS
    elif rows == 1 and length <= SHORTEST and all(walked[t] == [1] for t in inputs) and is_plain_sum(nest):
        schedule = SHORT
    else:
        schedule = ALONG
    lanes_along = kept_strides if schedule == ACROSS else walked
    modes = tuple(mode(s[-1]) for s in lanes_along)
    return RowLayout(schedule, len(kept), len(sizes), modes), rows * length


def _splittable(nest: Nest) -> bool:
    """Whether a row's result follows from the joined parts of its pieces."""
    nodes = list(walk(e for e, _ in nest.results))
    overs = [node for node in nodes if node.kind == "over"]
    if (
        len(overs) != 1
        or any(node.kind == "place" for node in nodes)
        or not all(nest.per_row(e) for e, _ in nest.results)
    ):
        return False
    return not overs[0].value.startswith("arg") and not overs[0].operands[0].dtype.is_complex


# ---------------------------------------------------------------- results
def dense_result(operands: Sequence[Form], shape: tuple[int, ...], d: dtype, device: Any) -> Form:
    """The form of a pointwise result: contiguous, or in the order of the first full operand that is dense but not contiguous."""
    for f in operands:
        if tuple(f.shape) == shape and f.contiguous:
            return form(d, device, shape)
        if tuple(f.shape) == shape and f.dense:
            return form(d, device, Size(shape), f.strides)
    return form(d, device, shape)
