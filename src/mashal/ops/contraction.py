"""Products of matrices: matmul in all its rank combinations, bilinear.

`product` is the one way to the kernels of lower.matmul: forms to a plan, found again by the operands' forms. Vectors are
matrices of one row or column, and the result is handed out in the shape PyTorch gives it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form
from mashal.core.saved import form_of, kept
from mashal.core.shapes import broadcast, contiguous_strides, view_strides
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, empty, new_view, plan_of
from mashal.errors import message
from mashal.lang.recipes import Product
from mashal.lower.arrange import arrange
from mashal.lower.matmul import contraction
from mashal.lower.tiles import Epilogue
from mashal.machine.launch import INTEGER
from mashal.machine.threads import get_num_threads
from mashal.ops.arithmetic import add, mul
from mashal.ops.broadcast import sum_to
from mashal.ops.complex_parts import conj_physical
from mashal.ops.complex_products import complex_plan
from mashal.ops.define import PLAIN, dispatched, overrides, row_major, spelled, write_out
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.run import kernel_of, remember, same_device, scalar_name

_ELEMENTS = {"float32": "float", "float64": "double", "float16": "half", "bfloat16": "bfloat", "int8": "i8", "uint8": "i8",
             "int16": "i16", "int32": "i32", "int64": "i64"}  # fmt: skip
_COMPLEX = ("complex64", "complex128")
_ONE = struct.unpack("<q", struct.pack("<d", 1.0))[0]
_plans: dict[Any, Any] = {}


# ---------------------------------------------------------------- plans
def product(operation: str, a: Tensor, b: Tensor, bias: Tensor | None, result: Form | None = None) -> Tensor:
    """a (..., m, k) times b (..., k, n), plus a bias of n; not recorded. result: the form to hand it out in."""
    key = a.form, b.form, None if bias is None else bias.form, result
    plan = _plans.get(key) or remember(
        _plans, key, plan_product(operation, a.form, b.form, None if bias is None else bias.form, result)
    )
    return plan(a, b, 0 if bias is None else bias)


def plan_product(operation: str, a: Form, b: Form, bias: Form | None, result: Form | None) -> Any:
    batch = broadcast(operation, a.shape[:-2], b.shape[:-2]) if a.rank > 2 or b.rank > 2 else ()
    shape = (*batch, a.shape[-2], b.shape[-1])
    made = result or form(a.dtype, a.device, shape)
    if a.device.type == "meta":
        return lambda *operands: empty(made)
    if a.dtype.name in _COMPLEX and made.numel:
        return complex_plan(plan_product, operation, a, b, bias, made)
    kinds = [a.dtype.itemsize, b.dtype.itemsize, INTEGER if bias is None else bias.dtype.itemsize]
    if not made.numel:
        return plan_of(0, [(0, made)], kinds)
    if bias is not None and bias.strides[-1] != 1 and bias.numel > 1:
        with_copy = plan_product(operation, a, b, form(bias.dtype, bias.device, bias.shape), result)
        return lambda x, y, z: with_copy(x, y, _contiguous(z))
    found = arrange(a.shape, a.strides, b.shape, b.strides, _element(operation, a.dtype), threads=get_num_threads())
    if found.copy:
        flat = plan_product(operation, form(a.dtype, a.device, a.shape), form(b.dtype, b.device, b.shape), bias, result)
        if a.contiguous and b.contiguous:
            return _in_parts(operation, a, b, bias, made)
        return lambda x, y, z: flat(_contiguous(x), _contiguous(y), z)
    address = kernel_of(contraction, found.element, found.form, Epilogue(bias=bias is not None), found.batched)
    constants = [*([] if found.scratch else [0]), _ONE, 0, *found.sizes]
    work = made.numel * a.shape[-1] // 8
    results = [(made.extent * made.dtype.itemsize, made)]
    recipe = Product(a, b, bias, made)
    return plan_of(address, results, kinds, constants, work=work, scratch=found.scratch, recipe=recipe)


def _in_parts(operation: str, a: Form, b: Form, bias: Form | None, made: Form) -> Any:
    """More than two batch dimensions that do not join: both operands are expanded to the whole batch."""
    batch = broadcast(operation, a.shape[:-2], b.shape[:-2])
    items = 1
    for n in batch:
        items *= n
    whole = [form(f.dtype, f.device, (items, *f.shape[-2:])) for f in (a, b)]
    plan = plan_product(operation, whole[0], whole[1], bias, made)

    def run(x: Tensor, y: Tensor, z: Any) -> Tensor:
        full = [_seen(row_major(_expanded(t, (*batch, *t.form.shape[-2:]))), f) for t, f in zip((x, y), whole)]
        return plan(full[0], full[1], z)

    return run


def _expanded(x: Tensor, shape: Sequence[int]) -> Tensor:
    lead = len(shape) - x.form.rank
    strides = (0,) * lead + tuple(
        0 if n == 1 and m != 1 else s for n, s, m in zip(x.form.shape, x.form.strides, shape[lead:])
    )
    return new_view(x, x.form.viewed(tuple(shape), strides), x.offset)


def _seen(x: Tensor, f: Form) -> Tensor:
    return new_view(x, f, x.offset)


def _contiguous(x: Tensor) -> Tensor:
    return x if x.form.contiguous else row_major(x)


def _element(operation: str, d: dtype) -> str:
    found = d.llvm if d.name in _COMPLEX else _ELEMENTS.get(d.name)
    if found is None:
        raise NotImplementedError(
            message(operation, f"there is no product of matrices of {scalar_name(d)}", "convert to a floating dtype")
        )
    return found


# ---------------------------------------------------------------- views that remember
class _ViewBackward0(Node):
    """saved: the form that was seen otherwise."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        return (reshaped(g, self.saved),)


