"""What operations make of sparse tensors: handlers by the names of functions, called when one of the operands is sparse.

Sums, products with dense matrices, element by element what keeps 0 at 0, other orders and dtypes. Everything is composed of
operations on the values, so gradients reach them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.shapes import wrap_dim, wrap_dims
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.ops.contraction import matmul
from mashal.ops.define import DEFINITIONS
from mashal.ops.joining import cat
from mashal.ops.sparse import HANDLERS, SparseTensor, _cannot, sparse_of, to_sparse
from mashal.ops.sparse_products import times
from mashal.ops.views import permute

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false


def handles(names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: what functions of these names make of sparse operands; handler(name, *arguments)."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        HANDLERS.update(dict.fromkeys(names.split(), handler))
        return handler

    return register


def is_sparse(x: Any) -> bool:
    """Whether x keeps some elements only."""
    return isinstance(x, SparseTensor)


def dense(x: Any) -> Any:
    """x with all its elements."""
    return x.to_dense() if isinstance(x, SparseTensor) else x


# ---------------------------------------------------------------- of the values alone
_UNARY = """neg negative abs absolute sqrt square sin tan asin atan sinh tanh asinh atanh expm1 log1p floor ceil round trunc sign sgn relu
    erf erfinv deg2rad rad2deg frac nan_to_num positive isnan isinf isposinf isneginf signbit leaky_relu conj real imag"""


@handles(_UNARY)
def _(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    x = x.coalesce()
    return x._like(x._parts[0], DEFINITIONS[name].function(x._parts[1], *arguments, **options), True)


@handles("to float double half bfloat16 long int short char bool cpu type type_as")
def _(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    if not is_sparse(x):
        return NotImplemented
    if name == "type_as":
        arguments = (arguments[0].dtype,)
        name = "to"
    indices, values, coalesced = x._parts
    return x._like(indices, DEFINITIONS[name].function(values, *arguments, **options), coalesced)


@handles("zeros_like")
def _(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    indices, values, _ = x._parts
    return x._like(indices[:, :0], values[:0], True)


@handles("pow")
def _(name: str, x: Any, exponent: Any) -> Any:
    x = x.coalesce()
    return x._like(x._parts[0], x._parts[1] ** exponent, True)


# ---------------------------------------------------------------- two operands
@handles("add sub")
def _(name: str, x: Any, y: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    factor = -alpha if name == "sub" else alpha
    if is_sparse(x) and is_sparse(y):
        if tuple(x.shape) != tuple(y.shape):
            raise RuntimeError(
                message(name, f"sparse tensors of shapes {tuple(x.shape)} and {tuple(y.shape)}", "they must be equal")
            )
        values = y._parts[1] if factor == 1 else y._parts[1] * factor
        parts = cat([x._parts[0], y._parts[0]], 1), cat([x._parts[1], values])
        return x._with_layout(sparse_of(*parts, tuple(x.form.shape), False).coalesce())
    if is_sparse(x) and not (isinstance(y, Tensor) and y.form.rank):
        raise _cannot(name)
    if is_sparse(x):
        return dense(x) + y * factor
    return x + dense(y) * factor


@handles("rsub")
def _(name: str, x: Any, y: Any, *arguments: Any, **options: Any) -> Any:
    return HANDLERS["sub"]("sub", y, x)


@handles("mul multiply")
def _(name: str, x: Any, y: Any, *, out: Any = None) -> Any:
    if not is_sparse(x):
        x, y = y, x
    if isinstance(y, Tensor) and y.form.rank:
        x = x.coalesce()
        if tuple(y.shape) != tuple(x.shape):
            y = dense(y).expand(x.shape)
        return x._like(x._parts[0], x._parts[1] * dense(y)[tuple(x._parts[0].unbind(0))], True)
    return x._like(x._parts[0], x._parts[1] * y, x._parts[2])


@handles("div true_divide divide floor_divide")
def _(name: str, x: Any, y: Any, *, rounding_mode: Any = None, out: Any = None) -> Any:
    if not is_sparse(x) or is_sparse(y) or (isinstance(y, Tensor) and y.form.rank):
        raise _cannot(name)
    x = x.coalesce()
    values = x._parts[1].div(y, rounding_mode=rounding_mode) if name != "floor_divide" else x._parts[1] // y
    return x._like(x._parts[0], values, True)


@handles("matmul mm mv __matmul__ _at smm hspmm")
def _(name: str, x: Any, y: Any, *, out: Any = None) -> Any:
    if not is_sparse(x):
        return times(y.t(), x.t()).t() if x.form.rank == 2 else times(y.t(), x)
    if is_sparse(y):
        product = times(x, y.to_dense())
        return product.to_sparse_csr() if hasattr(x, "crow_indices") else to_sparse(product)
    return times(x, y)


@handles("addmm")
def _(name: str, c: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    if is_sparse(x) and not is_sparse(y):
        return times(x, y, "AddmmBackward0", dense(c), alpha, beta)
    product = matmul(x, y)
    return dense(c) * beta + dense(product) * alpha


# ---------------------------------------------------------------- rows, orders, pieces
@handles("sum")
def _(name: str, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    values = x._parts[1] if dtype is None else x._parts[1].to(dtype)
    if dim is None:
        return values.sum()
    return summed(x, dim, values)


def summed(x: Any, dim: Any, values: Any = None) -> Any:
    """The sum over some dimensions: sparse as long as a sparse dimension is left."""
    values = x._parts[1] if values is None else values
    dims = wrap_dims("sum", dim if isinstance(dim, (tuple, list)) else (dim,), x.form.rank)
    leading = x.sparse_dim()
    inner = [d - leading + 1 for d in dims if d >= leading]
    values = values.sum(inner) if inner else values
    kept = [d for d in range(leading) if d not in dims]
    if not kept:
        return values.sum(0)
    shape = tuple(n for d, n in enumerate(x.form.shape) if d not in dims)
    return sparse_of(x._parts[0][kept], values, shape, False).coalesce()


@handles("mean")
def _(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    return x._parts[1].sum() / x.form.numel if not arguments and not options else NotImplemented


@handles("norm")
def _(name: str, x: Any, p: Any = "fro", *arguments: Any, **options: Any) -> Any:
    return x.coalesce()._parts[1].norm(2 if p in ("fro", None) else p)


@handles("transpose t T swapaxes swapdims")
def _(name: str, x: Any, dim0: int = 0, dim1: int = 1) -> Any:
    if hasattr(x, "_turned") and not x.dense_dim():
        return x._turned() if dim0 != dim1 else x
    order = list(range(x.form.rank))
    a, b = wrap_dim(name, dim0, len(order)), wrap_dim(name, dim1, len(order))
    order[a], order[b] = b, a
    return HANDLERS["permute"]("permute", x, order)


@handles("permute")
def _(name: str, x: Any, *dims: Any) -> Any:
    order = wrap_dims(name, dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims, x.form.rank)
    leading = x.sparse_dim()
    if sorted(order[:leading]) != list(range(leading)):
        raise RuntimeError(message(name, f"dims {tuple(order)} mix sparse and dense dimensions", "keep them apart"))
    values = permute(x._parts[1], (0, *(d - leading + 1 for d in order[leading:]))) if x.dense_dim() else x._parts[1]
    return sparse_of(x._parts[0][list(order[:leading])], values, tuple([x.form.shape[d] for d in order]), False)


@handles("cat concat concatenate")
def _(name: str, tensors: Any, dim: int = 0, **options: Any) -> Any:
    if not all(is_sparse(x) for x in tensors):
        raise _cannot(name)
    first = tensors[0]
    d = wrap_dim(name, dim, first.form.rank)
    if d >= first.sparse_dim():
        raise _cannot(name)
    start, indices = 0, []
    for x in tensors:
        moved = x._parts[0].clone()
        moved[d] += start
        indices.append(moved)
        start += x.form.shape[d]
    shape = list(first.form.shape)
    shape[d] = start
    return sparse_of(cat(indices, 1), cat([x._parts[1] for x in tensors]), tuple(shape), False)


@handles("index_select")
def _(name: str, x: Any, dim: int, index: Tensor) -> Any:
    return to_sparse(x.to_dense().index_select(dim, index), x.sparse_dim())


@handles("narrow_copy")
def _(name: str, x: Any, dim: int, start: int, length: int, **options: Any) -> Any:
    d = wrap_dim(name, dim, x.form.rank)
    n = x.form.shape[d]
    start = start + n if start < 0 else start
    if not 0 <= start <= start + length <= n:
        raise RuntimeError(message(name, f"start {start} and length {length} leave dimension {d} of size {n}"))
    indices, values, _ = x._parts
    shape = (*x.form.shape[:d], length, *x.form.shape[d + 1 :])
    if d >= x.sparse_dim():
        return sparse_of(indices, values.narrow(d - x.sparse_dim() + 1, start, length), shape, x._parts[2])
    kept = (indices[d] >= start) & (indices[d] < start + length)
    moved = indices[:, kept]
    moved[d] -= start
    return sparse_of(moved, values[kept], shape, x._parts[2])


@handles("getitem select")
def _(name: str, x: Any, *arguments: Any) -> Any:
    if name == "getitem":
        (index,) = arguments
        if not isinstance(index, int):
            raise _cannot("indexing")
        arguments = (0, index)
    picked = x.to_dense().select(*arguments)
    return to_sparse(picked, max(1, x.sparse_dim() - 1)) if picked.form.rank else picked


@handles("equal allclose")
def _(name: str, x: Any, y: Any, **options: Any) -> Any:
    return DEFINITIONS[name].function(dense(x), dense(y), **options)


@handles("softmax log_softmax")
def _(name: str, x: Any, dim: int, dtype: Any = None, **options: Any) -> Any:
    """Along dim over the elements that are kept."""
    x = x.coalesce()
    places = tuple(x._parts[0].unbind(0))
    whole = x._parts[1].new_full(x.form.shape, float("-inf"))
    whole = whole.index_put(places, x._parts[1] if dtype is None else x._parts[1].to(dtype))
    return x._like(x._parts[0], DEFINITIONS[name].function(whole, dim)[places], True)


@handles("copy_")
def _(name: str, x: Any, source: Any, *arguments: Any) -> Any:
    if is_sparse(x) and is_sparse(source):
        x._parts = source._parts
        return x
    raise _cannot(name)


@handles("zero_ mul_ div_ neg_ add_ sub_")
def _(name: str, x: Any, *arguments: Any, **options: Any) -> Any:
    plain = name[:-1]
    if not is_sparse(x):  # a dense tensor changed by a sparse one, at its places only
        y = arguments[0]
        if plain not in ("add", "sub"):
            raise _cannot(name)
        factor = options.get("alpha", 1) * (-1 if plain == "sub" else 1)
        return x.index_put_(tuple(y._parts[0].unbind(0)), y._parts[1] * factor, accumulate=True)
    made = (
        HANDLERS["zeros_like"]("zeros_like", x) if plain == "zero" else HANDLERS[plain](plain, x, *arguments, **options)
    )
    x._parts = made._parts
    return x


def changes(name: str) -> Callable[..., Any]:
    """The method of sparse tensors that changes them in place."""
    return lambda self, *arguments, **options: HANDLERS[name](name, self, *arguments, **options)


for _name in "zero_ mul_ div_ neg_ add_ sub_ copy_".split():
    setattr(SparseTensor, _name, changes(_name))
for _name, _changed in {"__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_"}.items():
    setattr(SparseTensor, _name, changes(_changed))
SparseTensor.__getitem__ = changes("getitem")