_ViewBackward0.__name__ = "ViewBackward0"


def reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x's elements in another shape; a view where strides allow it."""
    if x.form.shape == shape:
        return x
    strides = view_strides(x.form.shape, x.form.strides, shape)
    source = x if strides is not None else _recorded_copy(x)
    y = new_view(source, source.form.viewed(tuple(shape), strides or contiguous_strides(shape)), source.offset)
    if source.node is not None and mode.recording:
        y.node = _ViewBackward0(((source.node, source.output),), source.form.shape)
    return y


def _recorded_copy(x: Tensor) -> Tensor:
    return x.contiguous()  # type: ignore[attr-defined]


class TransposeBackward0(Node):
    """A swap of the last two dimensions."""

    __slots__ = ()
    frees = False

    def backward(self, *gradients: Any) -> tuple:
        return (transposed(gradients[0]),)


def turned(f: Form) -> Form:
    """A form with its last two dimensions swapped."""
    return f.viewed((*f.shape[:-2], f.shape[-1], f.shape[-2]), (*f.strides[:-2], f.strides[-1], f.strides[-2]))


def transposed(x: Tensor) -> Tensor:
    """x with its last two dimensions swapped; a view."""
    y = new_view(x, turned(x.form), x.offset)
    if x.node is not None and mode.recording:
        y.node = TransposeBackward0(((x.node, x.output),), None)
    return y


def adjointed(x: Tensor) -> Tensor:
    """The transpose as gradients need it: of complex matrices conjugated."""
    return transposed(conj_physical(x)) if x.form.dtype.is_complex else transposed(x)


# ---------------------------------------------------------------- matmul
class ProductBackward(PlanNode):
    """saved: a, b. Gradients of a product: g·bᵀ and aᵀ·g, summed where the batch was broadcast."""

    __slots__ = ()
    operands = ("input", "other")

    def by_operations(self, g: Tensor) -> tuple:
        """The gradients as products, recorded if asked for."""
        a, b = kept(self)
        f, h = form_of(a), form_of(b)
        rows = f if f.rank > 1 else f.viewed((1, *f.shape), (0, *f.strides))
        columns = h if h.rank > 1 else h.viewed((*h.shape, 1), (*h.strides, 0))
        batch = broadcast("matmul", rows.shape[:-2], columns.shape[:-2])
        g = reshaped(g, (*batch, rows.shape[-2], columns.shape[-1]))
        ga = gb = None
        if self.edges[0] is not None:
            ga = reshaped(sum_to(matmul(g, adjointed(reshaped(b, columns.shape))), rows.shape), f.shape)
        if self.edges[1] is not None:
            gb = reshaped(_weight_gradient(reshaped(a, rows.shape), g, columns), h.shape)
        return ga, gb


def _weight_gradient(rows: Tensor, g: Tensor, columns: Form) -> Tensor:
    """aᵀ·g; where b had no batch, one product over all rows instead of a sum of products."""
    if columns.rank == 2 and rows.form.rank > 2:
        k, n = columns.shape
        count = prod(rows.form.shape[:-1])
        return matmul(adjointed(reshaped(rows, (count, k))), reshaped(g, (count, n)))
    return sum_to(matmul(adjointed(rows), g), columns.shape)


_NODES = {
    name: type(name, (ProductBackward,), {"__slots__": ()})
    for name in (
        "MmBackward0",
        "DotBackward0",
        "MvBackward0",
        "BmmBackward0",
        "UnsafeViewBackward0",
        "SqueezeBackward4",
    )
}
for _name in ("MmBackward0", "BmmBackward0", "UnsafeViewBackward0"):
    _NODES[_name].second_first = True  # mat2 before self


class _Call(Planned):
    """What is known of a product of certain forms: plan(a, b, 0). a, b: the operands as matrices, where they are vectors."""

    __slots__ = ("a", "b", "result")

    def __init__(self, operation: str, a: Tensor, b: Tensor):
        same_device(operation, [a, b])
        f, g = a.form, b.form
        if not f.rank or not g.rank:
            raise RuntimeError(
                message(operation, f"both arguments need at least 1 dimension, but they have {f.rank} and {g.rank}")
            )
        if f.dtype is not g.dtype:
            raise RuntimeError(
                message(operation, f"expected both operands to have the same dtype, but got {f.dtype} and {g.dtype}")
            )
        _element(operation, f.dtype)
        rows, columns = f.shape if f.rank > 1 else (1, *f.shape), g.shape if g.rank > 1 else (*g.shape, 1)
        if rows[-1] != columns[-2]:
            raise RuntimeError(_mismatch(operation, f, g, rows, columns))
        batch = broadcast(operation, rows[:-2], columns[:-2])
        shape = (*batch, *(rows[-2:-1] if f.rank > 1 else ()), *(columns[-1:] if g.rank > 1 else ()))
        self.a = None if f.rank > 1 else f.viewed(tuple(rows), (0, *f.strides))
        self.b = None if g.rank > 1 else g.viewed(tuple(columns), (*g.strides, 0))
        self.result = form(f.dtype, f.device, shape)
        name = {(1, 1): "DotBackward0", (2, 1): "MvBackward0", (1, 2): "SqueezeBackward4", (2, 2): "MmBackward0"}
        node = _NODES[name.get((f.rank, g.rank), "BmmBackward0" if operation == "bmm" else "UnsafeViewBackward0")]
        if self.a is self.b is None:
            bare = plan_product(operation, f, g, None, self.result)
        else:
            bare = lambda a, b, _: self._of_vectors(operation, a, b)
        super().__init__(bare, node, (True, True, False), 2, kept=(0, 1), needs=(2, 1), recorded=f.dtype.kind in "fc")

    def _of_vectors(self, operation: str, a: Tensor, b: Tensor) -> Tensor:
        a = a if self.a is None else new_view(a, self.a, a.offset)
        b = b if self.b is None else new_view(b, self.b, b.offset)
        return product(operation, a, b, None, self.result)

    def parts(self, things: list[Any], g: Tensor) -> list[Part] | None:
        """Two products, where both operands are matrices, or batches of the same shape."""
        a, b = things[0].form, things[1].form
        if a.dtype.is_complex or a.rank != b.rank or not 2 <= a.rank <= 4 or a.shape[:-2] != b.shape[:-2]:
            return None
        of_a = plan_product("matmul", g.form, turned(b), None, form(a.dtype, a.device, tuple(a.shape)))
        of_b = plan_product("matmul", turned(a), g.form, None, form(b.dtype, b.device, tuple(b.shape)))
        return [Part(of_a, (2, 1, 3)), Part(of_b, (0, 2, 3))]


def _mismatch(operation: str, f: Form, g: Form, rows: Sequence[int], columns: Sequence[int]) -> str:
    if f.rank == g.rank == 1:
        return message(
            operation,
            f"inconsistent tensor size, expected tensor [{f.shape[0]}] and src [{g.shape[0]}] to have the same number of elements",
        )
    text = f"mat1 and mat2 shapes cannot be multiplied ({rows[-2]}x{rows[-1]} and {columns[-2]}x{columns[-1]})"
    return message(
        operation,
        text,
        f"the last size of {tuple(f.shape)} and the first of the matrix in {tuple(g.shape)} must be equal",
    )


_calls: dict[Any, _Call] = {}


def _at(x: Any, y: Any) -> Any:
    """x @ y; Python asks y if it is no tensor."""
    return matmul(x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else NotImplemented


@spelled(operators=("__matmul__", "__rmatmul__"), operator=_at)
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of matrices: (..., m, k) times (..., k, n); batch dimensions broadcast, vectors are rows or columns.

    Both of one dtype. RuntimeError if the inner sizes differ.

    >>> torch.matmul(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return multiply("matmul", matmul, input, other, out)


def multiply(operation: str, function: Any, a: Any, b: Any, out: Tensor | None) -> Tensor:
    if type(a) not in PLAIN or type(b) not in PLAIN:
        kinds = overrides((a, b))
        if kinds:
            return dispatched(function, kinds, (a, b), {} if out is None else {"out": out})
        for place, x in enumerate((a, b)):
            if not isinstance(x, Tensor):
                name = ("input", "other")[place]
                raise TypeError(
                    f"{operation}(): argument '{name}' (position {place + 1}) must be Tensor, not {type(x).__name__}"
                )
    key = a.form, b.form, operation == "bmm"
    call = _calls.get(key) or remember(_calls, key, _Call(operation, a, b))
    return call.plan(a, b, 0) if out is None else write_out(operation, out, call.bare(a, b, 0))


@spelled()
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices; no broadcasting."""
    check_ranks("mm", input, 2, mat2, 2)
    return multiply("mm", mm, input, mat2, out)


@spelled()
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of two stacks of matrices, (b, m, k) and (b, k, n)."""
    check_ranks("bmm", input, 3, mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            message("bmm", f"the batches of {tuple(input.shape)} and {tuple(mat2.shape)} must be of one size")
        )
    return multiply("bmm", bmm, input, mat2, out)


@spelled()
def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix and a vector."""
    check_ranks("mv", input, 2, vec, 1)
    return multiply("mv", mv, input, vec, out)


@spelled()
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors."""
    check_ranks("dot", input, 1, tensor, 1)
    return multiply("dot", dot, input, tensor, out)


@spelled(aliases=("ger",))
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All products of the elements of two vectors."""
    check_ranks("outer", input, 1, vec2, 1)
    y = mul(reshaped(input, (input.form.numel, 1)), vec2)
    return y if out is None else write_out("outer", out, y)


def check_ranks(operation: str, a: Any, rank_a: int, b: Any, rank_b: int) -> None:
    for x, rank in ((a, rank_a), (b, rank_b)):
        if isinstance(x, Tensor) and x.form.rank != rank:
            right = f"expected {rank_a}-D and {rank_b}-D" if rank_a != rank_b else f"both must be {rank_a}-D"
            raise RuntimeError(message(operation, f"shapes {tuple(a.shape)} and {tuple(b.shape)}", right))


# ---------------------------------------------------------------- bilinear
@spelled(where=("torch", "functional"))
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Σᵢⱼ input1ᵢ · weightₒᵢⱼ · input2ⱼ + biasₒ: (…, i), (…, j), (o, i, j) and (o) to (…, o)."""
    if weight.ndim != 3 or input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        shapes = f"inputs {tuple(input1.shape)} and {tuple(input2.shape)}, weight {tuple(weight.shape)}"
        raise RuntimeError(message("bilinear", shapes, "weight must be (out, features of input1, features of input2)"))
    if input1.shape[:-1] != input2.shape[:-1]:
        wrong = f"inputs {tuple(input1.shape)} and {tuple(input2.shape)} differ before the last dimension"
        raise RuntimeError(message("bilinear", wrong))
    column = reshaped(input2, (*input2.shape[:-1], 1, input2.shape[-1], 1))
    row = reshaped(input1, (*input1.shape[:-1], 1, 1, input1.shape[-1]))
    y = reshaped(matmul(matmul(row, weight), column), (*input1.shape[:-1], weight.shape[0]))
    return y if bias is None else add(y, bias)
